"""Momentum self-distillation (UrbanLN, eq. 3 to 6; He et al. 2020, MoCo; Li et al. 2021, ALBEF)."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn

from urbanfm_core.models.urbanln.losses import momentum_losses


class MomentumTeacher(nn.Module):
    """A copy of the student that follows it slowly, and queues of the vectors that it gave of late.

    Both are part of the network's state, so that checkpoints hold them and a run that goes on equals an unbroken one.
    The copy has no gradients and is in no optimiser; `follow` alone moves it. Queues start with random directions.

    Args:
        student: Network that gives unit vectors of pairs, image and text, (B, D) each.
        width: D.
        queue: Vectors K in each queue.
        momentum: Share m of the teacher that stays at each step.
    """

    image_queue: Tensor
    text_queue: Tensor
    queue_next: Tensor

    def __init__(self, student: nn.Module, width: int, queue: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.network = copy.deepcopy(student).requires_grad_(False)
        for name in ("image_queue", "text_queue"):
            self.register_buffer(name, F.normalize(torch.randn(queue, width), dim=-1))
        self.register_buffer("queue_next", torch.zeros((), dtype=torch.int64))
        self.train(self.training)

    def train(self, mode: bool = True) -> MomentumTeacher:
        """Targets have no dropout, whatever the student does."""
        super().train(mode)
        self.network.eval()
        return self

    @torch.no_grad()
    def restart(self, student: nn.Module) -> None:
        """Make the copy equal to the student."""
        self.network.load_state_dict(student.state_dict())

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        """Move the copy a step towards the student: teacher = m teacher + (1 - m) student."""
        torch._foreach_lerp_(list(self.network.parameters()), list(student.parameters()), 1.0 - self.momentum)

    @torch.no_grad()
    def enqueue(self, images: Tensor, texts: Tensor) -> None:
        """Let vectors take the places of the oldest ones in the queues.

        Args:
            images, texts: The teacher's vectors of the whole batch, (N, D) each; under several processes those of all
                of them, in rank order, so that the queues stay equal.
        """
        size = len(self.image_queue)
        places = (self.queue_next + torch.arange(len(images), device=images.device)) % size
        # Of a batch longer than the queue, the last vectors stay.
        self.image_queue[places[-size:]] = images[-size:].to(self.image_queue.dtype)
        self.text_queue[places[-size:]] = texts[-size:].to(self.text_queue.dtype)
        self.queue_next.copy_((self.queue_next + len(images)) % size)


def momentum_step(
    student: nn.Module, teacher: MomentumTeacher, scale: Tensor, mu: float, images: Any, texts: Any
) -> dict[str, Tensor]:
    """Move the teacher, compute the losses of one batch, and let the teacher's vectors into the queues.

    The paper does not tell the order; this is that of ALBEF, which it cites. Student and teacher see the same pictures
    and captions. Under several processes the keys come from all of them, and the mean of the processes' losses is the
    loss of the joint batch.

    Args:
        student: See `MomentumTeacher`.
        teacher: Changed in place.
        scale: 1 / tau, a scalar.
        mu: Weight of the distillation (eq. 6).
        images, texts: What both networks are given, B pairs.
    Returns:
        'loss' and its parts, 'contrastive' and 'distillation'.
    """
    teacher.follow(student)
    with torch.no_grad():
        teacher_image, teacher_text = teacher.network(images, texts)
        (all_images, first), (all_texts, _) = gather_vectors(teacher_image), gather_vectors(teacher_text)
    image, text = student(images, texts)
    contrastive, distillation = momentum_losses(
        image,
        text,
        teacher_image,
        teacher_text,
        torch.cat([all_images, teacher.image_queue]),
        torch.cat([all_texts, teacher.text_queue]),
        scale,
        first,
    )
    teacher.enqueue(all_images, all_texts)
    loss = (1.0 - mu) * contrastive + mu * distillation
    return {"loss": loss, "contrastive": contrastive, "distillation": distillation}


def gather_vectors(local: Tensor) -> tuple[Tensor, int]:
    """Vectors of all processes in rank order, without gradients, and the row where this process's own begin."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return local, 0
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.contiguous())
    return torch.cat(parts), dist.get_rank() * len(local)
