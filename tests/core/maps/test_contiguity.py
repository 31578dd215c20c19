"""Connected clusters, against scikit-learn's own, and the links that connect a map."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import AgglomerativeClustering

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.maps import contiguity
from urbanfm_core.maps.contiguity import connected_labels, neighbour_links
from urbanfm_core.maps.grouping import group_regions


def region_set(boxes) -> RegionSet:
    frame = gpd.GeoDataFrame({"region_id": np.arange(len(boxes))}, geometry=list(boxes), crs=32630)
    return RegionSet.from_layer(frame)


def squares(columns: int, rows: int, left: float = 500_000.0, low: float = 4_000_000.0) -> list:
    return [
        shapely.box(left + 100 * x, low + 100 * y, left + 100 * x + 100, low + 100 * y + 100)
        for y in range(rows)
        for x in range(columns)
    ]


def graph_of(links, rows) -> csr_array:
    one = csr_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(rows, rows))
    return one + one.T


def same_parts(one, other) -> bool:
    pairs = np.unique(np.column_stack([one, other]), axis=0)
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


def pieces(labels, cluster, graph) -> int:
    rows = np.flatnonzero(labels == cluster)
    return connected_components(graph[rows][:, rows], directed=False)[0]


def test_the_tree_is_cut_as_scikit_learn_cuts_it() -> None:
    regions = region_set(squares(8, 8))
    notes: list[str] = []
    links = neighbour_links(regions, notes)
    assert not notes
    vectors = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    counts = [1, 2, 5, 20, 64]
    for count, labels in zip(counts, connected_labels(vectors, links, counts), strict=True):
        theirs = AgglomerativeClustering(count, connectivity=graph_of(links, 64)).fit_predict(vectors)
        assert same_parts(labels, theirs) and set(labels) == set(range(count))


def test_parts_of_the_map_are_joined_by_the_shortest_links() -> None:
    # Two blocks 1 km apart, and an island 300 m off the second one's corner.
    boxes = squares(2, 2) + squares(2, 2, left=501_200.0) + [shapely.box(501_700, 4_000_000, 501_800, 4_000_100)]
    notes: list[str] = []
    links = neighbour_links(region_set(boxes), notes)
    assert connected_components(graph_of(links, 9), directed=False)[0] == 1
    part = np.array([0] * 4 + [1] * 4 + [2])
    across = links[part[links[:, 0]] != part[links[:, 1]]]
    assert len(across) == 2 and {frozenset(part[pair]) for pair in across} == {frozenset((0, 1)), frozenset((1, 2))}
    assert [note.split()[0] for note in notes] == ["3"] and "2 links" in notes[0]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_islands_in_a_line_or_on_one_centre_are_joined(count) -> None:
    islands = [shapely.box(500_000 + 1000 * x, 0, 500_100 + 1000 * x, 100) for x in range(count)]
    ring = shapely.Point(500_050, 50).buffer(400).difference(shapely.Point(500_050, 50).buffer(300))
    links = neighbour_links(region_set([*islands, ring]), [])
    assert connected_components(graph_of(links, count + 1), directed=False)[0] == 1 and len(links) == count


def test_clusters_are_connected_and_regions_without_a_vector_are_left_out() -> None:
    regions = region_set(squares(10, 10))
    column = np.tile(np.arange(10), 10)
    vectors = np.random.default_rng(1).normal(0, 0.3, (100, 4)).astype(np.float32)
    vectors[:, 0] += np.where(column < 5, 0, 8)
    # As alike as can be, but in opposite corners.
    corners = [0, 99]
    vectors[corners] = [50.0, 50.0, 50.0, 50.0]
    vectors[column == 4] = np.nan
    free = group_regions(vectors, clusters=3)
    assert free.labels[0] == free.labels[99]
    found = group_regions(vectors, clusters=4, connected=regions)
    graph = graph_of(neighbour_links(regions, []), 100)
    assert found.labels[0] != found.labels[99] and (found.labels[column == 4] == -1).all()
    assert all(pieces(found.labels, cluster, graph) == 1 for cluster in range(4))
    assert any("no vector" in note for note in found.notes) and any("2 parts" in note for note in found.notes)
    assert sorted(found.sizes) == [1, 1, 39, 49]
    chosen = group_regions(vectors, connected=regions)
    assert [number for number, _ in chosen.tried] == list(range(2, 13))
    assert len(chosen.sizes) == max(chosen.tried, key=lambda one: one[1])[0]


def test_too_many_regions_or_clusters_are_refused(monkeypatch) -> None:
    regions = region_set(squares(3, 3))
    vectors = np.random.default_rng(0).normal(size=(9, 2))
    with pytest.raises(ConfigError, match="10 clusters cannot be made of 9 regions"):
        group_regions(vectors, clusters=10, connected=regions)
    monkeypatch.setattr(contiguity, "MOST_REGIONS", 8)
    with pytest.raises(InputError, match="9 regions are too many for connected clusters; 8"):
        group_regions(vectors, clusters=2, connected=regions)
