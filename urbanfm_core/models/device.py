"""Where tensors live."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

from urbanfm_core.errors import ConfigError

# Allocators without an error class of their own: that of the CPU, of Apple's GPUs, and libraries that CUDA calls.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


def resolve_device(name: str) -> torch.device:
    """The device of that name; 'auto' takes a GPU if there is one.

    Raises:
        ConfigError: this machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[device.type]:
        raise ConfigError(f"The device '{name}' is not on this machine.", "Use --device auto or --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"There is no '{name}': this machine has {torch.cuda.device_count()} GPUs.")
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or in the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def free_memory(device: torch.device) -> None:
    """Give back what a failed attempt held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def describe_device(device: torch.device) -> str:
    """The device as a person knows it: "NVIDIA H200 (cuda:0)" or "CPU, 2 threads"."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    if device.type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads"
    return str(device)


def single_threads() -> ThreadPoolExecutor | None:
    """As many threads as torch would use, in each of which torch uses one; None where that is one anyway.

    Rows that are independent are done sooner this way: no operation waits at its end for the slowest thread, which
    costs a multiple of the time when other work wants the cores too.
    """
    count = torch.get_num_threads()
    if count == 1:
        return None
    together = Barrier(count)

    def begin(_: int) -> None:
        # The setting is each thread's own, but later threads inherit it: hence all of them start here.
        together.wait()
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, "torch")
    for _ in pool.map(begin, range(count)):
        pass
    torch.set_num_threads(count)
    return pool
