"""What methods that learn from pictures and captions share: captions as tokens, pictures of regions, their samples."""

from __future__ import annotations

from urbanfm_core.models.image_text.augment import Augmentation, augmented, plain
from urbanfm_core.models.image_text.phrases import phrase_vectors
from urbanfm_core.models.image_text.pictures import Pictures, picture_inputs, region_vectors, window_function
from urbanfm_core.models.image_text.samples import ImageTextSamples, caption_samples, captions_of
from urbanfm_core.models.image_text.tokens import CaptionTokenizer, load_or_train

__all__ = [
    "Augmentation",
    "CaptionTokenizer",
    "ImageTextSamples",
    "Pictures",
    "augmented",
    "caption_samples",
    "captions_of",
    "load_or_train",
    "phrase_vectors",
    "picture_inputs",
    "plain",
    "region_vectors",
    "window_function",
]
