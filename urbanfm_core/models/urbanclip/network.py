"""The network of UrbanCLIP (Zhong et al. 2024, section 3; CoCa, Yu et al. 2022).

A vision transformer with an attentional pooler: its first query makes the vector that is contrasted with the text, the
others the image tokens that the decoder reads. The text decoder is cut in two: the first half reads the text alone and
gives its vector through a summary token of its own; the second half also looks at the image, and names the next word. So
one pass serves both losses.

In the paper the image asks and the text is asked (section 3.3); here, as in CoCa and in the published code, each word
asks the image, without which there would be no next word to predict.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.models.image_text.tokens import PAD
from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.layers import Attention, Block, KeyValues, through

# Largest factor on the cosines, as a logarithm.
MOST_LOG_SCALE = math.log(100.0)
_FIRST_LOG_SCALE = math.log(1 / 0.07)


class ImageEncoder(nn.Module):
    """Pixels to the contrastive vector and to the tokens that the decoder reads."""

    def __init__(self, config: UrbanClipConfig) -> None:
        super().__init__()
        width, self.patch = config.image_width, config.patch_size
        self.side, self.checkpoints = config.image_size, config.gradient_checkpointing
        self.patches = nn.Linear(3 * self.patch**2, width, bias=False)
        self.cls = nn.Parameter(torch.empty(width))
        self.position = nn.Parameter(torch.empty((config.image_size // self.patch) ** 2 + 1, width))
        self.norm_first = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, config.image_heads, config.image_mlp) for _ in range(config.image_layers)
        )
        self.pooler = Pooler(config) if config.pooler_queries else None
        pooled = config.image_token_width
        self.norm_last = nn.LayerNorm(pooled)
        self.project = nn.Linear(pooled, config.embed_dim, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> vectors (B, E), not normalised, and tokens (B, N, D).

        Raises:
            ShapeError: images of another size.
        """
        if images.shape[1:] != (3, self.side, self.side):
            raise ShapeError(f"Images must be (B, 3, {self.side}, {self.side}), got {tuple(images.shape)}.")
        tiles = images.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)
        x = self.patches(tiles.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2))
        x = torch.cat([self.cls.expand(len(x), 1, -1).to(x.dtype), x], 1) + self.position
        x = self.norm_first(x)
        for block in self.blocks:
            x = through(block, self.checkpoints and self.training, x)
        if self.pooler is not None:
            x = self.pooler(x)
        x = self.norm_last(x)
        return self.project(x[:, 0]), x[:, 1:]


class Pooler(nn.Module):
    """Learned queries that each gather what they need from all tokens (task-specific poolers, section 3.2)."""

    def __init__(self, config: UrbanClipConfig) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(config.pooler_queries, config.embed_dim))
        self.norm_query = nn.LayerNorm(config.embed_dim)
        self.norm_context = nn.LayerNorm(config.image_width)
        self.attention = Attention(config.embed_dim, config.pooler_heads, config.image_width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, image_width) -> (B, Q, E)."""
        query = self.norm_query(self.query).expand(len(x), -1, -1)
        pooled: Tensor = self.attention.look(query, self.norm_context(x))
        return pooled


class TextEncoder(nn.Module):
    """The unimodal half: each word knows those before it; the summary token at the end knows all."""

    def __init__(self, config: UrbanClipConfig) -> None:
        super().__init__()
        self.length, self.checkpoints = config.context_length, config.gradient_checkpointing
        self.words = nn.Embedding(config.vocab_size, config.width)
        self.cls = nn.Parameter(torch.empty(config.width))
        self.position = nn.Parameter(torch.empty(config.context_length + 1, config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.text_heads, config.text_mlp) for _ in range(config.text_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.embed_dim, bias=False)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) int64 -> vectors (B, E), not normalised, and tokens (B, T, D); those of padding mean nothing.

        Texts may be cut to the longest of the batch and one padding token more, if there is room for one.

        Raises:
            ShapeError: texts longer than the context.
        """
        count = ids.shape[1]
        if count > self.length:
            raise ShapeError(f"Texts may have {self.length} tokens, got {count}.")
        x = self.words(ids) + self.position[:count]
        summary = (self.cls + self.position[-1]).expand(len(x), 1, -1).to(x.dtype)
        x = torch.cat([x, summary], 1)
        # As in the published weights' code: a token is seen if the one before it is a word, so of the padding the first.
        sees = F.pad(ids != PAD, (1, 0), value=True)
        for block in self.blocks:
            x = through(block, self.checkpoints and self.training, x, causal=True, summary_sees=sees)
        return self.project(self.norm(x[:, -1])), x[:, :-1]

    def next_tokens(self, ids: Tensor, first: int, caches: list[KeyValues]) -> Tensor:
        """Tokens of further words, (B, 1) at position `first` -> (B, 1, D); the caches know those before."""
        x = self.words(ids) + self.position[first : first + ids.shape[1]]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache=cache)
        tokens: Tensor = x
        return tokens


