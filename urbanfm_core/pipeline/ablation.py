"""The stage 'ablate': trains and embeds the variants that `evaluation.ablation` compares."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urbanfm_core
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import (
    cache_of,
    city_of,
    finished_checkpoint,
    inputs_to_train,
    inputs_used,
    method_config,
    regions_of,
    store_of,
    training_settings,
)
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result, said_by
from urbanfm_core.stages.evaluation import AblateStage

if TYPE_CHECKING:
    import torch

    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.evaluation.ablation import Ablation, Variant
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.models.method import Method
    from urbanfm_core.training.checkpoint import Checkpoint
    from urbanfm_core.training.task import TrainingConfig

_CHECKPOINT = "checkpoint"


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
    from urbanfm_core.models import get_method, load_preset
    from urbanfm_core.models.device import describe_device, resolve_device

    preset = load_preset(stage.preset)
    method = get_method(preset["method"])
    config, training = method_config(stage, method, preset), training_settings(stage, preset)
    variants = planned_variants(stage, method, config)
    device = resolve_device(stage.device)
    city = city_of(stage)
    used = inputs_used(method, tuple(dict.fromkeys((*method.needs, *method.embeds_from))), city)
    regions = regions_of(stage, city)
    labels, notes = labels_of(stage, regions, progress.part(0.0, 0.02))
    targets = targets_of(stage, regions, labels)
    floors = read_floors(regions, city, progress.part(0.02, 0.1))
    progress.log("info", f"{method.title} ({stage.preset}) on {describe_device(device)}")
    city = replace(city, regions=regions)
    settled = {name: value for name, value in asdict(training).items() if name not in ("seed", "resume")}
    run = _Run(stage, method, config, training, device, city, regions)
    found = ablate(
        variants,
        run.make,
        config=config,
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
    method: Method
    config: Any
    training: TrainingConfig
    device: torch.device
    city: CityInputs
    regions: RegionSet

    def make(self, variant: Variant, seed: int, folder: Path, progress: Progress) -> EmbeddingTable:
        """Train a variant from a seed, unless its checkpoint is finished, and embed the regions."""
        from urbanfm_core.inference.table import EmbeddingTable
        from urbanfm_core.training.checkpoint import restore

        checkpoint = finished_checkpoint(folder / _CHECKPOINT)
        if checkpoint is None:
            checkpoint = self._train(variant, seed, folder / _CHECKPOINT, progress.part(0.0, 0.8))
        method, trained = restore(checkpoint, self.device, self.stage.batch_size)
        weights = checkpoint.manifest["weights_sha256"]
        used = inputs_used(method, method.embeds_from, self.city)
        store = store_of(self.stage, "embed", {**self.city.identity(*used), "weights": weights, "rule": "centre"})
        made = method.embed(trained, self.city, self.regions, store, progress.part(0.8, 1.0))
        store.remove()
        provenance = {
            "model": f"{self.stage.preset}, {variant.name}, seed {seed}",
            "method": method.name,
            "checkpoint": weights,
            "urbanfm": urbanfm_core.__version__,
            "config": checkpoint.config,
            "notes": [*checkpoint.manifest["notes"], *made.notes, *trained.notes],
        }
        return EmbeddingTable(self.regions, made.vectors, made.coverage, provenance)

    def _train(self, variant: Variant, seed: int, out: Path, progress: Progress) -> Checkpoint:
        from urbanfm_core.training.run import save_untrained, train

        method = self.method
        city = self.city if method.trains_on == "regions" else replace(self.city, regions=None)
        # The store of 'train': what does not depend on the variant is prepared once.
        store = store_of(self.stage, "samples", city.identity(*inputs_to_train(method, city)))
        config = replace(self.config, **variant.overrides)
        prepared = method.prepare(config, city, store, self.device, progress.part(0.0, 0.3))
        to: dict[str, Any] = {"out": out, "data_fingerprint": store.fingerprint, "preset": self.stage.preset}
        if not variant.trained:
            return save_untrained(method, prepared, seed, **to)
        training = replace(self.training, seed=seed)
        return train(method, prepared, training, device=self.device, progress=progress.part(0.3, 1.0), **to)


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
