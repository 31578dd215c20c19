"""Reports: what every one of them says, and that the command in them makes the same again."""

import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pages import check_page, command_of
from shapely.geometry import box

from urbanfm_core import pipeline
from urbanfm_core.cli import main
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.progress import Progress
from urbanfm_core.report import Page, notes, picture, table, write_page
from urbanfm_core.reporting.sources import content_text, coverage_rows
from urbanfm_core.result import Caller


def blobs(folder):
    """Regions in three groups of vectors, with a field that follows them."""
    rng = np.random.default_rng(0)
    group = np.arange(48) % 3
    vectors = (np.eye(3)[group] @ rng.normal(size=(3, 8)) + 0.1 * rng.normal(size=(48, 8))).astype(np.float32)
    vectors[5] = np.nan
    frame = gpd.GeoDataFrame(
        {"region_id": [f"r{i}" for i in range(48)], "price": 10.0 + group + 0.1 * rng.normal(size=48)},
        geometry=[box(100 * (i % 8), 100 * (i // 8), 100 * (i % 8) + 100, 100 * (i // 8) + 100) for i in range(48)],
        crs="EPSG:25830",
    )
    made = {
        "model": "toy",
        "method": "aether",
        "checkpoint": "abc",
        "training": {"preset": "toy", "seed": 3, "epochs": 4},
    }
    coverage = {"pois": np.where(np.arange(48) < 12, 0, 1).astype(np.float32)}
    EmbeddingTable(RegionSet.from_layer(frame), vectors, coverage, made).to_parquet(folder / "o.parquet")
    frame.to_file(folder / "regions.gpkg")


def run(folder, monkeypatch, *arguments):
    monkeypatch.chdir(folder)
    assert main([*arguments, "--report", "r.html"]) == 0
    return (folder / "r.html").read_text()


def without_times(page):
    return re.sub(r"<p class=quiet>urbanfm.*?</p>", "", page)


ANALYSES = [
    (["cluster", "--embeddings", "o.parquet", "--clusters", "3", "--out", "a.gpkg"], ["Suggested name"]),
    (["similar", "--embeddings", "o.parquet", "--ids", "r0", "r3", "--out", "a.gpkg"], ["Most similar regions"]),
    (["predict", "--embeddings", "o.parquet", "--target", "price", "--blocks", "8", "--out", "a.gpkg"], ["Residuals"]),
    (["evaluate", "--embeddings", "o.parquet", "--targets", "price", "--seeds", "1", "--probes", "linear", "--blocks", "8",
      "--out", "a.json"], ["Feature sets"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), ANALYSES, ids=[arguments[0] for arguments, _ in ANALYSES])
def test_the_command_in_a_report_makes_the_same_again(tmp_path, monkeypatch, arguments, words):
    blobs(tmp_path)
    page = run(tmp_path, monkeypatch, *arguments)
    check_page(page, *words, "How the model was trained", "What the inputs cover", "36 of 48 (75.0 %)", "toy")
    out = tmp_path / arguments[arguments.index("--out") + 1]
    first = gpd.read_file(out) if out.suffix == ".gpkg" else out.read_text()
    out.unlink()
    (tmp_path / "r.html").unlink()
    folder, (program, *again) = command_of(page)
    monkeypatch.chdir("/")
    assert program == "urbanfm"
    monkeypatch.chdir(folder)
    assert main(again) == 0
    if out.suffix == ".gpkg":
        pd.testing.assert_frame_equal(pd.DataFrame(gpd.read_file(out)), pd.DataFrame(first), check_exact=True)
    else:
        assert out.read_text() == first
    assert without_times((tmp_path / "r.html").read_text()) == without_times(page)


def test_another_program_names_its_own_line_and_its_own_layers(tmp_path):
    blobs(tmp_path)
    table, layer = str(tmp_path / "o.parquet"), str(tmp_path / "c.gpkg")
    caller = Caller(
        "qgis_process run urbanfm:clusterregions --EMBEDDINGS='x y'",
        {table: "Old <Town>", layer: "/home/me/clusters.gpkg"},
    )
    params = {"embeddings": f"Old <Town>={table}", "out": layer, "clusters": 3, "report": str(tmp_path / "r.html")}
    pipeline.run("cluster", params, Progress(), caller)
    page = (tmp_path / "r.html").read_text()
    check_page(page, "qgis_process run urbanfm:clusterregions --EMBEDDINGS='x y'", "temporary copies")
    assert "urbanfm cluster --" not in page
    assert table not in page and re.search(r"<td[^>]*>Old &lt;Town&gt;</td>", page)
    assert layer not in page and "/home/me/clusters.gpkg" in page


def test_what_is_not_known_of_a_table_is_not_said(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 4)), columns=[f"A{i:02d}" for i in range(4)])
    frame.insert(0, "region_id", [f"r{i}" for i in range(30)])
    blobs(tmp_path)
    frame.to_csv(tmp_path / "plain.csv", index=False)
    page = run(
        tmp_path, monkeypatch, "cluster", "--embeddings", "plain.csv", "--regions", "regions.gpkg", "--clusters", "2"
    )
    check_page(page, "18 of 48 regions are not in it")
    assert "How the model was trained" not in page and "What the inputs cover" not in page


def test_pieces_of_a_page_escape_what_they_are_given(tmp_path):
    parts = [table(("<a>",), [("<b>",), (1 / 3,)], [True]), notes("<c>", ["<d>"]), picture("<e>", None), notes("x", [])]
    write_page(tmp_path / "p.html", Page("<t>", parts))
    page = (tmp_path / "p.html").read_text()
    assert not re.search(r"<[abcdet]>", page) and "0.333<" in page and "class='bad'" in page
    assert "Content-Security-Policy" in page


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".gpkg", ".csv"])
def test_coverage_and_content_are_read_from_every_format(tmp_path, suffix):
    blobs(tmp_path)
    source = tmp_path / f"t{suffix}"
    EmbeddingTable.read(tmp_path / "o.parquet").write(source)
    assert coverage_rows(f"mine={source}") == [("pois", "36 of 48 (75.0 %)", "75.0 %")]
    said = content_text("embeddings", str(source))
    assert ("EPSG:25830" in said) == (suffix != ".csv")
    assert coverage_rows(str(tmp_path / "regions.gpkg")) == []
    assert content_text("embeddings", str(tmp_path / "none.gpkg")) == ""
    (tmp_path / "bad.gpkg").write_text("nothing")
    assert content_text("polygons", str(tmp_path / "bad.gpkg")).startswith("not described")
