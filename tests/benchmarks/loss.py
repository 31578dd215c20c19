"""The symmetric contrastive loss of one large batch, forward and backward, beside autograd on the full matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting

ROWS, WIDTH = 16_384, 512
SCALE = 1 / 0.07
BLOCK = 512
# Of gradients, in units of the largest entry, against float64; of the loss itself, absolute. The goal is 1e-6 for the full
# size; float32 logits of a small batch can cost a little more, whoever computes them.
TOLERANCE = 2e-6


def make(folder: Path, scale: float, seed: int) -> None:
    """Pairs of unit vectors half way through training, with the loss and the gradients in float64."""
    rng = np.random.default_rng(seed)
    left = rng.standard_normal((int(ROWS * scale), WIDTH))
    right = left + 2 * rng.standard_normal(left.shape)
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (left, right))
    left, right = left.astype(np.float32), right.astype(np.float32)
    np.savez(folder / "pairs.npz", left=left, right=right)
    np.savez(folder / "truth.npz", **_truth(left.astype(np.float64), right.astype(np.float64)))


def _truth(left: np.ndarray, right: np.ndarray) -> Arrays:
    """The formula, a block of rows at a time. Logits of unit vectors at this scale need no shift in float64."""
    by_row, by_column, positive = np.empty(len(left)), np.zeros(len(left)), (left * right).sum(axis=1)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(left), BLOCK)]
    for rows in blocks:
        exponentials = np.exp(SCALE * left[rows] @ right.T)
        by_row[rows] = exponentials.sum(axis=1)
        by_column += exponentials.sum(axis=0)
    toward_left, toward_right = -2 * right, -2 * left
    for rows in blocks:
        both = np.exp(SCALE * left[rows] @ right.T)
        both *= 1 / by_row[rows, None] + 1 / by_column
        toward_left[rows] += both @ right
        toward_right += both.T @ left[rows]
    weight = 1 / (2 * len(left))
    return {
        "loss": weight * (np.log(by_row) + np.log(by_column) - 2 * SCALE * positive).sum(),
        "left": weight * SCALE * toward_left,
        "right": weight * SCALE * toward_right,
        "scale": weight * (left * toward_left).sum(),
    }


def computing(loss: Callable) -> Callable[[Setting], Callable[[], Output]]:
    """Loss and gradients of both sides and the scale, by a function of the three."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        import urbanfm_core.objectives.contrastive  # noqa: F401 - no contender's time holds an import

        with np.load(setting.inputs / "pairs.npz") as file:
            leaves = {name: torch.from_numpy(file[name]).requires_grad_() for name in ("left", "right")}
        leaves["scale"] = torch.tensor(SCALE, requires_grad=True)

        def work() -> Output:
            value = loss(*leaves.values())
            gradients = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
            found = {"loss": value.detach(), **gradients}

            def errors() -> Arrays:
                with np.load(setting.inputs / "truth.npz") as truth:
                    return {name: _error(name, one.numpy(), truth[name]) for name, one in found.items()}

            return Output(errors)

        return work

    return prepare


def _error(name: str, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    unit = 1.0 if name == "loss" else np.abs(truth).max()
    return np.array(np.abs(found - truth).max() / unit)


def ours(left, right, scale):  # type: ignore[no-untyped-def]
    """`objectives.contrastive.contrastive_loss`, as the methods call it."""
    from urbanfm_core.objectives.contrastive import contrastive_loss

    return contrastive_loss(left, right, scale)


def full_matrix(left, right, scale):  # type: ignore[no-untyped-def]
    """Two cross-entropies of the matrix of all pairs, the usual way."""
    import torch
    from torch.nn.functional import cross_entropy

    logits, truth = scale * left @ right.t(), torch.arange(len(left))
    return 0.5 * (cross_entropy(logits, truth) + cross_entropy(logits.t(), truth))


def products(setting: Setting) -> Callable[[], Output]:
    """The three matrix products alone, without ever holding a matrix of all pairs."""
    import torch

    with np.load(setting.inputs / "pairs.npz") as file:
        left, right = torch.from_numpy(file["left"]), torch.from_numpy(file["right"])

    def work() -> Output:
        toward_right = torch.zeros_like(right)
        for rows in left.split(BLOCK):
            block = torch.mm(rows, right.t())
            torch.mm(block, right)
            toward_right.addmm_(block.t(), rows)
        return Output()

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Each against float64."""
    words = {}
    for name, errors in outputs.items():
        words[name] = "; ".join(f"{part} off by {float(error):.1e}" for part, error in errors.items())
        if name == "ours" and not max(errors.values()) <= TOLERANCE:
            raise Mismatch(f"{name}: {words[name]}, where at most {TOLERANCE:g} is allowed.")
    return words


CASES = {
    "symmetric": Case(
        f"{ROWS} pairs of {WIDTH}, forward and backward",
        make,
        {
            "ours": Contender(computing(ours), "ours"),
            "full matrix": Contender(computing(full_matrix), "peer"),
            "matrix products": Contender(products, "floor"),
        },
        compare,
        (Goal("ours", "full matrix", 1.0), Goal("ours", "full matrix", 0.1, "peak_mib")),
    ),
}
