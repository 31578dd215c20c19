"""When memory runs out in training: smaller batches, said and kept."""

import pytest
import torch
from core.training.line_task import Line, LineConfig
from core.training.test_loop import SETTINGS, Listener, losses, run, same

from urbanfm_core.errors import Cancelled, ResourceError
from urbanfm_core.training.resume import FILE


class Greedy(Line):
    """Runs out of memory above so many samples; `from_step` counts the steps that it lets pass before."""

    def __init__(self, most, error=None, from_step=0):
        self.most, self.left = most, from_step
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.sizes = []

    def losses(self, model, batch, config):
        found = super().losses(model, batch, config)
        self.left -= 1
        if len(batch["x"]) > self.most and self.left < 0:
            raise self.error
        self.sizes.append(len(batch["x"]))
        return found


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        MemoryError(),
    ],
)
def test_the_batch_halves_until_it_fits_and_says_so(make_task, tmp_path, error):
    listener, method = Listener(), Greedy(5, error)
    found = run(make_task(method=method), tmp_path, listener)
    assert set(method.sizes) == {4} and len(method.sizes) == 5 * 16
    said = "Memory ran out with batches of 16 samples: training goes on with batches of {}."
    assert [text for level, text in listener.logs if level == "warning"] == [said.format(8), said.format(4)]
    assert said.format(4) in found.notes
    assert found.history[-1]["loss"] < found.history[0]["loss"]
    assert len(found.history) == 5


def test_it_goes_on_where_it_was_and_averages_over_all_samples(make_task, tmp_path):
    """Dropout off, learning rate next to nothing: the mean loss of an epoch is that over all of its samples."""
    settings = SETTINGS.__class__(epochs=2, batch_size=16, learning_rate=1e-12, seed=3)
    config = LineConfig(dropout=0.0)
    whole = run(make_task(config=config), tmp_path / "a", settings=settings)
    method = Greedy(8, from_step=2)
    halved = run(make_task(method=method, config=config), tmp_path / "b", settings=settings)
    assert method.sizes == [16, 16, 8, 8, 8, 8] + [8] * 8
    for one, other in zip(whole.history, halved.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    rates = [record["learning_rate"] for record in halved.history]
    assert rates[-1] == pytest.approx(whole.history[-1]["learning_rate"], rel=0.5) and rates[0] > rates[1]


@pytest.mark.parametrize("passes", [0, 3, 6])
@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_halved_run_that_is_stopped_later_resumes_exactly(make_task, tmp_path, passes, stop):
    whole = run(make_task(method=Greedy(8, from_step=passes)), tmp_path / "whole")
    with pytest.raises(Cancelled):
        # Asked once a step; the step at which memory ran out is not one.
        run(make_task(method=Greedy(8, from_step=passes)), tmp_path / "parts", Listener(passes + stop))
    listener, method = Listener(), Greedy(8)
    found = run(make_task(method=method), tmp_path / "parts", listener)
    assert set(method.sizes) == {8}
    assert not [text for level, text in listener.logs if level == "warning"]
    assert any("batches of 8" in note for note in found.notes)
    assert same(found.weights, whole.weights)
    assert losses(found.history) == losses(whole.history)


def test_the_state_is_written_right_after(make_task, tmp_path):
    seen = []

    class Watch(Listener):
        def cancelled(self):
            seen.append((tmp_path / FILE).exists())
            return super().cancelled()

    run(make_task(method=Greedy(8, from_step=2)), tmp_path, Watch())
    assert seen.index(True) == 3


def test_sizes_that_do_not_divide(make_task, tmp_path):
    settings = SETTINGS.__class__(epochs=2, batch_size=15, learning_rate=0.05, seed=3)
    method = Greedy(3, from_step=2)
    found = run(make_task(60, method=method), tmp_path, settings=settings)
    # 15 -> 7 -> 3: two steps of 15 are ten of 3, and ten more end the epoch.
    assert method.sizes == [15, 15] + [3] * (20 - 28 // 3) + [3] * 20
    assert len(found.history) == 2


def test_when_nothing_fits_it_says_what_to_do(make_task, tmp_path):
    with pytest.raises(ResourceError, match=r"even with batches of 2 samples.*cpu"):
        run(make_task(method=Greedy(0)), tmp_path)
    assert not (tmp_path / FILE).exists()


def test_memory_that_runs_out_elsewhere_is_said_too(make_task, tmp_path):
    task = make_task()
    task.samples.__class__ = type(
        "TooLarge", (type(task.samples),), {"to": lambda self, device: (_ for _ in ()).throw(MemoryError())}
    )
    with pytest.raises(ResourceError, match=r"64 samples.*batch size"):
        run(task, tmp_path)


def test_other_errors_are_not_taken_for_it(make_task, tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        run(make_task(method=Greedy(0, RuntimeError("shapes cannot be multiplied"))), tmp_path)
