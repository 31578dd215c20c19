"""What UrbanCLIP's transformers are made of: attention to the sequence itself or to another one, and layers of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Attention(nn.Module):
    """Multi-head attention, of a sequence to itself or to another one.

    Args:
        width: Of the asking tokens.
        heads: Heads.
        context_width: Of another sequence that is asked; None for the sequence itself.
    """

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        if context_width is None:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.query = nn.Linear(width, width)
            self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, N, parts * D) -> parts of (B, heads, N, D / heads)."""
        split: tuple[Tensor, ...] = x.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return split

    def forward(
        self, x: Tensor, *, causal: bool = False, summary_sees: Tensor | None = None, cache: KeyValues | None = None
    ) -> Tensor:
        """To itself: (B, N, D) -> (B, N, D).

        Args:
            x: Tokens.
            causal: Whether a token sees those before it and itself alone.
            summary_sees: Which tokens the last one sees, (B, N) bool; it is then a summary that no other token sees.
            cache: Tokens that came before, seen by all; these are added to it.
        """
        q, k, v = self._split(self.qkv(x), 3)
        if cache is not None:
            k, v = cache.extended(k, v)
            return self._joined(F.scaled_dot_product_attention(q, k, v))
        if summary_sees is None:
            return self._joined(F.scaled_dot_product_attention(q, k, v, is_causal=causal))
        # Apart, because a mask would keep the words from the kernels that know the causal one.
        words = F.scaled_dot_product_attention(q[:, :, :-1], k[:, :, :-1], v[:, :, :-1], is_causal=causal)
        last = F.scaled_dot_product_attention(q[:, :, -1:], k, v, attn_mask=summary_sees[:, None, None])
        return self._joined(torch.cat([words, last], 2))

    def look(self, x: Tensor, context: Tensor, cache: KeyValues | None = None) -> Tensor:
        """To another sequence, (B, N, D) and (B, M, C) -> (B, N, D)."""
        if cache is not None and cache.key is not None and cache.value is not None:
            k, v = cache.key, cache.value
        else:
            k, v = self._split(self.key_value(context), 2)
            if cache is not None:
                cache.key, cache.value = k, v
        (q,) = self._split(self.query(x), 1)
        return self._joined(F.scaled_dot_product_attention(q, k, v))

    def _joined(self, x: Tensor) -> Tensor:
        joined: Tensor = self.out(x.transpose(1, 2).flatten(2))
        return joined


class KeyValues:
    """Keys and values of tokens that were read before, (B, heads, N, D / heads)."""

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def extended(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """With those of further tokens, which are kept."""
        self.key = key if self.key is None else torch.cat([self.key, key], 2)
        self.value = value if self.value is None else torch.cat([self.value, value], 2)
        return self.key, self.value

    def choose(self, rows: Tensor) -> None:
        """Keep these rows of the batch, (B,), in this order."""
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key.index_select(0, rows), self.value.index_select(0, rows)


class Block(nn.Module):
    """A layer of a transformer, normalised before each step.

    Args:
        width: Of the tokens.
        heads: Heads.
        inner: Width inside the feed-forward network.
        context_width: Of another sequence that is asked; None for the sequence itself.
    """

    def __init__(self, width: int, heads: int, inner: int, context_width: int | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        if context_width is not None:
            self.norm_context = nn.LayerNorm(context_width)
        self.attention = Attention(width, heads, context_width)
        self.norm_inner = nn.LayerNorm(width)
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        causal: bool = False,
        summary_sees: Tensor | None = None,
        cache: KeyValues | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D); see `Attention`."""
        inner = self.norm(x)
        if context is None:
            x = x + self.attention(inner, causal=causal, summary_sees=summary_sees, cache=cache)
        else:
            known = cache is not None and cache.key is not None
            x = x + self.attention.look(inner, context if known else self.norm_context(context), cache)
        wide = F.gelu(self.expand(self.norm_inner(x)))
        forwarded: Tensor = x + self.contract(wide)
        return forwarded


def through(block: nn.Module, again: bool, *inputs: Tensor, **how: Any) -> Tensor:
    """A layer's output; computed once more on the way back, if that is to save memory."""
    found: Tensor = checkpoint(partial(block, **how), *inputs, use_reentrant=False) if again else block(*inputs, **how)
    return found
