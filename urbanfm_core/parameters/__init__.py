"""Parameters that stages share, in groups by what they are about; a stage inherits from those that it takes."""

from urbanfm_core.parameters.base import Kind, Stage, param
from urbanfm_core.parameters.inputs import (
    CaptionFile,
    CaptionInputs,
    CityFile,
    CityParams,
    EmbeddingRasterInputs,
    EmbeddingsId,
    GridShape,
    ImageryInputs,
    LabelTables,
    NetworkInputs,
    PoiInputs,
    RegionId,
    RegionInputs,
    SeveralCities,
    cell_shape,
    cell_size,
)
from urbanfm_core.parameters.scoring import FoldParams, LabelInputs, ProbeChoice, ProbeParams, TargetParams
from urbanfm_core.parameters.training import ComputeParams, DescriptionsOutput, TrainingParams

__all__ = [
    "CaptionFile",
    "CaptionInputs",
    "CityFile",
    "CityParams",
    "ComputeParams",
    "DescriptionsOutput",
    "EmbeddingRasterInputs",
    "EmbeddingsId",
    "FoldParams",
    "GridShape",
    "ImageryInputs",
    "Kind",
    "LabelInputs",
    "LabelTables",
    "NetworkInputs",
    "PoiInputs",
    "ProbeChoice",
    "ProbeParams",
    "RegionId",
    "RegionInputs",
    "SeveralCities",
    "Stage",
    "TargetParams",
    "TrainingParams",
    "cell_shape",
    "cell_size",
    "param",
]
