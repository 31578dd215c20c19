"""The training loop, the only one: any method, one process or several, exact resume.

Samples are resident on the device and permuted there; losses stay on the device and are read once per epoch, so no step
waits for the host. Several processes come from Hugging Face Accelerate (`accelerate launch`): each computes its share of
every batch. The order of the samples depends on seed and epoch only, hence is the same for any number of processes;
samples that offer `arrange` may rearrange it, by whole batches of the settings' size, which stays so when batches shrink.

When memory runs out in a step, a run of one process goes on with batches of half the size, from the sample where it was,
and writes its state at once: from there a resumed run ends with the weights of this one. Objectives that contrast the
samples of a batch are then another task than with whole batches, which is why the checkpoint says so.

A method may put its parameters into several groups of the optimiser, each with a factor on the learning rate and a weight
decay of its own. A run that goes on builds the groups anew from the method; the file of its state holds AdamW's moments
alone, numbered through all groups in their order. A digest of the groups (factor, weight decay, names of the parameters)
is part of what identifies a run, so moments never end up at another parameter: other groups are another run. Learning
rates are not kept either, since the schedule gives them anew at every step.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch import Tensor

import urbanfm_core
from urbanfm_core.errors import Cancelled, ConfigError, ResourceError, TrainingError
from urbanfm_core.files import atomic_path
from urbanfm_core.models.device import free_memory, is_out_of_memory
from urbanfm_core.models.exchange import ArrangedSamples, Samples
from urbanfm_core.models.ordering import epoch_order
from urbanfm_core.progress import Progress, duration
from urbanfm_core.training.checkpoint import as_lines
from urbanfm_core.training.optim import build_optimizer, groups_digest, rate_share, set_learning_rate
from urbanfm_core.training.processes import make_accelerator, own_randomness
from urbanfm_core.training.resume import RunState, load_state, random_state, save_state, seed_everything
from urbanfm_core.training.task import Task, TrainingConfig

SAVE_EVERY_S = 30.0
# Writing the state may take at most this share of the time.
_SAVING_SHARE = 0.05
# Several processes agree on stopping and saving once in so many steps: the agreement is a message between them.
_AGREE_EVERY_STEPS = 8
_REPORT_EVERY_S = 0.2
# Halving a batch ends here: one sample has nothing to be contrasted with.
_SMALLEST_BATCH = 2


@dataclass(frozen=True)
class Fitted:
    """What a finished run gives.

    Attributes:
        weights: State of the network after the epoch with the lowest selection metric, on the CPU.
        history: One record per epoch: mean losses, learning rate, samples per second.
        best_epoch: That epoch, from 1.
        notes: What was special, in sentences.
        writes: Whether this process is the one that writes results.
    """

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    notes: list[str] = field(default_factory=list)
    writes: bool = True


def fit(
    task: Task,
    training: TrainingConfig,
    *,
    device: torch.device,
    folder: Path,
    data_fingerprint: str,
    progress: Progress,
    save_every_s: float = SAVE_EVERY_S,
    keep: bool = False,
) -> Fitted:
    """Train a task to the end, going on where an earlier run of the same task stopped.

    Args:
        task: Network, objective and samples.
        training: Settings.
        device: Where to compute; under several processes each takes its own device of this kind.
        folder: Working folder: `resume.safetensors` and `metrics.jsonl`. The caller removes it.
        data_fingerprint: What the samples were made from; another one makes another run.
        progress: Where to report; asked at every step whether to stop.
        save_every_s: How often the state is written, seconds.
        keep: Write the state at the end too: the same call then returns at once what this one did.
    Raises:
        Cancelled: the user asked to stop; the state is kept in the folder.
        TrainingError: a loss is not finite.
        ResourceError: memory runs out, and smaller batches do not help.
        ConfigError: more processes than samples in a batch, or parameter groups or an order of samples of the method's
            own that leave one out.
    """
    accelerator = make_accelerator(device)
    try:
        with own_randomness(accelerator.device):
            return _Run(accelerator, task, training, folder, data_fingerprint, progress, save_every_s).finish(keep)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, ResourceError) or not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"Memory ran out on {accelerator.device} while training on {len(task.samples):,} samples.",
            "Lower the batch size, take a smaller preset, or use --device cpu.",
        ) from error


class _Run:
    """One run in one process."""

    def __init__(
        self,
        accelerator: Accelerator,
        task: Task,
        training: TrainingConfig,
        folder: Path,
        data_fingerprint: str,
        progress: Progress,
        save_every_s: float,
    ) -> None:
        self.accelerator, self.device = accelerator, accelerator.device
        self.rank, self.processes = accelerator.process_index, accelerator.num_processes
        self.main = accelerator.is_main_process
        self.task, self.training, self.folder = task, training, folder
        self.progress = progress if self.main else Progress()
        self.notes: list[str] = []
        self.planned = self._plan(len(task.samples))
        task.to(self.device).train()
        self.samples: Samples = task.samples.to(self.device)
        self.groups = task.parameter_groups(training)
        self.optimizer = build_optimizer(self.groups, training.learning_rate, self.device)
        self.wrapped = accelerator.prepare_model(task)
        self.identity = self._identity(data_fingerprint)
        self.state = self._take_up()
        self.share = self.state.share = self.state.share or self.planned
        self.steps = len(task.samples) // (self.share * self.processes)
        if self.share != self.planned:
            self.notes.append(self._shrunk())
        self.save_every_s, self.saved_at = save_every_s, time.monotonic()

    def finish(self, keep: bool) -> Fitted:
        """Run to the end, and write the state there too if it is to be kept."""
        self._rewrite_metrics()
        clock = _Clock(self)
        unfinished = self.state.epoch < self.training.epochs
        while self.state.epoch < self.training.epochs:
            self._epoch(clock)
        if keep and unfinished:
            self._save()
        self.accelerator.wait_for_everyone()
        weights = {name: tensor.cpu() for name, tensor in self.state.best.items()}
        return Fitted(weights, self.state.history, self.state.best_epoch, self.notes, self.main)

    def _plan(self, samples: int) -> int:
        """Samples per step of one process; what does not fill a batch is left out."""
        batch = min(self.training.batch_size, samples)
        share: int = batch // self.processes
        if share < 1:
            raise ConfigError(
                f"{self.processes} processes cannot share a batch of {batch} samples.", "Start fewer processes."
            )
        if samples < self.training.batch_size:
            self.notes.append(
                f"There are {samples:,} samples, fewer than the batch size of {self.training.batch_size:,}: "
                "each epoch is one batch of all of them."
            )
        if share * self.processes < batch:
            self.notes.append(f"A batch has {share * self.processes} samples, so that the processes have equal shares.")
        warmup, epochs = self.training.warmup_epochs, self.training.epochs
        if warmup >= epochs:
            self.notes.append(
                f"Warming up takes {warmup:g} epochs and training {epochs}: the full learning rate is never reached."
            )
        return share

    def _identity(self, data_fingerprint: str) -> dict[str, Any]:
        training = {name: value for name, value in asdict(self.training).items() if name != "resume"}
        identity = {
            "version": urbanfm_core.__version__,
            "data": data_fingerprint,
            **self.task.identity(),
            "training": training,
            "parameter_groups": groups_digest(self.groups, self.task.named_parameters()),
            "device": self.device.type,
            "processes": self.processes,
        }
        plain: dict[str, Any] = json.loads(json.dumps(identity, default=str))
        return plain

    def _take_up(self) -> RunState:
        if not self.training.resume:
            return RunState()
        state, found = load_state(self.folder, self.identity, self.task.model, self.optimizer, self.rank)
        if found and not (state and state.epoch == self.training.epochs):
            self.progress.log("info" if state else "warning", found)
            self.notes.append(found)
        if state is None:
            return RunState()
        state.best = {name: tensor.to(self.device) for name, tensor in state.best.items()}
        if state.losses is not None:
            state.losses = state.losses.to(self.device)
        return state

    def _epoch(self, clock: _Clock) -> None:
        state, epoch = self.state, self.state.epoch
        order = self._order(epoch).to(self.device)
        if state.step == 0:
            seed_everything(self.training.seed, epoch, self.rank)
        while state.step < self.steps:
            start = (state.step * self.processes + self.rank) * self.share
            losses = self._gradients(order[start : start + self.share])
            if losses is None:
                self._halve()
                continue
            self.optimizer.step()
            self._record(losses)
            state.step += 1
            clock.advance(self.share * self.processes)
            self._stop_or_save()
        self._close_epoch(clock)

    def _order(self, epoch: int) -> Tensor:
        """Rows of the samples in the order of an epoch, (N,) int64 on the CPU; the last may fill no batch."""
        drawn = epoch_order(len(self.samples), self.training.seed, epoch)
        if not isinstance(self.samples, ArrangedSamples):
            return drawn
        # Not by the size to which batches have shrunk: a run that goes on would find other samples in its place.
        order = self.samples.arrange(drawn, self.planned * self.processes).cpu()
        if not torch.equal(order.sort().values, torch.arange(len(drawn))):
            raise ConfigError(
                f"{self.task.method.title} arranged {len(drawn):,} samples into an order that does not hold each once."
            )
        return order

    def _gradients(self, indices: Tensor) -> dict[str, Tensor] | None:
        """Losses of some samples, their gradients left in the network; None if memory ran out."""
        set_learning_rate(self.optimizer, self._learning_rate(self.state.step))
        self.optimizer.zero_grad(set_to_none=True)
        bfloat16 = self.training.precision == "bfloat16"
        try:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16):
                losses: dict[str, Tensor] = self.wrapped(self.samples.batch(indices))
            self.accelerator.backward(losses["loss"])
        except (RuntimeError, MemoryError) as error:
            # Several processes would have to agree; one that ran out of memory cannot tell the others in time.
            if self.processes > 1 or not is_out_of_memory(error):
                raise
            return None
        return losses

    def _record(self, losses: dict[str, Tensor]) -> None:
        if self.state.losses is None or self.state.step == 0:
            self.state.loss_names = list(losses)
            self.state.losses = torch.zeros(self.steps, len(losses), device=self.device)
        self.state.losses[self.state.step] = torch.stack([value.detach().float() for value in losses.values()])

    def _halve(self) -> None:
        """Go on with half the batch: at the same sample, or a few before it where the sizes do not divide."""
        self.optimizer.zero_grad(set_to_none=True)
        free_memory(self.device)
        state, before = self.state, self.share
        if before // 2 < _SMALLEST_BATCH:
            raise ResourceError(
                f"Memory ran out on {self.device} while training, even with batches of {before} samples.",
                "Close other programs, take a smaller preset, or use --device cpu.",
            )
        done = state.step * before
        self.share = state.share = before // 2
        self.steps, state.step = len(self.samples) // self.share, done // self.share
        if state.losses is not None:
            # A step's losses stand for all of its samples, so they are spread over the smaller steps.
            of = torch.arange(self.steps, device=self.device) * self.share // before
            state.losses = state.losses[of.clamp(max=len(state.losses) - 1)]
        self.notes.append(self._shrunk())
        self.progress.log("warning", self.notes[-1])
        # Written after the next step, so that a resumed run is this one.
        self.saved_at = float("-inf")

    def _shrunk(self) -> str:
        return (
            f"Memory ran out with batches of {min(self.training.batch_size, len(self.samples)):,} samples: training goes on "
            f"with batches of {self.share:,}."
        )

    def _learning_rate(self, step: int) -> float:
        settings = self.training
        share = rate_share(
            self.state.epoch * self.steps + step,
            settings.epochs * self.steps,
            warmup=settings.warmup_epochs * self.steps,
            schedule=settings.schedule,
            final=settings.final_lr_share,
        )
        return settings.learning_rate * share

    def _stop_or_save(self) -> None:
        cancel = self.progress.cancelled()
        save = cancel or time.monotonic() - self.saved_at >= self.save_every_s
        if self.processes > 1:
            if self.state.step % _AGREE_EVERY_STEPS and self.state.step < self.steps:
                return
            flags = broadcast(torch.tensor([int(cancel), int(save)], device=self.device)).tolist()
            cancel, save = bool(flags[0]), bool(flags[1])
        if save:
            self._save()
        if cancel:
            raise Cancelled(
                f"Cancelled in epoch {self.state.epoch + 1} of {self.training.epochs}. "
                "Run the same again to go on from there."
            )

    def _save(self) -> None:
        """Write the state, unless a loss since the last time is not finite."""
        started = time.monotonic()
        if self.state.losses is not None:
            self._mean_losses()
        states = gather_object([random_state(self.device)])
        if self.main:
            save_state(self.folder, self.identity, self.state, self.task.model, self.optimizer, states)
        self.saved_at = time.monotonic()
        self.save_every_s = max(self.save_every_s, (self.saved_at - started) / _SAVING_SHARE)

    def _mean_losses(self) -> dict[str, float]:
        """Mean of each loss over the steps so far of this epoch and over all processes.

        Raises:
            TrainingError: one is not finite.
        """
        recorded = self.state.losses
        if recorded is None:
            raise TrainingError("There are no losses to average before the first step of an epoch.")
        losses: Tensor = self.accelerator.reduce(recorded[: self.state.step].clone(), "mean")
        rows = losses.cpu().double()
        broken = (~torch.isfinite(rows)).any(1).nonzero()
        if len(broken):
            step = int(broken[0])
            values = ", ".join(
                f"{name} {value:g}" for name, value in zip(self.state.loss_names, rows[step].tolist(), strict=True)
            )
            raise TrainingError(
                f"The loss is not finite in epoch {self.state.epoch + 1}, step {step + 1} of {self.steps} ({values}).",
                "Lower the learning rate; if that does not help, look for extreme values in the inputs.",
            )
        return dict(zip(self.state.loss_names, rows.mean(0).tolist(), strict=True))

    def _close_epoch(self, clock: _Clock) -> None:
        state = self.state
        means = self._mean_losses()
        rate = self._learning_rate(self.steps - 1)
        state.epoch, state.step, state.losses = state.epoch + 1, 0, None
        record = {"epoch": state.epoch, **means, "learning_rate": rate, "samples_per_s": round(clock.rate(), 1)}
        state.history.append(record)
        selected = means[self.task.method.selection_metric()]
        if selected < state.best_metric:
            state.best_metric, state.best_epoch = selected, state.epoch
            state.best = {name: tensor.detach().clone() for name, tensor in self.task.model.state_dict().items()}
        if self.main:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(as_lines([record]))
        for name, value in means.items():
            self.progress.metric(name, value, state.epoch)

    def _rewrite_metrics(self) -> None:
        """Cut the metrics to the epochs that the state knows: a kill may have come between the two."""
        if self.main:
            with atomic_path(self.folder / "metrics.jsonl") as temporary:
                temporary.write_text(as_lines(self.state.history), "utf-8")
        self.accelerator.wait_for_everyone()


class _Clock:
    """Counts samples and says "epoch 3/20, 36,000 samples/s, about 1 min left", a few times a second."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._start = self._reported = time.monotonic()
        self._done = 0

    def advance(self, samples: int) -> None:
        self._done += samples
        now = time.monotonic()
        run = self._run
        last = run.state.step == run.steps and run.state.epoch + 1 == run.training.epochs
        if now - self._reported < _REPORT_EVERY_S and not last:
            return
        self._reported = now
        finished = run.state.epoch * run.steps + run.state.step
        total = run.training.epochs * run.steps
        left = (total - finished) * samples / self.rate()
        run.progress.update(
            finished / total,
            f"epoch {run.state.epoch + 1}/{run.training.epochs}, {self.rate():,.0f} samples/s, {duration(left)} left",
        )

    def rate(self) -> float:
        """Samples per second of all processes, since this run began."""
        return self._done / max(time.monotonic() - self._start, 1e-9)
