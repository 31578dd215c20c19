"""First principal components of region vectors: what a map colours and a table shows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from urbanfm_core.errors import ShapeError


def principal_components(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """First three principal components.

    The sign of each is fixed so that its largest loading is positive, hence the same vectors give the same numbers
    everywhere.

    Args:
        vectors: (R, D). A row with a value that is not finite is a region without a vector.

    Returns:
        (R, 3), NaN for a region without a vector, zero for components that do not exist (D < 3, or fewer than four
        distinct vectors).

    Raises:
        ShapeError: not a matrix.
    """
    if vectors.ndim != 2:
        raise ShapeError(f"Vectors to colour are (R, D), found {vectors.shape}.")
    covered = np.isfinite(vectors).all(axis=1)
    components = np.full((len(vectors), 3), np.nan)
    components[covered] = _of_complete(vectors[covered])
    return components


def _of_complete(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(R, 3) of complete vectors, (R, D)."""
    from sklearn.decomposition import PCA

    rows, width = vectors.shape
    result = np.zeros((rows, 3))
    count = min(3, width, rows - 1)
    if count < 1:
        return result
    solver = "covariance_eigh" if rows >= width else "full"
    pca = PCA(count, svd_solver=solver).fit(vectors.astype(np.float64))
    loadings = pca.components_
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.where(loadings[np.arange(count), largest] < 0, -1.0, 1.0)
    result[:, :count] = (vectors.astype(np.float64) - pca.mean_) @ (loadings.T * signs)
    # A component without variance holds rounding noise, which a stretch would blow up to full colour.
    noise = pca.explained_variance_ <= 1e-12 * max(pca.explained_variance_[0], np.finfo(float).tiny)
    scale = float(np.abs(vectors).max()) ** 2 * np.finfo(np.float32).eps ** 2
    result[:, :count][:, noise | (pca.explained_variance_ <= scale)] = 0.0
    return result
