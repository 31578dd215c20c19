"""Scores of predictions: regression, binary, multi-class, and shares of a whole.

One function per task takes the truth and the predictions of all regions that were held out once, and returns named
numbers. A number that the data cannot give, such as R2 of equal values, is NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]
Task = Literal["regression", "binary", "multiclass", "distribution"]

# The score that probes are compared by, first; all are reported.
METRICS: dict[Task, tuple[str, ...]] = {
    "regression": ("R2", "RMSE", "MAE"),
    "binary": ("AUC", "F1"),
    "multiclass": ("F1", "precision", "recall"),
    "distribution": ("KL", "L1", "Chebyshev"),
}
LOWER_IS_BETTER = frozenset({"RMSE", "MAE", "KL", "L1", "Chebyshev"})
# For readers who do not know the names.
MEANINGS = {
    "R2": "share of the differences between regions that is predicted: 1 is perfect, 0 no better than one mean for all",
    "RMSE": "size of the errors, large ones counting more, in the unit of the target",
    "MAE": "mean size of the errors, in the unit of the target",
    "AUC": "how often a region of the class is ranked above one that is not: 1 is perfect, 0.5 chance",
    "F1": "precision and recall in one number: 1 is perfect",
    "precision": "share of the regions given a class that are of it, mean over the classes",
    "recall": "share of the regions of a class that are given it, mean over the classes",
    "KL": "divergence of the true shares from the predicted ones (Kullback and Leibler): 0 is perfect",
    "L1": "sum of the differences of the shares: 0 is perfect, 2 the worst",
    "Chebyshev": "largest difference of a share: 0 is perfect, 1 the worst",
}
_SMALLEST_SHARE = 1e-12


def score(task: Task, truth: Array, predicted: Array) -> dict[str, float]:
    """All scores of a task.

    Args:
        task: Which task.
        truth: (N, K): a value (K = 1), or one row of shares that sum to 1 per region; classes are ones and zeros.
        predicted: (N, K): values, or probabilities.
    """
    if task == "regression":
        return regression_scores(truth[:, 0], predicted[:, 0])
    if task == "binary":
        return binary_scores(truth[:, 1], predicted[:, 1])
    if task == "multiclass":
        return multiclass_scores(truth.argmax(axis=1), predicted.argmax(axis=1))
    return distribution_scores(truth, predicted)


def meanings(task: Task) -> str:
    """What the scores of a task are, in one line."""
    return "; ".join(f"{name}: {MEANINGS[name]}" for name in METRICS[task]) + "."


def better(metric: str, first: float, second: float) -> bool:
    """Whether the first score is better than the second."""
    return first < second if metric in LOWER_IS_BETTER else first > second


def regression_scores(truth: Array, predicted: Array) -> dict[str, float]:
    """R2 = 1 - sum (y - p)^2 / sum (y - mean y)^2, RMSE and MAE; arrays (N,)."""
    error = predicted - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    r2 = 1.0 - float((error**2).sum()) / spread if spread > 0 else np.nan
    return {"R2": r2, "RMSE": float(np.sqrt((error**2).mean())), "MAE": float(np.abs(error).mean())}


def binary_scores(truth: Array, probability: Array) -> dict[str, float]:
    """Area under the ROC curve, and F1 of the positive class at a probability of 1/2; arrays (N,), truth 0 or 1.

    The area is the share of (positive, negative) pairs in the right order, ties counting half.
    """
    positive = truth > 0.5
    p, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(probability)
    area = (float(ranks[positive].sum()) - p * (p + 1) / 2) / (p * n) if p and n else np.nan
    chosen = probability > 0.5
    hits = int((chosen & positive).sum())
    found = p + int(chosen.sum())
    return {"AUC": area, "F1": 2 * hits / found if found else np.nan}


def multiclass_scores(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """F1, precision and recall, each the plain mean over the classes that occur in the truth; arrays (N,).

    A class that is never predicted has precision 0.
    """
    classes = np.unique(truth)
    hits = np.array([((truth == c) & (predicted == c)).sum() for c in classes], float)
    actual = np.array([(truth == c).sum() for c in classes], float)
    chosen = np.array([(predicted == c).sum() for c in classes], float)
    precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
    return {
        "F1": float((2 * hits / (actual + chosen)).mean()),
        "precision": float(precision.mean()),
        "recall": float((hits / actual).mean()),
    }


def distribution_scores(truth: Array, predicted: Array) -> dict[str, float]:
    """Distances of predicted shares p from true ones q, each the mean over regions; arrays (N, K), rows sum to 1.

    KL = sum q log(q / p), L1 = sum |p - q|, Chebyshev = max |p - q| (AETHER, section 4.5). The paper writes L1 with a
    factor 1/N; its own figures (KL 0.033, L1 0.188) fit only if N counts regions, as here, and not shares.
    """
    p = np.maximum(predicted, _SMALLEST_SHARE)
    terms = np.where(truth > 0, truth * np.log(np.maximum(truth, _SMALLEST_SHARE) / p), 0.0)
    difference = np.abs(predicted - truth)
    return {
        "KL": float(terms.sum(axis=1).mean()),
        "L1": float(difference.sum(axis=1).mean()),
        "Chebyshev": float(difference.max(axis=1).mean()),
    }
