"""A square of regions whose vectors hold planted signals."""

import geopandas as gpd
import numpy as np
import pytest
from scipy.special import softmax
from shapely.geometry import box

SIDE = 12


@pytest.fixture(scope="session")
def planted():
    """Features (N, 6), and targets that they decide: a value, two classes, three classes, and shares."""
    rng = np.random.default_rng(0)
    count = SIDE * SIDE
    features = rng.normal(size=(count, 6))
    weights = rng.normal(size=(6, 3))
    scores = features @ weights
    return {
        "xy": np.array([(column, row) for row in range(SIDE) for column in range(SIDE)], float) * 100,
        "features": features,
        "noise": rng.normal(size=(count, 6)),
        "regression": scores[:, :1] + 0.1 * rng.normal(size=(count, 1)),
        "binary": np.eye(2)[(scores[:, 0] > 0).astype(int)],
        "multiclass": np.eye(3)[scores.argmax(axis=1)],
        "distribution": softmax(0.7 * scores, axis=1),
    }


@pytest.fixture(scope="session")
def layer(planted):
    """The same as a layer of squares with labels in its fields; every tenth price is missing."""
    return gpd.GeoDataFrame(
        {
            "code": [f"r{number:03d}" for number in range(SIDE * SIDE)],
            "price": np.where(np.arange(SIDE * SIDE) % 10 == 0, np.nan, np.exp(planted["regression"][:, 0])),
            "kind": np.array(["a", "b", "c"])[planted["multiclass"].argmax(axis=1)],
            "s_1": planted["distribution"][:, 0],
            "s_2": planted["distribution"][:, 1],
            "s_3": planted["distribution"][:, 2],
        },
        geometry=[box(x, y, x + 100, y + 100) for x, y in planted["xy"] + 500_000],
        crs="EPSG:25830",
    )
