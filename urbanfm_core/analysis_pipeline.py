"""The stages that ask something of embeddings or of a trained model; see `pipeline`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.analysis_stages import AblateStage, AttendStage, EvaluateStage, PredictStage, SearchStage
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import city_of, load_model, model_name, regions_of, store_of
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.attention import Findings
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.maps.search import Ranking
    from urbanfm_core.models.attention import RegionAttention


def search(stage: SearchStage, progress: Progress) -> Result:
    from urbanfm_core.inference.raster import map_raster, require_bands, score_function
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.maps.search import rank
    from urbanfm_core.maps.styles import write_score_style

    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    trained = replace(trained, text_encoder=stage.text_encoder)
    query = method.text_vectors(trained, [stage.query], progress.part(0.0, 0.2))[0]
    summary: dict[str, Any] = {"query": stage.query, "out": stage.out, "raster": stage.raster}
    value: Any = None
    notes: list[str] = []
    if stage.embeddings is not None:
        table = EmbeddingTable.from_layer(stage.embeddings)
        if table.provenance.get("checkpoint") not in (None, checkpoint.manifest["weights_sha256"]):
            notes.append("These embeddings were made with another checkpoint; the scores mean nothing across models.")
        if table.vectors.shape[1] != len(query):
            raise ConfigError(
                f"{stage.embeddings} holds {table.vectors.shape[1]}-d vectors, the checkpoint makes {len(query)}-d ones.",
                "Search with the checkpoint that made the embeddings.",
            )
        value = rank(table.vectors, query)
        best = value.top(stage.top)
        summary |= {
            "regions": len(table.ids),
            "top": [[_plain_id(table.ids[row]), round(float(value.score[row]), 4)] for row in best],
        }
        if stage.out is not None:
            _write_ranking(table, value, stage.out)
    if stage.raster is not None:
        city = city_of(stage)
        pixels = method.pixel_function(trained)
        with city.open_embedding_raster() as source:
            require_bands(source, trained.preprocessing["bands"])
            summary |= map_raster(
                source,
                score_function(pixels, query),
                stage.raster,
                tags={"query": stage.query},
                names=lambda _: stage.query,
                progress=progress.part(0.3, 1.0),
            )
            write_score_style(Path(stage.raster).with_suffix(".qml"), stage.raster)
    return Result(summary, value, [*notes, *trained.notes])


def attend(stage: AttendStage, progress: Progress) -> Result:
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.poi_choice import choose_pois
    from urbanfm_core.inference.attention import Findings, own_patch_share

    city = city_of(stage)
    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    method.require_attention()
    pois = city.read_pois()
    selected = None if stage.selected is None else PoiSet.from_source(stage.selected, city.poi_columns)
    choice = choose_pois(pois, stage.categories, stage.poi_rows, selected)
    regions = regions_of(stage, city)
    used = {
        "weights": checkpoint.manifest["weights_sha256"],
        **replace(city, regions=regions).identity("pois", "imagery"),
    }
    store = store_of(stage, "attend", used)
    attention = method.attention(trained, city, regions, choice.mask, store, progress.part(0.0, 0.8))
    share = own_patch_share(attention, stage.seed)
    notes = [*regions.notes, *choice.notes, *attention.notes, *trained.notes]
    findings = Findings(share, choice.words, model_name(checkpoint), notes)
    _write_attention(stage, city, regions, pois, attention, findings, progress)
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
    return Result(summary, attention, notes)


def evaluate(stage: EvaluateStage, progress: Progress) -> Result:
    from urbanfm_core.evaluation import report
    from urbanfm_core.evaluation.floors import centres_m
    from urbanfm_core.evaluation.inputs import read_features, read_labelled_regions, settings_of, targets_of
    from urbanfm_core.evaluation.run import evaluate as run_evaluation

    city = city_of(stage)
    regions, labels, notes = read_labelled_regions(stage, progress.part(0.0, 0.05))
    targets = targets_of(stage, regions, labels)
    features = read_features(stage, regions, city, {str(name) for name in labels.columns}, progress.part(0.05, 0.2))
    settings = settings_of(stage, stage.seed)
    found = run_evaluation(targets, features, centres_m(regions), settings, progress.part(0.2, 1.0))
    found = replace(found, notes=[*regions.notes, *notes, *found.notes])
    if stage.out is not None:
        report.write_json(stage.out, found)
    if stage.report is not None:
        report.write_page(stage.report, found)
    for sentence in found.verdicts():
        progress.log("warning", sentence)
    summary = {
        "regions": len(regions.ids),
        "embeddings": [item.name for item in features if not item.floor],
        "floors": [item.name for item in features if item.floor],
        "table": report.lines(found),
        "not_beaten": len(found.verdicts()),
        "out": stage.out,
        "report": stage.report,
    }
    return Result(summary, found, found.notes)


def ablate(stage: AblateStage, progress: Progress) -> Result:
    from urbanfm_core.ablating import run_ablation
    from urbanfm_core.evaluation import ablation_report

    found = run_ablation(stage, progress)
    if stage.out is not None:
        ablation_report.write_json(stage.out, found)
    if stage.report is not None:
        ablation_report.write_page(stage.report, found, f"Ablation of {Path(stage.preset).stem}")
    for sentence in found.verdicts():
        progress.log("warning", sentence)
    summary = {
        "variants": [variant.name for variant in found.variants],
        "training_seeds": list(found.seeds),
        "table": ablation_report.lines(found),
        "out": stage.out,
        "report": stage.report,
    }
    return Result(summary, found, found.notes)


def predict(stage: PredictStage, progress: Progress) -> Result:
    from urbanfm_core.evaluation.predict_report import score_lines, write_outputs, write_page
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
    if stage.report is not None:
        write_page(stage.report, made.regions, found, made.head, made.vectors, made.notes)
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
    return Result(summary, found, notes)


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
    from urbanfm_core.geo.vector import write_layer
    from urbanfm_core.inference.attention import poi_layer, region_layer, write_attention_raster
    from urbanfm_core.maps.attention_page import choose_pictures, write_attention_page
    from urbanfm_core.maps.styles import write_attention_style, write_ranking_style

    progress.update(0.8, "Writing")
    if stage.raster is not None:
        tags = {"model": findings.model, "points_of_interest": findings.chosen}
        write_attention_raster(attention, stage.raster, progress.part(0.8, 0.9), tags)
        write_attention_style(Path(stage.raster).with_suffix(".qml"), stage.raster, attention.uniform)
    if stage.pois_out is not None:
        write_layer(poi_layer(pois, read_poi_table(str(city.pois), []), attention), stage.pois_out)
    if stage.regions_out is not None:
        frame = region_layer(regions, attention, progress.part(0.9, 0.95))
        write_layer(frame, stage.regions_out)
        style, field = Path(stage.regions_out).with_suffix(".qml"), "attention_ratio"
        if stage.raster is not None and style == Path(stage.raster).with_suffix(".qml"):
            findings.notes.append(
                f"{style.name} is the style of the raster; regions of that name have none of their own."
            )
        else:
            write_ranking_style(style, frame[field].to_numpy(), field)
    if stage.report is not None:
        rows = choose_pictures(attention, stage.pictures, stage.seed)
        write_attention_page(stage.report, attention, pois, regions.ids, findings, rows)


def _write_ranking(table: EmbeddingTable, ranking: Ranking, path: str) -> None:
    import pandas as pd

    from urbanfm_core.geo.vector import write_layer
    from urbanfm_core.maps.styles import write_ranking_style

    fields = {
        "score": ranking.score.astype(float),
        "rank": pd.Series(ranking.rank, dtype="Int32").where(ranking.rank > 0),
        "percentile": ranking.percentile.astype(float),
    }
    write_layer(table.regions.to_frame().assign(**fields), path)
    write_ranking_style(Path(path).with_suffix(".qml"), ranking.score)


def _plain_id(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
