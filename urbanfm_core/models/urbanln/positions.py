"""Text positions for long captions: the information-preserved stretching interpolation (IPSI; paper, eq. 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from urbanfm_core.errors import ConfigError, ShapeError


def stretched_length(positions: int, kept: int, ratio: int) -> int:
    """Rows of a stretched table: the paper's 77 become 20 + (77 - 20) * 4 = 248."""
    return kept + (positions - kept) * ratio


def stretch_positions(table: Tensor, kept: int = 20, ratio: int = 4) -> Tensor:
    """Stretch a table of position embeddings behind its first rows.

    Row e of the result is row e of the table for e < kept, and else lies between two rows, at
    kept + (e - kept) / ratio. Eq. 2 as printed has e / ratio, which would use rows 5 to 62 a second time and the last
    ones never. The last ratio - 1 rows lie beyond the table; they go on along its last difference, as in the known
    recipe for long texts in CLIP (Zhang et al. 2024, Long-CLIP).

    Args:
        table: Embeddings of P positions, (P, D).
        kept: First rows that stay as they are: short texts have trained them well.
        ratio: New rows per old step, lambda in the paper.
    Returns:
        (kept + (P - kept) * ratio, D), of the table's type.
    Raises:
        ShapeError: the table has no two axes.
        ConfigError: kept does not leave two rows to stretch, or the ratio is below 1.
    """
    if table.ndim != 2:
        raise ShapeError(f"A table of positions must be (P, D), found {tuple(table.shape)}.")
    if not 0 <= kept <= len(table) - 2 or ratio < 1:
        raise ConfigError(
            f"A table of {len(table)} positions cannot be stretched {ratio} times behind the first {kept}.",
            f"kept_positions must lie in 0 to {len(table) - 2}, stretch must be at least 1.",
        )
    beyond = 2 * table[-1:] - table[-2:-1]
    left = table[kept:]
    right = torch.cat([left[1:], beyond])
    share = torch.arange(ratio, dtype=table.dtype, device=table.device) / ratio
    between = torch.lerp(left[:, None], right[:, None], share[:, None])
    return torch.cat([table[:kept], between.reshape(-1, table.shape[1])])
