"""What makes a cluster of regions differ from the whole city: its points of interest, its fields, its typical regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, NoOverlapError
from urbanfm_core.maps.grouping import Groups
from urbanfm_core.progress import Progress

_TYPICAL = 3
_NAMED = 3
# A category counts as over- or under-represented if its number is so many deviations from the city's share.
_DEVIATIONS = 2.0
# ... and so many points of it are there, or would be at the city's share.
_LEAST_POINTS = 5
# A field counts as high or low if a cluster's mean lies so many deviations of the city's regions from the city's mean.
_FAR = 0.25
_MOST_FIELDS, _MOST_VALUES, _MOST_CATEGORIES = 30, 12, 100


@dataclass(frozen=True)
class Share:
    """A category of points of interest in a cluster.

    Attributes:
        count: Points of it in the cluster.
        share: Of the cluster's points.
        city: Of the points in all regions.
        deviations: (count - expected) / sqrt(expected (1 - city)), expected as many as in the city. Points come in
            groups, so this is a measure and no test.
    """

    name: str
    count: int
    share: float
    city: float
    deviations: float

    @property
    def times(self) -> float:
        """The location quotient, share / city."""
        return self.share / self.city


@dataclass(frozen=True)
class Level:
    """A field in a cluster.

    Attributes:
        mean: Of the cluster's regions that have it; of a text field's value, the share of regions with it.
        city: The same of all regions.
        deviations: (mean - city) / standard deviation of all regions.
        regions: Of the cluster, that have it.
    """

    name: str
    mean: float
    city: float
    deviations: float
    regions: int


@dataclass(frozen=True)
class Profile:
    """One cluster.

    Attributes:
        label: Suggested name.
        typical: Ids of the regions nearest to its centre.
        shares: By category, the most over-represented first.
        levels: By field, in their order.
    """

    number: int
    label: str
    regions: int
    silhouette: float
    typical: list[Any]
    points: int
    shares: list[Share] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)

    @property
    def more(self) -> list[Share]:
        """Over-represented categories, the strongest first."""
        return [one for one in self.shares if one.deviations >= _DEVIATIONS and one.count >= _LEAST_POINTS]

    @property
    def less(self) -> list[Share]:
        """Under-represented categories, the strongest first."""
        enough = [one for one in self.shares if one.city * self.points >= _LEAST_POINTS]
        return [one for one in enough[::-1] if one.deviations <= -_DEVIATIONS]

    @property
    def striking(self) -> list[Level]:
        """Fields that are high or low, the strongest first."""
        far = [one for one in self.levels if abs(one.deviations) >= _FAR]
        return sorted(far, key=lambda one: -abs(one.deviations))


def profile_clusters(
    groups: Groups,
    regions: RegionSet,
    columns: pd.DataFrame,
    pois: PoiSet | None,
    notes: list[str],
    progress: Progress | None = None,
) -> list[Profile]:
    """Profiles of all clusters, in their order.

    Args:
        groups: Clusters of R regions.
        regions: These.
        columns: (R, F) numbers, as `field_columns` makes them.
        pois: Points of interest.
        notes: Hears what is left out.
        progress: Reports and cancels.
    Raises:
        NoOverlapError: no point of interest lies in a region.
    """
    progress = progress or Progress()
    progress.update(0.0, "Describing the clusters")
    shares, points = _shares(groups, regions, pois, notes, progress) if pois is not None else ([], [])
    levels = _levels(groups, columns)
    profiles = []
    for number, size in enumerate(groups.sizes):
        made = Profile(
            number=number + 1,
            label="",
            regions=int(size),
            silhouette=float(groups.silhouette[groups.labels == number].mean()),
            typical=[regions.ids[row] for row in groups.members(number)[:_TYPICAL]],
            points=points[number] if points else 0,
            shares=shares[number] if shares else [],
            levels=levels[number],
        )
        profiles.append(Profile(**{**vars(made), "label": _label(made)}))
    return profiles


def field_columns(table: pd.DataFrame, wanted: Sequence[str], own: str, notes: list[str]) -> pd.DataFrame:
    """The fields to describe clusters by, as numbers.

    A field of numbers is itself; a text field makes a column of 0 and 1 for each of its commonest values.

    Args:
        table: Fields of the regions.
        wanted: Names; all fields of numbers when empty.
        own: The id field, which says nothing.
        notes: Hears what is left out.
    Raises:
        ConfigError: no such field.
    """
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ConfigError(
            f"The regions have no field {', '.join(map(repr, missing))}.",
            f"Their fields: {', '.join(map(str, table.columns)) or 'none'}.",
        )
    names = list(wanted) or [str(name) for name in table.columns if name != own and _is_number(table[name])]
    if not wanted and len(names) > _MOST_FIELDS:
        notes.append(
            f"Clusters are described by the first {_MOST_FIELDS} of {len(names)} fields of numbers; name fields to have "
            "others."
        )
        names = names[:_MOST_FIELDS]
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for name in names:
        if _is_number(table[name]):
            columns[name] = table[name].to_numpy(np.float64, na_value=np.nan)
            continue
        values = table[name].map(lambda value: None if pd.isna(value) else str(value))
        common = Counter(values.dropna()).most_common()
        if len(common) > _MOST_VALUES:
            notes.append(f"Field '{name}': the {_MOST_VALUES} commonest of {len(common)} values describe clusters.")
        for value, _ in common[:_MOST_VALUES]:
            columns[f"{name} = {value}"] = np.where(values.isna(), np.nan, values == value)
    kept = {}
    for name, column in columns.items():
        finite = column[np.isfinite(column)]
        if len(finite) and np.ptp(finite) > 0:
            kept[name] = np.where(np.isfinite(column), column, np.nan)
    silent = [name for name in columns if name not in kept]
    if silent:
        notes.append(
            f"{len(silent)} fields are empty or the same everywhere and describe nothing: {', '.join(silent[:8])}."
        )
    return pd.DataFrame(kept, index=table.index)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def _shares(
    groups: Groups, regions: RegionSet, pois: PoiSet, notes: list[str], progress: Progress
) -> tuple[list[list[Share]], list[int]]:
    """By cluster the shares of the categories, and the number of points."""
    pairs = regions.assign(pois.xy, pois.crs, progress)
    if not len(pairs.point):
        raise NoOverlapError(
            f"None of {len(pois):,} points of interest lies in a region, so they cannot describe clusters.",
            "Choose layers of the same place, and check that each carries its right CRS.",
        )
    outside = len(pois) - len(np.unique(pairs.point))
    if outside:
        notes.append(f"{outside:,} of {len(pois):,} points of interest lie in no region.")
    named = pd.Series(pois.category[pairs.point]).fillna(pd.Series(pois.subcategory[pairs.point]))
    told = named.notna().to_numpy()
    if not told.all():
        notes.append(f"{int((~told).sum()):,} points of interest have no category and describe nothing.")
    codes, names = pd.factorize(named[told], sort=True)
    if not len(codes):
        return [[] for _ in groups.sizes], [0 for _ in groups.sizes]
    label = groups.labels[pairs.region[told]]
    city = np.bincount(codes, minlength=len(names))
    taken = np.argsort(-city, kind="stable")[:_MOST_CATEGORIES]
    if len(names) > len(taken):
        notes.append(f"The {len(taken)} commonest of {len(names)} categories describe clusters.")
    found, points = [], []
    for number in range(len(groups.sizes)):
        counts = np.bincount(codes[label == number], minlength=len(names))
        total, p = int(counts.sum()), city / city.sum()
        expected = np.maximum(total * p, np.finfo(float).tiny)
        deviations = (counts - expected) / np.sqrt(np.maximum(expected * (1 - p), np.finfo(float).tiny))
        # A city of one category has no deviation from it.
        deviations = np.where((total > 0) & (p < 1), deviations, 0.0)
        order = sorted(taken, key=lambda at: (-deviations[at], at))
        found.append(
            [
                Share(str(names[at]), int(counts[at]), counts[at] / max(total, 1), float(p[at]), float(deviations[at]))
                for at in order
            ]
        )
        points.append(total)
    return found, points


def _levels(groups: Groups, columns: pd.DataFrame) -> list[list[Level]]:
    values = columns.to_numpy(np.float64)
    city, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    found = []
    for number in range(len(groups.sizes)):
        inside = values[groups.labels == number]
        filled = np.isfinite(inside).sum(axis=0)
        mean = np.divide(np.nansum(inside, axis=0), filled, out=np.full(len(city), np.nan), where=filled > 0)
        found.append(
            [
                Level(
                    str(name),
                    float(mean[at]),
                    float(city[at]),
                    float((mean[at] - city[at]) / spread[at]),
                    int(filled[at]),
                )
                for at, name in enumerate(columns.columns)
            ]
        )
    return found


def _label(profile: Profile) -> str:
    """A name from what stands out: categories first, else fields, else the number."""
    more = [one.name for one in profile.more[:_NAMED]]
    if more:
        return ", ".join(more)
    striking = [f"{'high' if one.deviations > 0 else 'low'} {one.name}" for one in profile.striking[: _NAMED - 1]]
    return ", ".join(striking) or f"cluster {profile.number}"
