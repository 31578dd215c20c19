"""Parameters of the stage that takes a method from one city to another; see `stages`."""

from __future__ import annotations

from pydantic import model_validator

from urbanfm_core.parameters import ComputeParams, ProbeChoice, TargetParams, TrainingParams, numbers_by_city, param


class TransferStage(ProbeChoice, TargetParams, ComputeParams, TrainingParams):
    """Say what a model of one city is worth in another.

    Trains the method on each city alone, embeds all cities with each model, and writes a square table of cities for each
    target: probes learn from the labels of the city that a row names and are scored in the city of the column, on the
    diagonal in blocks of the same city that they did not see. Plain features that mean the same in all cities, the floors,
    go through the same probes. Finished trainings and vectors are kept in the cache and taken up by the next run.
    """

    cities: list[str] = param(
        help="Two cities or more: a JSON file each, with the city's layers by the names of the flags of 'train', such as "
        "pois, imagery and regions, whose fields hold the labels, and optionally labels, labels_id and label_raster as of "
        "'evaluate'; paths are relative to the file.",
        label="Files of the cities",
        kind="list",
    )
    train_on: list[str] = param(
        [],
        "Cities to train on, by the names of their files without ending; the others are only scored in. All when not "
        "given.",
        label="Cities to train on",
        kind="list",
    )
    z_scores: bool = numbers_by_city()
    out: str | None = param(
        None, "JSON file to write, with every score of every seed.", label="Scores", kind="file", output=True
    )
    report: str | None = param(
        None,
        "HTML report to write; tables in Markdown if the name ends in .md.",
        label="Report on the transfer",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _cities_to_go_between(self) -> TransferStage:
        if len(self.cities) < 2:
            raise ValueError(f"name at least two cities (cities), found {len(self.cities)}")
        if not self.targets:
            raise ValueError("name what to predict (targets)")
        return self
