"""The stage that makes and refines captions; see `pipeline`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from urbanfm_core import report
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import cache_of, city_of, regions_of, store_of
from urbanfm_core.progress import Progress
from urbanfm_core.report import Page
from urbanfm_core.result import Result
from urbanfm_core.stages.captions import CaptionStage, DescribingParams

if TYPE_CHECKING:
    from urbanfm_core.captions.captioners import Captioner
    from urbanfm_core.captions.divide import Refiner
    from urbanfm_core.captions.generate import PictureSet
    from urbanfm_core.captions.refine import Refinement
    from urbanfm_core.captions.scene_graph import SceneGraphParser
    from urbanfm_core.data.captions import CaptionSet
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.models.text import TextEncoder

_EXAMPLES = 3
# What stands among the rules that changed a caption where it was completed part by part.
_BY_PARTS = "parts"
_EQUAL_ONES = "Captions of a picture that say the same are kept, since consensus looks for these."


def caption(stage: CaptionStage, progress: Progress) -> Result:
    from urbanfm_core.captions.consensus import consensus_captions
    from urbanfm_core.captions.divide import refine_pictures
    from urbanfm_core.captions.generate import make_captions
    from urbanfm_core.captions.refine import load_rules, refine
    from urbanfm_core.data.captions import CaptionSet, write_captions

    rules = load_rules(stage.rules)
    if stage.consensus:
        # Captions that say the same are what consensus looks for.
        rules = [rule for rule in rules if rule.rule != "duplicate_caption"]
    # A missing key or model is found here, before any picture is read.
    captioners = captioners_of(stage)
    parser, encoder = readers_of(stage)
    refiner, merger = refiner_of(stage, captioners, parser)
    found: list[CaptionSet] = []
    notes = [_EQUAL_ONES] if stage.consensus else []
    sets: list[PictureSet] = []
    store = None
    if captioners or refiner is not None:
        sets, prompts, store = pictures_of(stage, progress.part(0.0, 0.2))
    if captioners:
        found.append(make_captions(sets, captioners, prompts, progress.part(0.2, 0.5)))
        notes += found[-1].notes
    elif refiner is None and (stage.imagery is not None or stage.streetview is not None):
        notes.append("No captioner is named, so no picture is described; the captions that were given are refined.")
    if stage.captions is not None:
        found.append(city_of(stage).read_captions())
        notes += found[-1].notes
    captions = written = CaptionSet.joined(found)
    if refiner is not None:
        if merger is not None:
            refiner = replace(refiner, captioners=dict.fromkeys(captions.captioner.tolist(), merger))
        captions, written = refine_pictures(captions, sets, refiner, store, progress.part(0.5, 0.85))
        notes += [*dict.fromkeys(written.notes), *_left_alone(captioners, refiner)]
    refined = refine(written, rules, progress.part(0.85, 0.9))
    notes += refined.notes()
    if not refined.kept.any():
        progress.log("warning", "The rules dropped every caption; look at the column 'reason' of the output.")
    kept = refined.apply(written)
    table = captions.to_frame().assign(refined=refined.text, reason=_reasons(captions, written, refined))
    agreed = None
    if stage.consensus:
        words = replace(written, text=refined.text)
        agreed = consensus_captions(words, parser, encoder, progress.part(0.9, 0.98), store=store)
        kept = agreed.captions
        notes += agreed.notes
        table["consensus"] = np.isin(np.arange(len(words)), agreed.rows)
        table["score"] = agreed.scores
    progress.update(0.98, "Writing")
    write_captions(table, stage.out)
    if store is not None:
        store.remove()
    summary = {
        "captions": len(captions),
        "kept": int(refined.kept.sum()),
        **({} if agreed is None else {"consensus": len(agreed.rows)}),
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
    return Result(summary, kept, notes, None if stage.report is None else _page(written, refined))


def captioner_of(stage: DescribingParams, spec: str) -> Captioner:
    """A captioner, as a stage asks it.

    Raises:
        ConfigError: it cannot be loaded, or needs a key that is not set.
    """
    from urbanfm_core.captions.captioners import load_captioner
    from urbanfm_core.models.device import resolve_device

    return load_captioner(
        spec,
        cache_dir=cache_of(stage),
        device=str(resolve_device(stage.device)),
        batch_size=stage.batch_size,
        max_new_tokens=stage.max_new_tokens,
        per_minute=stage.per_minute,
    )


def captioners_of(stage: CaptionStage) -> list[Captioner]:
    """The captioners that a stage names.

    Raises:
        ConfigError: two bear one name, or one cannot be loaded or needs a key that is not set.
    """
    made = [captioner_of(stage, spec) for spec in stage.captioners]
    names = [captioner.name for captioner in made]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"Two captioners are called '{next(name for name in names if names.count(name) > 1)}'.",
            "Name each once; rename a folder if it is another model.",
        )
    return made


def refiner_of(
    stage: CaptionStage, captioners: list[Captioner], parser: SceneGraphParser
) -> tuple[Refiner | None, Captioner | None]:
    """What completes captions part by part, if a stage asks for it, and the captioner that writes all of them anew.

    Raises:
        ConfigError: a part cannot be loaded, the captioner named for it follows no prompt, or there is nothing that
            could change a caption.
    """
    from urbanfm_core.captions.divide import Refiner
    from urbanfm_core.captions.phrases import load_detector
    from urbanfm_core.captions.segments import load_segmenter
    from urbanfm_core.models.device import resolve_device

    if stage.segmenter is None:
        return None, None
    own = {one.name: one for one in captioners if one.follows_prompts}
    merger = None
    if stage.merger is not None:
        by_spec = dict(zip(stage.captioners, captioners, strict=True))
        merger = by_spec.get(stage.merger) or captioner_of(stage, stage.merger)
        if not merger.follows_prompts:
            raise ConfigError(
                f"The captioner '{stage.merger}' follows no prompt, so it cannot write captions anew (merger).",
                "Name a model that does, such as one of the kind of LLaVA, or openai:MODEL@URL.",
            )
    elif not own and stage.detector is None:
        raise ConfigError(
            "No captioner at hand follows a prompt, and no phrase detector is named, so no caption would change.",
            "Name a captioner that merges (merger), a phrase detector (detector), or leave the segmenter out.",
        )
    where: dict[str, Any] = {"cache_dir": cache_of(stage), "device": str(resolve_device(stage.device))}
    detector = None if stage.detector is None else load_detector(stage.detector, **where)
    return Refiner(own, load_segmenter(stage.segmenter, **where), detector, parser), merger


def readers_of(stage: CaptionStage) -> tuple[SceneGraphParser, TextEncoder | None]:
    """The scene graph parser, and what matches phrases that are merely alike."""
    from urbanfm_core.captions.scene_graph import load_parser
    from urbanfm_core.models.device import resolve_device
    from urbanfm_core.models.text import load_text_encoder

    where: dict[str, Any] = {"cache_dir": cache_of(stage), "device": str(resolve_device(stage.device))}
    wanted = stage.consensus and stage.consensus_encoder != "none"
    return load_parser(stage.parser, **where), load_text_encoder(stage.consensus_encoder, **where) if wanted else None


def _left_alone(captioners: list[Captioner], refiner: Refiner) -> list[str]:
    """Sentences on the captioners that were not asked to write their captions anew."""
    return [
        f"The captioner {one.name} follows no prompt, so its captions were not written anew; name one that does (merger)."
        for one in captioners
        if one.name not in refiner.captioners
    ]


def _reasons(captions: CaptionSet, written: CaptionSet, refined: Refinement) -> list[str]:
    """What changed each caption."""
    return [
        ",".join(filter(None, (_BY_PARTS if before != after else "", rules)))
        for before, after, rules in zip(captions.text, written.text, refined.reason, strict=True)
    ]


def pictures_of(stage: DescribingParams, progress: Progress) -> tuple[list[PictureSet], list[str], SampleStore]:
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


def _page(captions: CaptionSet, refined: Refinement) -> Page:
    counts = refined.counts
    touched = counts[counts["captions"] > 0]
    examples = []
    for rule in touched["rule"]:
        rows = [row for row, names in enumerate(refined.reason) if rule in names.split(",")][:_EXAMPLES]
        examples += [(rule, captions.text[row], refined.text[row] or "(dropped)") for row in rows]
    facts = [
        ("Captions", f"{len(captions):,}, of which {int(refined.kept.sum()):,} are kept"),
        ("Pictures", f"{_pictures(captions):,}"),
        ("Captioners", sorted({str(name) for name in captions.captioner if name}) or "not named"),
    ]
    headers = ("Rule", "Captions", "Dropped", "Changes", "What it does")
    # Rules that found nothing are told in a line.
    idle = ", ".join(counts["rule"][counts["captions"] == 0])
    parts = [
        report.heading("What the rules changed") + report.table(headers, touched.to_numpy().tolist()),
        report.paragraph(f"Rules that found nothing to change: {idle}.", quiet=True) if idle else "",
    ]
    if examples:
        parts.append(report.heading("Examples") + report.table(("Rule", "Before", "After"), examples))
    parts.append(report.heading("All captions") + report.table(("What", "Value"), facts))
    kept = int(refined.kept.sum())
    answer = (
        f"{kept:,} of {len(captions):,} captions are kept, after rules that take out what says nothing of the place."
    )
    return Page("Captions", parts, [report.lead(answer)])
