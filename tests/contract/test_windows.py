"""`embedraster` of methods that look at pictures: windows over the imagery of a small generated city."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

import urbanfm_core
from urbanfm_core import planning
from urbanfm_core.cli import main
from urbanfm_core.errors import ConfigError
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage

PRESETS = {
    "urbanclip-tiny": {"captions": "captions.parquet"},
    "urbanln-tiny": {"captions": "captions.parquet"},
    "refound-tiny": {"pois": "pois.gpkg", "overrides": ["dlfm=false", "dvfm=false", "dvlfm=false"]},
}


@pytest.fixture(scope="module")
def models(city, work):
    """A checkpoint of each method, trained for one epoch."""
    found = {}
    for preset, given in PRESETS.items():
        layers = {name: city / value if isinstance(value, str) else value for name, value in given.items()}
        layers |= {"regions": city / "regions.gpkg", "imagery": city / "imagery.tif", "cache": work / "cache-windows"}
        out = work / f"windows-{preset}"
        found[preset] = urbanfm_core.train(preset=preset, epochs=1, device="cpu", out=out, **layers)
    return found


@pytest.fixture(scope="module")
def given(city, work):
    return {"imagery": city / "imagery.tif", "device": "cpu", "cache": work / "cache-windows"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_window_has_the_vector_of_a_region_of_its_square(models, given, work, preset):
    out = work / f"{preset}.tif"
    urbanfm_core.embedraster(checkpoint=models[preset], window=200, stride=200, out=out, **given)
    with rasterio.open(out) as file:
        found, at, crs = file.read(), file.transform, file.crs
        assert file.descriptions[:2] == ("emb_000", "emb_001") and file.tags()["model"] == preset
    assert out.with_suffix(".qml").is_file()
    row, column = (where.ravel() for where in np.indices(found.shape[1:]))
    west, north = at.c + column * at.a, at.f + row * at.e
    squares = gpd.GeoDataFrame(geometry=shapely.box(west, north + at.e, west + at.a, north), crs=crs)
    squares.to_file(work / f"{preset}.gpkg")
    table = urbanfm_core.embed(checkpoint=models[preset], regions=work / f"{preset}.gpkg", **given)
    known = table.coverage["imagery"] >= 0.25
    assert known.sum() > 20
    np.testing.assert_allclose(found[:, row[known], column[known]].T, table.vectors[known], atol=2e-5)
    assert np.isnan(found[:, row[~known], column[~known]]).all()


def test_windows_are_as_large_as_the_pictures_of_the_training(city, models, given, work):
    """UrbanCLIP's pictures are fitted to the regions: the window has the side that is in the middle of theirs."""
    regions = gpd.read_file(city / "regions.gpkg").to_crs(rasterio.open(given["imagery"]).crs)
    bounds = regions.bounds
    side = np.median(np.maximum(bounds.maxx - bounds.minx, bounds.maxy - bounds.miny))
    made = planning.plan(
        "embedraster",
        make_stage("embedraster", {"checkpoint": models["urbanclip-tiny"], "out": work / "never.tif", **given}),
        Progress(),
    )
    assert f"windows of {side:g} m, one every {side / 2:g} m, so that neighbours overlap by 50%" in made.notes[0]
    assert made.seconds["embedding windows"] > 0 and not (work / "never.tif").exists()


def test_the_command_line_says_what_it_does_and_leaves_nothing_in_the_cache(models, given, work, capsys):
    before = sorted((work / "cache-windows").glob("embedraster/*"))
    flags = [part for name in ("imagery", "device", "cache") for part in (f"--{name}", str(given[name]))]
    raster = ["--embedding-raster", str(given["imagery"].parent / "embedding.tif")]
    out = ["--out", str(work / "line.tif"), "--stride", "150"]
    assert main(["embedraster", "--checkpoint", str(models["urbanln-tiny"]), *flags, *raster, *out]) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "one every 150 m" in said and "The layer embedding_raster is left out: UrbanLN embeds from imagery" in said
    assert sorted((work / "cache-windows").glob("embedraster/*")) == before


def test_what_cannot_be_embedded_is_said(city, models, given, work, checkpoint, tmp_path):
    out = tmp_path / "o.tif"
    with pytest.raises(ConfigError, match="does not tell how large"):
        urbanfm_core.embedraster(checkpoint=models["refound-tiny"], out=out, **given)
    with pytest.raises(ConfigError, match="--imagery"):
        embedding = city / "embedding.tif"
        urbanfm_core.embedraster(checkpoint=models["urbanln-tiny"], embedding_raster=embedding, device="cpu", out=out)
    with pytest.raises(ConfigError, match="--embedding-raster"):
        urbanfm_core.embedraster(checkpoint=checkpoint, out=out, **given)
    with pytest.raises(ConfigError, match="there would be ground that none shows"):
        urbanfm_core.embedraster(checkpoint=models["urbanln-tiny"], window=100, stride=200, out=out, **given)
    assert not out.exists()
