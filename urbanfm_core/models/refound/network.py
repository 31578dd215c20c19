"""ReFound's network: embeddings of both modalities, the MoGE transformer, fusion and heads (paper, section 4.1).

A region is one sequence: its POI tokens (a CLS token, then the names), then its image (a CLS token, then the patches).
Every layer attends over all of it; the feed-forward network is an expert of the modality, except in the top layers,
which share one. Which expert computes a token follows from where it stands, so there is no gate.

What is missing is masked: a region without POIs keeps the POI CLS token as its only POI key, a region without an image
has no image key, and so has a patch without valid data. The vector that `fuse` gives comes from the sides that exist.

Shape letters: B regions, T POI tokens, N patches, L = T + 1 + N, D width, H heads, V words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.start import align

LAYER_NORM_EPS = 1e-12
FUSION_SIZE = 32
_INITIAL_STD = 0.02
_POIS, _IMAGE, _SHARED = "pois", "image", "shared"


@dataclass(frozen=True)
class Encoded:
    """What the transformer makes of a batch.

    Attributes:
        poi_cls, image_cls: The two CLS tokens, (B, D). Without images in the batch, the latter is zero.
        tokens: POI tokens with their CLS token, (B, T, D); padding has values too, which mean nothing.
        patches: (B, N, D), or (B, 0, D) without images.
        attention: Last layer, from POI tokens to patches, (B, H, T, N) float32: softmax over all L keys; None unless
            asked for.
    """

    poi_cls: Tensor
    image_cls: Tensor
    tokens: Tensor
    patches: Tensor
    attention: Tensor | None = None


class PoiEmbedding(nn.Module):
    """Sum of word, token type, three levels of position and category (eq. 1, without the modality)."""

    def __init__(self, config: RefoundConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word = nn.Embedding(config.vocab_size, width, padding_idx=0)
        self.token_type = nn.Embedding(config.type_vocab_size, width)
        self.word_position = nn.Embedding(config.max_tokens, width)
        self.poi_position = nn.Embedding(config.max_pois, width)
        # One cell for the CLS token in front, one for padding behind.
        self.grid_position = nn.Embedding(config.grid**2 + 2, width)
        self.category = nn.Embedding(config.categories, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """(B, T) ids -> (B, T, D)."""
        total = self.word(tokens) + self.token_type.weight[0]
        total = total + self.word_position(batch["word_position"])
        total = total + self.poi_position(batch["poi_position"])
        total = total + self.grid_position(batch["grid_position"])
        total = total + self.category(batch["category"])
        embedded: Tensor = self.dropout(self.norm(total))
        return embedded


class ImageEmbedding(nn.Module):
    """Patches through one linear layer, a CLS token in front, learned positions (section 4.1.1)."""

    def __init__(self, config: RefoundConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.patch_size, self.image_size = config.patch_size, config.image_size
        self.project = nn.Linear(3 * config.patch_size**2, width)
        # Three axes, as published: weight decay leaves out what has one.
        self.cls = nn.Parameter(torch.empty(1, 1, width))
        self.mask = nn.Parameter(torch.empty(width))
        self.position = nn.Embedding(config.patches + 1, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, image: Tensor, patch_mask: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) and, where a patch is hidden, (B, N) bool -> (B, 1 + N, D), patches row by row."""
        if image.shape[1:] != (3, self.image_size, self.image_size):
            raise ShapeError(
                f"Images must be (B, 3, {self.image_size}, {self.image_size}), found {tuple(image.shape)}."
            )
        patches = self.project(cut_patches(image, self.patch_size))
        if patch_mask is not None:
            patches = torch.where(patch_mask[..., None], self.mask.to(patches.dtype), patches)
        cls = self.cls.to(patches.dtype).expand(len(image), -1, -1)
        embedded: Tensor = self.dropout(self.norm(torch.cat([cls, patches], dim=1) + self.position.weight))
        return embedded


