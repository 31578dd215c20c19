"""The stages that give regions, pixels or windows their vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.cities import cities_to_train_on
from urbanfm_core.errors import EmptyInputError
from urbanfm_core.inputs import (
    cache_of,
    city_of,
    finished_checkpoint,
    inputs_to_train,
    inputs_used,
    load_model,
    model_name,
    open_imagery,
    regions_of,
    sliding_of,
    store_of,
)
from urbanfm_core.parameters import TrainingParams
from urbanfm_core.pipeline.trained import embed_regions, embedded_from
from urbanfm_core.pipeline.training import train_checkpoint, training_summary
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.embedding import EmbedRasterStage, EmbedStage

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.table import EmbeddingTable


def embed(stage: EmbedStage, progress: Progress) -> Result:
    from urbanfm_core.maps import embedding_report

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
            found, notes = train_checkpoint(stage, Path(path), progress.part(0.0, share))
        else:
            notes = [f"A model that was trained on the same inputs with the same settings is taken: {path}"]
        training = training_summary(found, path)
    method, trained, checkpoint = load_model(path, stage, progress)
    city = replace(city, regions=regions)
    used = inputs_used(method, method.embeds_from, city)
    made_from = {**embedded_from(checkpoint, method, city, stage.rule), "precision": stage.precision}
    store = store_of(stage, "embed", made_from)
    table, said = embed_regions(checkpoint, method, trained, city, store, progress.part(share, 0.9), stage.rule)
    table.provenance["training"] = checkpoint.record()
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
        "model": table.provenance["model"],
        "region_id": regions.id_name,
        "checkpoint": str(path),
        **{name: getattr(stage, name) for name in ("out", "parquet", "raster", "map", "report")},
        **({"training": training} if training else {}),
    }
    notes += [*regions.notes, *said]
    if not any(getattr(stage, name) for name in ("out", "parquet", "raster", "map")):
        notes.append("No output was named, so the vectors were written nowhere; name --out or --parquet.")
    return Result(summary, table, notes, None if stage.report is None else embedding_report.page(table))


def embedraster(stage: EmbedRasterStage, progress: Progress) -> Result:
    from urbanfm_core.inference.raster import map_raster, require_bands
    from urbanfm_core.inference.windows import CUT_FOR_INT8, map_windows
    from urbanfm_core.maps import raster_report
    from urbanfm_core.maps.raster_styles import write_raster_style

    city = city_of(stage)
    city.require_one_of("embedding_raster", "imagery")
    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    weights = checkpoint.manifest["weights_sha256"]
    written: dict[str, Any] = {
        "dtype": stage.dtype,
        "compress": stage.compress,
        "cog": stage.cog,
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
            summary = map_raster(raster, pixels, stage.out, **written)
        cut = summary.pop("cut_numbers")
        notes = [CUT_FOR_INT8.format(cut)] if cut else []
    used = "imagery" if "windows" in method.can else "embedding_raster"
    idle = [name for name in city.given("embedding_raster", "imagery") if name != used]
    notes += [f"The layer {name} is left out: {method.title} embeds from {used} here." for name in idle]
    write_raster_style(Path(stage.out).with_suffix(".qml"), stage.out)
    page = None
    if stage.report is not None:
        facts = [(name.replace("_", " ").capitalize(), f"{value:,}") for name, value in summary.items()]
        page = raster_report.page(stage.out, model_name(checkpoint), facts)
    told = {"out": stage.out, "report": stage.report}
    return Result({**told, **summary}, Path(stage.out), [*notes, *trained.notes], page)


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


def _write_embeddings(stage: EmbedStage, table: EmbeddingTable, city: CityInputs, progress: Progress) -> None:
    from urbanfm_core.inference.raster import write_region_raster
    from urbanfm_core.maps.plot import plot_map
    from urbanfm_core.maps.styles import principal_rgb, write_region_style

    progress.update(0.0, "Writing")
    components, rgb = principal_rgb(table.vectors)
    if stage.parquet is not None:
        table.write(stage.parquet)
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
