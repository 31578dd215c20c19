"""The processes of a training run, and what they must leave as they found it."""

from __future__ import annotations

import atexit
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.method import Method


def make_accelerator(device: torch.device) -> Accelerator:
    """What knows of the other processes, if there are any; under several each takes its own device of this kind."""
    if AcceleratorState._shared_state and AcceleratorState().num_processes == 1:
        # Accelerate remembers the first device that this process asked for; a library cannot know which comes next.
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    if accelerator.num_processes == 1 and accelerator.device != device:
        accelerator.state.device = device
    if accelerator.num_processes > 1:
        # Left to the end of the interpreter, the threads of the process group may abort it.
        atexit.register(_leave_process_group, accelerator)
    return accelerator


def require_one_process(method: Method) -> None:
    """Check that a method is not started in several processes that it cannot share its training with.

    Raises:
        ConfigError: it is, by torchrun or accelerate launch.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not method.shares_training:
        raise ConfigError(
            f"{method.title} trains in one process, but {count} were started: each would draw samples and average pictures "
            "for itself, and the result would not be that of one.",
            "Start it without torchrun or accelerate launch.",
        )


def _leave_process_group(accelerator: Accelerator) -> None:
    # Its copy of the network holds on to the group, whose threads end with the last that does.
    accelerator.free_memory()
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Training seeds the global generators; the caller gets them back as they were."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
