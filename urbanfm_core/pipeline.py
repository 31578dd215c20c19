"""One function per stage, those of the analyses in `analysis_pipeline`; the only place that knows the order of things.

Each takes its checked parameters and a progress, and returns a `Result`: what a program can use (`summary`, plain
data) and what a Python caller can use (`value`).
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urbanfm_core
from urbanfm_core import analysis_pipeline as analysis
from urbanfm_core import caption_pipeline, describe_pipeline, map_pipeline, transferring
from urbanfm_core.cities import cities_to_train_on, data_fingerprint
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError, MissingDependencyError, OutputError
from urbanfm_core.files import refusal
from urbanfm_core.inputs import (
    cache_of,
    city_of,
    finished_checkpoint,
    grid_over,
    inputs_to_train,
    inputs_used,
    load_model,
    method_config,
    model_name,
    open_imagery,
    regions_of,
    sliding_of,
    store_of,
    training_settings,
)
from urbanfm_core.parameters import Stage, TrainingParams
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages import (
    CheckStage,
    EmbedRasterStage,
    EmbedStage,
    GridStage,
    ImportCheckpointStage,
    InspectStage,
    PrepareStage,
    SampleCityStage,
    TrainStage,
    make_stage,
)

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.models.method import Method, Prepared, TrainingCity
    from urbanfm_core.training.checkpoint import Checkpoint


def run(name: str, params: dict[str, Any], progress: Progress) -> Result:
    """Check the parameters of a stage, and run it.

    Raises:
        UrbanFMError: a user error, or cancelled.
    """
    return run_stage(name, make_stage(name, params), progress)


def run_stage(name: str, stage: Stage, progress: Progress) -> Result:
    """Run a stage whose parameters are checked already; what was chosen or left out is logged."""
    check_outputs(stage)
    _check_map(stage)
    progress.check()
    try:
        result = _STAGE_FUNCTIONS[name](stage, progress)
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise refused from error
    for note in result.notes:
        progress.log("info", note)
    if result.notes:
        result.summary["notes"] = result.notes
    progress.update(1.0, "Done.")
    return result


def stage_function(name: str) -> Callable[..., Any]:
    """The stage as a Python function with keyword arguments, plus `progress`; it returns the stage's object."""

    def call(*, progress: Progress | None = None, **params: Any) -> Any:
        return run(name, params, progress or Progress()).value

    from urbanfm_core.stages import STAGES

    call.__name__ = call.__qualname__ = name
    call.__doc__ = STAGES[name].__doc__
    return call


def check_outputs(stage: Stage) -> None:
    """Refuse, before any work is done, what cannot be written.

    Raises:
        OutputError: a Shapefile or another format that is not offered, two outputs in one file, or a folder that cannot
            be written.
        CheckpointError: a checkpoint would replace something else.
    """
    named: dict[Path, str] = {}
    for name, item in type(stage).model_fields.items():
        path = getattr(stage, name)
        extra: Any = item.json_schema_extra
        if not extra["output"] or path is None:
            continue
        target = Path(path).expanduser()
        if target.suffix.lower() == ".shp":
            raise OutputError(
                f"{target}: a Shapefile cannot hold embeddings: it cuts names to 10 letters and texts to 254.",
                "Write a GeoPackage: give a name that ends in .gpkg.",
            )
        other = named.setdefault(target.absolute(), name)
        if other != name:
            raise OutputError(f"{target} is named for both {other} and {name}.", "Give each output a file of its own.")
        if extra["kind"] in ("polygons", "points"):
            from urbanfm_core.geo.vector import check_layer_name

            check_layer_name(target.absolute())
        if extra["kind"] == "checkpoint":
            from urbanfm_core.training.checkpoint import guard_replacing

            guard_replacing(target)
        try:
            _probe(target.absolute().parent)
        except OSError as error:
            raise OutputError(
                f"Cannot write {target}: {error.strerror or error}.", "Choose a folder that you may write to."
            ) from error


def _probe(folder: Path) -> None:
    """Whether a file can be made in a folder, or in the nearest one above it that exists; nothing is left there."""
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass


def _check_map(stage: Stage) -> None:
    """A map picture needs matplotlib: say so now, and not after the training."""
    if getattr(stage, "map", None) is not None and importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "A map picture", "plots")


def samplecity(stage: SampleCityStage, progress: Progress) -> Result:
    from urbanfm_core.data.samplecity import generate

    summary = generate(Path(stage.out), stage.regions, stage.seed, progress, compact=stage.compact)
    return Result({"out": stage.out, "seed": stage.seed, **summary["counts"]}, Path(stage.out))


