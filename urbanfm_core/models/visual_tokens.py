"""Visual tokens: each patch of an image as the number of the word that is most like it (ReFound, eq. 6, after BEiT).

The paper takes the words of a public image tokenizer. Here they are fitted on the user's own patches, or come from a
folder. A tokenizer is a linear descriptor and a codebook: with the pixels x of a patch, colours in [0, 1], the token is
argmin_k |B (x - m) - w_k|.

The fitted descriptor holds the lowest frequencies of the patch's cosine transform: 15 of brightness, 3 of each of two
colour differences. Image compression keeps just these because they hold most of what is seen; the rest is noise that no
network could foresee from the neighbours. Pixels themselves, or their whitened principal components, would need a fit
of their own and spend words on that noise. Each coefficient is divided by the square root of its deviation: halfway
between distances in which mean brightness decides alone and distances in which all coefficients count alike.

Folder of a tokenizer: `tokenizer.json` {"format": "urbanfm-visual-tokens", "version": 1, "patch_px": P} and
`codebook.safetensors` with float32 `words` (K, F), `basis` (F, 3 P P) and `mean` (3 P P,), pixels ordered channel, row,
column.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.fft import dct
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin

from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError, InputError, ShapeError
from urbanfm_core.files import atomic_path
from urbanfm_core.models.teachers import Images
from urbanfm_core.progress import Meter, Progress

FORMAT, VERSION = "urbanfm-visual-tokens", 1
PATCH_PX = 16
_TENSORS = ("words", "basis", "mean")
# Lowest frequencies kept: those whose row and column numbers add up to less than this.
_BRIGHTNESS_ORDERS, _COLOUR_ORDERS = 5, 2
# Brightness and two colour differences, as JPEG has them (ITU-R BT.601).
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
# Patches to fit on, per word and at most; words are not fewer than patches by less than this factor.
_PATCHES_PER_WORD, _MOST_PATCHES, _FEWEST_PER_WORD = 40, 400_000, 4
_IMAGES_AT_ONCE, _IMAGES_PER_PARTITION = 32, 512
_FIT_BATCH, _FIT_PASSES, _SEED_ROWS = 16_384, 5, 4_096


@dataclass(frozen=True)
class VisualTokens:
    """A tokenizer of patches; see the module.

    Attributes:
        patch_px: Side P of a patch, pixels.
        words: Codebook, (K, F) float32.
        basis: Descriptor, (F, 3 P P) float32.
        mean: Pixels of the average patch, (3 P P,) float32.
    """

    patch_px: int
    words: NDArray[np.float32]
    basis: NDArray[np.float32]
    mean: NDArray[np.float32]

    def __post_init__(self) -> None:
        pixels = 3 * self.patch_px * self.patch_px
        shapes = [array.shape for array in (self.words, self.basis, self.mean)]
        expected = [(len(self.words), len(self.basis)), (len(self.basis), pixels), (pixels,)]
        if shapes != expected or not len(self.words):
            raise ShapeError(
                f"A codebook of patches of {self.patch_px} pixels holds words, basis and mean of shapes {expected}, "
                f"found {shapes}."
            )
        if not all(np.isfinite(array).all() for array in (self.words, self.basis, self.mean)):
            raise InputError("The codebook of visual tokens holds numbers that are not finite.", "Fit it again.")

    @property
    def size(self) -> int:
        """Number of words K; tokens lie in [0, K)."""
        return len(self.words)

    @property
    def identity(self) -> str:
        """Equal identities give equal tokens."""
        digest = hashlib.sha256()
        for name in _TENSORS:
            digest.update(np.ascontiguousarray(getattr(self, name), "<f4").tobytes())
        return f"visual-tokens|{self.size}|patch={self.patch_px}|sha256={digest.hexdigest()[:16]}"

    def describe(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Descriptors of all patches, (n, 3, H, W) uint8 -> (n, N, F) float32; patches by row and column."""
        patches = _patches(images, self.patch_px)
        return np.asarray((patches - self.mean) @ self.basis.T, np.float32)

    def assign(self, images: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The token of each patch.

        Args:
            images: (n, 3, H, W) uint8, red first; H and W are multiples of the patch.
            valid: Which pixels are valid, (n, H, W).
        Returns:
            (n, N) int64 by row and column of the patches; -1 where not all pixels of a patch are valid.
        Raises:
            ShapeError: images or masks have another shape.
        """
        whole = patch_valid(images, valid, self.patch_px)
        tokens = np.full(whole.shape, -1, np.int64)
        if whole.any():
            tokens[whole] = pairwise_distances_argmin(self.describe(images)[whole], self.words)
        return tokens

    def to_state(self) -> dict[str, Any]:
        """Everything as JSON-like values, to be kept in a checkpoint; arrays are base64 of little-endian float32."""
        state: dict[str, Any] = {"format": FORMAT, "version": VERSION, "patch_px": self.patch_px}
        for name in _TENSORS:
            array = np.ascontiguousarray(getattr(self, name), "<f4")
            state[name] = {"shape": list(array.shape), "float32": base64.b64encode(array.tobytes()).decode()}
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> VisualTokens:
        """What `to_state` wrote.

        Raises:
            CheckpointError: it is something else, or damaged.
        """
        try:
            _check_format(state)
            arrays = {
                name: np.frombuffer(base64.b64decode(state[name]["float32"], validate=True), "<f4")
                .reshape(state[name]["shape"])
                .astype(np.float32)
                for name in _TENSORS
            }
            return cls(int(state["patch_px"]), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The visual tokens in the checkpoint cannot be read: {error}") from error

    def to_folder(self, folder: str | Path) -> None:
        """Write the folder described in the module; whole or not at all."""
        with atomic_path(folder) as temporary:
            temporary.mkdir(parents=True)
            about = {"format": FORMAT, "version": VERSION, "patch_px": self.patch_px}
            (temporary / "tokenizer.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
            arrays = {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in _TENSORS}
            save_file(arrays, temporary / "codebook.safetensors")

    @classmethod
    def from_folder(cls, folder: str | Path) -> VisualTokens:
        """Read the folder described in the module.

        Raises:
            ConfigError: it is something else, or damaged.
        """
        try:
            about = json.loads((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
            _check_format(about)
            arrays = load_file(Path(folder) / "codebook.safetensors")
            return cls(int(about["patch_px"]), *(np.asarray(arrays[name], np.float32) for name in _TENSORS))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ConfigError(
                f"The folder {folder} holds no tokenizer of patches: {error}",
                "Expected tokenizer.json and codebook.safetensors as written by VisualTokens.to_folder, "
                "or 'codebook' to make words of the imagery itself.",
            ) from error


def fit_visual_tokens(
    images: Images,
    regions: int,
    *,
    size: int = 8192,
    patch_px: int = PATCH_PX,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[VisualTokens, list[str]]:
    """A codebook of the user's own patches.

    Args:
        images: Gives images of regions.
        regions: Number of regions R.
        size: Words wanted. There are fewer where patches are few: at least four patches a word.
        patch_px: Side of a patch, pixels.
        seed: Start of the draws of patches and of the first words.
        progress: Reports and cancels.
    Returns:
        The tokenizer, and what a report should mention.
    Raises:
        ConfigError: size or patch_px is not positive.
        EmptyInputError: no patch is valid throughout.
    """
    progress = progress or Progress()
    if size < 1 or patch_px < 1:
        raise ConfigError(f"Words and pixels of a patch must be at least 1, found {size} and {patch_px}.")
    rng = np.random.default_rng(seed)
    wanted = min(_MOST_PATCHES, size * _PATCHES_PER_WORD)
    basis = _cosine_basis(patch_px)
    described, mean = _sample(images, regions, patch_px, basis, wanted, rng, progress.part(0.0, 0.6))
    deviation = described.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-6, 1.0 / np.sqrt(np.maximum(deviation, 1e-6)), 0.0)
    described = np.asarray((described - basis @ mean) * scale, np.float32)
    distinct = len(np.unique(described.round(6), axis=0))
    words = max(1, min(size, len(described) // _FEWEST_PER_WORD, distinct))
    centres = _words(described, words, seed, progress.part(0.6, 1.0))
    tokens = VisualTokens(
        patch_px,
        centres,
        np.asarray(basis * scale[:, None], np.float32),
        np.asarray(mean, np.float32),
    )
    notes = [f"Visual tokens are {words:,} words fitted on {len(described):,} patches of the imagery."]
    if words < size:
        notes.append(f"{size:,} words were wanted, which needs more patches that differ: there are {words:,}.")
    progress.update(1.0)
    return tokens, notes


def load_visual_tokens(spec: str) -> VisualTokens:
    """The tokenizer in a local folder; see the module for its layout, and `fit_visual_tokens` for making one.

    Raises:
        ConfigError: there is no such folder, or something else in it.
    """
    return VisualTokens.from_folder(Path(spec).expanduser())


def stored_visual_tokens(
    tokens: VisualTokens,
    images: Images,
    regions: int,
    *,
    store: SampleStore,
    images_key: str = "",
    progress: Progress | None = None,
) -> tuple[NDArray[np.int64], list[str]]:
    """Tokens of all regions, (R, N) int64, from the store or made and kept there; and what a report should mention.

    Args:
        tokens: The tokenizer.
        images: Gives images of regions.
        regions: Number of regions R.
        store: Keeps finished partitions.
        images_key: What the images depend on and the store's name does not tell.
        progress: Reports and cancels.
    """
    progress = progress or Progress()
    meter = Meter(progress, "images", regions)
    name = hashlib.sha256(json.dumps([tokens.identity, images_key, regions]).encode()).hexdigest()[:16]

    def make(rows: slice) -> dict[str, NDArray[np.int32]]:
        parts = []
        for first in range(rows.start, rows.stop, _IMAGES_AT_ONCE):
            progress.check()
            chosen = np.arange(first, min(first + _IMAGES_AT_ONCE, rows.stop))
            parts.append(tokens.assign(*images(chosen)))
            meter.advance(len(chosen))
        return {"tokens": np.concatenate(parts).astype(np.int32)}

    found = []
    for rows, kept in store.partitions(f"visual-tokens/{name}", regions, _IMAGES_PER_PARTITION, make):
        meter.advance(rows.stop - meter.done)
        found.append(kept["tokens"])
    whole = np.concatenate(found).astype(np.int64) if found else np.empty((0, 0), np.int64)
    unknown = int((whole < 0).sum())
    notes = []
    if unknown:
        notes.append(f"{unknown:,} of {whole.size:,} patches hold pixels that are not valid and have no visual token.")
    return whole, notes


def patch_valid(images: NDArray[np.uint8], valid: NDArray[np.bool_], patch_px: int) -> NDArray[np.bool_]:
    """Which patches hold valid pixels only, (n, N); patches by row and column.

    Raises:
        ShapeError: images are not (n, 3, H, W) uint8 with sides of whole patches, or masks do not fit.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ShapeError(f"Images must be uint8 of (n, 3, H, W), got {images.dtype} of {images.shape}.")
    count, _, height, width = images.shape
    if valid.shape != (count, height, width):
        raise ShapeError(f"Masks of {images.shape} images cannot be {valid.shape}.")
    if height % patch_px or width % patch_px:
        raise ShapeError(f"Images of {height} x {width} pixels do not consist of patches of {patch_px}.")
    cut = valid.reshape(count, height // patch_px, patch_px, width // patch_px, patch_px)
    return np.asarray(cut.all(axis=(2, 4)).reshape(count, -1))


def _patches(images: NDArray[np.uint8], patch_px: int) -> NDArray[np.float32]:
    """Colours in [0, 1] of all patches, (n, N, 3 P P), pixels ordered channel, row, column."""
    count, _, height, width = images.shape
    rows, columns = height // patch_px, width // patch_px
    cut = images.reshape(count, 3, rows, patch_px, columns, patch_px).transpose(0, 2, 4, 1, 3, 5)
    return np.asarray(cut.reshape(count, rows * columns, -1), np.float32) / np.float32(255.0)


def _cosine_basis(patch_px: int) -> NDArray[np.float64]:
    """Rows that take the lowest cosine coefficients of brightness and colour differences, (F, 3 P P)."""
    waves = dct(np.eye(patch_px), norm="ortho", axis=0)  # (frequency, pixel)
    rows = []
    for channel, orders in enumerate((_BRIGHTNESS_ORDERS, _COLOUR_ORDERS, _COLOUR_ORDERS)):
        for total in range(min(orders, patch_px)):
            for down in range(total + 1):
                plane = np.outer(waves[down], waves[total - down])
                rows.append((_YCC[channel][:, None, None] * plane).reshape(-1))
    # Divided by the number of pixels of a side, coefficient 0 is the mean of the channel.
    return np.stack(rows) / patch_px


def _sample(
    images: Images,
    regions: int,
    patch_px: int,
    basis: NDArray[np.float64],
    wanted: int,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Descriptors, (P, F), of patches drawn from images in random order, and the mean patch, (3 P P,).

    From each image about as many patches are drawn as bring the wanted number from all of them.
    """
    order = rng.permutation(regions)
    share = max(1, -(-wanted // max(1, regions)))
    meter = Meter(progress, "images", regions)
    drawn: list[NDArray[np.float32]] = []
    total, count = np.zeros(basis.shape[1]), 0
    for start in range(0, regions, _IMAGES_AT_ONCE):
        progress.check()
        rows = np.sort(order[start : start + _IMAGES_AT_ONCE])
        pixels, valid = images(rows)
        whole = patch_valid(pixels, valid, patch_px)
        # The first of a random order of each image's patches, those that are valid in front.
        rank = np.argsort(np.argsort(np.where(whole, rng.random(whole.shape), 2.0), axis=1), axis=1)
        chosen = whole & (rank < share)
        if chosen.any():
            patches = _patches(pixels, patch_px)[chosen]
            total += patches.sum(axis=0, dtype=np.float64)
            drawn.append(np.asarray(patches @ basis.T, np.float32))
            count += len(patches)
        meter.advance(len(rows))
        if count >= wanted:
            break
    if not count:
        raise EmptyInputError(
            f"None of the patches of {regions:,} images has valid pixels only, so no visual words can be fitted.",
            "Check that the imagery covers the regions.",
        )
    return np.concatenate(drawn)[:wanted], total / count


def _words(described: NDArray[np.float32], words: int, seed: int, progress: Progress) -> NDArray[np.float32]:
    """Centres of so many clusters of rows, (K, F): mini-batch k-means from seeds that k-means++ has spread out."""
    rng = np.random.default_rng(seed)
    progress.update(0.0, f"Finding {words:,} words in {len(described):,} patches")
    start = rng.choice(len(described), min(len(described), max(_SEED_ROWS, 2 * words)), replace=False)
    # One trial per seed: with thousands of words more of them gain nothing.
    first, _ = kmeans_plusplus(described[start], words, random_state=seed, n_local_trials=1)
    model = MiniBatchKMeans(words, init=first, n_init=1, random_state=seed)
    batch = max(_FIT_BATCH, words)
    rounds = range(_FIT_PASSES * -(-len(described) // batch))
    order = rng.permutation(len(described))
    for turn in progress.track(rounds, "batches"):
        model.partial_fit(described[np.take(order, range(turn * batch, (turn + 1) * batch), mode="wrap")])
    return np.asarray(model.cluster_centers_, np.float32)


def _check_format(about: Mapping[str, Any]) -> None:
    if about["format"] != FORMAT or about["version"] != VERSION:
        raise ValueError(
            f"expected format {FORMAT} version {VERSION}, found {about['format']} version {about['version']}"
        )
