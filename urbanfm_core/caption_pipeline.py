"""The stage that makes and refines captions; see `pipeline`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from urbanfm_core.caption_stages import CaptionStage
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import cache_of, city_of, regions_of, store_of
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result

if TYPE_CHECKING:
    from urbanfm_core.captions.captioners import Captioner
    from urbanfm_core.captions.generate import PictureSet
    from urbanfm_core.captions.refine import Refinement
    from urbanfm_core.data.captions import CaptionSet
    from urbanfm_core.data.store import SampleStore

_EXAMPLES = 3


def caption(stage: CaptionStage, progress: Progress) -> Result:
    from urbanfm_core.captions.generate import make_captions
    from urbanfm_core.captions.refine import load_rules, refine
    from urbanfm_core.data.captions import CaptionSet, write_captions

    rules = load_rules(stage.rules)
    # A missing key or model is found here, before any picture is read.
    captioners = captioners_of(stage)
    found: list[CaptionSet] = []
    notes: list[str] = []
    store = None
    if captioners:
        sets, prompts, store = pictures_of(stage, progress.part(0.0, 0.2))
        found.append(make_captions(sets, captioners, prompts, progress.part(0.2, 0.9)))
        notes += found[-1].notes
    elif stage.imagery is not None or stage.streetview is not None:
        notes.append("No captioner is named, so no picture is described; the captions that were given are refined.")
    if stage.captions is not None:
        found.append(city_of(stage).read_captions())
        notes += found[-1].notes
    captions = CaptionSet.joined(found)
    refined = refine(captions, rules, progress.part(0.9, 0.98))
    notes += refined.notes()
    if not refined.kept.any():
        progress.log("warning", "The rules dropped every caption; look at the column 'reason' of the output.")
    kept = refined.apply(captions)
    progress.update(0.98, "Writing")
    write_captions(captions.to_frame().assign(refined=refined.text, reason=refined.reason), stage.out)
    if stage.report is not None:
        _write_report(stage.report, captions, refined, notes)
    if store is not None:
        store.remove()
    summary = {
        "captions": len(captions),
        "kept": len(kept),
        "pictures": _pictures(captions),
        "without a caption": _pictures(captions) - _pictures(kept),
        "captioners": sorted({str(name) for name in captions.captioner if name}),
        "rules": {
            name: {"captions": touched, "dropped": dropped, "changes": changes}
            for name, touched, dropped, changes, _ in refined.counts.to_numpy().tolist()
            if touched
        },
        "out": stage.out,
        "report": stage.report,
    }
    return Result(summary, kept, notes)


def captioners_of(stage: CaptionStage) -> list[Captioner]:
    """The captioners that a stage names.

    Raises:
        ConfigError: two bear one name, or one cannot be loaded or needs a key that is not set.
    """
    from urbanfm_core.captions.captioners import load_captioner
    from urbanfm_core.models.device import resolve_device

    made = [
        load_captioner(
            spec,
            cache_dir=cache_of(stage),
            device=str(resolve_device(stage.device)),
            batch_size=stage.batch_size,
            max_new_tokens=stage.max_new_tokens,
            per_minute=stage.per_minute,
        )
        for spec in stage.captioners
    ]
    names = [captioner.name for captioner in made]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"Two captioners are called '{next(name for name in names if names.count(name) > 1)}'.",
            "Name each once; rename a folder if it is another model.",
        )
    return made


def pictures_of(stage: CaptionStage, progress: Progress) -> tuple[list[PictureSet], list[str], SampleStore]:
    """The pictures that a stage names, the prompt of each kind, and where they are kept."""
    from urbanfm_core.captions.generate import read_caption_prompt, satellite_pictures, street_pictures

    city = city_of(stage)
    # Street views alone need no regions; a grid is laid only where pictures from above are cut.
    regions = regions_of(stage, city) if city.imagery is not None or stage.regions is not None else None
    city = replace(city, regions=regions)
    names = city.given("imagery", "streetview")
    store = store_of(stage, "captions", {**city.identity(*names), "size_px": stage.size_px, "pixel_m": stage.pixel_m})
    sets: list[PictureSet] = []
    if regions is not None and city.imagery is not None:
        part = progress.part(0.0, 1.0 / len(names))
        sets.append(satellite_pictures(city, regions, stage.size_px, stage.pixel_m, store, part))
    if city.streetview is not None:
        sets.append(street_pictures(city, regions, stage.size_px, store, progress.part(1.0 - 1.0 / len(names), 1.0)))
    return sets, [read_caption_prompt(one.kind, stage.prompt_file) for one in sets], store


def _pictures(captions: CaptionSet) -> int:
    return len(set(zip(captions.kind, captions.region, captions.image, strict=True)))


def _write_report(path: str, captions: CaptionSet, refined: Refinement, notes: list[str]) -> None:
    from urbanfm_core import report

    counts = refined.counts
    touched = counts[counts["captions"] > 0]
    examples = []
    for rule in touched["rule"]:
        rows = [row for row, names in enumerate(refined.reason) if rule in names.split(",")][:_EXAMPLES]
        examples += [(rule, captions.text[row], refined.text[row] or "(dropped)") for row in rows]
    report.write_page(
        path,
        "Captions",
        report.table(("Rule", "Captions", "Dropped", "Changes", "What it does"), counts.to_numpy().tolist()),
        report.notes("Notes", notes),
        report.table(("Rule", "Before", "After"), examples),
    )
