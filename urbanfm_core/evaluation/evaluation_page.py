"""An evaluation as a page for people: who beats which floor, then each target in pictures and tables."""

from __future__ import annotations

from urbanfm_core import report
from urbanfm_core.evaluation.metrics import LOWER_IS_BETTER, METRICS, meanings
from urbanfm_core.evaluation.picture import Dot, Series, dot_plot, line_plot
from urbanfm_core.evaluation.report import (
    arrow,
    counts,
    difference_texts,
    explanation,
    percent,
    ranked,
    share_headers,
    share_row,
    value_text,
)
from urbanfm_core.evaluation.results import Comparison, TargetResult
from urbanfm_core.evaluation.run import Evaluation
from urbanfm_core.report import Page

# Blue and orange, which all eyes tell apart, and grey.
_EMBEDDING, _LOSES, _FLOOR = "#0b6e99", "#b45309", "#757575"
_POSITION = {"yes": "given position", "no": "", "unknown": "position unknown"}
_VERDICTS = (
    "Both were scored on the same folds, so differences are taken seed by seed. 'better' and 'worse': the 95 % interval of "
    "the difference leaves out 0; 'level': it holds 0. Positive means that the embedding has the higher score"
)


def page(evaluation: Evaluation) -> Page:
    """The verdict first, then each target; what was not beaten is logged, and so stands among the warnings."""
    parts = [report.paragraph(explanation(evaluation))]
    for result in evaluation.results:
        parts += _target_parts(result)
    rows = [
        (item["name"], "floor" if item["floor"] else "embedding", item["width"], item["given_position"])
        for item in evaluation.features
    ]
    parts.append(report.heading("Feature sets"))
    parts.append(report.table(("Features", "Kind", "Width", "Given the position"), rows))
    return Page("Evaluation of region embeddings", parts, _answer(evaluation))


def _answer(evaluation: Evaluation) -> list[str]:
    """Each embedding beside the best floor of each target."""
    rows, bad = [], []
    for result in evaluation.results:
        for name in dict.fromkeys(item.features for item in result.comparisons):
            best = _best_floor(result, name)
            if best is None:
                continue
            mine, floor = (_score_text(result, features) for features in (name, best.against))
            difference, _, verdict = difference_texts(best)
            rows.append((result.title, name, mine, f"{best.against}: {floor}", difference, verdict or "-"))
            bad.append(best.loses)
    if not rows:
        return [report.lead("No floor took part, so the scores stand alone: name points of interest or a raster.")]
    beaten = {name: [_beats_all(result, name) for result in evaluation.results] for name in _embeddings(evaluation)}
    said = "; ".join(f"{name} on {sum(won)} of {len(won)} targets" for name, won in beaten.items())
    headers = ("Target", "Embedding", "Score", "Best floor", "Difference", "Verdict")
    return [
        report.lead(f"Embeddings that beat every floor, which is what anyone has without them: {said}."),
        report.table(headers, rows, bad),
    ]


def _embeddings(evaluation: Evaluation) -> list[str]:
    return list(dict.fromkeys(one.features for result in evaluation.results for one in result.comparisons))


def _beats_all(result: TargetResult, name: str) -> bool:
    """Whether an embedding beats all floors of a target: with one seed by its score, else beyond the interval."""
    against = [item for item in result.comparisons if item.features == name and item.against_floor]
    return all(item.verdict == "better" or (item.verdict == "single" and not item.loses) for item in against)


def _best_floor(result: TargetResult, name: str) -> Comparison | None:
    """The comparison of an embedding with the floor that has the best score."""
    found = {item.against: item for item in result.comparisons if item.features == name and item.against_floor}
    return next((found[features] for features in ranked(result) if features in found), None)


def _score_text(result: TargetResult, features: str) -> str:
    score = next(item for item in result.best_scores() if item.features == features)
    return f"{result.metric} {value_text(score.metrics[result.metric], interval=True)}"


