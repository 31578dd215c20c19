from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from urbanfm_core.errors import Cancelled, ConfigError, EmptyInputError, InputError
from urbanfm_core.maps import grouping, silhouette
from urbanfm_core.maps.grouping import group_regions
from urbanfm_core.maps.silhouette import silhouettes
from urbanfm_core.progress import Progress


def blobs(rows: int, apart: float = 6.0, seed: int = 0, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Four kinds of unequal number, mixed."""
    rng = np.random.default_rng(seed)
    which = rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    return (rng.normal(size=(4, width))[which] * apart + rng.normal(size=(rows, width))).astype(np.float32), which


def test_silhouettes_are_scikit_learn_s(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, which = blobs(300, apart=1.0)
    vectors += 1000  # far from the origin, where squares cancel
    labels = which.astype(np.int32)
    labels[7] = 4  # a cluster of one
    monkeypatch.setattr(silhouette, "_BLOCK_ROWS", 70)
    found = silhouettes(vectors, labels)
    np.testing.assert_allclose(found, silhouette_samples(vectors.astype(np.float64), labels), atol=1e-6)
    assert found[7] == 0
    labels[::5] = -1
    kept = labels >= 0
    found = silhouettes(vectors, labels)
    assert np.isnan(found[~kept]).all()
    np.testing.assert_allclose(
        found[kept], silhouette_samples(vectors[kept].astype(np.float64), labels[kept]), atol=1e-6
    )


def test_a_sample_estimates_silhouettes() -> None:
    vectors, which = blobs(3000, apart=1.0)
    exact = silhouettes(vectors, which.astype(np.int32))
    sampled = silhouettes(vectors, which.astype(np.int32), most=500)
    assert abs(sampled.mean() - exact.mean()) < 0.02
    assert np.corrcoef(sampled, exact)[0, 1] > 0.95
    assert not np.array_equal(sampled, exact)


def test_one_cluster_has_no_silhouette() -> None:
    assert np.isnan(silhouettes(blobs(10)[0], np.zeros(10, np.int32))).all()


@pytest.mark.parametrize("algorithm", ["kmeans", "hdbscan"])
def test_the_kinds_that_are_there_are_found_without_their_number(algorithm) -> None:
    vectors, which = blobs(600)
    found = group_regions(vectors, algorithm=algorithm)
    assert len(found.sizes) == 4 and adjusted_rand_score(which, found.labels) > 0.95
    assert (np.diff(found.sizes) <= 0).all()
    assert found.mean_silhouette > 0.5 and not any("blur" in note for note in found.notes)
    own = found.labels >= 0
    np.testing.assert_allclose(
        found.distance[own], np.linalg.norm(vectors[own] - found.centres[found.labels[own]], axis=1), rtol=1e-4
    )
    nearest = found.members(0)
    assert found.distance[nearest[0]] == found.distance[found.labels == 0].min()
    assert max(found.tried, key=lambda one: one[1])[1] == pytest.approx(
        np.nan_to_num(found.silhouette).mean(), abs=0.02
    )


def test_labels_are_the_same_in_every_run_and_order_of_rows() -> None:
    vectors, _ = blobs(500)
    first = group_regions(vectors, seed=0)
    again = group_regions(vectors, seed=0)
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.silhouette, again.silhouette)
    shuffled = np.random.default_rng(1).permutation(500)
    other = group_regions(vectors[shuffled], seed=5)
    np.testing.assert_array_equal(other.labels, first.labels[shuffled])


def test_equal_sizes_are_ordered_by_the_first_row() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32)[[2, 0, 1]], 4, axis=0)
    for seed in range(4):
        found = group_regions(vectors, clusters=3, seed=seed)
        assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_rows_that_are_not_finite_or_too_large_belong_nowhere() -> None:
    vectors, _ = blobs(200)
    vectors = vectors.astype(np.float64)
    vectors[3], vectors[4, 2], vectors[5, 0], vectors[6, 1] = np.nan, np.inf, -np.inf, 1e300
    found = group_regions(vectors, clusters=4)
    assert (found.labels[3:7] == -1).all() and not found.known[3:7].any()
    assert np.isnan(found.silhouette[3:7]).all() and np.isnan(found.distance[3:7]).all()
    assert found.known.sum() == found.sizes.sum() == 196
    assert any(note.startswith("4 of 200 regions have no vector") for note in found.notes)


def test_constant_dimensions_are_said_and_do_no_harm() -> None:
    vectors, which = blobs(200)
    vectors[:, 3:5] = 7.0
    for scaling in ("none", "unit", "standard"):
        found = group_regions(vectors, clusters=4, scaling=scaling)
        assert np.isfinite(found.silhouette).all()
        assert adjusted_rand_score(which, found.labels) > 0.9
        assert "2 of 8 dimensions are the same everywhere and say nothing." in found.notes


def test_scaling_lets_small_dimensions_speak() -> None:
    vectors, which = blobs(300)
    vectors = np.column_stack([vectors, np.random.default_rng(0).normal(size=300) * 1e5])
    assert adjusted_rand_score(which, group_regions(vectors, clusters=4).labels) < 0.5
    assert adjusted_rand_score(which, group_regions(vectors, clusters=4, scaling="standard").labels) > 0.9


def test_no_structure_is_said() -> None:
    vectors = np.random.default_rng(0).normal(size=(400, 16))
    found = group_regions(vectors)
    assert any("blur" in note for note in found.notes)
    with pytest.raises(InputError, match="no two dense groups"):
        group_regions(vectors, algorithm="hdbscan", min_size=50)


def test_more_regions_than_density_takes_join_their_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, which = blobs(900, width=24)
    monkeypatch.setattr(grouping, "_DENSITY_ROWS", 300)
    found = group_regions(vectors, algorithm="hdbscan", min_size=30)
    assert adjusted_rand_score(which, found.labels) > 0.95 and found.tried == []
    assert any("sample of 300 regions" in note for note in found.notes)
    assert any("16 principal components" in note for note in found.notes)


def test_what_cannot_be_clustered_is_refused() -> None:
    vectors, _ = blobs(6)
    with pytest.raises(EmptyInputError, match="None of the 5 regions"):
        group_regions(np.full((5, 3), np.nan))
    with pytest.raises(InputError, match="one region has a vector"):
        group_regions(vectors[:1])
    with pytest.raises(InputError, match="6 regions with a vector all have the same"):
        group_regions(np.ones((6, 3)))
    with pytest.raises(ConfigError, match="Ask for 2 to 3"):
        group_regions(vectors[[0, 1, 2, 2]], clusters=4)
    with pytest.raises(InputError, match="too few for clusters of at least 5"):
        group_regions(vectors[:4], algorithm="hdbscan")


def test_two_regions_are_two_clusters() -> None:
    found = group_regions(blobs(2)[0])
    assert sorted(found.labels.tolist()) == [0, 1] and found.tried == []


def test_cancel_stops() -> None:
    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        group_regions(blobs(100)[0], progress=Stop())


def test_a_few_odd_ones_beside_all_others_are_pointed_at() -> None:
    vectors = np.random.default_rng(0).normal(size=(100, 3))
    vectors[:3] += 200
    found = group_regions(vectors)
    assert found.sizes.tolist() == [97, 3]
    assert any("One cluster holds 97 of 100 regions" in note for note in found.notes)
    assert not any("One cluster holds" in note for note in group_regions(blobs(200)[0]).notes)
