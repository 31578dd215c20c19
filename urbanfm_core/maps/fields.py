"""New fields beside those that a layer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd


def add_fields(frame: gpd.GeoDataFrame, fields: Mapping[str, Any]) -> gpd.GeoDataFrame:
    """A frame with more columns, row by row; one of its own that bears such a name is kept as `src_...`."""
    ours = {name.lower() for name in fields}
    # GeoPackage does not tell upper from lower case.
    taken = {str(name).lower() for name in frame.columns} | ours
    renamed = {}
    for name in frame.columns:
        if str(name).lower() in ours:
            new = f"src_{name}"
            while new.lower() in taken:
                new = f"src_{new}"
            taken.add(new.lower())
            renamed[name] = new
    columns = {
        name: values.array if isinstance(values, pd.Series) else values if _is_extension(values) else np.asarray(values)
        for name, values in fields.items()
    }
    return frame.rename(columns=renamed).join(pd.DataFrame(columns, index=frame.index))


def _is_extension(values: Any) -> bool:
    return isinstance(values, pd.api.extensions.ExtensionArray)