class Expert(nn.Module):
    """A feed-forward network with its residual and normalisation: norm(x + W2 gelu(W1 x))."""

    def __init__(self, config: RefoundConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        normed: Tensor = self.norm(x + self.dropout(self.contract(F.gelu(self.expand(x)))))
        return normed


class MogeLayer(nn.Module):
    """Self-attention over both modalities, then the experts (section 4.1.2); normalisation after each block."""

    def __init__(self, config: RefoundConfig, shared: bool) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.heads
        self.attention_dropout = config.dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.experts = nn.ModuleDict({name: Expert(config) for name in ([_SHARED] if shared else [_POIS, _IMAGE])})

    def forward(self, x: Tensor, keys: Tensor, split: int, cls_only: bool = False) -> Tensor:
        """One layer.

        Args:
            x: (B, L, D).
            keys: Which tokens may be attended to, (B, 1, 1, L) bool.
            split: T; tokens from there on belong to the image.
            cls_only: Whether to compute the CLS tokens only, (B, 2, D), or (B, 1, D) without images.
        """
        query, key, value = self._project(x)
        if cls_only:
            cls = [0, split] if x.shape[1] > split else [0]
            query, x, split = query[:, :, cls], x[:, cls], 1
        dropout = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=keys, dropout_p=dropout)
        mixed = self.out(mixed.transpose(1, 2).flatten(2))
        x = self.norm(x + self.dropout(mixed))
        if _SHARED in self.experts:
            routed: Tensor = self.experts[_SHARED](x)
            return routed
        return torch.cat([self.experts[_POIS](x[:, :split]), self.experts[_IMAGE](x[:, split:])], dim=1)

    def attention(self, x: Tensor, keys: Tensor, split: int) -> Tensor:
        """Softmax weights of this layer from POI tokens to patches, (B, H, T, N) float32, for the same arguments."""
        query, key, _ = self._project(x)
        query = query[:, :, :split] * query.shape[-1] ** -0.5
        weights: Tensor = (query @ key.transpose(2, 3)).float().masked_fill(~keys, -torch.inf).softmax(-1)
        return weights[..., split + 1 :]

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, (B, H, L, D / H) each."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value


class Fusion(nn.Module):
    """Scores of the two CLS vectors for attentional fusion; it starts as the plain average."""

    def __init__(self, config: RefoundConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden_size, FUSION_SIZE)
        self.score = nn.Linear(FUSION_SIZE, 1, bias=False)

    def forward(self, sides: Tensor) -> Tensor:
        """(B, 2, D) -> (B, 2)."""
        scores: Tensor = self.score(torch.tanh(self.hidden(sides)))
        return scores.squeeze(-1)


