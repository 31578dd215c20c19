"""`urbanfm evaluate`, from files to table, JSON and page."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest

import urbanfm_core
from urbanfm_core.cli import main
from urbanfm_core.errors import ConfigError
from urbanfm_core.resources import resource

CITY = resource("samplecity")


@pytest.fixture(scope="module")
def files(layer, planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    layer.to_file(folder / "regions.gpkg")
    columns = [f"v{number}" for number in range(6)]
    for name, vectors in (("good", planted["features"]), ("noise", planted["noise"])):
        pd.DataFrame(vectors, columns=columns).assign(code=layer["code"]).to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_the_command_line_writes_table_json_and_page(files, capsys):
    code = main(
        [
            *("evaluate", "--embeddings", f"mine={files / 'good.csv'}", "--embeddings", str(files / "noise.csv")),
            *("--regions", str(files / "regions.gpkg"), "--region-id", "code", "--targets", "log:price,kind,s_*"),
            *("--seeds", "2", "--probes", "linear"),
            *("--out", str(files / "o.json"), "--report", str(files / "r.html")),
        ]
    )
    said = capsys.readouterr()
    assert code == 0
    lines = said.out.splitlines()
    start = next(row for row, line in enumerate(lines) if "log:price (regression, spatial blocks)" in line)
    assert "15 without a label" in lines[start] and re.search(r"\* +mine +ridge +0\.\d", lines[start + 2])
    assert re.search(r"mine against, seed by seed:(\n +.*){2}\n +noise +R2 \+", said.out)
    assert re.search(r"! log:price.*noise (loses to|is level with) the floors? .*'coordinates'", said.out)
    found = json.loads((files / "o.json").read_text())
    assert [(r["target"], r["task"]) for r in found["results"]] == [
        ("log:price", "regression"), ("kind", "multiclass"), ("s_*", "distribution"),
    ]  # fmt: skip
    assert found["results"][0]["rows"] == 129 and found["results"][0]["unlabelled"] == 15
    mine = next(s for s in found["results"][0]["scores"] if s["features"] == "mine")
    assert len(mine["metrics"]["R2"]["per_seed"]) == 2 and mine["metrics"]["R2"]["mean"] > 0.8
    assert {f["name"]: f["given_position"] for f in found["features"]}["mine"] == "unknown"
    page = (files / "r.html").read_text()
    assert page.count("<svg") == 6 and "<script" not in page and "://" not in page.replace("http://www.w3.org", "")
    # The answer, what to beware of, and then the pictures.
    assert page.index("beat every floor") < page.index("<b>Warnings</b>") < page.index("<svg")
    warnings = [line.strip() for line in said.out.splitlines() if line.strip().startswith("! ")]
    for sentence in warnings:
        assert html.escape(sentence.removeprefix("! ")) in page
    assert warnings and page.count("noise loses to") + page.count("noise is level with") <= len(warnings)


def test_shares_of_the_labels_give_a_curve(files, capsys):
    given = ("evaluate", "--embeddings", f"mine={files / 'good.csv'}", "--targets", "kind", "--seeds", "1")
    given += ("--regions", str(files / "regions.gpkg"), "--region-id", "code", "--probes", "linear")
    shares = ("--label-shares", "1", "--label-shares", "0.25", "--out", str(files / "shares.json"))
    assert main([*given, *shares]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"F1 with a share of the labels:\n +100 % \(\d+ regions\) +25 % \(\d+ regions\)\n +\* +mine +0\.\d", said
    )
    found = json.loads((files / "shares.json").read_text())
    assert [part["share"] for part in found["results"][0]["label_shares"]] == [1.0, 0.25]
    assert main([*given, "--label-shares", "2"]) == 2
    assert "label_shares" in capsys.readouterr().err


def test_the_sample_city_with_all_floors():
    found = urbanfm_core.evaluate(
        regions=CITY / "regions.gpkg",
        targets=["land_use"],
        pois=CITY / "pois.gpkg",
        embedding_raster=CITY / "embedding.tif",
        imagery=CITY / "imagery.tif",
        seeds=1,
        probes="linear",
    )
    (result,) = found.results
    assert result.task == "multiclass"
    assert [item["name"] for item in found.features] == [
        "POI counts", "POI counts, densities, neighbours", "POI names (TF-IDF)", "embedding raster means",
        "embedding raster means and deviations", "imagery means", "imagery means and deviations", "region area",
        "coordinates",
    ]  # fmt: skip
    assert all(np.isfinite(item.metrics["F1"].mean) for item in result.scores)
    assert result.best_scores()[0].features.startswith("POI counts")


def test_embeddings_alone_carry_their_regions_and_labels(files, planted, layer):
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.table import EmbeddingTable

    regions = RegionSet.from_layer(layer, "code")
    table = EmbeddingTable(regions, planted["features"].astype(np.float32), {}, {"method": "aether"})
    table.to_parquet(files / "own.parquet")
    found = urbanfm_core.evaluate(embeddings=files / "own.parquet", targets=["s_1"], seeds=1, probes="linear")
    assert found.features[0] == {"name": "own", "width": 6, "floor": False, "given_position": "no"}
    assert found.results[0].rows == 144


def test_labels_from_a_table(files, layer):
    pd.DataFrame({"code": layer["code"][:100], "rent": np.arange(100.0)}).to_csv(files / "rents.csv", index=False)
    found = urbanfm_core.evaluate(
        regions=files / "regions.gpkg", region_id="code", labels=files / "rents.csv", targets=["rent"], seeds=1,
        probes="linear",
    )  # fmt: skip
    assert (found.results[0].rows, found.results[0].unlabelled) == (100, 44)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"embeddings": ["a"]}, "targets"),
        ({"targets": ["a"]}, "embeddings"),
        ({"targets": ["a"], "regions": "r", "blocks": 3}, "folds"),
        ({"targets": ["a"], "regions": "r", "seeds": 0}, "seeds"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        urbanfm_core.evaluate(**values)
