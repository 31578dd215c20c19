"""ReFound (Xiao et al., KDD 2024): a multimodal foundation model of urban regions from points of interest and imagery."""

from __future__ import annotations

from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.losses import pretraining_losses
from urbanfm_core.models.refound.network import Encoded, RefoundModel

__all__ = ["Encoded", "RefoundConfig", "RefoundModel", "pretraining_losses"]
