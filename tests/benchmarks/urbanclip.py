"""A training step of UrbanCLIP beside one of open_clip's CoCa of the same sizes: forward, both losses, backward, AdamW.

open_clip comes from a checkout of mlfoundations/open_clip (`--published`). It imports torchvision for one layer that no
CoCa has; a stand-in of that name lets it run where torchvision is absent.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting, Unavailable

CONTEXT, WORDS, SIDE = 76, 49_408, 224
# Captions have so many tokens, as sentences about pictures from above do.
SHORTEST, LONGEST = 16, 48
STEPS = 2
RATE = 1e-5
TOLERANCE = 1e-3

Sizes = dict[str, Any]


def sizes(width: int, image_width: int, layers: int, image_layers: int, batch: int) -> Sizes:
    """open_clip's configuration of a CoCa over a ViT/32, and the batch."""
    tower = {"context_length": CONTEXT, "vocab_size": WORDS, "width": width, "heads": width // 64, "layers": layers}
    vision = {"image_size": SIDE, "layers": image_layers, "width": image_width, "patch_size": 32}
    return {
        "embed_dim": width,
        "vision_cfg": {**vision, "attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        "text_cfg": {**tower, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**tower, "attn_pooler_heads": 4},
        "batch": batch,
    }


def make(folder: Path, scale: float, seed: int, told: Sizes) -> None:
    """Pictures of noise, and captions of random words."""
    rng = np.random.default_rng(seed)
    count = max(2, int(told["batch"] * scale))
    tokens = np.zeros((count, CONTEXT), np.int64)
    for row, length in enumerate(rng.integers(SHORTEST, LONGEST, count)):
        tokens[row, :length] = [WORDS - 2, *rng.integers(1, WORDS - 2, length - 2), WORDS - 1]
    images = rng.standard_normal((count, 3, SIDE, SIDE), np.float32)
    np.savez(folder / "batch.npz", image=images, tokens=tokens)


def our_config(told: Sizes) -> Any:
    from urbanfm_core.models.urbanclip.config import UrbanClipConfig

    vision, text = told["vision_cfg"], told["text_cfg"]
    return UrbanClipConfig(
        image_size=SIDE,
        patch_size=vision["patch_size"],
        image_width=vision["width"],
        image_layers=vision["layers"],
        image_heads=vision["width"] // 64,
        image_mlp=4 * vision["width"],
        pooler_heads=vision["attn_pooler_heads"],
        embed_dim=told["embed_dim"],
        context_length=CONTEXT,
        vocab_size=WORDS,
        width=text["width"],
        text_layers=text["layers"],
        text_heads=text["heads"],
        text_mlp=4 * text["width"],
        decoder_layers=text["layers"],
        decoder_heads=text["heads"],
        decoder_mlp=4 * text["width"],
    )


def _batch(setting: Setting) -> tuple[Any, Any]:
    import torch

    with np.load(setting.inputs / "batch.npz") as file:
        return torch.from_numpy(file["image"]), torch.from_numpy(file["tokens"])


def ours(setting: Setting, told: Sizes) -> Callable[[], Output]:
    """`pretraining_losses`, on texts cut as `ImageTextSamples` cuts them."""
    import torch

    from urbanfm_core.models.urbanclip.losses import pretraining_losses
    from urbanfm_core.models.urbanclip.network import UrbanClipModel

    config = our_config(told)
    torch.manual_seed(0)
    model = UrbanClipModel(config).train()
    image, tokens = _batch(setting)
    batch = {"image": image, "text": tokens[:, : int((tokens != 0).sum(1).max()) + 1]}
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)

    def work() -> Output:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss = pretraining_losses(model, batch, config)["loss"]
            loss.backward()
            optimizer.step()
        return Output()

    return work


def open_clip(setting: Setting, told: Sizes) -> Callable[[], Output]:
    """`CoCa` and `CoCaLoss` with weights 1 and 1, as UrbanCLIP's public code takes them."""
    import torch

    models, losses = _open_clip(setting.require_published())
    torch.manual_seed(0)
    parts = {name: told[name] for name in ("embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg")}
    model = models.CoCa(**parts).train()
    objective = losses.CoCaLoss(caption_loss_weight=1.0, clip_loss_weight=1.0)
    image, tokens = _batch(setting)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)

    def forward() -> Any:
        found = model(image, tokens)
        return sum(
            objective(
                found["image_features"],
                found["text_features"],
                found["logits"][:, :-1],
                tokens[:, 1:],
                found["logit_scale"],
            )
        )

    def work() -> Output:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            forward().backward()
            optimizer.step()
        return Output(lambda: _same(model, forward, setting, told))

    return work


