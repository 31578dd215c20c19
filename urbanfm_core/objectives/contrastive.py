"""Exact contrastive losses for batches of any size (van den Oord et al. 2018; AETHER, eq. 5 and 6; UrbanLN, eq. 3 to 5).

The matrix of all pairs is what limits a batch: autograd keeps it several times over. Here the gradient is written out,
the matrix is made a few rows at a time, and made again on the way back: memory grows with the rows, not their square.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.objectives.masked import full_precision
from urbanfm_core.objectives.processes import all_rows, own_rows, process_count

SCALE_RANGE = (1.0, 100.0)

# Up to so many pairs the matrix is kept for the way back. With vectors of 128, both ways then take the same time; longer
# ones lose a quarter by making it again, which is the price of its memory (measured on a CPU core).
_KEPT_PAIRS = 4096**2
# Rows made at a time above that: fewer fetch the columns too often, more do not fit the cache.
_CHUNK_ROWS = 256

# Exponentials of logits up to this size, their reciprocals and the sums of a million of them are ordinary float32 numbers:
# nothing need be subtracted first, and one exponential serves both directions.
_LARGEST_LOGIT = 60.0


def contrastive_loss(
    left: Tensor, right: Tensor, scale: Tensor | float, *, chunk: int | None = None, gather: bool = False
) -> Tensor:
    """Pull the rows of two sides together that belong to one another, push all others of the batch apart.

    With S = scale * left @ right.T:

        loss = -1/(2N) * sum_i [ log softmax(S[i, :])[i] + log softmax(S[:, i])[i] ]

    Args:
        left: Vectors of the one side, (N, D), taken as they are: normalise them before, if they are to be compared by
            their cosine.
        right: Vectors of the other side, (N, D); row i is the positive of left[i].
        scale: Factor on the products, one number; a tensor gets its gradient.
        chunk: Rows of S made at a time; None chooses, and keeps all of S while it is small.
        gather: Under several processes, compare with the rows of all of them; each must give as many. Every
            process then returns the loss of the joint batch, and the mean of the processes' gradients is its
            gradient. Alone, it changes nothing.
    Returns:
        The mean over both directions and all rows, a scalar; computed in float32 under autocast too.
    Raises:
        ShapeError: the sides differ in shape, are no matrices or have no rows; the scale is not one number.
        ConfigError: the chunk is below 1.
    """
    if left.ndim != 2 or left.shape != right.shape or not len(left):
        raise ShapeError(
            "A contrastive loss needs two matrices of one shape (N, D) with N > 0, "
            f"found {tuple(left.shape)} and {tuple(right.shape)}."
        )
    _require_chunk(chunk)
    with torch.autocast(left.device.type, enabled=False):
        left, right = full_precision(left), full_precision(right)
        loss: Tensor = _Symmetric.apply(  # type: ignore[no-untyped-call]
            left, right, _one_number(scale, left), chunk, gather and process_count() > 1
        )
        return loss


def distillation_losses(
    left: Tensor,
    teacher: Tensor,
    candidates: Tensor,
    scale: Tensor | float,
    *,
    first: int = 0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Find each row's positive among candidates, and find all candidates as likely as a teacher does.

    With p = softmax(scale * left @ candidates.T) of a row, and the same q of the teacher's vectors, without gradient:

        contrastive  = -1/N * sum_i log p[i, first + i]
        distillation =  1/N * sum_i KL(q[i] || p[i])

    This is one direction; UrbanLN takes the mean of image-to-text and text-to-image (eq. 3 to 5).

    Args:
        left: The student's vectors, (N, D), taken as they are.
        teacher: The teacher's vectors of the same rows, (N, D).
        candidates: What both are compared with, (M, D): the batch's vectors of the other side, then a queue, say.
        scale: Factor on the products, one number, the same for student and teacher; a tensor gets its gradient from
            the student's side.
        first: Candidate that belongs to row 0. Under several processes whose batches lie one after the other in the
            candidates (`processes.all_rows`), that is rank * N, and the mean of their losses is that of the joint batch.
        chunk: Rows compared at a time; None chooses.
    Returns:
        Two scalars, computed in float32 under autocast too.
    Raises:
        ShapeError: shapes do not fit; the scale is not one number.
        ConfigError: the chunk is below 1.
    """
    fits = left.ndim == candidates.ndim == 2 and left.shape == teacher.shape and left.shape[1:] == candidates.shape[1:]
    if not fits or not len(left) or not 0 <= first <= len(candidates) - len(left):
        raise ShapeError(
            "Distillation needs student and teacher (N, D) with N > 0 and candidates (M, D), M >= first + N; found "
            f"{tuple(left.shape)}, {tuple(teacher.shape)}, {tuple(candidates.shape)} and first = {first}."
        )
    _require_chunk(chunk)
    with torch.autocast(left.device.type, enabled=False):
        left, teacher, candidates = (full_precision(side) for side in (left, teacher, candidates))
        factor, truth = _one_number(scale, left), torch.arange(first, first + len(left), device=left.device)
        chunk = chunk or _chosen_chunk(len(left), len(candidates))
        if chunk >= len(left):
            hard, soft = _both_losses(left, teacher, candidates, factor, truth)
            return hard / len(left), soft / len(left)
        parts = [
            checkpoint(_both_losses, *of, candidates, factor, rows, use_reentrant=False, preserve_rng_state=False)
            for *of, rows in zip(left.split(chunk), teacher.split(chunk), truth.split(chunk), strict=True)
        ]
        hard, soft = (torch.stack(kind).sum() / len(left) for kind in zip(*parts, strict=True))
        return hard, soft


