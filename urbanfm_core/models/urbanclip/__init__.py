"""UrbanCLIP (Zhong et al., WWW 2024): regions from imagery and captions, by contrast and by naming the next word."""

from __future__ import annotations

from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.losses import pretraining_losses
from urbanfm_core.models.urbanclip.network import UrbanClipModel

__all__ = ["UrbanClipConfig", "UrbanClipModel", "pretraining_losses"]
