"""Input that cannot work, as a user meets it: what went wrong, where, what to do, and nothing left behind.

The same errors reach QGIS: the worker sends message and hint as they are (`tests/core/test_worker.py`), and what QGIS
itself refuses is in `tests/plugin`.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from rasterio.transform import from_origin

from urbanfm_core.cli import main
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.aether import Aether, AetherConfig
from urbanfm_core.models.refound import RefoundConfig, RefoundModel
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.training.checkpoint import Checkpoint

CRS = "EPSG:32630"
WEST, NORTH, PIXEL_M, PIXELS = 440_000, 4_475_000, 10, 32


def square(x, y, size=100.0):
    return shapely.box(WEST + x, NORTH - y - size, WEST + x + size, NORTH - y)


def write_raster(path, bands=4, crs=CRS, origin=(WEST, NORTH), pixel=PIXEL_M, nodata=False):
    values = np.random.default_rng(0).normal(size=(bands, PIXELS, PIXELS)).astype(np.float32)
    if nodata:
        values[:] = np.nan
    profile = {"driver": "GTiff", "width": PIXELS, "height": PIXELS, "count": bands, "dtype": "float32"}
    transform = from_origin(*origin, pixel, pixel)
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=np.nan, **profile) as target:
        target.write(values)


def regions_frame(shapes=None, crs=CRS, **columns):
    shapes = shapes or [square(0, 0), square(100, 0), square(0, 100)]
    columns = columns or {"region_id": [f"r{row}" for row in range(len(shapes))]}
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=crs)


def pois_frame(crs=CRS, east=0, **columns):
    xy = np.random.default_rng(1).uniform(60, 260, (20, 2))
    points = gpd.points_from_xy(WEST + east + xy[:, 0], NORTH - xy[:, 1])
    columns = columns or {"name": [f"Bar {i}" for i in range(20)], "category": ["bar", "school"] * 10}
    return gpd.GeoDataFrame(columns, geometry=points, crs=crs)


@pytest.fixture
def place(tmp_path):
    """A folder with a good city and a good checkpoint; each test spoils one thing."""
    folder = tmp_path / "city"
    folder.mkdir()
    write_raster(folder / "raster.tif")
    regions_frame().to_file(folder / "regions.gpkg")
    pois_frame().to_file(folder / "pois.gpkg")
    config = AetherConfig(bands=4, text_dim=8, hidden_dim=8, post_dim=8, embedding_dim=4)
    torch.manual_seed(0)
    weights = Aether().build(config).state_dict()
    Checkpoint("aether", asdict(config), {"bands": 4}, {"preset": "test"}, weights).save(folder / "ckpt")
    return folder


@pytest.fixture
def urbanfm(tmp_path, capsys):
    """Runs a stage with the outputs in a folder of their own; returns the exit code, all that was said, and the files."""

    def run(stage, *flags):
        made = tmp_path / "made"
        made.mkdir(exist_ok=True)
        before = {path for path in tmp_path.rglob("*") if tmp_path / "cache" not in (path, *path.parents)}
        capsys.readouterr()
        code = main([stage, *map(str, flags)])
        captured = capsys.readouterr()
        after = {path for path in tmp_path.rglob("*") if tmp_path / "cache" not in (path, *path.parents)}
        # What stays in the cache is finished work that a corrected run takes up; never a folder with nothing in it.
        kept = [path for path in (tmp_path / "cache").glob("*/*") if path.is_dir()]
        assert all(list(path.rglob("*.npy")) for path in kept), kept
        return code, " ".join((captured.out + captured.err).split()), after - before

    return run


def embed(place, **changed):
    given = {"regions": place / "regions.gpkg", "embedding-raster": place / "raster.tif", "checkpoint": place / "ckpt"}
    given |= {"parquet": place.parent / "made" / "r.parquet", "cache": place.parent / "cache", "device": "cpu"}
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return ["embed", *(text for name, value in given.items() if value is not None for text in (f"--{name}", value))]


def train(place, **changed):
    given = {"pois": place / "pois.gpkg", "embedding-raster": place / "raster.tif", "preset": "aether-tiny"}
    given |= {"out": place.parent / "made" / "ckpt", "cache": place.parent / "cache", "device": "cpu"}
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return ["train", *(text for name, value in given.items() for text in (f"--{name}", value))]


def ablate(place, **changed):
    squares = [square(x, y, 50) for x in range(0, 300, 50) for y in range(0, 300, 50)]
    spoil_regions(place, regions_frame(squares, price=np.random.default_rng(2).normal(size=len(squares))))
    given = {"targets": "price", "regions": place / "regions.gpkg", "out": place.parent / "made" / "a.json"}
    return ["ablate", *train(place, **given)[1:], *(text for flag, value in changed.items() for text in (flag, value))]


def attend(place, images=3, **changed):
    """A command with a tiny ReFound that was trained on so many images."""
    tokenizer = PoiTokenizer.train(["Bar", "School"] * 5, 64)
    config = RefoundConfig(
        vocab_size=len(tokenizer), categories=4, hidden_size=8, layers=1, heads=1, intermediate_size=8, shared_layers=1,
        max_tokens=32, max_pois=8, image_size=32, patch_size=8, grid=4, visual_vocab_size=0, pixel_m=4.0,
    )  # fmt: skip
    preprocessing = {
        "tokenizer": {"files": tokenizer.to_files()},
        "categories": PoiVocabulary(("bar", "school")).to_json(),
        "imagery": {"bands": [1, 2, 3], "stretch": [[-2.0] * 3, [2.0] * 3]},
        "statistics": {"mean": [0.5] * 3, "std": [0.2] * 3},
        "sees": ["pois", "imagery"] if images else ["pois"],
    }
    torch.manual_seed(0)
    weights = RefoundModel(config).state_dict()
    Checkpoint("refound", asdict(config), preprocessing, {"preset": "test"}, weights).save(place / "refound")
    made = place.parent / "made"
    given = {"regions": place / "regions.gpkg", "pois": place / "pois.gpkg", "imagery": place / "raster.tif"}
    given |= {
        "checkpoint": place / "refound",
        "cache": place.parent / "cache",
        "device": "cpu",
        "raster": made / "a.tif",
    }
    given |= {"pois-out": made / "p.gpkg", "regions-out": made / "r.gpkg", "report": made / "a.html"}
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return ["attend", *(text for name, value in given.items() if value is not None for text in (f"--{name}", value))]


def spoil_regions(place, frame):
    (place / "regions.gpkg").unlink()
    frame.to_file(place / "regions.gpkg", driver="GPKG", engine="pyogrio")


def spoil_pois(place, frame):
    (place / "pois.gpkg").unlink()
    frame.to_file(place / "pois.gpkg", driver="GPKG", engine="pyogrio")


def ablation_that_the_method_does_not_have(place):
    return ablate(place, **{"--variants": "w/o text"})


def sweep_of_a_number_that_is_none(place):
    return ablate(place, **{"--sweeps": "lambda=0,1"})


def sweep_to_a_value_that_is_refused(place):
    return ablate(place, **{"--sweeps": "lambda_image=0,7"})


def ablation_without_a_target(place):
    return [text for text in ablate(place) if text not in ("--targets", "price")]


def ablation_of_a_label_that_is_none(place):
    return ablate(place, **{"--targets": "rent"})


def ablation_of_too_few_regions(place):
    command = ablate(place)
    spoil_regions(place, regions_frame(price=[1.0, 2.0, 3.0]))
    return command


def ablation_with_an_encoder_that_is_no_folder(place):
    return ablate(place, **{"--text-encoder": place / "no such encoder"})


def regions_without_crs(place):
    frame = regions_frame(crs=None)
    (place / "regions.gpkg").unlink()
    frame.to_file(place / "regions.gpkg", driver="GPKG", engine="pyogrio")
    return embed(place)


def no_crs_pois(place):
    spoil_pois(place, pois_frame(crs=None))
    return train(place)


def raster_without_crs(place):
    write_raster(place / "raster.tif", crs=None)
    return embed(place)


def regions_elsewhere(place):
    spoil_regions(place, regions_frame([square(50_000, 0)]))
    return embed(place)


def pois_elsewhere(place):
    spoil_pois(place, pois_frame(east=50_000))
    return train(place)


def empty_regions(place):
    spoil_regions(place, regions_frame().iloc[:0])
    return embed(place)


def empty_pois(place):
    spoil_pois(place, pois_frame().iloc[:0])
    return train(place)


def regions_are_points(place):
    return embed(place, regions=place / "pois.gpkg")


def duplicate_ids(place):
    spoil_regions(place, regions_frame(region_code=["a", "a", "b"]))
    return embed(place, region_id="region_code")


def missing_id_field(place):
    return embed(place, region_id="codigo")


def all_nodata(place):
    write_raster(place / "raster.tif", nodata=True)
    return embed(place)


def all_nodata_pixels(place):
    write_raster(place / "raster.tif", nodata=True)
    return ["embedraster", *embed(place, regions=None, parquet=None, out=place.parent / "made" / "p.tif")[1:]]


def all_nodata_training(place):
    write_raster(place / "raster.tif", nodata=True)
    return train(place)


def other_bands(place):
    write_raster(place / "raster.tif", bands=3)
    return embed(place)


def other_bands_pixels(place):
    write_raster(place / "raster.tif", bands=3)
    return ["embedraster", *embed(place, regions=None, parquet=None, out=place.parent / "made" / "p.tif")[1:]]


def pois_without_text(place):
    spoil_pois(place, pois_frame(number=range(20)))
    return train(place)


def no_such_poi_column(place):
    return train(place, poi_category="clase")


def encoder_is_no_folder(place):
    return train(place, text_encoder=place / "no such encoder")


def below_a_file(place):
    return embed(place, parquet=place / "raster.tif" / "r.parquet")


def in_a_read_only_place(place):
    return embed(place, parquet="/proc/urbanfm/r.parquet")


def train_below_a_file(place):
    return train(place, out=place / "raster.tif" / "ckpt")


def cache_below_a_file(place):
    return embed(place, cache=place / "raster.tif" / "cache")


def over_a_folder_of_something_else(place):
    return train(place, out=place)


def cut_short(place):
    size = (place / "raster.tif").stat().st_size
    os.truncate(place / "raster.tif", size - 8 * PIXELS * 4)
    return embed(place)


def cut_to_nothing(place):
    os.truncate(place / "raster.tif", 4)
    return embed(place)


def checkpoint_without_weights(place):
    (place / "ckpt" / "weights.safetensors").unlink()
    return embed(place)


def checkpoint_with_a_cut_file(place):
    os.truncate(place / "ckpt" / "weights.safetensors", 100)
    return embed(place)


def hostile_checkpoint(place):
    evil = b"cposix\nsystem\n(S'touch " + str(place / "owned").encode() + b"'\ntR."
    (place / "ckpt" / "weights.safetensors").write_bytes(evil)
    return embed(place)


def hostile_published_file(place):
    evil = b"cposix\nsystem\n(S'touch " + str(place / "owned").encode() + b"'\ntR."
    (place / "evil.pth").write_bytes(evil)
    return ["importcheckpoint", "--checkpoint", place / "evil.pth", "--out", place.parent / "made" / "ckpt"]


def changed_configuration(place):
    config = place / "ckpt" / "config.json"
    config.write_text(config.read_text().replace('"gate_init": -4.0', '"gate_init": 4.0'))
    return embed(place)


def huge_width(place):
    config = place / "ckpt" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_dim": 10**12}))
    manifest = place / "ckpt" / "manifest.json"
    digest = hashlib.sha256(config.read_bytes()).hexdigest()
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "config_sha256": digest}))
    return embed(place)


def checkpoint_of_an_unknown_method(place):
    manifest = place / "ckpt" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "method": "../../evil"}))
    return embed(place)


def raster_in_place_of_a_checkpoint(place):
    return embed(place, checkpoint=place / "raster.tif")


def tile_service(place):
    return embed(place, embedding_raster="type=xyz&url=https://tile.example.org/{z}/{x}/{y}.png&zmax=19")


def map_service(place):
    return embed(place, embedding_raster="https://maps.example.org/wms?SERVICE=WMS&REQUEST=GetMap&LAYERS=a")


def service_description(place):
    (place / "service.xml").write_text("<GDAL_WMS><Service name='TMS'></Service></GDAL_WMS>")
    return embed(place, embedding_raster=place / "service.xml")


def shapefile_output(place):
    return embed(place, out=place.parent / "made" / "r.shp")


def odd_format(place):
    return embed(place, out=place.parent / "made" / "r.xlsx")


def text_in_place_of_regions(place):
    (place / "regions.gpkg").write_text("this is no layer")
    return embed(place)


def text_in_place_of_a_raster(place):
    (place / "raster.tif").write_text("this is no raster")
    return embed(place)


def several_layers(place):
    regions_frame().to_file(place / "regions.gpkg", layer="more", mode="a")
    return embed(place)


def no_such_layer(place):
    return embed(place, regions=f"{place / 'regions.gpkg'}|layername=barrios")


def no_such_device(place):
    return embed(place, device="cuda:77")


def swapped_coordinates(place):
    rows = ["name,lat,lon"] + [f"Bar,{120 + i},40" for i in range(5)]
    (place / "pois.csv").write_text("\n".join(rows))
    return train(place, pois=place / "pois.csv")


def attend_with_a_model_that_has_no_attention(place):
    return attend(place, checkpoint=place / "ckpt")


def attend_to_a_category_that_is_not_there(place):
    return attend(place, categories="pub")


def attend_to_a_row_that_is_not_there(place):
    return attend(place, poi_rows=20)


def attend_to_selected_points_of_another_layer(place):
    pois_frame(east=7).to_file(place / "others.gpkg")
    return attend(place, selected=place / "others.gpkg")


def attend_without_imagery(place):
    return attend(place, imagery=None)


def attend_beside_the_imagery(place):
    write_raster(place / "raster.tif", origin=(WEST + 50_000, NORTH))
    return attend(place)


def attend_to_points_outside_all_regions(place):
    spoil_pois(place, pois_frame(east=50_000))
    return attend(place)


def attend_with_a_model_that_never_saw_imagery(place):
    return attend(place, images=0)


def attend_into_one_file_twice(place):
    return attend(place, pois_out=place.parent / "made" / "r.gpkg")


def attend_into_a_shapefile(place):
    return attend(place, pois_out=place.parent / "made" / "p.shp")


def out_of_range(*flags):
    return lambda place: [*embed(place), *flags]


def predict(place, target, count=30, **columns):
    """A city of many regions with a field to predict, and vectors for them."""
    shapes = [square(10 * row, 0, 10.0) for row in range(count)]
    ids = [f"r{row}" for row in range(count)]
    regions_frame(shapes, region_id=ids, **columns).to_file(place / "many.gpkg")
    vectors = np.random.default_rng(0).normal(size=(count, 3)).round(4)
    lines = ["region_id,e0,e1,e2", *(",".join([key, *map(str, row)]) for key, row in zip(ids, vectors, strict=True))]
    (place / "vectors.csv").write_text("\n".join(lines))
    made = place.parent / "made"
    given = ("--embeddings", place / "vectors.csv", "--regions", place / "many.gpkg", "--target", target)
    outputs = ("--out", made / "p.gpkg", "--parquet", made / "p.parquet", "--report", made / "p.html")
    return ["predict", *given, *outputs]


def predicts_a_missing_field(place):
    return predict(place, "rent", price=np.arange(30.0))


def predicts_from_no_label(place):
    return predict(place, "price", price=np.full(30, np.nan))


def predicts_a_single_class(place):
    return predict(place, "zone:multiclass", zone=["A"] * 30)


def predicts_from_few_labels(place):
    return predict(place, "price", price=np.where(np.arange(30) < 9, np.arange(30.0), np.nan))


def predicts_texts_as_numbers(place):
    return predict(place, "zone:regression", zone=["A", "B", "C"] * 10)


def fine_tunes_another_method(place):
    given = ("--head", "finetune", "--checkpoint", place / "ckpt", "--pois", place / "pois.gpkg")
    return [*predict(place, "price", price=np.arange(30.0)), *given]


CASES = {
    predicts_a_missing_field: ["no label column 'rent'", "region_id, price"],
    predicts_from_no_label: ["'price' has 0 different values", "two are needed"],
    predicts_a_single_class: ["1 classes", "two or more are needed"],
    predicts_from_few_labels: ["9 regions have a label and vectors", "20 are needed", "21 have no label"],
    predicts_texts_as_numbers: ["'zone'", "not numbers", "column of numbers"],
    fine_tunes_another_method: ["'aether'", "cannot be fine-tuned", "checkpoint of ReFound"],
    ablation_that_the_method_does_not_have: ["no ablation 'w/o text'", "'w/o aug'"],
    sweep_of_a_number_that_is_none: ["no number 'lambda'", "lambda_image"],
    sweep_to_a_value_that_is_refused: ["lambda_image must lie in [0, 1]", "7"],
    ablation_without_a_target: ["name what to predict (targets)"],
    ablation_of_a_label_that_is_none: ["rent", "price"],
    ablation_of_too_few_regions: ["'price'", "3 regions", "20 are needed"],
    ablation_with_an_encoder_that_is_no_folder: ["no such encoder", "text encoder"],
    regions_without_crs: ["regions.gpkg", "coordinate", "Set"],
    no_crs_pois: ["pois.gpkg", "coordinate", "Set"],
    raster_without_crs: ["raster.tif", "coordinate reference system", "Set"],
    regions_elsewhere: ["No region touches", "raster.tif", "490000", "same place"],
    pois_elsewhere: ["0 of 20 points", "20 lie off the raster", "right CRS", "440000"],
    empty_regions: ["regions.gpkg", "no features", "filter"],
    empty_pois: ["pois.gpkg", "no rows", "filter"],
    regions_are_points: ["pois.gpkg", "no polygons", "Point", "grid"],
    duplicate_ids: ["regions.gpkg", "1 values of 'region_code'", "first are a", "Dissolve"],
    missing_id_field: ["regions.gpkg", "no column 'codigo'", "region_id"],
    all_nodata: ["None of the 3 regions", "raster.tif", "nodata"],
    all_nodata_pixels: ["raster.tif", "none of its 1,024 pixels", "nodata"],
    all_nodata_training: ["0 of 20 points", "too few valid pixels", "nodata"],
    other_bands: ["raster.tif", "3 bands", "trained on 4", "kind of raster"],
    other_bands_pixels: ["raster.tif", "3 bands", "trained on 4", "kind of raster"],
    pois_without_text: ["0 of 20 points", "20 have no text", "Name the columns"],
    no_such_poi_column: ["pois.gpkg", "clase", "category"],
    encoder_is_no_folder: ["no such encoder", "text encoder"],
    below_a_file: ["raster.tif/r.parquet", "Not a directory", "Choose"],
    in_a_read_only_place: ["/proc/urbanfm/r.parquet", "Cannot write", "Choose"],
    train_below_a_file: ["raster.tif/ckpt", "Not a directory", "Choose"],
    cache_below_a_file: ["raster.tif/cache", "Not a directory", "--cache"],
    over_a_folder_of_something_else: ["city", "something else than a checkpoint", "new name"],
    cut_short: ["raster.tif", "block at row", "cut short"],
    cut_to_nothing: ["raster.tif", "cannot be opened", "GeoTIFF"],
    checkpoint_without_weights: ["ckpt", "weights.safetensors is missing", "Copy"],
    checkpoint_with_a_cut_file: ["weights.safetensors is damaged", "Copy"],
    hostile_checkpoint: ["weights.safetensors", "damaged", "Copy"],
    hostile_published_file: ["evil.pth"],
    changed_configuration: ["config.json", "changed", "Copy"],
    huge_width: ["do not fit", "config.json"],
    checkpoint_of_an_unknown_method: ["no method '../../evil'", "newer version"],
    raster_in_place_of_a_checkpoint: ["raster.tif is a file", "checkpoint is a folder"],
    tile_service: ["tile.example.org", "web service", "Export"],
    map_service: ["maps.example.org", "web service", "Export"],
    service_description: ["service.xml", "Export"],
    shapefile_output: ["r.shp", "Shapefile", ".gpkg"],
    odd_format: ["r.xlsx", ".gpkg", "ending"],
    text_in_place_of_regions: ["regions.gpkg", "cannot be read", "GeoPackage"],
    text_in_place_of_a_raster: ["raster.tif", "cannot be opened", "GeoTIFF"],
    several_layers: ["regions.gpkg", "2 layers", "layername="],
    no_such_layer: ["regions.gpkg", "'barrios'", "holds: regions"],
    no_such_device: ["cuda:77", "auto"],
    swapped_coordinates: ["pois.csv", "swapped"],
    attend_with_a_model_that_has_no_attention: ["AETHER has no attention", "ReFound"],
    attend_to_a_category_that_is_not_there: ["No point of interest has the category 'pub'", "bar (10), school (10)"],
    attend_to_a_row_that_is_not_there: ["1 of 1 rows", "first is 20", "up to 19"],
    attend_to_selected_points_of_another_layer: ["None of 20 points", "0 selected points", "must come from the layer"],
    attend_without_imagery: ["give imagery", "attend --help"],
    attend_beside_the_imagery: ["None of 3 regions", "raster.tif", "same place"],
    attend_to_points_outside_all_regions: ["None of 20 chosen points", "same place"],
    attend_with_a_model_that_never_saw_imagery: ["trained without imagery", "--imagery"],
    attend_into_one_file_twice: ["r.gpkg", "both pois_out and regions_out", "of its own"],
    attend_into_a_shapefile: ["p.shp", "Shapefile", ".gpkg"],
}
for flags in (
    ("--batch-size", "0"),
    ("--rule", "middle"),
    ("--grid-size", "-5"),
    ("--grid-size", "nan"),
    ("--epochs", "0"),
    ("--seed", "-1"),
    ("--learning-rate", "0"),
    ("--device", "gpu"),
    ("--quantization", "yes"),
):
    CASES[out_of_range(*flags)] = [flags[0].removeprefix("--").replace("-", "_")]


def case_name(case):
    return case.__name__ if case.__name__ != "<lambda>" else "out_of_range"


@pytest.mark.parametrize("spoil", CASES, ids=case_name)
def test_it_is_refused_with_what_where_and_how_to_mend_it(place, urbanfm, spoil):
    command = spoil(place)
    code, said, made = urbanfm(*command)
    assert code == 2, said
    for words in CASES[spoil]:
        # The terminal's lines break anywhere, also in paths.
        assert words.replace(" ", "") in said.replace(" ", ""), said
    assert not made, made
    assert not (place / "owned").exists()
    assert "Traceback" not in said and "bug" not in said


def test_an_encoder_that_is_not_installed_names_the_extra(place, urbanfm, monkeypatch):
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    code, said, made = urbanfm(*train(place))
    assert code == 2 and not made
    assert "urbanfm[text]" in said.replace(" ", "")


def test_regions_partly_outside_are_embedded_and_say_how_much_was_covered(place, urbanfm):
    spoil_regions(place, regions_frame([square(0, 0), square(-50, 0), square(-300, 0)]))
    code, said, made = urbanfm(*embed(place))
    assert code == 0 and "uncovered: 1" in said and "1 of 3 regions hold no valid pixel" in said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    np.testing.assert_allclose(table.coverage["embedding_raster"], [1, 0.5, 0], atol=1e-6)
    assert table.covered.tolist() == [True, True, False]
    assert {path.name for path in made} == {"r.parquet"}


def test_invalid_polygons_are_repaired_and_counted(place, urbanfm):
    bow_tie = shapely.Polygon([(WEST, NORTH), (WEST + 100, NORTH - 100), (WEST + 100, NORTH), (WEST, NORTH - 100)])
    line = shapely.LineString([(WEST, NORTH), (WEST + 9, NORTH)])
    spoil_regions(place, regions_frame([bow_tie, square(100, 0), None, line]))
    code, said, _ = urbanfm(*embed(place))
    assert code == 0 and "regions: 2" in said
    for words in (
        "1 invalid polygons were repaired",
        "1 features without geometry",
        "1 features that are not polygons",
    ):
        assert words in said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    assert shapely.is_valid(table.regions.geometry).all()


def test_a_grid_across_the_antimeridian(place, urbanfm):
    out = place.parent / "made" / "grid.gpkg"
    extent = ("--extent", "179.99,0,-179.99,0.02", "--extent-crs", "EPSG:4326", "--grid-size", 500)
    code, said, _ = urbanfm("grid", *extent, "--out", out)
    assert code == 0, said
    made = gpd.read_file(out)
    assert 25 <= len(made) <= 36 and made.crs.is_projected


@pytest.mark.parametrize("shift", [0, 360])
def test_regions_and_raster_at_the_antimeridian(place, urbanfm, shift):
    """A raster just west of it, regions that reach over it, written either way round."""
    write_raster(place / "raster.tif", crs="EPSG:4326", origin=(180 - PIXELS * 0.001, 10), pixel=0.001)
    west = shapely.box(179.97, 9.97, 179.99, 9.99)
    across = shapely.union_all(
        [shapely.box(179.99, 9.97, 180, 9.99), shapely.box(-180 + shift, 9.97, -179.99 + shift, 9.99)]
    )
    spoil_regions(place, regions_frame([west, across], crs="EPSG:4326"))
    code, said, _ = urbanfm(*embed(place))
    assert code == 0, said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    np.testing.assert_allclose(table.coverage["embedding_raster"], [1, 0.5], atol=0.02)


def test_a_polar_layer(place, urbanfm):
    """A raster in polar stereographic, regions in longitude and latitude around the pole."""
    half = PIXELS * 50_000 / 2
    write_raster(place / "raster.tif", crs="EPSG:3995", origin=(-half, half), pixel=50_000)
    wedges = [shapely.box(x, 84, x + 90, 88) for x in (-180, -90, 0, 90)]
    spoil_regions(place, regions_frame(wedges, crs="EPSG:4326"))
    code, said, _ = urbanfm(*embed(place, rule="coverage"))
    assert code == 0, said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    np.testing.assert_allclose(table.coverage["embedding_raster"], 1, atol=0.01)
    out = place.parent / "made" / "grid.gpkg"
    code, said, _ = urbanfm("grid", "--over", place / "raster.tif", "--grid-size", 400_000, "--out", out)
    assert code == 0, said
    assert len(gpd.read_file(out)) >= 16


@pytest.mark.parametrize(
    "name", ["Zoë's «barrios»", 'say "hi"', "東京 行政区", "Ленинград; DROP TABLE", "a[1]{2}*?", "100% #&|x"]
)
def test_odd_names_of_files_layers_and_fields(place, urbanfm, name):
    folder = place / name
    folder.mkdir()
    shutil.copy(place / "raster.tif", folder / f"{name}.tif")
    frame = regions_frame(**{name: ["ä", "b'", 'c"'], "code": [1, 2, 3]})
    for layer, mode in ((name, "w"), ("other", "a")):
        frame.to_file(place / "plain.gpkg", layer=layer, mode=mode, engine="pyogrio")
    (place / "plain.gpkg").rename(folder / f"{name}.gpkg")
    out, parquet = (place.parent / "made" / name / f"{name}.{suffix}" for suffix in ("gpkg", "parquet"))
    changed = {"regions": f"{folder / name}.gpkg|layername={name}", "embedding_raster": folder / f"{name}.tif"}
    code, said, made = urbanfm(*embed(place, **changed, out=out, parquet=parquet, region_id=name))
    assert code == 0, said
    assert sorted(path.name for path in made) == sorted([name, out.name, parquet.name, f"{name}.qml"])
    table = EmbeddingTable.from_parquet(parquet)
    assert table.ids.tolist() == ["ä", "b'", 'c"'] and table.regions.id_name == name
    assert read_layer(out)[name].tolist() == ["ä", "b'", 'c"']


def test_an_exclamation_mark_in_a_path_is_refused_before_it_is_taken_for_an_archive(place, urbanfm):
    (place / "wow!").mkdir()
    shutil.move(place / "regions.gpkg", place / "wow!" / "regions.gpkg")
    code, said, made = urbanfm(*embed(place, regions=place / "wow!" / "regions.gpkg"))
    assert code == 2 and "'!'" in said and "Rename" in said and not made
    code, said, made = urbanfm(*embed(place, out=place.parent / "made" / "wow!.gpkg"))
    assert code == 2 and "'!'" in said and not made


def test_a_field_called_embedding_gives_way(place, urbanfm):
    frame = regions_frame(embedding=["x", "y", "z"], Emb_PCA1=[1, 2, 3], src_embedding=["k", "l", "m"])
    spoil_regions(place, frame)
    out = place.parent / "made" / "r.gpkg"
    code, said, _ = urbanfm(*embed(place, out=out))
    assert code == 0, said
    found = gpd.read_file(out)
    assert found["src_embedding"].tolist() == ["k", "l", "m"] and found["src_src_embedding"].tolist() == ["x", "y", "z"]
    assert found["src_Emb_PCA1"].tolist() == [1, 2, 3]
    assert len(json.loads(found["embedding"][0])) == 4
    # Once more, over the result.
    code, said, _ = urbanfm(*embed(place, regions=out, out=place.parent / "made" / "again.gpkg"))
    assert code == 0, said
    again = gpd.read_file(place.parent / "made" / "again.gpkg")
    assert again["embedding"].tolist() == found["embedding"].tolist()


def test_a_checkpoint_that_was_trained_on_another_device(place, urbanfm):
    expected = (place.parent / "made" / "r.parquet", place.parent / "made" / "s.parquet")
    assert urbanfm(*embed(place))[0] == 0
    manifest = place / "ckpt" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "device": "cuda"}))
    code, said, _ = urbanfm(*embed(place, parquet=expected[1]))
    assert code == 0 and "trained on 'cuda'" in said and "'cpu' here" in said
    one, other = (EmbeddingTable.from_parquet(path).vectors for path in expected)
    np.testing.assert_array_equal(one, other)
    code, said, made = urbanfm(*embed(place, device="cuda", parquet=place.parent / "made" / "t.parquet"))
    assert code == 2 and "'cuda' is not on this machine" in said and not made