def logit_scale(temperature: float) -> float:
    """The factor on the cosine similarities: 1 / temperature, held within [1, 100].

    Raises:
        ConfigError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"A temperature must be above 0, found {temperature!r}.", "The paper uses 0.07.")
    low, high = SCALE_RANGE
    return min(max(1.0 / temperature, low), high)


def _one_number(scale: Tensor | float, like: Tensor) -> Tensor:
    if not isinstance(scale, Tensor):
        # Not as_tensor, which would wait for a copy to the device.
        return torch.full((), scale, dtype=like.dtype, device=like.device)
    if scale.numel() != 1:
        raise ShapeError(f"The scale of a contrastive loss must be one number, found {tuple(scale.shape)}.")
    return scale.to(like).reshape(())


def _require_chunk(chunk: int | None) -> None:
    if chunk is not None and chunk < 1:
        raise ConfigError(f"A chunk must have at least 1 row, found {chunk}.", "Leave it out to have it chosen.")


def _chosen_chunk(rows: int, columns: int) -> int:
    return rows if rows * columns <= _KEPT_PAIRS else min(rows, _CHUNK_ROWS)


def _both_losses(
    left: Tensor, teacher: Tensor, candidates: Tensor, scale: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums over the rows of both losses of `distillation_losses`."""
    likely = torch.mm(left * scale, candidates.t()).log_softmax(1)
    with torch.no_grad():
        wanted = torch.mm(teacher * scale, candidates.t()).log_softmax(1)
    return F.nll_loss(likely, truth, reduction="sum"), F.kl_div(likely, wanted, reduction="sum", log_target=True)


class _Symmetric(torch.autograd.Function):
    """This process's rows against the columns of all processes, which are its own when it is alone.

    With r and c the sums of exp(S) over rows and columns, the gradient on S is
    G = exp(S) * (1 / r + 1 / c) / (2N) - I / N, and on the scale it is the sum of left * (G @ right). Where the
    exponentials are too large, r and c stand for the logarithms of these sums, and exp(S - r) for exp(S) / r.
    """

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, scale: Tensor, chunk: int | None, gather: bool) -> Tensor:
        columns = all_rows(right) if gather else right
        chunk = chunk or _chosen_chunk(len(left), len(columns))
        small = _logits_are_small(left, columns, scale, gather)
        by_row = left.new_empty(len(left))
        by_column = left.new_full((len(columns),), 0.0 if small else -torch.inf)
        for start in range(0, len(left), chunk):
            block = _block(left[start : start + chunk], columns, scale, small)
            if small:
                by_row[start : start + chunk] = block.sum(1)
                by_column += block.sum(0)
            else:
                by_row[start : start + chunk] = block.logsumexp(1)
                by_column = torch.logaddexp(by_column, block.logsumexp(0))
        if gather:
            parts = all_rows(by_column[None])
            by_column = parts.sum(0) if small else parts.logsumexp(0)
        ctx.save_for_backward(left, columns, scale, by_row, by_column, block if chunk >= len(left) else None)
        ctx.chunk, ctx.small, ctx.gather = chunk, small, gather
        of_rows, of_columns = (sums.log() if small else sums for sums in (by_row, by_column))
        own = 0.5 * of_rows.mean() - scale * torch.linalg.vecdot(left, right).mean()
        if gather:
            dist.all_reduce(own)
            own /= process_count()
        loss: Tensor = own + 0.5 * of_columns.mean()
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        left, columns, scale, by_row, by_column, kept = ctx.saved_tensors
        with torch.autocast(left.device.type, enabled=False):
            # This process's N, not that of all: the mean over the processes is still to come.
            weight = gradients[0] / (2 * len(left))
            toward_left = torch.empty_like(left)
            toward_right = torch.zeros_like(columns)
            for start in range(0, len(left), ctx.chunk):
                rows = slice(start, start + ctx.chunk)
                block = _block(left[rows], columns, scale, ctx.small) if kept is None else kept
                softmaxes = _softmaxes(block, by_row[rows, None], by_column, ctx.small)
                torch.mm(softmaxes, columns, out=toward_left[rows])
                toward_right.addmm_(softmaxes.t(), left[rows])
            if ctx.gather:
                toward_right = own_rows(toward_right, len(left))
                first = dist.get_rank() * len(left)
                columns = columns[first : first + len(left)]
            toward_left = toward_left.sub_(columns, alpha=2).mul_(weight)
            toward_right = toward_right.sub_(left, alpha=2).mul_(weight * scale)
            toward_scale = (left * toward_left).sum()
            return toward_left.mul_(scale), toward_right, toward_scale, None, None


def _logits_are_small(left: Tensor, columns: Tensor, scale: Tensor, gather: bool) -> bool:
    """Whether no logit of any process can be too large for its exponential.

    False on a device whose numbers the program would have to wait for.
    """
    if left.device.type != "cpu":
        return False
    longest = torch.linalg.vector_norm(left, dim=1).max() * torch.linalg.vector_norm(columns, dim=1).max()
    bound = scale.abs() * longest
    if gather:
        dist.all_reduce(bound, dist.ReduceOp.MAX)
    return bool(bound <= _LARGEST_LOGIT)


def _block(rows: Tensor, columns: Tensor, scale: Tensor, small: bool) -> Tensor:
    """Logits (rows, columns), or their exponentials where these are small."""
    logits = torch.mm(rows * scale, columns.t())
    return logits.exp_() if small else logits


def _softmaxes(block: Tensor, by_row: Tensor, by_column: Tensor, small: bool) -> Tensor:
    """Softmax over the row plus softmax over the column, of what `_block` gives."""
    if small:
        return (1 / by_row + 1 / by_column).mul_(block)
    return (block - by_row).exp_().add_((block - by_column).exp_())
