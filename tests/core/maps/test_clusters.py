from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from urbanfm_core.errors import Cancelled, ConfigError, EmptyInputError, ShapeError
from urbanfm_core.maps import clusters as clusters_module
from urbanfm_core.maps.clusters import cluster_vectors
from urbanfm_core.progress import Progress


def blobs(rows: int, seed: int = 0, apart: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around five centres, of unequal numbers, in the order of the centres, as rows of a city come."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 8)) * apart
    which = np.sort(rng.choice(5, rows, p=[0.4, 0.25, 0.2, 0.1, 0.05]))
    return (centres[which] + rng.normal(size=(rows, 8))).astype(np.float32), which


def test_clusters_are_those_that_are_there() -> None:
    vectors, which = blobs(5000)
    found = cluster_vectors(vectors, 5)
    assert adjusted_rand_score(which, found.labels) > 0.99
    assert (np.diff(found.sizes) <= 0).all()
    np.testing.assert_array_equal(found.sizes, np.bincount(found.labels))
    own = np.square(vectors - found.centres[found.labels]).sum()
    assert found.inertia == pytest.approx(own, rel=1e-4)


def test_inertia_is_lloyd_s_within_one_per_cent() -> None:
    vectors, _ = blobs(20_000, apart=1.0)
    lloyd = min(KMeans(12, n_init=1, random_state=seed).fit(vectors).inertia_ for seed in range(5))
    assert cluster_vectors(vectors, 12).inertia <= 1.01 * lloyd


def test_chunks_and_a_file_on_disk_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = blobs(3000)
    np.save(tmp_path / "vectors.npy", vectors)
    monkeypatch.setattr(clusters_module, "_CHUNK_ROWS", 700)
    here = cluster_vectors(vectors, 4, seed=3)
    there = cluster_vectors(np.load(tmp_path / "vectors.npy", mmap_mode="r"), 4, seed=3)
    np.testing.assert_array_equal(here.labels, there.labels)
    np.testing.assert_array_equal(here.centres, there.centres)


def test_rows_without_a_vector_belong_nowhere() -> None:
    vectors, _ = blobs(1000)
    vectors[::7] = np.nan
    found = cluster_vectors(vectors, 5)
    assert (found.labels[::7] == -1).all()
    kept = np.isfinite(vectors).all(axis=1)
    np.testing.assert_array_equal(found.labels[kept], cluster_vectors(vectors[kept], 5).labels)
    assert found.sizes.sum() == kept.sum()


def test_as_many_clusters_as_rows_and_one() -> None:
    vectors, _ = blobs(6)
    assert cluster_vectors(vectors, 6).inertia == pytest.approx(0, abs=1e-3)
    one = cluster_vectors(vectors, 1)
    np.testing.assert_allclose(one.centres[0], vectors.mean(axis=0), atol=1e-5)


def test_what_cannot_be_clustered_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 to 6"):
        cluster_vectors(blobs(6)[0], 7)
    with pytest.raises(EmptyInputError):
        cluster_vectors(np.full((3, 2), np.nan, np.float32), 1)
    with pytest.raises(ShapeError):
        cluster_vectors(np.zeros(3, np.float32), 1)


def test_cancel_stops() -> None:
    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        cluster_vectors(blobs(100)[0], 2, progress=Stop())
