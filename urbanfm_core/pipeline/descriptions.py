"""The stage that gives regions captions as a field; see `pipeline`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from urbanfm_core.errors import EmptyInputError
from urbanfm_core.inputs import city_of, load_model, model_name, regions_of, store_of
from urbanfm_core.pipeline.captions import captioner_of, pictures_of
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.captions import DescribeStage

if TYPE_CHECKING:
    from urbanfm_core.data.captions import CaptionSet
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.data.store import SampleStore

_NO_ONE = ("", "")


def describe(stage: DescribeStage, progress: Progress) -> Result:
    from urbanfm_core.geo.vector_writer import write_layer
    from urbanfm_core.maps.description_report import page
    from urbanfm_core.maps.styles import write_caption_style

    city = city_of(stage)
    store = None
    if stage.checkpoint is not None:
        regions = regions_of(stage, city)
        told, notes, store = _by_model(stage, city, regions, progress.part(0.0, 0.9))
    elif stage.captioner is not None:
        # A missing key or model is found here, before any picture is read.
        captions, store = _by_captioner(stage, progress.part(0.0, 0.9))
        regions = regions_of(stage, city)
        told, notes = captions_of_regions(captions, regions)
    else:
        regions = regions_of(stage, city)
        told, notes = captions_of_regions(city.read_captions().agreed(), regions)
    described = sum(text != "" for text, _ in told)
    if not described:
        raise EmptyInputError(
            f"None of {len(regions):,} regions has a caption.",
            "Check that captions name the regions by their ids (region_id), or that the imagery shows the regions.",
        )
    progress.update(0.9, "Writing")
    fields = {"caption": [text or None for text, _ in told], "caption_by": [by or None for _, by in told]}
    layer = regions.with_fields({name: np.array(values, dtype=object) for name, values in fields.items()})
    write_layer(layer, stage.out)
    write_caption_style(Path(stage.out).with_suffix(".qml"), len(regions))
    if store is not None:
        store.remove()
    summary = {
        "regions": len(regions),
        "described": described,
        "without a caption": len(regions) - described,
        "captions by": sorted({by for _, by in told if by}),
        "region_id": regions.id_name,
        **{name: getattr(stage, name) for name in ("out", "report")},
    }
    shown = None if stage.report is None else page(regions, told)
    return Result(summary, layer, [*regions.notes, *notes], shown)


def captions_of_regions(captions: CaptionSet, regions: RegionSet) -> tuple[list[tuple[str, str]], list[str]]:
    """One caption of each region, and who wrote it: of its picture from above, else of a street view in it.

    Of several the first is taken. Street views are found by the region that the captions name.

    Returns:
        (R,) pairs, empty for a region without a caption; and notes.
    """
    from urbanfm_core.data.regions import id_text

    starts, rows = captions.by_key(list(regions.ids), "satellite")
    count = np.diff(starts)
    first = np.full(len(regions), -1)
    first[count > 0] = rows[starts[:-1][count > 0]]
    street: dict[str, list[int]] = {}
    for row in np.flatnonzero((captions.kind == "street") & (captions.text != "")).tolist():
        street.setdefault(str(captions.region[row]), []).append(row)
    from_street = [street.get(id_text(name), []) if first[at] < 0 else [] for at, name in enumerate(regions.ids)]
    told = []
    for above, below in zip(first.tolist(), from_street, strict=True):
        row = above if above >= 0 else next(iter(below), -1)
        told.append((str(captions.text[row]), str(captions.captioner[row])) if row >= 0 else _NO_ONE)
    notes = list(captions.notes)
    several = int((count > 1).sum()) + sum(len(below) > 1 for below in from_street)
    if several:
        notes.append(f"{several:,} of {len(regions):,} regions have several captions, of which the first is taken.")
    views = sum(map(bool, from_street))
    if views:
        notes.append(f"{views:,} regions have no caption of a picture from above and take that of a street view.")
    silent = sum(pair == _NO_ONE for pair in told)
    if silent:
        notes.append(f"{silent:,} of {len(regions):,} regions have no caption.")
    return told, notes


def _by_model(
    stage: DescribeStage, city: CityInputs, regions: RegionSet, progress: Progress
) -> tuple[list[tuple[str, str]], list[str], SampleStore]:
    """What a trained model writes about each region, with its name."""
    method, trained, checkpoint = load_model(str(stage.checkpoint), stage, progress)
    city = replace(city, regions=regions)
    store = store_of(stage, "describe", {**city.identity("imagery"), "weights": checkpoint.manifest["weights_sha256"]})
    found = method.describe(trained, city, regions, store, progress, beams=stage.beams, longest=stage.max_new_tokens)
    by = model_name(checkpoint)
    return [(text, by if text else "") for text in found.texts], [*found.notes, *trained.notes], store


def _by_captioner(stage: DescribeStage, progress: Progress) -> tuple[CaptionSet, SampleStore]:
    """What a captioner says of each region with imagery, refined by rules."""
    from urbanfm_core.captions.generate import make_captions
    from urbanfm_core.captions.refine import load_rules, refine

    rules = load_rules(stage.rules)
    captioner = captioner_of(stage, str(stage.captioner))
    sets, prompts, store = pictures_of(stage, progress.part(0.0, 0.2))
    captions = make_captions(sets, [captioner], prompts, progress.part(0.2, 0.95))
    refined = refine(captions, rules, progress.part(0.95, 1.0))
    return replace(refined.apply(captions), notes=[*captions.notes, *refined.notes()]), store
