"""Extra tables about regions: numbers find their region, and everything else is told."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.region_features import RegionFeatures
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, InputError, NoOverlapError


@pytest.fixture
def regions() -> RegionSet:
    shapes = [shapely.box(x, 0, x + 1, 1) for x in range(3)]
    return RegionSet.from_layer(geopandas.GeoDataFrame({"tract": [11, 12, 13]}, geometry=shapes, crs=32631), "tract")


def test_numbers_and_lists_of_numbers_are_taken(regions: RegionSet, tmp_path) -> None:
    table = pd.DataFrame(
        {
            "tract": [13, 11, 99],
            "flow": [1.5, 2.0, 3.0],
            "word": ["a", "b", "c"],
            "vector": [[1.0, 2.0], None, [5.0, np.inf]],
            "mixed": ["1", "x", "3"],
            "when": pd.to_datetime(["2020-01-01"] * 3),
            "ragged": [[1.0], [1.0, 2.0], [1.0]],
        }
    )
    table.to_parquet(tmp_path / "extra.parquet")
    found = CityInputs(features=tmp_path / "extra.parquet", regions=regions).read_features()
    assert found.names == ["flow", "vector[0]", "vector[1]"]
    np.testing.assert_array_equal(found.values, [[2, np.nan, np.nan], [np.nan] * 3, [1.5, 1, 2]])
    assert found.notes == [
        "Features of regions: 3 numbers by 'tract'.",
        "1 of 3 regions have no row in the table of features.",
        "1 of 3 rows of the features are of no region.",
        "4 columns of the features hold no numbers and are left out.",
    ]


def test_a_csv_of_text_is_understood(regions: RegionSet, tmp_path) -> None:
    (tmp_path / "extra.csv").write_text("region_id,a,b\n12,1,\n11,2.5,7\n", "utf-8")
    found = RegionFeatures.read(tmp_path / "extra.csv", regions)
    np.testing.assert_array_equal(found.values, [[2.5, 7], [1, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("table", "kind", "message"),
    [
        ({"tract": [11, 11], "a": [1, 2]}, InputError, "1 ids stand in more than one row; the first are 11"),
        ({"zone": [11], "a": [1]}, ConfigError, "no column 'tract' or 'region_id' or 'id'"),
        ({"tract": [11], "a": ["x"]}, ConfigError, "no column of numbers"),
        ({"tract": [7], "a": [1]}, NoOverlapError, "none of its 1 ids"),
    ],
)
def test_tables_that_say_nothing_of_these_regions(regions: RegionSet, table: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        RegionFeatures.read(pd.DataFrame(table), regions)


def test_another_column_can_be_named(regions: RegionSet) -> None:
    found = RegionFeatures.read(pd.DataFrame({"zone": [11.0, 12.0], "a": [1, 2]}), regions, "zone")
    assert found.values[:2, 0].tolist() == [1, 2]