class Mlp(nn.Module):
    """Two layers: the classifiers of masked modelling, and the head of fine-tuning."""

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., outputs)."""
        decoded: Tensor = self.decoder(self.dropout(F.gelu(self.dense(x))))
        return decoded


class RefoundModel(nn.Module):
    """The whole network; see the module.

    A batch holds, by name: `tokens`, `word_position`, `poi_position`, `grid_position`, `category` (B, T) int64 and
    `token_mask` (B, T) bool, true for real tokens; `has_pois` and `has_image` (B,) bool; `image` (B, 3, S, S) float,
    normalised and finite everywhere, with `image_mask` (B, N) bool, true for patches with valid data. A batch without
    any image may leave `image` and `image_mask` out, which spares computing them.
    """

    def __init__(self, config: RefoundConfig) -> None:
        super().__init__()
        if not config.vocab_size or not config.categories:
            raise ConfigError("The sizes of vocabulary and categories are not known yet.", "Prepare the data first.")
        self.config = config
        self.pois = PoiEmbedding(config)
        self.image = ImageEmbedding(config)
        self.modality = nn.Embedding(2, config.hidden_size)
        first_shared = config.layers - config.shared_layers if config.experts else 0
        self.layers = nn.ModuleList(MogeLayer(config, shared=i >= first_shared) for i in range(config.layers))
        self.fusion = Fusion(config) if config.fusion == "attention" else None
        self.heads = pretraining_heads(config)
        self.prediction = Mlp(config.hidden_size, config.predictions, config.dropout) if config.predictions else None
        self._initialise()

    def encode(
        self,
        batch: Mapping[str, Tensor],
        *,
        tokens: Tensor | None = None,
        patch_mask: Tensor | None = None,
        attention: bool = False,
        cls_only: bool = False,
    ) -> Encoded:
        """Both modalities in one pass.

        Args:
            batch: See the class.
            tokens: Token ids instead of those of the batch, (B, T): with some of them masked.
            patch_mask: Patches to hide, (B, N) bool.
            attention: Whether to return the last layer's attention.
            cls_only: Whether the last layer may leave out all but the CLS tokens: `tokens` is then (B, 1, D) and
                `patches` (B, 0, D).
        """
        split = batch["tokens"].shape[1]
        x, keys = self.embed(batch, tokens=tokens, patch_mask=patch_mask)
        recompute = self.config.gradient_checkpointing and self.training and torch.is_grad_enabled()
        weights = None
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            if attention and last:
                weights = layer.attention(x, keys, split)  # type: ignore[operator]
            arguments = (x, keys, split, cls_only and last)
            x = checkpoint(layer, *arguments, use_reentrant=False) if recompute else layer(*arguments)
        split = 1 if cls_only else split
        image_cls = x[:, split] if x.shape[1] > split else torch.zeros_like(x[:, 0])
        return Encoded(x[:, 0], image_cls, x[:, :split], x[:, split + 1 :], weights)

    def embed(
        self, batch: Mapping[str, Tensor], *, tokens: Tensor | None = None, patch_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What enters the first layer, (B, L, D), and which tokens may be attended to, (B, 1, 1, L) bool."""
        pois = self.pois(batch, batch["tokens"] if tokens is None else tokens) + self.modality.weight[0]
        poi_keys = batch["token_mask"] & batch["has_pois"][:, None]
        # The CLS token stays, so that no token is left without a key.
        poi_keys = poi_keys | (torch.arange(poi_keys.shape[1], device=poi_keys.device) == 0)
        if "image" not in batch:
            return pois, poi_keys[:, None, None]
        image = self.image(batch["image"], patch_mask) + self.modality.weight[1]
        has_image = batch["has_image"][:, None]
        image_keys = torch.cat([has_image, batch["image_mask"] & has_image], dim=1)
        return torch.cat([pois, image], dim=1), torch.cat([poi_keys, image_keys], dim=1)[:, None, None]

    def fuse(self, encoded: Encoded, has_pois: Tensor, has_image: Tensor) -> Tensor:
        """Region vectors (B, D): average or attentional fusion of the CLS vectors that exist (section 4.3).

        Args:
            encoded: From `encode`.
            has_pois, has_image: Which sides exist, (B,) bool. A region without either gets a row of NaN.
        """
        sides = torch.stack([encoded.poi_cls, encoded.image_cls], dim=1)
        exists = torch.stack([has_pois, has_image], dim=1)
        scores = sides.new_zeros(exists.shape) if self.fusion is None else self.fusion(sides)
        weights = scores.masked_fill(~exists, -torch.inf).softmax(-1)
        return (weights[..., None] * sides).sum(1)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Region vectors, (B, D)."""
        return self.fuse(self.encode(batch, cls_only=True), batch["has_pois"], batch["has_image"])

    def predict(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the fine-tuned head makes of the region vectors, (B, predictions).

        Raises:
            ConfigError: the network has no such head.
        """
        if self.prediction is None:
            raise ConfigError("This network has no prediction head.", "Fine-tune it first.")
        predicted: Tensor = self.prediction(self(batch))
        return predicted

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(std=_INITIAL_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
        self.pois.word.weight[0].zero_()
        self.image.cls.normal_(std=_INITIAL_STD)
        self.image.mask.normal_(std=_INITIAL_STD)
        if self.fusion is not None:
            self.fusion.score.weight.zero_()
        if self.config.aligned_start:
            align(self)


def pretraining_heads(config: RefoundConfig) -> nn.ModuleDict:
    """Projections and classifiers of the objectives that are switched on (section 4.2), and no others."""
    width = config.hidden_size
    heads: dict[str, nn.Module] = {}
    if config.dlfm and config.language_dim:
        heads["language"] = nn.Linear(width, config.language_dim)
    if config.dvfm and config.vision_dim:
        heads["vision"] = nn.Linear(width, config.vision_dim)
    if config.dvlfm and config.vision_language_dim:
        heads["relation_pois"] = nn.Linear(width, config.vision_language_dim)
        heads["relation_image"] = nn.Linear(width, config.vision_language_dim)
    if config.mgdm:
        heads["tokens"] = Mlp(width, config.vocab_size)
    if config.mgdm and config.visual_vocab_size:
        heads["patches"] = Mlp(width, config.visual_vocab_size)
    if config.cmsa:
        heads["alignment"] = nn.Linear(width, 1)
    return nn.ModuleDict(heads)


def cut_patches(image: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> (B, (S / size)^2, C * size * size): patches row by row, each channel by channel."""
    rows = image.unflatten(2, (-1, size)).unflatten(4, (-1, size))
    patches: Tensor = rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return patches


def layer_of(name: str, layers: int) -> int:
    """Where a parameter stands for layer-wise learning rates: 0 embeddings, i + 1 layer i, `layers` + 1 fusion, heads."""
    first, _, rest = name.partition(".")
    if first in ("pois", "image", "modality"):
        return 0
    return int(rest.partition(".")[0]) + 1 if first == "layers" else layers + 1
