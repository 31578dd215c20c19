"""Input that cannot work, as a user meets it: what went wrong, where, what to do, and nothing left behind.

The same errors reach QGIS: the worker sends message and hint as they are (`tests/core/test_worker.py`), and what QGIS
itself refuses is in `tests/plugin`.
"""

import hashlib
import json
import os
import shutil

import pytest
from spoiling import (
    PIXELS,
    assert_refused,
    embed,
    pois_frame,
    regions_frame,
    spoil_pois,
    spoil_regions,
    square,
    train,
    write_raster,
)


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


def out_of_range(*flags):
    return lambda place: [*embed(place), *flags]


CASES = {
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
    assert_refused(place, urbanfm, spoil(place), CASES[spoil])


def test_an_encoder_that_is_not_installed_names_the_extra(place, urbanfm, monkeypatch):
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    code, said, made = urbanfm(*train(place))
    assert code == 2 and not made
    assert "urbanfm[text]" in said.replace(" ", "")


def test_an_exclamation_mark_in_a_path_is_refused_before_it_is_taken_for_an_archive(place, urbanfm):
    (place / "wow!").mkdir()
    shutil.move(place / "regions.gpkg", place / "wow!" / "regions.gpkg")
    code, said, made = urbanfm(*embed(place, regions=place / "wow!" / "regions.gpkg"))
    assert code == 2 and "'!'" in said and "Rename" in said and not made
    code, said, made = urbanfm(*embed(place, out=place.parent / "made" / "wow!.gpkg"))
    assert code == 2 and "'!'" in said and not made
