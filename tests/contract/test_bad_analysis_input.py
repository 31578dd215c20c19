"""Input that the analyses cannot work with: ablations, attention, predictions; see `test_bad_input`."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from spoiling import (
    NORTH,
    WEST,
    assert_refused,
    pois_frame,
    regions_frame,
    spoil_pois,
    spoil_regions,
    square,
    train,
    write_raster,
)

from urbanfm_core.models.refound import RefoundConfig, RefoundModel
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.training.checkpoint import Checkpoint


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


def cluster(place, *more, vectors=None, **columns):
    """A city of 30 regions and vectors for them, clustered."""
    command = predict(place, "price", price=np.arange(30.0), **columns)
    if vectors is not None:
        lines = ["region_id,e0,e1,e2", *(f"r{row}," + ",".join(map(str, one)) for row, one in enumerate(vectors))]
        (place / "vectors.csv").write_text("\n".join(lines))
    made = place.parent / "made"
    outputs = ("--out", made / "c.gpkg", "--profile", made / "c.json", "--report", made / "c.html")
    return ["cluster", *command[1:5], *outputs, *more]


def similar(place, *more):
    """The vectors of `cluster`, compared."""
    cluster(place)
    made = place.parent / "made"
    outputs = ("--table", made / "s.csv", "--report", made / "s.html")
    return ["similar", "--embeddings", place / "vectors.csv", *outputs, *more]


def clusters_what_is_all_the_same(place):
    return cluster(place, vectors=np.ones((30, 3)))


def clusters_one_region(place):
    return cluster(place, vectors=[[1, 2, 3]])


def clusters_what_is_not_finite(place):
    return cluster(place, vectors=[["nan", 1, 2]] * 15 + [["inf", 1, 2]] * 15)


def clusters_into_more_than_there_are(place):
    return cluster(place, "--clusters", 31)


def clusters_a_density_into_a_number(place):
    return cluster(place, "--algorithm", "hdbscan", "--clusters", 3)


def clusters_by_a_field_that_is_not_there(place):
    return cluster(place, "--fields", "rent")


def similar_to_nothing(place):
    return similar(place)


def similar_to_an_id_that_is_not_there(place):
    return similar(place, "--ids", "r1", "r99")


def similar_across_models(place):
    command = similar(place, "--ids", "r1", "--other", place / "wide.csv")
    (place / "wide.csv").write_text("region_id,e0,e1,e2,e3\na,1,2,3,4\nb,2,3,4,5")
    return command


def similar_to_a_region_without_a_vector(place):
    command = similar(place, "--ids", "r0")
    (place / "vectors.csv").write_text("region_id,e0,e1,e2\nr0,nan,1,2\nr1,1,2,3")
    return command


def similar_on_a_map_that_is_none(place):
    return similar(place, "--ids", "r1", "--out", place.parent / "made" / "s.gpkg")


def similar_to_polygons_in_a_table_without(place):
    return similar(place, "--chosen", place / "many.gpkg")


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


def attend_with_a_model_that_has_no_attention(place):
    return attend(place, checkpoint=place / "ckpt")


def attend_to_a_category_that_is_not_there(place):
    return attend(place, categories="pub")


def attend_to_a_row_that_is_not_there(place):
    return attend(place, poi_rows=20)


def attend_to_selected_points_of_another_layer(place):
    pois_frame(east=7).to_file(place / "others.gpkg")
    return attend(place, selected=place / "others.gpkg")


def search_with_a_model_that_has_no_text_side(place):
    attend(place)
    made = place.parent / "made" / "s.gpkg"
    flags = {"query": "bar", "checkpoint": place / "refound", "embeddings": place / "e.parquet", "out": made}
    return ["search", *(text for name, value in flags.items() for text in (f"--{name}", value))]


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


def embed_pois(place, **spoilt):
    """The points of the good city without names, since its model has no encoder of texts."""
    spoil_pois(place, pois_frame(number=range(20), **spoilt))
    made = place.parent / "made"
    given = {"checkpoint": place / "ckpt", "pois": place / "pois.gpkg", "embedding-raster": place / "raster.tif"}
    given |= {"cache": place.parent / "cache", "device": "cpu", "out": made / "e.gpkg", "map": made / "e.png"}
    return ["embedpois", *(text for name, value in given.items() for text in (f"--{name}", value))]


def embeds_points_of_another_place(place):
    return embed_pois(place, east=50_000)


def embeds_points_where_the_raster_is_empty(place):
    write_raster(place / "raster.tif", nodata=True)
    return embed_pois(place)


def grid_over_a_rotated_raster(place):
    with rasterio.open(place / "raster.tif", "r+") as raster:
        raster.transform = raster.transform @ raster.transform.rotation(20)
    return ["grid", "--over", place / "raster.tif", "--out", place.parent / "made" / "g.gpkg"]


def grid_over_nothing(place):
    (place / "raster.tif").write_text("")
    return ["grid", "--over", place / "raster.tif", "--out", place.parent / "made" / "g.gpkg"]


def raster_that_is_no_geotiff(place):
    given = ("--checkpoint", place / "ckpt", "--embedding-raster", place / "raster.tif", "--device", "cpu")
    return ["embedraster", *given, "--out", place.parent / "made" / "e.jpg"]


def clusters_by_points_of_another_place(place):
    spoil_pois(place, pois_frame(east=50_000))
    return cluster(place, "--pois", place / "pois.gpkg")


def clusters_lists_of_two_lengths(place):
    command = cluster(place)
    lists = [[1.0, 2.0], [1.0, 2.0, 3.0]] * 15
    pd.DataFrame({"region_id": [f"r{row}" for row in range(30)], "v": lists}).to_parquet(place / "lists.parquet")
    return [place / "lists.parquet" if text == place / "vectors.csv" else text for text in command]


def clusters_a_table_without_regions(place):
    return [text for text in cluster(place) if text not in ("--regions", place / "many.gpkg")]


def clusters_a_file_that_is_not_there(place):
    command = cluster(place)
    (place / "vectors.csv").unlink()
    return command


CASES = {
    embeds_points_of_another_place: ["None of 20 points", "raster.tif", "x 490", "not swapped"],
    embeds_points_where_the_raster_is_empty: ["None of 20 points", "enough valid pixels"],
    grid_over_a_rotated_raster: ["rotated or mirrored grid", "gdalwarp"],
    grid_over_nothing: ["raster.tif: cannot be read", "supported file format."],
    raster_that_is_no_geotiff: ["e.jpg", "GeoTIFF, not as '.jpg'", ".tif"],
    clusters_by_points_of_another_place: ["None of 20 points of interest lies in a region", "same place"],
    clusters_lists_of_two_lengths: ["'v' have lengths [2, 3]", "two models"],
    clusters_a_table_without_regions: ["vectors.csv holds no polygons or points", "(regions)"],
    clusters_a_file_that_is_not_there: ["vectors.csv: there is no such file", "Check the path"],
    clusters_what_is_all_the_same: ["nothing to cluster", "30 regions with a vector all have the same"],
    clusters_one_region: ["one region has a vector"],
    clusters_what_is_not_finite: ["None of the 30 regions has a vector"],
    clusters_into_more_than_there_are: ["31 clusters", "30 different vectors", "2 to 30"],
    clusters_a_density_into_a_number: ["HDBSCAN finds the number of clusters", "min_size"],
    clusters_by_a_field_that_is_not_there: ["no field 'rent'", "region_id, price"],
    similar_to_nothing: ["choose regions", "ids", "(chosen)"],
    similar_to_an_id_that_is_not_there: ["1 of 2 ids", "r99", "such as r0, r1"],
    similar_across_models: ["3-d vectors", "4-d", "different models", "same checkpoint"],
    similar_to_a_region_without_a_vector: ["None of the 1 chosen regions has a vector"],
    similar_on_a_map_that_is_none: ["no polygons", "table"],
    similar_to_polygons_in_a_table_without: ["cannot be chosen on a map", "by id"],
    predicts_a_missing_field: ["no label column 'rent'", "region_id, price"],
    predicts_from_no_label: ["'price' has 0 different values", "two are needed"],
    predicts_a_single_class: ["1 classes", "two or more are needed"],
    predicts_from_few_labels: ["9 regions have a label and vectors", "20 are needed", "21 have no label"],
    predicts_texts_as_numbers: ["'zone'", "not numbers", "column of numbers"],
    fine_tunes_another_method: ["model of AETHER", "cannot be fine-tuned", "checkpoint of ReFound or UrbanCLIP"],
    ablation_that_the_method_does_not_have: ["no ablation 'w/o text'", "'w/o aug'"],
    sweep_of_a_number_that_is_none: ["no number 'lambda'", "lambda_image"],
    sweep_to_a_value_that_is_refused: ["lambda_image must lie in [0, 1]", "7"],
    ablation_without_a_target: ["name what to predict (targets)"],
    ablation_of_a_label_that_is_none: ["rent", "price"],
    ablation_of_too_few_regions: ["'price'", "3 regions", "20 are needed"],
    ablation_with_an_encoder_that_is_no_folder: ["no such encoder", "text encoder"],
    attend_with_a_model_that_has_no_attention: ["AETHER has no attention", "ReFound"],
    attend_to_a_category_that_is_not_there: ["No point of interest has the category 'pub'", "bar (10), school (10)"],
    attend_to_a_row_that_is_not_there: ["1 of 1 rows", "first is 20", "up to 19"],
    attend_to_selected_points_of_another_layer: ["None of 20 points", "0 selected points", "must come from the layer"],
    search_with_a_model_that_has_no_text_side: ["ReFound has no text side", "method that has one"],
    attend_without_imagery: ["give imagery", "attend --help"],
    attend_beside_the_imagery: ["None of 3 regions", "raster.tif", "same place"],
    attend_to_points_outside_all_regions: ["None of 20 chosen points", "same place"],
    attend_with_a_model_that_never_saw_imagery: ["trained without imagery", "--imagery"],
    attend_into_one_file_twice: ["r.gpkg", "both pois_out and regions_out", "of its own"],
    attend_into_a_shapefile: ["p.shp", "Shapefile", ".gpkg"],
}


@pytest.mark.parametrize("spoil", CASES, ids=lambda case: case.__name__)
def test_it_is_refused_with_what_where_and_how_to_mend_it(place, urbanfm, spoil):
    assert_refused(place, urbanfm, spoil(place), CASES[spoil])
