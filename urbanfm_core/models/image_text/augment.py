"""Random views of pictures: kept as bytes, and changed by two affine maps, one of places and one of colours.

Crop, flips and quarter turns of a picture are one affine map of its plane, so pixels are interpolated once; brightness,
contrast, saturation and the network's normalisation are one affine map of its colours. All numbers are drawn from torch's
random state on the device of the pictures, so a run that goes on draws what the unbroken one draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.errors import ConfigError

# How much red, green and blue add to brightness as people see it (ITU-R BT.601).
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """How much pictures are changed.

    Attributes:
        crop: Smallest side of the square that is kept, as a share of the picture's; 1 keeps all.
        flips: Whether pictures are mirrored; those from above both ways, street views left to right alone.
        turns: Whether pictures from above are turned by quarters.
        jitter: Largest change of brightness, contrast and saturation, as a share; 0 for none.
    """

    crop: float = 0.7
    flips: bool = True
    turns: bool = True
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ConfigError(f"The share of a picture that is kept must lie in (0, 1], found {self.crop!r}.")
        if not 0 <= self.jitter < 1:
            raise ConfigError(f"The change of colours must lie in [0, 1), found {self.jitter!r}.")


def plain(images: Tensor, statistics: ImageStatistics) -> Tensor:
    """Pictures as a network reads them: mean 0 and deviation 1 per channel.

    Args:
        images: (B, 3, H, W) uint8.
        statistics: Of the pictures that the network learns or learned from.
    Returns:
        (B, 3, H, W) float32.
    """
    mean, std = _colours(statistics, images.device)
    return (images.float() / 255 - mean[:, None, None]) / std[:, None, None]


def augmented(images: Tensor, statistics: ImageStatistics, how: Augmentation, *, from_above: bool) -> Tensor:
    """Random views of pictures, as a network reads them.

    Args:
        images: (B, 3, H, W) uint8; H = W where pictures are turned.
        statistics: Of the pictures that the network learns from.
        how: How much they are changed.
        from_above: Whether up and down, left and right mean nothing in them.
    Returns:
        (B, 3, H, W) float32. Colours stay within those that bytes can hold.
    """
    views = F.grid_sample(
        images.float(),
        F.affine_grid(_places(len(images), how, from_above, images.device), list(images.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    mean, std = _colours(statistics, images.device)
    if how.jitter:
        views = _jittered(views, how.jitter)
    return (views / 255 - mean[:, None, None]) / std[:, None, None]


def _colours(statistics: ImageStatistics, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = torch.tensor([statistics.mean, statistics.std], dtype=torch.float32, device=device)
    return mean, std


def _places(count: int, how: Augmentation, from_above: bool, device: torch.device) -> Tensor:
    """For each view the map from its plane to the picture's, (B, 2, 3), both [-1, 1] across."""

    side = how.crop + (1 - how.crop) * torch.rand(count, device=device)
    place = (1 - side)[:, None] * (2 * torch.rand(count, 2, device=device) - 1)
    mirrored = 1 - 2 * torch.randint(0, 2, (count, 2), device=device) * float(how.flips)
    quarters = torch.randint(0, 4, (count,), device=device) * int(how.turns and from_above)
    if not from_above:
        mirrored[:, 1] = 1
    # Cosine and sine of whole quarters, exact.
    cosine, sine = ((quarters + shift) % 4 for shift in (0, 3))
    cosine, sine = (1.0 - turn + (turn == 3) * 2.0 for turn in (cosine, sine))
    turn = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    return torch.cat([side[:, None, None] * turn * mirrored[:, None, :], place[:, :, None]], 2)


def _jittered(views: Tensor, most: float) -> Tensor:
    """Pictures with other brightness, contrast and saturation, (B, 3, H, W), colours in [0, 255]."""
    brightness, contrast, saturation = 1 + most * (2 * torch.rand(3, len(views), 1, 1, 1, device=views.device) - 1)
    weights = torch.tensor(_GREY, device=views.device).view(1, 3, 1, 1)
    grey = (views * weights).sum(1, keepdim=True)
    level = grey.mean((2, 3), keepdim=True)
    views = saturation * views + (1 - saturation) * grey
    changed: Tensor = brightness * (contrast * views + (1 - contrast) * level)
    return changed.clamp_(0, 255)
