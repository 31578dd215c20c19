"""What the loop trains, and with which settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.exchange import Samples
from urbanfm_core.models.method import Method
from urbanfm_core.training.optim import Schedule, complete_groups


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the loop; the presets' `training`. Defaults are those of AETHER's paper.

    Attributes:
        epochs: Passes over the samples.
        batch_size: Samples per step, over all processes together.
        learning_rate: Of AdamW, the highest: at the first step, or at the end of the warm-up.
        weight_decay: Of AdamW.
        final_lr_share: Share of the learning rate that is left after the last step.
        schedule: How it falls: along half a 'cosine', or 'linear'.
        warmup_epochs: Epochs, parts of one included, in which it grows from 0, step by step.
        seed: Start of all random numbers.
        precision: 'bfloat16' computes the network under autocast; weights and losses stay float32.
        resume: Whether to go on with an unfinished run.
    """

    epochs: int = 100
    batch_size: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    final_lr_share: float = 0.01
    schedule: Schedule = "cosine"
    warmup_epochs: float = 0.0
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    resume: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, found {value!r}.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed must be a whole number of at least 0, found {self.seed!r}.")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be above 0, found {self.learning_rate!r}.")
        if not self.weight_decay >= 0:
            raise ConfigError(f"weight_decay must be at least 0, found {self.weight_decay!r}.")
        if not 0 <= self.final_lr_share <= 1:
            raise ConfigError(f"final_lr_share must lie in [0, 1], found {self.final_lr_share!r}.")
        if self.schedule not in get_args(Schedule):
            raise ConfigError(f"There is no schedule {self.schedule!r}.", f"Choose {' or '.join(get_args(Schedule))}.")
        warmup = self.warmup_epochs
        if isinstance(warmup, bool) or not isinstance(warmup, int | float) or not 0 <= warmup < math.inf:
            raise ConfigError(f"warmup_epochs must be a number of at least 0, found {warmup!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"There is no precision {self.precision!r}.", "Choose float32 or bfloat16.")


class Task(nn.Module):
    """A network with its objective and its samples. As a module it can be wrapped for several processes.

    Args:
        method: Whose objective it is.
        config: The method's filled-in configuration.
        model: The network.
        samples: What batches are drawn from.
    """

    def __init__(self, method: Method, config: Any, model: nn.Module, samples: Samples) -> None:
        super().__init__()
        self.method = method
        self.config = config
        self.model = model
        self.samples = samples

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Named losses of one batch; 'loss' is the one to minimise.

        Raises:
            ConfigError: the method returned no 'loss', or not the one that it selects by.
        """
        losses = self.method.losses(self.model, batch, self.config)
        for name in ("loss", self.method.selection_metric()):
            if name not in losses:
                raise ConfigError(f"{self.method.title} gave the losses {', '.join(losses)}, but no '{name}'.")
        return losses

    def parameter_groups(self, training: TrainingConfig) -> list[dict[str, Any]]:
        """The optimiser's groups: the method's own, else one of all parameters.

        Raises:
            ConfigError: the method's groups leave a parameter out, hold one twice, or are otherwise not usable.
        """
        given = self.method.parameter_groups(self.model, self.config, training.learning_rate, training.weight_decay)
        if given is None:
            given = [{"params": list(self.parameters())}]
        return complete_groups(given, self.named_parameters(), training.weight_decay)

    def identity(self) -> dict[str, Any]:
        """What decides the outcome besides the data and the training settings."""
        return {"method": self.method.name, "config": asdict(self.config), "samples": len(self.samples)}