def grid(stage: GridStage, progress: Progress) -> Result:
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.geo.vector import write_layer

    if stage.over is not None:
        regions = grid_over(stage.over, stage.grid_size, stage.grid_shape)
    elif stage.extent_crs is None:
        raise ConfigError("An extent needs its coordinate reference system.", "Add --extent-crs, such as EPSG:4326.")
    else:
        extent = _parse_extent(str(stage.extent))
        regions = RegionSet.grid(extent, stage.grid_size, stage.grid_shape, crs=stage.extent_crs)
    progress.update(0.6, f"Writing {len(regions.ids):,} regions")
    write_layer(regions.to_frame(), stage.out)
    return Result({"out": stage.out, "regions": len(regions.ids)}, regions, regions.notes)


def prepare(stage: PrepareStage, progress: Progress) -> Result:
    method, _, prepared, cities = _prepare(stage, progress)
    paths = [city.store.path for city in cities]
    stores = str(paths[0]) if len(paths) == 1 else {city.name: str(city.store.path) for city in cities}
    told = {"descriptions_out": stage.descriptions_out}
    summary = {"method": method.name, "samples": len(prepared.samples), "store": stores, **told}
    return Result(summary, paths[0] if len(paths) == 1 else paths, prepared.notes)


def train(stage: TrainStage, progress: Progress) -> Result:
    checkpoint, notes = _train(stage, Path(stage.out), progress)
    if stage.report is not None:
        _write_checkpoint_report(stage.report, stage.out, checkpoint, checkpoint.summary())
    told = {name: getattr(stage, name) for name in ("report", "descriptions_out")}
    return Result({**_training_summary(checkpoint, stage.out), **told}, Path(stage.out), notes)


def embed(stage: EmbedStage, progress: Progress) -> Result:
    from urbanfm_core.inference.table import EmbeddingTable

    city = city_of(stage)
    notes: list[str] = []
    path, share = stage.checkpoint, 0.0
    training: dict[str, Any] = {}
    regions = regions_of(stage, city)
    if path is None:
        _check_overlap(regions, city)
        path, share = _checkpoint_to_train(stage), 0.7
        found = None if stage.checkpoint_out is not None else finished_checkpoint(Path(path))
        if found is None:
            found, notes = _train(stage, Path(path), progress.part(0.0, share))
        else:
            notes = [f"A model that was trained on the same inputs with the same settings is taken: {path}"]
        training = _training_summary(found, path)
    method, trained, checkpoint = load_model(path, stage, progress)
    trained = replace(trained, precision=stage.precision)
    city = replace(city, regions=regions)
    used = inputs_used(method, method.embeds_from, city)
    made_from = {"weights": checkpoint.manifest["weights_sha256"], "rule": stage.rule, "precision": stage.precision}
    beside = city.given(*(name for name in method.may_use if name not in used))
    store = store_of(stage, "embed", {**city.identity(*used, *beside), **made_from})
    made = method.embed(trained, city, regions, store, progress.part(share, 0.9), rule=stage.rule)
    provenance = {
        "model": model_name(checkpoint),
        "method": method.name,
        "checkpoint": checkpoint.manifest["weights_sha256"],
        "urbanfm": urbanfm_core.__version__,
    }
    table = EmbeddingTable(regions, made.vectors, made.coverage, provenance)
    if not table.covered.any():
        raise EmptyInputError(
            f"None of the {len(regions.ids):,} regions is covered by {' or '.join(used)}: "
            f"{', '.join(str(getattr(city, name)) for name in used)}.",
            "Is a raster all nodata there? Look at it in QGIS; for tiny regions take --rule coverage.",
        )
    _write_embeddings(stage, table, city, progress.part(0.9, 1.0))
    store.remove()
    summary = {
        "regions": len(table.ids),
        "dimensions": int(table.vectors.shape[1]),
        "uncovered": int((~table.covered).sum()),
        "model": provenance["model"],
        "region_id": regions.id_name,
        "checkpoint": str(path),
        **{name: getattr(stage, name) for name in ("out", "parquet", "raster", "map")},
        **({"training": training} if training else {}),
    }
    notes += [*regions.notes, *made.notes, *trained.notes]
    if not any(getattr(stage, name) for name in ("out", "parquet", "raster", "map")):
        notes.append("No output was named, so the vectors were written nowhere; name --out or --parquet.")
    return Result(summary, table, notes)