def _same(model: Any, forward: Callable[[], Any], setting: Setting, told: Sizes) -> Arrays:
    """Its loss, and that of ours with the same weights."""
    import json

    import torch
    from safetensors.torch import save_file

    from urbanfm_core.importers.coca import import_coca
    from urbanfm_core.models.urbanclip.losses import pretraining_losses
    from urbanfm_core.models.urbanclip.network import UrbanClipModel

    state = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    save_file(state, setting.scratch / "coca.safetensors")
    (setting.scratch / "coca.json").write_text(json.dumps({name: told[name] for name in told if name != "batch"}))
    imported = import_coca(setting.scratch / "coca.safetensors")
    twin = UrbanClipModel(our_config(told)).eval()
    twin.load_state_dict(imported.weights)
    image, tokens = _batch(setting)
    with torch.inference_mode():
        found = pretraining_losses(twin, {"image": image, "text": tokens}, our_config(told))["loss"]
        return {"theirs": forward().numpy(), "imported": found.numpy()}


def _open_clip(folder: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """The modules of model and loss, without the package's own list of everything."""
    import torch
    import transformers  # noqa: F401 - looks for torchvision when it is imported, and must not find the stand-in

    source = folder / "src" / "open_clip"
    if not (source / "coca_model.py").is_file():
        raise Unavailable(f"{folder} is no checkout of mlfoundations/open_clip")
    stand_in = types.ModuleType("torchvision.ops.misc")
    stand_in.FrozenBatchNorm2d = type("FrozenBatchNorm2d", (torch.nn.Module,), {})  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.ops"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules.setdefault("torchvision.ops.misc", stand_in)
    package = types.ModuleType("open_clip")
    package.__path__ = [str(source)]
    sys.modules["open_clip"] = package
    return importlib.import_module("open_clip.coca_model"), importlib.import_module("open_clip.loss")


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Same weights, same loss, from its own code and from ours."""
    words = {}
    for name, arrays in outputs.items():
        if "theirs" not in arrays:
            continue
        theirs, imported = float(arrays["theirs"]), float(arrays["imported"])
        if not abs(theirs - imported) <= TOLERANCE:
            raise Mismatch(f"{name}: loss {theirs:.5f}, with the same weights in ours {imported:.5f}.")
        words[name] = f"loss {theirs:.4f}, the same weights in ours {imported:.4f}"
    return words


def case(told: Sizes, title: str) -> Case:
    return Case(
        f"{STEPS} training steps of {title}, batches of {told['batch']}, {WORDS:,} words",
        partial(make, told=told),
        {
            "ours": Contender(partial(ours, told=told), "ours"),
            "open_clip": Contender(partial(open_clip, told=told), "peer"),
        },
        compare,
        (Goal("ours", "open_clip", 1.0), Goal("ours", "open_clip", 0.8, "peak_mib")),
    )


CASES = {
    "small": case(sizes(256, 384, 4, 6, 16), "a CoCa of 384 and 256 over patches of 32"),
    # A quarter of the published batch of 128: below, weights and moments, the same for both, are most of the memory.
    "ViT-B/32": case(sizes(512, 768, 12, 12, 32), "open_clip's coca_ViT-B-32"),
}
