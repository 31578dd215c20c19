"""The stage that reads a trained model's attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from urbanfm_core.inputs import city_of, load_model, model_name, regions_of, store_of
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.attention import AttendStage

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.attention import Findings
    from urbanfm_core.models.attention import RegionAttention


def attend(stage: AttendStage, progress: Progress) -> Result:
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.poi_choice import choose_pois
    from urbanfm_core.inference.attention import Findings, own_patch_share
    from urbanfm_core.maps.attention_page import attention_page, choose_pictures

    city = city_of(stage)
    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    method.require("attention")
    pois = city.read_pois()
    selected = None if stage.selected is None else PoiSet.from_source(stage.selected, city.poi_columns)
    choice = choose_pois(pois, stage.categories, stage.poi_rows, selected)
    regions = regions_of(stage, city)
    used = {
        "weights": checkpoint.manifest["weights_sha256"],
        "precision": stage.precision,
        **replace(city, regions=regions).identity("pois", "imagery"),
    }
    store = store_of(stage, "attend", used)
    attention = method.attention(trained, city, regions, choice.mask, store, progress.part(0.0, 0.8))
    share = own_patch_share(attention, stage.seed)
    notes = [*regions.notes, *choice.notes, *attention.notes, *trained.notes]
    findings = Findings(share, choice.words, model_name(checkpoint), notes)
    _write_attention(stage, city, regions, pois, attention, findings, progress)
    page = None
    if stage.report is not None:
        rows = choose_pictures(attention, stage.pictures, stage.seed)
        page = attention_page(attention, pois, regions.ids, findings, rows)
    store.remove()
    summary = {
        "chosen": choice.words,
        "points": len(set(attention.pairs.poi.tolist())),
        "regions": len(attention.rows),
        **share.summary(),
        "said": share.sentence(),
        "model": findings.model,
        "region_id": regions.id_name,
        **{name: getattr(stage, name) for name in ("raster", "pois_out", "regions_out", "report")},
    }
    return Result(summary, attention, notes, page)


def _write_attention(
    stage: AttendStage,
    city: CityInputs,
    regions: RegionSet,
    pois: PoiSet,
    attention: RegionAttention,
    findings: Findings,
    progress: Progress,
) -> None:
    from urbanfm_core.data.poi_table import read_poi_table
    from urbanfm_core.geo.vector_writer import write_layer
    from urbanfm_core.inference.attention import poi_layer, region_layer, write_attention_raster
    from urbanfm_core.maps.raster_styles import write_attention_style
    from urbanfm_core.maps.styles import write_ratio_style

    progress.update(0.8, "Writing")
    if stage.raster is not None:
        tags = {"model": findings.model, "points_of_interest": findings.chosen}
        write_attention_raster(attention, stage.raster, progress.part(0.8, 0.9), tags)
        write_attention_style(Path(stage.raster).with_suffix(".qml"), stage.raster, attention.uniform)
    layers = {
        stage.pois_out: lambda: poi_layer(pois, read_poi_table(str(city.pois), []), attention),
        stage.regions_out: lambda: region_layer(regions, attention, progress.part(0.9, 0.95)),
    }
    styled = [] if stage.raster is None else [Path(stage.raster).with_suffix(".qml")]
    for out, layer in layers.items():
        if out is None:
            continue
        frame, style = layer(), Path(out).with_suffix(".qml")
        write_layer(frame, out)
        if style in styled:
            findings.notes.append(f"{style.name} is the style of another output; {Path(out).name} has none of its own.")
            continue
        styled.append(style)
        write_ratio_style(style, len(frame), "attention_ratio", points=out == stage.pois_out)