def embedraster(stage: EmbedRasterStage, progress: Progress) -> Result:
    from urbanfm_core.inference.raster import map_raster, require_bands
    from urbanfm_core.inference.windows import map_windows
    from urbanfm_core.maps.styles import write_raster_style

    city = city_of(stage)
    city.require_one_of("embedding_raster", "imagery")
    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    weights = checkpoint.manifest["weights_sha256"]
    written: dict[str, Any] = {
        "dtype": stage.dtype,
        "compress": stage.compress,
        "tags": {"model": model_name(checkpoint), "checkpoint": weights},
        "names": "emb_{:03d}".format,
        "progress": progress,
    }
    if "windows" in method.can:
        city.require("imagery")
        function = method.window_function(trained)
        with open_imagery(city, function) as source:
            sliding = sliding_of(stage, function, source.info)
            made_from = {"weights": weights, "windows": [sliding.side_m, sliding.stride_m], "read": source.to_json()}
            store = store_of(stage, "embedraster", {**city.identity("imagery"), **made_from})
            summary = map_windows(source, function, sliding, stage.out, store=store, **written)
        store.remove()
        notes = [sliding.sentence(), *summary.pop("notes")]
    else:
        pixels = method.pixel_function(trained)
        city.require("embedding_raster")
        with city.open_embedding_raster() as raster:
            require_bands(raster, trained.preprocessing["bands"])
            summary, notes = map_raster(raster, pixels, stage.out, **written), []
    used = "imagery" if "windows" in method.can else "embedding_raster"
    idle = [name for name in city.given("embedding_raster", "imagery") if name != used]
    notes += [f"The layer {name} is left out: {method.title} embeds from {used} here." for name in idle]
    write_raster_style(Path(stage.out).with_suffix(".qml"), stage.out)
    return Result({"out": stage.out, **summary}, Path(stage.out), [*notes, *trained.notes])


def importcheckpoint(stage: ImportCheckpointStage, progress: Progress) -> Result:
    if stage.method == "refound":
        from urbanfm_core.importers.refound import import_refound

        checkpoint = import_refound(
            stage.checkpoint,
            tokenizer=stage.tokenizer,
            heads=stage.heads,
            categories=_read_names(stage.category_names),
            leave_out=stage.leave_out,
            progress=progress,
        )
    elif stage.method == "urbanclip":
        from urbanfm_core.importers.coca import import_coca

        checkpoint = import_coca(
            stage.checkpoint, architecture=stage.architecture, tokenizer=stage.tokenizer, progress=progress
        )
    elif stage.method == "urbanln":
        from urbanfm_core.importers.clip import import_clip

        checkpoint = import_clip(stage.checkpoint, tokenizer=stage.tokenizer, progress=progress)
    else:
        from urbanfm_core.importers.aether import import_aether

        checkpoint = import_aether(stage.checkpoint, text_encoder=stage.text_encoder, progress=progress)
    checkpoint.save(stage.out)
    return Result({"checkpoint": stage.out, "summary": checkpoint.summary()}, Path(stage.out))


def _read_names(path: str | None) -> list[str]:
    """Lines of a text file."""
    if path is None:
        return []
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as text ({error}).", "Give a text file with one name a line."
        ) from error


def inspect(stage: InspectStage, progress: Progress) -> Result:
    from urbanfm_core.models import get_method
    from urbanfm_core.training.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(stage.checkpoint)
    method = get_method(checkpoint.method)
    summary = {
        **checkpoint.summary(),
        "paper": method.paper,
        "trains on": ", ".join(method.needs),
        "embeds from": ", ".join(method.embeds_from),
        "can also": ", ".join(sorted(method.can)),
    }
    if stage.report is not None:
        _write_checkpoint_report(stage.report, stage.checkpoint, checkpoint, summary)
    return Result({"checkpoint": stage.checkpoint, "summary": summary, "report": stage.report}, checkpoint)


def check(stage: CheckStage, progress: Progress) -> Result:
    from urbanfm_core.environment import as_dicts, run_checks, write_report

    checks = run_checks()
    if stage.report is not None:
        write_report(stage.report, checks)
    summary = {"ok": all(item.ok for item in checks), "checks": as_dicts(checks), "report": stage.report}
    return Result(summary, checks)


_STAGE_FUNCTIONS: dict[str, Callable[[Any, Progress], Result]] = {
    "samplecity": samplecity,
    "grid": grid,
    "prepare": prepare,
    "caption": caption_pipeline.caption,
    "train": train,
    "embed": embed,
    "embedraster": embedraster,
    "describe": describe_pipeline.describe,
    "cluster": map_pipeline.cluster,
    "similar": map_pipeline.similar,
    "search": analysis.search,
    "attend": analysis.attend,
    "evaluate": analysis.evaluate,
    "predict": analysis.predict,
    "ablate": analysis.ablate,
    "transfer": transferring.transfer,
    "importcheckpoint": importcheckpoint,
    "inspect": inspect,
    "check": check,
}


