"""A CLIP of Hugging Face becomes an UrbanLN checkpoint that embeds and searches right away, every key accounted for."""

from __future__ import annotations

from dataclasses import asdict, replace

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.image_text import CaptionTokenizer
from urbanfm_core.models.urbanln.clip import find_clip, read_weights
from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint

__all__ = ["import_clip"]


def import_clip(source: str, *, tokenizer: str | None = None, progress: Progress | None = None) -> Checkpoint:
    """A checkpoint from any CLIP of transformers, its text positions stretched for long captions.

    It has no teacher: that one begins with the training, which takes the same CLIP by `initialise`. Pictures may come
    from imagery or street views, since the model was trained on neither.

    Args:
        source: Folder, or Hugging Face id with `@revision` if wanted.
        tokenizer: Folder or id of its tokenizer, if it lies elsewhere.
        progress: Reports what was assumed and left out.
    Raises:
        ConfigError: it is no CLIP; a weight is unknown, missing or misshapen; the tokenizer has other words.
        RemoteError: the hub cannot be reached.
    """
    progress = progress or Progress()
    clip = find_clip(source)
    words = CaptionTokenizer.load(tokenizer or clip.spec)
    if len(words) > clip.sizes["vocab_size"]:
        raise ConfigError(
            f"The tokenizer '{tokenizer or clip.spec}' has {len(words):,} words, the model knows "
            f"{clip.sizes['vocab_size']:,}.",
            "Name the tokenizer that the model was trained with.",
        )
    config = replace(clip.configured(UrbanLNConfig()), end_id=words.end, msd=False, initialise=clip.spec)
    weights, left = read_weights(clip, config)
    notes = [*clip.notes, *left]
    for note in notes:
        progress.log("info", note)
    preprocessing = {
        "tokenizer": {"files": words.to_files()},
        "pictures": None,
        "statistics": clip.statistics.to_json(),
    }
    manifest = {"source": {"model": clip.spec, "identity": clip.source.label}, "notes": notes}
    named = {f"student.clip.{name}": tensor for name, tensor in weights.items()}
    return Checkpoint("urbanln", asdict(config), preprocessing, manifest, named)
