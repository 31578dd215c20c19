"""Parameters of the stages that read a city for a method, and train it."""

from __future__ import annotations

from urbanfm_core.parameters import ComputeParams, DescriptionsOutput, SeveralCities, TrainingParams, param


class PrepareStage(ComputeParams, TrainingParams, SeveralCities, DescriptionsOutput):
    """Read a city's layers once and keep what a method trains on.

    Training does this by itself; done alone it separates the reading, which is slow on large rasters, from training.
    """


class TrainStage(ComputeParams, TrainingParams, SeveralCities, DescriptionsOutput):
    """Train a method on the layers of a city, or of several.

    Writes a checkpoint: a folder with weights, configuration, preprocessing, metrics and a loss curve. A run that was
    stopped continues where it was when started again with the same inputs and parameters.
    """

    out: str = param(help="Folder of the checkpoint to write.", label="Checkpoint", kind="checkpoint", output=True)
    report: str | None = param(
        None, "HTML report to write, with the loss curve.", label="Report on the training", kind="file", output=True
    )
