"""Contrastive learning against a teacher's keys, and distillation from its similarities (UrbanLN, eq. 3 to 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.errors import ShapeError


def momentum_losses(
    image: Tensor,
    text: Tensor,
    teacher_image: Tensor,
    teacher_text: Tensor,
    image_keys: Tensor,
    text_keys: Tensor,
    scale: Tensor,
    first: int = 0,
) -> tuple[Tensor, Tensor]:
    """Contrastive loss and distillation loss of one batch.

    With p = softmax(scale * image @ text_keys.T) of a row, the same q of the teacher's image vectors, and both for texts
    against image keys (eq. 3):

        contrastive  = -1/(2B) * sum_i [ log p_i2t[i, first + i] + log p_t2i[i, first + i] ]   (eq. 4)
        distillation = 1/2 * mean_i [ KL(q_i2t[i] || p_i2t[i]) + KL(q_t2i[i] || p_t2i[i]) ]    (eq. 5)

    Args:
        image, text: The student's unit vectors, (B, D).
        teacher_image, teacher_text: The teacher's of the same pairs, (B, D).
        image_keys, text_keys: What they are compared with, (M, D): the teacher's vectors of the whole batch, then the
            queue. They have no gradient, nor has q.
        scale: 1 / tau, a scalar; the same for student and teacher.
        first: Row of the keys that belongs to row 0; under several processes each has its own.
    Returns:
        Two scalars, computed in float32 under autocast too. Under several processes their mean is the loss of the joint
        batch.
    Raises:
        ShapeError: shapes do not fit.
    """
    rows = {tuple(part.shape) for part in (image, text, teacher_image, teacher_text)}
    if len(rows) > 1 or image.ndim != 2 or text_keys.shape != image_keys.shape or first + len(image) > len(image_keys):
        raise ShapeError(
            f"Pairs {sorted(rows)} from row {first} on do not fit the keys {tuple(image_keys.shape)} and "
            f"{tuple(text_keys.shape)}."
        )
    with torch.autocast(image.device.type, enabled=False):
        truth = torch.arange(first, first + len(image), device=image.device)
        contrastive, distillation = [], []
        for student, teacher, keys in ((image, teacher_image, text_keys), (text, teacher_text, image_keys)):
            likely = F.log_softmax(scale * (_full(student) @ _full(keys).t()), dim=1)
            with torch.no_grad():
                wanted = F.log_softmax(scale * (_full(teacher) @ _full(keys).t()), dim=1)
            contrastive.append(F.nll_loss(likely, truth))
            distillation.append(F.kl_div(likely, wanted, reduction="batchmean", log_target=True))
        return sum(contrastive) / 2, sum(distillation) / 2  # type: ignore[return-value]


def _full(vectors: Tensor) -> Tensor:
    return vectors.float() if vectors.dtype in (torch.bfloat16, torch.float16) else vectors
