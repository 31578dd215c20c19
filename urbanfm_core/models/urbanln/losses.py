"""UrbanLN's objective over one batch (paper, eq. 3 to 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.momentum import MomentumTeacher
from urbanfm_core.models.urbanln.network import UrbanLNModel
from urbanfm_core.objectives.contrastive import contrastive_loss, distillation_losses
from urbanfm_core.objectives.processes import all_rows, process_count


def pretraining_losses(model: UrbanLNModel, batch: Mapping[str, Tensor], config: UrbanLNConfig) -> dict[str, Tensor]:
    """A step of the teacher and the losses of the student; without a teacher the contrastive loss of the batch.

    Args:
        model: The network; its teacher and queues change.
        batch: 'image' (B, 3, H, W) normalised and 'text' (B, T) words.
        config: Weight of the distillation, and whether there is a teacher.
    Returns:
        'loss' and its parts; 'temperature' tells how tau is learned.
    """
    images, words = batch["image"], batch["text"]
    scale = model.student.scale
    if model.teacher is None:
        image, text = model.student(images, words)
        losses = {"loss": contrastive_loss(image, text, scale, gather=True)}
    else:
        losses = momentum_step(model.student, model.teacher, scale, config.mu, images, words)
    return {**losses, "temperature": 1 / scale.detach()}


def momentum_step(
    student: nn.Module, teacher: MomentumTeacher, scale: Tensor, mu: float, images: Any, texts: Any
) -> dict[str, Tensor]:
    """Move the teacher, compute the losses of one batch, and let the teacher's vectors into the queues.

    The paper does not tell the order; this is that of ALBEF, which it cites. Student and teacher see the same pictures
    and captions. What a side is compared with are the teacher's vectors of the other side, of the batch and then of the
    queue. Under several processes those of the batch come from all of them, and the mean of the processes' losses is
    the loss of the joint batch.

    Args:
        student: Gives unit vectors of pairs, image and text, (B, D) each.
        teacher: Changed in place.
        scale: 1 / tau, a scalar, the same for student and teacher.
        mu: Weight of the distillation (eq. 6).
        images, texts: What both networks are given, B pairs.
    Returns:
        'loss' and its parts, 'contrastive' (eq. 4) and 'distillation' (eq. 5).
    """
    teacher.follow(student)
    with torch.no_grad():
        teacher_image, teacher_text = teacher.network(images, texts)
        alone = process_count() == 1
        all_images, all_texts = (part if alone else all_rows(part) for part in (teacher_image, teacher_text))
        # The queues change before the way back needs what the losses were computed from, so these are copies.
        image_keys = torch.cat([all_images, teacher.image_queue])
        text_keys = torch.cat([all_texts, teacher.text_queue])
    first = 0 if alone else torch.distributed.get_rank() * len(teacher_image)
    image, text = student(images, texts)
    hard_image, soft_image = distillation_losses(image, teacher_image, text_keys, scale, first=first)
    hard_text, soft_text = distillation_losses(text, teacher_text, image_keys, scale, first=first)
    teacher.enqueue(all_images, all_texts)
    contrastive, distillation = (hard_image + hard_text) / 2, (soft_image + soft_text) / 2
    loss = (1.0 - mu) * contrastive + mu * distillation
    return {"loss": loss, "contrastive": contrastive, "distillation": distillation}
