"""The stages that score embeddings against labels, and predict with them."""

from __future__ import annotations

from dataclasses import replace

from urbanfm_core.inputs import city_of, store_of
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.evaluation import EvaluateStage, PredictStage


def evaluate(stage: EvaluateStage, progress: Progress) -> Result:
    from urbanfm_core import report as pages
    from urbanfm_core.evaluation import report, transfer_report
    from urbanfm_core.evaluation.evaluation_page import page
    from urbanfm_core.evaluation.floors import centres_m
    from urbanfm_core.evaluation.inputs import read_features, read_labelled_regions, settings_of, targets_of
    from urbanfm_core.evaluation.other_city import score_other_city
    from urbanfm_core.evaluation.run import evaluate as run_evaluation

    city = city_of(stage)
    regions, labels, notes = read_labelled_regions(stage, progress.part(0.0, 0.05))
    targets = targets_of(stage, regions, labels)
    features = read_features(stage, regions, city, {str(name) for name in labels.columns}, progress.part(0.05, 0.2))
    settings = settings_of(stage, stage.seed)
    end = 1.0 if stage.other is None else 0.7
    found = run_evaluation(targets, features, centres_m(regions), settings, progress.part(0.2, end))
    found = replace(found, notes=[*regions.notes, *notes, *found.notes])
    verdicts, table, shown = found.verdicts(), report.lines(found), page(found)
    elsewhere = None
    if stage.other is not None:
        beyond = score_other_city(stage, city, regions, labels, progress.part(end, 1.0))
        elsewhere = transfer_report.as_dict(beyond)
        table += ["", "In another city", *transfer_report.lines(beyond)]
        verdicts += beyond.verdicts()
        found = replace(found, notes=[*found.notes, *(note for note in beyond.notes if note not in found.notes)])
        other = [pages.heading("In another city"), *map(pages.paragraph, transfer_report.answers(beyond))]
        shown = replace(shown, parts=[*shown.parts, *other, *transfer_report.parts(beyond, pages.subheading)])
    if stage.out is not None:
        report.write_json(stage.out, found, elsewhere)
    for sentence in verdicts:
        progress.log("warning", sentence)
    summary = {
        "regions": len(regions.ids),
        "embeddings": [item.name for item in features if not item.floor],
        "floors": [item.name for item in features if item.floor],
        "table": table,
        "not_beaten": len(verdicts),
        "out": stage.out,
        "report": stage.report,
    }
    return Result(summary, found, found.notes, None if stage.report is None else shown)


def predict(stage: PredictStage, progress: Progress) -> Result:
    from urbanfm_core.evaluation.predict_report import page, score_lines, write_outputs
    from urbanfm_core.evaluation.predicting import predict_with_probe

    if stage.checkpoint is not None:
        from urbanfm_core.evaluation.finetuning import predict_with_network

        city = city_of(stage)
        given = city.given("pois", "imagery")
        made = predict_with_network(
            stage,
            city,
            lambda made_from: store_of(stage, "finetune", {**city.identity(*given), **made_from}),
            progress.part(0.0, 0.95),
        )
    else:
        made = predict_with_probe(stage, progress.part(0.0, 0.95))
    found = made.found
    progress.update(0.95, "Writing")
    write_outputs(made.regions, found, stage.out, stage.parquet)
    summary = {
        "regions": len(made.regions),
        "predicted": int(found.predicted.sum()),
        "labelled": found.rows,
        "outside": int(found.outside.sum()),
        "target": found.target.name,
        "task": found.target.task,
        "region_id": made.regions.id_name,
        "scores": {name: value for name, (value, _, _) in found.scores.items()},
        "table": score_lines(found),
        "coverage": found.coverage,
        "moran": None if found.moran is None else found.moran.value,
        "moran_p": None if found.moran is None else found.moran.p_value,
        **{name: getattr(stage, name) for name in ("out", "parquet", "report", "checkpoint_out")},
    }
    notes = [*made.regions.notes, *made.notes, *found.notes]
    if not any(getattr(stage, name) for name in ("out", "parquet", "report", "checkpoint_out")):
        notes.append("No output was named, so the predictions were written nowhere; name --out or --parquet.")
    shown = None if stage.report is None else page(made.regions, found, made.head, made.vectors)
    return Result(summary, found, notes, shown)
