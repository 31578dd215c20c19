"""UrbanLN (Zhang et al. 2026): imagery and long captions in one space, with a momentum teacher against their noise."""

from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.network import UrbanLNModel

__all__ = ["UrbanLNConfig", "UrbanLNModel"]
