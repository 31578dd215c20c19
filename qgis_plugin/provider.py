"""The Processing provider."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.attentionmaps import AttentionMaps
from .algorithms.checkenvironment import CheckEnvironment
from .algorithms.clusterregions import ClusterRegions
from .algorithms.creategridregions import CreateGridRegions
from .algorithms.describeregions import DescribeRegions
from .algorithms.embedpois import EmbedPois
from .algorithms.embedraster import EmbedRaster
from .algorithms.embedregions import EmbedRegions
from .algorithms.evaluateembeddings import EvaluateEmbeddings
from .algorithms.findsimilarregions import FindSimilarRegions
from .algorithms.importcheckpoint import ImportCheckpoint
from .algorithms.inspectcheckpoint import InspectCheckpoint
from .algorithms.predictindicators import PredictIndicators
from .algorithms.searchbytext import SearchByText
from .algorithms.trainmodel import TrainModel
from .paths import metadata, resource

ALGORITHMS = (
    CheckEnvironment,
    CreateGridRegions,
    TrainModel,
    ImportCheckpoint,
    InspectCheckpoint,
    EmbedRegions,
    EmbedPois,
    EmbedRaster,
    ClusterRegions,
    FindSimilarRegions,
    SearchByText,
    PredictIndicators,
    EvaluateEmbeddings,
    AttentionMaps,
    DescribeRegions,
)


class UrbanFMProvider(QgsProcessingProvider):
    """Lists the algorithms, with or without an environment to run them."""

    def id(self) -> str:
        return "urbanfm"

    def name(self) -> str:
        return "UrbanFM"

    def longName(self) -> str:
        return f"UrbanFM {metadata('version')}"

    def versionInfo(self) -> str:
        return metadata("version")

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        return str(resource("icons", "urbanfm.svg"))

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