def _target_parts(result: TargetResult) -> list[str]:
    names = METRICS[result.task]
    parts = [report.picture(result.title, picture(result), f"{counts(result)}. Lines: 95 % intervals over the seeds.")]
    headers = ("Features", "Probe", *(f"{name}{' ↓' if name in LOWER_IS_BETTER else ' ↑'}" for name in names))
    order = {features: place for place, features in enumerate(ranked(result))}
    scores = sorted(result.scores, key=lambda item: (order[item.features], not item.best))
    several = len({item.probe for item in scores}) > 1
    rows = [
        (
            item.features + (f" ({_POSITION[item.position]})" if _POSITION[item.position] and not item.floor else ""),
            item.probe + (" (better)" if item.best and several else ""),
            *(value_text(item.metrics[name], interval=True) for name in names),
        )
        for item in scores
    ]
    parts += [
        report.table(headers, rows),
        report.paragraph(f"↑ higher is better, ↓ lower. {meanings(result.task)}", quiet=True),
    ]
    return [*parts, *_difference_parts(result), *_share_parts(result)]


def _difference_parts(result: TargetResult) -> list[str]:
    """Paired differences as a picture and a table."""
    if not result.comparisons:
        return []
    cells = [(item.features, item.against, *difference_texts(item)) for item in result.comparisons]
    lost = [item.loses for item in result.comparisons]
    lower = " (which is worse here)" if result.metric in LOWER_IS_BETTER else ""
    dots = [
        Dot(f"{item.features} - {item.against}", item.difference, _colour(item), item.verdict != "level")
        for item in result.comparisons
    ]
    title = f"{result.title}: paired differences"
    axis = f"difference of {result.metric}: embedding minus the other"
    return [
        report.picture(title, dot_plot(title, dots, axis), f"{_VERDICTS}{lower}."),
        report.table(("Embedding", "Against", "Difference", "Ratio", "Verdict"), cells, lost),
    ]


def _colour(item: Comparison) -> str:
    return _FLOOR if item.verdict == "level" else _LOSES if item.loses else _EMBEDDING


def _share_parts(result: TargetResult) -> list[str]:
    """Scores by share of the labels: picture, table, and the floors that are not beaten with few labels."""
    if not result.label_shares:
        return []
    rows = [share_row(result, name, interval=True) for name in ranked(result)]
    caption = (
        "How few labels are enough: probes learn from a share of the labelled regions of the training folds, and predict "
        "the same regions as before. Embeddings in colour, floors grey and dashed."
    )
    said = result.share_verdicts()
    return [
        report.picture(f"{result.title}: with fewer labels", share_picture(result), caption),
        report.table(("", "Features", *share_headers(result)[1:]), rows),
        report.subheading("Floors that are not beaten with fewer labels") + report.bullets(said) if said else "",
    ]


def share_picture(result: TargetResult) -> str:
    """The first metric of each feature set over the share of the labels, in SVG."""
    shares = result.label_shares[::-1]
    series = [
        Series(
            item.features,
            [(part.share, part.best()[item.features].metrics[result.metric]) for part in shares],
            item.floor,
        )
        for item in result.best_scores()
    ]
    ticks = [(part.share, percent(part.share)) for part in shares]
    title = f"{result.title}: {result.metric} by share of the labels"
    floored = result.metric not in LOWER_IS_BETTER
    return line_plot(title, series, ticks, "share of the training labels", arrow(result.metric), floored=floored)


def picture(result: TargetResult) -> str:
    """The first metric of each feature set as dots with intervals, in SVG; embeddings in blue, floors in grey."""
    dots = [
        Dot(item.features, item.metrics[result.metric], _FLOOR if item.floor else _EMBEDDING, not item.floor)
        for item in result.best_scores()
    ]
    return dot_plot(result.title, dots, arrow(result.metric), floored=result.metric not in LOWER_IS_BETTER)