def _prepare(stage: Any, progress: Progress) -> tuple[Method, dict[str, Any], Prepared, list[TrainingCity]]:
    """The method, its preset, cities ready to train on, and these."""
    from urbanfm_core.models import get_method, load_preset
    from urbanfm_core.models.device import describe_device, resolve_device

    preset = load_preset(stage.preset)
    method = get_method(preset["method"])
    cities = cities_to_train_on(stage, method)
    config = method_config(stage, method, preset)
    device = resolve_device(stage.device)
    progress.log("info", f"{method.title} ({stage.preset}) on {describe_device(device)}")
    prepared = method.prepare_cities(config, cities, device, progress)
    if getattr(stage, "descriptions_out", None) is not None:
        _write_descriptions(stage.descriptions_out, prepared)
    return method, preset, prepared, cities


def _write_descriptions(path: str, prepared: Prepared) -> None:
    from urbanfm_core.models.descriptions import write_descriptions

    if prepared.descriptions is None:
        raise ConfigError(
            "There are no descriptions of regions to write: no language teacher is asked.",
            "Take a preset with one, such as refound-small, and give points of interest.",
        )
    write_descriptions(prepared.descriptions, path)


def _train(stage: Any, out: Path, progress: Progress) -> tuple[Checkpoint, list[str]]:
    """Train what a stage describes, and write the checkpoint."""
    from urbanfm_core.models.device import resolve_device
    from urbanfm_core.training.run import train as run_training

    method, preset, prepared, cities = _prepare(stage, progress.part(0.0, 0.4))
    checkpoint = run_training(
        method,
        prepared,
        training_settings(stage, preset),
        device=resolve_device(stage.device),
        out=out,
        data_fingerprint=data_fingerprint(cities),
        progress=progress.part(0.4, 1.0),
        preset=stage.preset,
    )
    return checkpoint, checkpoint.manifest["notes"]


def _check_overlap(regions: RegionSet, city: CityInputs) -> None:
    """Regions beside a raster are better found before the training than after it."""
    from urbanfm_core.geo.raster import inspect_raster
    from urbanfm_core.geo.zonal import require_overlap

    for raster in (city.embedding_raster, city.imagery):
        if raster is not None:
            require_overlap(inspect_raster(raster), regions.geometry, regions.crs)


def _checkpoint_to_train(stage: EmbedStage) -> str:
    """Where the checkpoint goes that is trained because none was given; the same inputs give the same place."""
    from urbanfm_core.data.store import fingerprint
    from urbanfm_core.models import get_method, load_preset

    if stage.checkpoint_out is not None:
        return stage.checkpoint_out
    preset = load_preset(stage.preset)
    method = get_method(preset["method"])
    city = cities_to_train_on(stage, method)[0].inputs
    settings = {name: getattr(stage, name) for name in (*TrainingParams.model_fields, "batch_size")}
    made_from = {**city.identity(*inputs_to_train(method, city)), **settings, "preset": preset}
    return str(cache_of(stage) / "checkpoints" / f"{Path(stage.preset).stem}-{fingerprint(made_from)}")


def _training_summary(checkpoint: Checkpoint, path: str | Path) -> dict[str, Any]:
    manifest = checkpoint.manifest
    return {
        "checkpoint": str(path),
        "method": checkpoint.method,
        "preset": manifest.get("preset"),
        **{name: manifest[name] for name in ("samples", "best_epoch", "metrics") if name in manifest},
    }


def _write_embeddings(stage: EmbedStage, table: EmbeddingTable, city: CityInputs, progress: Progress) -> None:
    from urbanfm_core.inference.raster import write_region_raster
    from urbanfm_core.maps.plot import plot_map
    from urbanfm_core.maps.styles import principal_rgb, write_region_style

    progress.update(0.0, "Writing")
    components, rgb = principal_rgb(table.vectors)
    if stage.parquet is not None:
        table.to_parquet(stage.parquet)
    if stage.out is not None:
        table.to_layer(stage.out, columns=stage.columns)
        write_region_style(Path(stage.out).with_suffix(".qml"), components)
    if stage.raster is not None:
        with city.open_embedding_raster() as source:
            write_region_raster(table, source.info, stage.raster, progress=progress.part(0.3, 1.0))
    if stage.map is not None:
        plot_map(
            stage.map, table.regions.geometry, table.regions.crs, rgb, f"Region embeddings, {table.provenance['model']}"
        )


def _write_checkpoint_report(path: str, folder: str, checkpoint: Checkpoint, summary: dict[str, Any]) -> None:
    from urbanfm_core import report

    report.write_page(
        path,
        f"Checkpoint {Path(folder).name}",
        report.table(("What", "Value"), [*summary.items()]),
        report.picture("Loss by epoch", checkpoint.plot),
        report.notes("Notes", checkpoint.manifest.get("notes", [])),
    )


def _parse_extent(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"'{text}' is not an extent.", "Write xmin,ymin,xmax,ymax.") from error
    return west, south, east, north
