"""The main job as each kind of user does it: the same numbers from the command line, Python and QGIS."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from running import urbanfm

import urbanfm_core
from urbanfm_core import pipeline
from urbanfm_core.errors import ConfigError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.progress import Progress


@pytest.fixture(scope="module")
def by_cli(city, work, checkpoint) -> EmbeddingTable:
    urbanfm(
        *("embed", "--checkpoint", checkpoint, "--regions", city / "regions.gpkg", "--cache", work / "cache"),
        *("--embedding-raster", city / "embedding.tif", "--out", work / "cli.gpkg", "--parquet", work / "cli.parquet"),
        *("--raster", work / "cli.tif", "--map", work / "cli.png", "--columns"),
    )
    return EmbeddingTable.from_parquet(work / "cli.parquet")


def test_the_training_loss_falls(checkpoint):
    history = urbanfm_core.inspect(checkpoint=checkpoint).history
    assert [record["epoch"] for record in history] == list(range(1, 21))
    for name in ("loss", "image_text", "image_image"):
        assert history[-1][name] < history[0][name]


def test_shuffled_texts_fit_worse_and_give_other_vectors(city, work, checkpoint, by_cli):
    pois = gpd.read_file(city / "pois.gpkg")
    order = np.random.default_rng(0).permutation(len(pois))
    for column in ("name", "category", "subcategory"):
        pois[column] = pois[column].to_numpy()[order]
    pois.to_file(work / "shuffled.gpkg")
    given = {"embedding_raster": city / "embedding.tif", "cache": work / "cache", "device": "cpu"}
    shuffled = urbanfm_core.train(
        preset="aether-tiny", epochs=20, pois=work / "shuffled.gpkg", out=work / "shuffled", **given
    )
    true_loss = urbanfm_core.inspect(checkpoint=checkpoint).history[-1]["image_text"]
    assert urbanfm_core.inspect(checkpoint=shuffled).history[-1]["image_text"] > true_loss + 0.05
    table = urbanfm_core.embed(checkpoint=shuffled, regions=city / "regions.gpkg", **given)
    cosine = (table.vectors * by_cli.vectors).sum(1) / (
        np.linalg.norm(table.vectors, axis=1) * np.linalg.norm(by_cli.vectors, axis=1)
    )
    assert cosine.mean() < 0.9


def test_python_gives_the_numbers_of_the_command_line(city, work, checkpoint, by_cli):
    table = urbanfm_core.embed(
        checkpoint=checkpoint,
        regions=city / "regions.gpkg",
        embedding_raster=city / "embedding.tif",
        cache=work / "cache",
    )
    assert table.ids.tolist() == by_cli.ids.tolist()
    np.testing.assert_array_equal(table.vectors, by_cli.vectors)
    assert table.covered.all() and table.vectors.shape == (50, 32)


def test_qgis_gives_the_numbers_of_the_command_line(city, work, checkpoint, by_cli, qgis):
    results = qgis.run(
        "urbanfm:embedregions",
        CHECKPOINT=checkpoint,
        REGIONS=city / "regions.gpkg",
        REGION_ID="region_id",
        EMBEDDING_RASTER=city / "embedding.tif",
        OUT=work / "qgis.gpkg",
        PARQUET=work / "qgis.parquet",
    )
    assert results["REGION_COUNT"] == 50 and results["DIMENSIONS"] == 32 and results["UNCOVERED"] == 0
    table = EmbeddingTable.from_parquet(work / "qgis.parquet")
    order = {key: row for row, key in enumerate(table.ids)}
    rows = [order[key] for key in by_cli.ids]
    np.testing.assert_allclose(table.vectors[rows], by_cli.vectors, atol=1e-6)
    layer = gpd.read_file(work / "qgis.gpkg").set_index("region_id")
    source = gpd.read_file(city / "regions.gpkg").set_index("region_id")
    assert set(source.columns) <= set(layer.columns)
    text = np.array([json.loads(item) for item in layer.loc[by_cli.ids, "embedding"]])
    np.testing.assert_allclose(text, by_cli.vectors, atol=1e-6)
    assert (layer["emb_dim"] == 32).all()


def test_without_a_checkpoint_qgis_trains_one_and_keeps_it(city, work, qgis, by_cli):
    qgis.run(
        "urbanfm:embedregions",
        REGIONS=city / "regions.gpkg",
        POIS=city / "pois.gpkg",
        EMBEDDING_RASTER=city / "embedding.tif",
        PRESET="aether-tiny",
        EPOCHS=20,
        DEVICE="cpu",
        CACHE=work / "cache",
        OUT=work / "onestep.gpkg",
        PARQUET=work / "onestep.parquet",
        CHECKPOINT_OUT=work / "onestep checkpoint",
    )
    assert urbanfm_core.inspect(checkpoint=work / "onestep checkpoint").manifest["preset"] == "aether-tiny"
    table = EmbeddingTable.from_parquet(work / "onestep.parquet")
    order = {key: row for row, key in enumerate(table.ids)}
    rows = [order[key] for key in by_cli.ids]
    # The same seed on the same points: the one step equals the two.
    np.testing.assert_allclose(table.vectors[rows], by_cli.vectors, atol=1e-6)


def test_the_layer_keeps_all_fields_and_the_raster_holds_the_vectors(city, work, by_cli):
    layer = gpd.read_file(work / "cli.gpkg")
    source = gpd.read_file(city / "regions.gpkg")
    assert set(source.columns) <= set(layer.columns)
    assert {"emb_dim", "emb_model", "emb_pca1", "emb_pca3", "coverage_embedding_raster", "emb_000", "emb_031"} <= set(
        layer.columns
    )
    np.testing.assert_allclose(layer["emb_005"], by_cli.vectors[:, 5], atol=1e-7)
    exact = np.array([json.loads(item) for item in layer["embedding"]], np.float32)
    np.testing.assert_array_equal(exact, by_cli.vectors)
    inside = layer.geometry.iloc[7].representative_point()
    with rasterio.open(work / "cli.tif") as raster:
        assert raster.crs.to_epsg() == layer.crs.to_epsg()
        sampled = next(raster.sample([(inside.x, inside.y)]))
    np.testing.assert_allclose(sampled, by_cli.vectors[7], atol=1e-6)
    assert (work / "cli.png").stat().st_size > 10_000 and (work / "cli.qml").is_file()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_an_embedding_raster_averages_to_the_region_vectors(city, work, checkpoint, by_cli, dtype):
    path = work / f"pixels {dtype}.tif"
    urbanfm_core.embedraster(checkpoint=checkpoint, embedding_raster=city / "embedding.tif", dtype=dtype, out=path)
    with rasterio.open(path) as raster:
        assert raster.count == 32 and raster.transform.e < 0
        pixels = raster.read(masked=True)
        transform = raster.transform
    values = pixels.filled(0).astype(np.float32)
    if dtype == "int8":
        values = np.sign(values) * (values / 127.5) ** 2
    lengths = np.linalg.norm(values, axis=0)[~pixels.mask.any(axis=0)]
    tolerance = {"float32": 1e-5, "float16": 2e-3, "int8": 0.02}[dtype]
    np.testing.assert_allclose(lengths, 1.0, atol=tolerance)
    layer = gpd.read_file(city / "regions.gpkg")
    from rasterio.features import geometry_mask

    row = by_cli.ids.tolist().index(layer["region_id"].iloc[3])
    inside = geometry_mask([layer.geometry.iloc[3]], values.shape[1:], transform, invert=True)
    inside &= ~pixels.mask.any(axis=0)
    np.testing.assert_allclose(values[:, inside].mean(axis=1), by_cli.vectors[row], atol=max(tolerance, 1e-4))


def test_search_ranks_regions_and_pixels_alike(city, work, checkpoint, by_cli):
    phrase = "a factory, warehouses and workshops"
    ranking = urbanfm_core.search(
        query=phrase,
        checkpoint=checkpoint,
        embeddings=work / "cli.parquet",
        embedding_raster=city / "embedding.tif",
        out=work / "found.gpkg",
        raster=work / "found.tif",
    )
    found = gpd.read_file(work / "found.gpkg")
    assert sorted(found["rank"]) == list(range(1, 51))
    assert found.sort_values("rank")["score"].is_monotonic_decreasing
    np.testing.assert_allclose(found["score"], ranking.score, atol=1e-6)
    with rasterio.open(work / "found.tif") as raster:
        scores = raster.read(1, masked=True)
    assert raster.count == 1 and -1 <= scores.min() < scores.max() <= 1
    other = urbanfm_core.search(query="schools", checkpoint=checkpoint, embeddings=work / "cli.gpkg")
    assert other.rank.tolist() != ranking.rank.tolist()
    # Vectors of another model have the width, but not the meaning.
    table = EmbeddingTable.from_parquet(work / "cli.parquet")
    EmbeddingTable(table.regions, table.vectors, {}, {}).to_parquet(work / "unknown.parquet")
    notes = {
        name: pipeline.run(
            "search", {"query": "schools", "checkpoint": checkpoint, "embeddings": work / name}, Progress()
        ).summary.get("notes", [])
        for name in ("cli.parquet", "cli.gpkg", "unknown.parquet")
    }
    unsure = [name for name, said in notes.items() if any("with this checkpoint is not known" in note for note in said)]
    assert unsure == ["unknown.parquet"]
    foreign = {**table.provenance, "checkpoint": "1" * 64}
    EmbeddingTable(table.regions, table.vectors, {}, foreign).to_parquet(work / "foreign.parquet")
    with pytest.raises(ConfigError, match="another checkpoint"):
        urbanfm_core.search(query="schools", checkpoint=checkpoint, embeddings=work / "foreign.parquet")


def test_qgis_ranks_as_the_command_line_does_and_styles_it(city, work, checkpoint, by_cli, qgis):
    phrase = "a factory, warehouses and workshops"
    ours = urbanfm_core.search(query=phrase, checkpoint=checkpoint, embeddings=work / "cli.gpkg")
    # QGIS keeps its statistics beside a raster that it opens.
    raster = shutil.copy(city / "embedding.tif", work / "searched.tif")
    results = qgis.run(
        "urbanfm:searchbytext",
        QUERY=phrase,
        CHECKPOINT=checkpoint,
        EMBEDDINGS=work / "cli.gpkg",
        EMBEDDING_RASTER=raster,
        OUT=work / "qgis found.gpkg",
        RASTER=work / "qgis scores.tif",
    )
    found = gpd.read_file(work / "qgis found.gpkg").sort_values("rank")
    best = int(ours.top(1)[0])
    assert str(found["region_id"].iloc[0]) == results["BEST"] == str(by_cli.ids[best])
    np.testing.assert_allclose(found["score"], np.sort(ours.score)[::-1], atol=1e-5)
    assert "renderer-v2" in (work / "qgis found.qml").read_text()
    with rasterio.open(work / "qgis scores.tif") as scores:
        assert scores.count == 1 and np.isfinite(scores.read(1, masked=True)).any()


def test_an_evaluation_is_the_same_from_the_command_line_and_qgis(city, work, by_cli, qgis):
    given = ("--regions", city / "regions.gpkg", "--pois", city / "pois.gpkg", "--seeds", 2, "--probes", "linear")
    said = urbanfm(
        *("evaluate", "--embeddings", f"cli={work / 'cli.parquet'}", *given, "--targets", "land_use,occ_*"),
        *("--out", work / "scores.json", "--report", work / "scores.html"),
    )
    assert "land_use (multiclass, spatial blocks)" in said and "cli against" in said
    results = qgis.run(
        "urbanfm:evaluateembeddings",
        EMBEDDINGS=work / "cli.gpkg",
        REGIONS=city / "regions.gpkg",
        POIS=city / "pois.gpkg",
        TARGETS="land_use;occ_*",
        SEEDS=2,
        PROBES="linear",
        OUT=work / "qgis scores.json",
        REPORT=work / "qgis scores.html",
    )
    assert results["REGION_COUNT"] == 50
    by_cli_scores, by_qgis_scores = (
        {
            (result["target"], score["features"].replace("embeddings", "cli")): score["metrics"]
            for result in json.loads((work / name).read_text())["results"]
            for score in result["scores"]
        }
        for name in ("scores.json", "qgis scores.json")
    )
    assert len(by_cli_scores) == 12
    for (target, features), metrics in by_cli_scores.items():
        for name, found in metrics.items():
            assert by_qgis_scores[target, features][name]["mean"] == pytest.approx(found["mean"], abs=0.02), features
    assert "<svg" in (work / "qgis scores.html").read_text()


def test_a_prediction_is_the_same_from_the_command_line_python_and_qgis(city, work, by_cli, qgis):
    regions = gpd.read_file(city / "regions.gpkg")
    regions.loc[:9, "price"] = np.nan
    regions.to_file(work / "priced.gpkg")
    given = {"embeddings": work / "cli.parquet", "regions": work / "priced.gpkg", "target": "log:price", "level": 80}
    flags = [text for name, value in given.items() for text in (f"--{name}", value)]
    said = urbanfm("predict", *flags, "--out", work / "priced cli.gpkg", "--report", work / "priced.html")
    for expected in ("R2:", "in the interval:", "asked for: 80 %", "moran_p:", "labelled: 35"):
        assert expected in said, said
    found = urbanfm_core.predict(**given, parquet=work / "priced.parquet")
    results = qgis.run(
        "urbanfm:predictindicators",
        EMBEDDINGS=work / "cli.parquet",
        REGIONS=work / "priced.gpkg",
        REGION_ID="region_id",
        TARGET="log:price",
        LEVEL=80,
        OUT=work / "priced qgis.gpkg",
        REPORT=work / "priced qgis.html",
    )
    assert results["REGION_COUNT"] == results["PREDICTED"] == 50 and results["LABELLED"] == 35
    assert results["SCORE"] == pytest.approx(found.scores["R2"][0], abs=1e-6)
    by_id = [
        gpd.read_file(work / name).set_index("region_id").sort_index()
        for name in ("priced cli.gpkg", "priced qgis.gpkg")
    ]
    by_id.append(gpd.read_parquet(work / "priced.parquet").set_index("region_id").sort_index())
    for frame in by_id:
        assert set(regions.columns) - {"region_id"} <= set(frame.columns)
        assert (frame["pred_lower"] < frame["pred"]).all() and (frame["pred"] < frame["pred_upper"]).all()
        for name in ("pred", "pred_lower", "pred_upper", "pred_residual"):
            np.testing.assert_allclose(
                frame[name].to_numpy(float), by_id[0][name].to_numpy(float), rtol=1e-6, err_msg=name
            )
    assert by_id[0]["pred_residual"].isna().sum() == by_id[0]["price"].isna().sum()
    assert (work / "priced.html").read_text().count("<svg") == 3
    assert (work / "priced cli.qml").is_file() and (work / "priced qgis.qml").is_file()


def test_regions_may_be_missing_and_then_a_grid_is_made(city, work, checkpoint):
    table = urbanfm_core.embed(
        checkpoint=checkpoint,
        embedding_raster=city / "embedding.tif",
        grid_size=200,
        grid_shape="hexagon",
        cache=work / "cache",
        out=work / "grid.gpkg",
    )
    assert len(table.ids) > 50 and table.covered.any()
    assert len(gpd.read_file(work / "grid.gpkg")) == len(table.ids)


def test_a_dry_run_measures_and_writes_nothing(city, work, checkpoint):
    before = sorted(work.iterdir())
    layers = ("--pois", city / "pois.gpkg", "--embedding-raster", city / "embedding.tif", "--cache", work / "dry")
    said = urbanfm("train", "--preset", "aether-tiny", *layers, "--out", work / "dry-checkpoint", "--dry-run")
    for expected in ("with text", "64 bands", "device: CPU", "preparing:", "training:", "memory: about", "5 epochs"):
        assert expected in said
    said = urbanfm(
        *("embed", "--checkpoint", checkpoint, "--regions", city / "regions.gpkg", *layers[2:]),
        *("--out", work / "dry.gpkg", "--dry-run"),
    )
    for expected in ("50 polygons", "aether", "embedding:", "memory: about", str(work / "dry.gpkg")):
        assert expected in said
    assert sorted(work.iterdir()) == before


def test_regions_beside_the_raster_are_found_before_the_training(city, work, monkeypatch):
    from urbanfm_core.errors import NoOverlapError
    from urbanfm_core.training import run as training

    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained before looking"))
    far = gpd.read_file(city / "regions.gpkg")
    far.geometry = far.translate(50_000, 0)
    far.to_file(work / "far.gpkg")
    with pytest.raises(NoOverlapError, match="the regions span"):
        urbanfm_core.embed(regions=work / "far.gpkg", pois=city / "pois.gpkg", embedding_raster=city / "embedding.tif")
