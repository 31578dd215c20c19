"""A tiny method for tests of the loop."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import normalize

from urbanfm_core.models.exchange import TensorSamples
from urbanfm_core.models.method import Method
from urbanfm_core.models.ordering import length_sorted
from urbanfm_core.objectives.contrastive import contrastive_loss


@dataclass(frozen=True)
class LineConfig:
    width: int = 4
    dropout: float = 0.3


class Line(Method):
    """Fits targets with a small network whose dropout makes the random state matter."""

    name, title, paper = "line", "Line", "none"
    needs = embeds_from = ()
    config_class = LineConfig

    def prepare(self, config, city, store, device, progress):
        raise NotImplementedError

    def embed(self, trained, city, regions, store, progress, *, rule="centre"):
        raise NotImplementedError

    def build(self, config):
        return nn.Sequential(
            nn.Linear(3, config.width), nn.Tanh(), nn.Dropout(config.dropout), nn.Linear(config.width, 1)
        )

    def losses(self, model, batch, config):
        error = (model(batch["x"])[:, 0] - batch["y"]).square().mean()
        return {"loss": error, "half": error / 2}


def line_samples(rows=64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 3, generator=generator)
    return TensorSamples({"x": x, "y": x @ torch.tensor([1.0, -2.0, 0.5])})


class Pairs(Line):
    """Contrasts two halves of the network's inner layer over the joint batch of all processes."""

    def losses(self, model, batch, config):
        inner = model[1](model[0](batch["x"]))
        a, b = (normalize(part, dim=1) for part in inner.chunk(2, dim=1))
        fitted = super().losses(model, batch, config)["loss"]
        contrast = contrastive_loss(a, b, 5.0, gather=True)
        return {"loss": fitted + contrast, "contrast": contrast}


class Grouped(Line):
    """The first layer learns slower; biases do not decay. The same groups as the two layers name them."""

    slow = 0.25

    def parameter_groups(self, model, config, learning_rate, weight_decay):
        first, last = model[0], model[3]
        return [
            {"params": [first.weight], "lr_scale": self.slow, "weight_decay": 0.3},
            {"params": [first.bias], "lr_scale": self.slow, "weight_decay": 0.0},
            {"params": [last.bias], "weight_decay": 0.0},
            {"params": [last.weight]},
        ]


@dataclass
class Ragged(TensorSamples):
    """Samples of different lengths, which are put into batches by length."""

    def to(self, device):
        return Ragged({name: tensor.to(device) for name, tensor in self.tensors.items()})

    def arrange(self, order, batch):
        return length_sorted(order, self.tensors["length"], batch, pool=3)


def ragged_samples(rows=70):
    lengths = torch.randint(1, 100, (rows,), generator=torch.Generator().manual_seed(2))
    return Ragged({**line_samples(rows).tensors, "length": lengths})
