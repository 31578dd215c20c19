"""Distillation from three kinds of teachers (ReFound, section 4.2.1, eq. 3 to 5).

Rows without a teacher's vector are left out. Where the paper sums over the regions of a batch, here is the mean, so
that the loss does not grow with the batch size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.objectives.masked import full_precision, mean_where
from urbanfm_core.objectives.processes import gather_rows, process_count

# Far below every logit, but finite: 0 * (a - b) must not become NaN.
_NEVER = -1e9


def cosine_distillation(student: Tensor, teacher: Tensor, present: Tensor) -> Tensor:
    """Turn the student's vectors towards the teacher's: DLFM (eq. 3) and DVFM (eq. 4).

    loss = -mean_i cos(student[i], teacher[i])

    Args:
        student: Projected CLS vectors, (B, K).
        teacher: Fixed vectors of the same regions, (B, K).
        present: Regions that count, (B,) bool; what the teacher's other rows hold, NaN included, does not matter.
    Returns:
        A scalar in [-1, 1], computed in float32 under autocast too; 0, with a graph, if no region counts.
    Raises:
        ShapeError: shapes differ.
    """
    _require_rows(present, student, teacher)
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = full_precision(student), _known_rows(teacher, present)
        return mean_where(-F.cosine_similarity(student, teacher.to(student.dtype), dim=-1), present)


def relation_distillation(pois: Tensor, images: Tensor, teacher: Tensor, present: Tensor, temperature: float) -> Tensor:
    """Give the student's POI-image similarities the pattern of the teacher's image-image ones: DVLFM (eq. 5).

    With S[i, j] = cos(pois[i], images[j]) / temperature, M[i, j] = cos(teacher[i], teacher[j]) / temperature and rho the
    softmax of a row, in the order of the arguments that the paper prints:

        loss = mean_i KL(rho(S[i]) || rho(M[i])) + mean_j KL(rho(S.T[j]) || rho(M.T[j]))

    Under several processes the other rows come from all of them, and the mean of the processes' losses is the loss of
    the joint batch.

    Args:
        pois, images: Projected CLS vectors of both modalities, (B, K) each.
        teacher: Image vectors of the vision-language teacher, (B, K'); they stand for its text side too, since the
            text encoders of such teachers do not know lists of POI names (section 4.2.1).
        present: Regions that count, as rows and as columns, (B,) bool.
        temperature: Above 0.
    Returns:
        A scalar, computed in float32 under autocast too; 0, with a graph, if no region counts.
    Raises:
        ShapeError: shapes differ.
        ConfigError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"A temperature must be above 0, found {temperature!r}.", "The paper uses 0.07.")
    if images.shape != pois.shape:
        raise ShapeError(f"Both sides must be (B, K), found {tuple(pois.shape)} and {tuple(images.shape)}.")
    _require_rows(present, pois)
    _require_rows(present, teacher)
    with torch.autocast(pois.device.type, enabled=False):
        pois, images = (F.normalize(full_precision(side), dim=-1) for side in (pois, images))
        teacher = F.normalize(_known_rows(teacher, present), dim=-1).to(pois.dtype)
        all_pois, all_images, all_teachers, columns, processes = pois, images, teacher, present, 1
        if process_count() > 1:
            processes = process_count()
            all_pois, all_images, all_teachers = gather_rows(pois), gather_rows(images), gather_rows(teacher)
            columns = gather_rows(present.to(pois.dtype)) > 0
        target = _log_softmax(teacher @ all_teachers.t() / temperature, columns)
        by_row = _divergence(_log_softmax(pois @ all_images.t() / temperature, columns), target)
        by_column = _divergence(_log_softmax(images @ all_pois.t() / temperature, columns), target)
        total = torch.where(present, by_row + by_column, 0.0).sum()
        return total * processes / columns.sum().clamp(min=1)


def _log_softmax(logits: Tensor, columns: Tensor) -> Tensor:
    return logits.masked_fill(~columns, _NEVER).log_softmax(-1)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(student || teacher) of each row, both (B, B') as logarithms."""
    return (student.exp() * (student - teacher)).sum(-1)


def _known_rows(teacher: Tensor, present: Tensor) -> Tensor:
    return full_precision(teacher).masked_fill(~present[:, None], 0.0)


def _require_rows(present: Tensor, *sides: Tensor) -> None:
    shapes = {tuple(side.shape) for side in sides}
    if len(shapes) != 1 or any(side.ndim != 2 or len(side) != len(present) for side in sides):
        raise ShapeError(
            f"Vectors (B, K) of {len(present)} regions are needed, found {', '.join(map(str, sorted(shapes)))}."
        )
