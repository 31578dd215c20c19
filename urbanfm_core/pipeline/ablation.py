"""The stage 'ablate': trains and embeds the variants that `evaluation.ablation` compares."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.cities import training_city
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import cache_of, city_of, inputs_to_embed, inputs_to_train, regions_of
from urbanfm_core.pipeline.trained import Learner, embed_city
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result, said_by
from urbanfm_core.stages.evaluation import AblateStage

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.evaluation.ablation import Ablation, Variant
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.models.method import Method


def ablate(stage: AblateStage, progress: Progress) -> Result:
    from urbanfm_core.evaluation import ablation_report

    found = run_ablation(stage, progress)
    if stage.out is not None:
        ablation_report.write_json(stage.out, found)
    for sentence in found.verdicts():
        progress.log("warning", sentence)
    summary = {
        "variants": [variant.name for variant in found.variants],
        "training_seeds": list(found.seeds),
        "table": ablation_report.lines(found),
        "out": stage.out,
        "report": stage.report,
    }
    name = f"Ablation of {Path(stage.preset).stem}"
    return Result(summary, found, found.notes, None if stage.report is None else ablation_report.page(found, name))


def planned_variants(stage: AblateStage, method: Method, config: Any) -> list[Variant]:
    """The full model and what is to be compared with it.

    Raises:
        ConfigError: an ablation or a number that the method does not have, or nothing to compare.
    """
    from urbanfm_core.evaluation.ablation import plan_variants

    names = None if not stage.variants else [name for name in stage.variants if name != "none"]
    variants = plan_variants(method, config, names, stage.sweeps)
    if len(variants) < 2:
        raise ConfigError(
            "There is nothing to compare the full model with.",
            "Leave --variants out for all ablations, or name --sweeps.",
        )
    return variants


def run_ablation(stage: AblateStage, progress: Progress) -> Ablation:
    """Make every variant that the stage names, and compare them.

    Raises:
        UrbanFMError: a parameter or an input is not usable; nothing was trained by then.
    """
    from urbanfm_core.evaluation.ablation import ablate
    from urbanfm_core.evaluation.inputs import labels_of, read_floors, settings_of, targets_of

    learner = Learner.of(stage)
    method = learner.method
    variants = planned_variants(stage, method, learner.config)
    city = city_of(stage)
    used = dict.fromkeys((*inputs_to_train(method, city), *inputs_to_embed(method, city)))
    regions = regions_of(stage, city)
    labels, notes = labels_of(stage, regions, progress.part(0.0, 0.02))
    targets = targets_of(stage, regions, labels)
    floors = read_floors(regions, city, progress.part(0.02, 0.1))
    progress.log("info", learner.sentence())
    city = replace(city, regions=regions)
    settled = {name: value for name, value in asdict(learner.training).items() if name not in ("seed", "resume")}
    found = ablate(
        variants,
        _Run(stage, learner, city).make,
        config=learner.config,
        made_from={"method": method.name, "training": settled, **city.identity(*used)},
        work=cache_of(stage) / "ablation",
        regions=regions,
        targets=targets,
        floors=floors,
        settings=settings_of(stage, stage.seed),
        seeds=range(stage.seed, stage.seed + stage.training_seeds),
        position="yes" if method.uses_position else "no",
        progress=progress.part(0.1, 1.0),
    )
    config, said = _trained_on(found)
    return replace(found, config=config, notes=[*regions.notes, *notes, *found.notes, *said])


@dataclass(frozen=True)
class _Run:
    """What all trainings of an ablation have in common."""

    stage: AblateStage
    learner: Learner
    city: CityInputs

    def make(self, variant: Variant, seed: int, folder: Path, progress: Progress) -> EmbeddingTable:
        """Train a variant from a seed, unless its checkpoint is finished, and embed the regions."""
        whole = self.learner
        learner = replace(
            whole, config=replace(whole.config, **variant.overrides), training=replace(whole.training, seed=seed)
        )
        # The store of 'train': what does not depend on the variant is prepared once.
        city = training_city(self.stage, learner.method, self.city)
        checkpoint, _ = learner.train_unless_finished(
            city, folder / "checkpoint", progress.part(0.0, 0.8), untrained=not variant.trained
        )
        table = embed_city(self.stage, checkpoint, learner.device, self.city, progress.part(0.8, 1.0))
        table.provenance.update(
            model=f"{self.stage.preset}, {variant.name}, seed {seed}",
            config=checkpoint.config,
            notes=[*checkpoint.manifest["notes"], *table.provenance["notes"]],
        )
        return table


def _trained_on(ablation: Ablation) -> tuple[dict[str, Any], list[str]]:
    """The full model's configuration with what the data filled in, and what the trainings said, earlier runs' included.

    Each sentence comes once, with the variants that said it if not all did.
    """
    from urbanfm_core.evaluation.ablation import FULL, TABLE
    from urbanfm_core.inference.table import EmbeddingTable

    made = {
        name: [EmbeddingTable.from_parquet(Path(folder) / TABLE).provenance for folder in folders]
        for name, folders in ablation.folders.items()
    }
    said = said_by({name: [note for run in runs for note in run["notes"]] for name, runs in made.items()})
    return made[FULL][0]["config"], said