class Decoder(nn.Module):
    """The multimodal half: words look at words before them, then at the image."""

    def __init__(self, config: UrbanClipConfig) -> None:
        super().__init__()
        self.checkpoints = config.gradient_checkpointing
        sizes = (config.width, config.decoder_heads, config.decoder_mlp)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(config.decoder_layers))
        self.looks = nn.ModuleList(Block(*sizes, context_width=config.width) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        self.words = nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, tokens: Tensor, image: Tensor, caches: list[KeyValues] | None = None) -> Tensor:
        """What is known before each next word is named.

        Args:
            tokens: Of the text, (B, T, D).
            image: Tokens of the image, (B, N, D).
            caches: Of words and images, two a layer, where the tokens are further words of a text.
        Returns:
            (B, T, D); `words` of it are the logits.
        """
        again = self.checkpoints and self.training
        for number, (block, look) in enumerate(zip(self.blocks, self.looks, strict=True)):
            own, seen = (None, None) if caches is None else caches[2 * number : 2 * number + 2]
            tokens = through(block, again, tokens, causal=True, cache=own)
            tokens = through(look, again, tokens, image, cache=seen)
        last: Tensor = self.norm(tokens)
        return last


class UrbanClipModel(nn.Module):
    """Image encoder, both halves of the text decoder, and what is learned besides.

    Raises:
        ConfigError: the vocabulary is not known yet.
    """

    def __init__(self, config: UrbanClipConfig) -> None:
        super().__init__()
        if not config.vocab_size:
            raise ConfigError("The number of words is not known yet.", "Prepare the data first.")
        self.config = config
        self.image = ImageEncoder(config)
        captions = config.objective == "captions"
        self.text = TextEncoder(config) if captions else None
        self.decoder = Decoder(config) if captions and (config.caption_weight or config.prompt_ids) else None
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_LOG_SCALE))
        self.align_extra = nn.Linear(config.extra_dim, config.embed_dim) if config.extra_dim else None
        self.prediction: nn.Module | None = None
        if config.predictions:
            given = config.embed_dim + (config.width if config.prompt_ids else 0)
            self.prediction = nn.Sequential(
                nn.Linear(given, config.predictor_width),
                nn.ReLU(),
                nn.Linear(config.predictor_width, config.predictions),
            )
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights that keep the variance through the layers (Radford et al. 2019, as CLIP and CoCa take them)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        stacks: list[list[Any]] = [list(self.image.blocks)]
        if self.text is not None:
            stacks.append(list(self.text.blocks))
            nn.init.normal_(self.text.words.weight, std=0.02)
            for table in (self.text.cls, self.text.position):
                nn.init.normal_(table, std=0.01)
        if self.decoder is not None:
            stacks.append([*self.decoder.blocks, *self.decoder.looks])
        for stack in stacks:
            for block in stack:
                # Each layer adds to the sum two times.
                for last in (block.attention.out, block.contract):
                    nn.init.normal_(last.weight, std=(2 * len(stack) * last.in_features) ** -0.5)
        for table in (self.image.cls, self.image.position):
            nn.init.normal_(table, std=self.config.image_width**-0.5)
        if self.image.pooler is not None:
            nn.init.normal_(self.image.pooler.query)

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> unit vectors (B, E) and image tokens (B, N, D)."""
        vectors, tokens = self.image(images)
        return F.normalize(vectors, dim=-1), tokens

    def encode_texts(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) -> unit vectors (B, E) and text tokens (B, T, D).

        Raises:
            ConfigError: the network learned without texts.
        """
        if self.text is None:
            raise ConfigError("This network learned without texts.", "Train with the objective 'captions'.")
        vectors, tokens = self.text(ids)
        return F.normalize(vectors, dim=-1), tokens

    def scale(self) -> Tensor:
        """The factor on the cosines, held within [1, 100].

        The logarithm is put back into its range, as training does after every step in the published code.
        """
        with torch.no_grad():
            self.log_scale.clamp_(0.0, MOST_LOG_SCALE)
        return self.log_scale.exp()

    def forward(self, images: Tensor) -> Tensor:
        """Vectors of regions: (B, 3, H, W) -> unit length, (B, E).

        Where only the decoder taught the image encoder, the vector that is contrasted learned nothing: then it is the
        mean of the tokens that the decoder reads, (B, D).
        """
        vectors, tokens = self.encode_images(images)
        return vectors if self.config.compares else F.normalize(tokens.mean(1), dim=-1)

    def require_decoder(self) -> tuple[TextEncoder, Decoder]:
        """Both halves of the text decoder.

        Raises:
            ConfigError: the network has not both.
        """
        if self.text is None or self.decoder is None:
            raise ConfigError(
                "This network did not learn to write captions.",
                "Train with the objective 'captions' and a caption_weight above 0.",
            )
        return self.text, self.decoder

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of regions, and what the predictor makes of them and of what the prompt makes the decoder see.

        Args:
            images: (B, 3, H, W).
        Returns:
            (B, E) and (B, K); K = 0 without a predictor.
        """
        vectors, tokens = self.encode_images(images)
        if self.prediction is None:
            return vectors, vectors[:, :0]
        given = vectors
        if self.config.prompt_ids:
            text, decoder = self.require_decoder()
            ids = torch.tensor(self.config.prompt_ids, device=vectors.device).expand(len(vectors), -1)
            given = torch.cat([vectors, decoder(text(ids)[1], tokens)[:, -1]], 1)
        return vectors, self.prediction(given)
