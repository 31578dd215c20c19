"""The momentum teacher and its queues (UrbanLN; He et al. 2020, MoCo; Li et al. 2021, ALBEF)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn


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
