"""Reports of the stages that need a model: complete, and with a command that makes the same again."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from pages import check_page, command_of
from running import urbanfm

from urbanfm_core.cli import main
from urbanfm_core.data.embedding_raster import EmbeddingRaster


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("it's a report")


@pytest.fixture(scope="module")
def layers(city, checkpoint):
    return ["--checkpoint", str(checkpoint), "--embedding-raster", str(city / "embedding.tif"), "--device", "cpu"]


@pytest.fixture(scope="module")
def vectors(city, folder, layers, work):
    report = folder / "embed.html"
    given = ["--regions", city / "regions.gpkg", "--parquet", folder / "o.parquet", "--report", report]
    urbanfm("embed", *layers, *given, "--cache", work / "cache")
    return folder / "o.parquet", report.read_text()


def repeat(page, monkeypatch):
    where, words = command_of(page)
    monkeypatch.chdir(where)
    assert main(words[1:]) == 0


def test_vectors(vectors, monkeypatch):
    path, page = vectors
    check_page(page, "component 1", "How the model was trained", "Losses of the training", "AETHER", "Polygon")
    first = path.read_bytes()
    path.unlink()
    repeat(page, monkeypatch)
    assert path.read_bytes() == first


def test_a_search(vectors, folder, layers, monkeypatch):
    given = ["--embeddings", vectors[0], "--query", "Tom's <cafés>", "--out", folder / "f.gpkg"]
    urbanfm("search", *layers, *given, "--raster", folder / "s.tif", "--report", folder / "s.html")
    page = (folder / "s.html").read_text()
    check_page(page, "Tom's <cafés>", "Best regions", "Score of each pixel", "data:image/png", "AETHER")
    first = gpd.read_file(folder / "f.gpkg")["score"]
    repeat(page, monkeypatch)
    np.testing.assert_array_equal(gpd.read_file(folder / "f.gpkg")["score"], first)


def test_a_raster_of_codes(folder, layers, monkeypatch):
    out = folder / "e.tif"
    urbanfm("embedraster", *layers, "--dtype", "int8", "--cog", "--out", out, "--report", folder / "e.html")
    page = (folder / "e.html").read_text()
    check_page(page, "v = sign(q)", "emb_000 to emb_031", "data:image/png", "AETHER")
    with rasterio.open(out) as file:
        codes = file.read()
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with EmbeddingRaster(out) as again:
        assert again.quantization == "alphaearth"
    repeat(page, monkeypatch)
    with rasterio.open(out) as file:
        np.testing.assert_array_equal(file.read(), codes)


def test_captions(city, folder, monkeypatch):
    given = ["--captions", city / "captions.parquet"]
    urbanfm(
        "describe",
        *given,
        "--regions",
        city / "regions.gpkg",
        "--out",
        folder / "d.gpkg",
        "--report",
        folder / "d.html",
    )
    page = (folder / "d.html").read_text()
    check_page(page, "Captions by", "Some of them, drawn at random")
    first = gpd.read_file(folder / "d.gpkg")["caption"].tolist()
    repeat(page, monkeypatch)
    assert gpd.read_file(folder / "d.gpkg")["caption"].tolist() == first
    urbanfm("caption", *given, "--out", folder / "c.parquet", "--report", folder / "c.html")
    page = (folder / "c.html").read_text()
    check_page(page, "What the rules changed")
    written = (folder / "c.parquet").read_bytes()
    repeat(page, monkeypatch)
    assert (folder / "c.parquet").read_bytes() == written


def test_qgis_names_its_own_line_and_links_the_page(vectors, folder, qgis):
    given = {"EMBEDDINGS": vectors[0], "CLUSTERS": 3, "OUT": folder / "q.gpkg", "REPORT": folder / "q.html"}
    results = qgis.run("urbanfm:clusterregions", **given)
    assert results["REPORT"] == str(folder / "q.html")
    page = (folder / "q.html").read_text()
    check_page(page, "Suggested name", "urbanfm:clusterregions", str(vectors[0]))
    assert "urbanfm cluster --" not in page
