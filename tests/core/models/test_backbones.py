"""Image models made here by `save_pretrained`, and timm's route with a stand-in for the package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from urbanfm_core.errors import ConfigError, MissingDependencyError, RemoteError, ShapeError
from urbanfm_core.models.backbones import load_image_backbone

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def save_settings(folder: Path, side: int = 32, **more: Any) -> None:
    settings = {"image_mean": MEAN, "image_std": STD, "size": {"height": side, "width": side}, "resample": 3, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def save_vit(folder: Path, seed: int = 0, **settings: Any) -> Path:
    torch.manual_seed(seed)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8
    )
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    save_settings(folder, **settings)
    return folder


def save_dinov2(folder: Path) -> Path:
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    save_settings(folder, 40, crop_size={"height": 28, "width": 28}, do_center_crop=True)
    return folder


def save_resnet(folder: Path) -> Path:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic", num_channels=3
    )
    transformers.ResNetModel(config).save_pretrained(folder)
    save_settings(folder)
    return folder


def save_clip(folder: Path) -> Path:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.CLIPConfig(
        text_config={**sizes, "vocab_size": 20, "max_position_embeddings": 8},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    save_settings(folder)
    return folder


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(5)
    pixels = torch.from_numpy(rng.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8))
    return pixels, torch.ones(3, 32, 32, dtype=torch.bool)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels / 255.0 - mean) / std


def test_vit_gives_its_class_token(tmp_path: Path, images: Any) -> None:
    backbone = load_image_backbone(str(save_vit(tmp_path / "vit")))
    vectors = backbone.features(*images)
    model = transformers.ViTModel.from_pretrained(tmp_path / "vit", add_pooling_layer=False).eval()
    with torch.no_grad():
        expected = model(normalised(images[0])).last_hidden_state[:, 0]
    torch.testing.assert_close(vectors, expected)
    assert not backbone.notes and not backbone.reads_language


def test_dinov2_resizes_the_whole_image_to_the_side_of_its_crop(tmp_path: Path, images: Any) -> None:
    backbone = load_image_backbone(str(save_dinov2(tmp_path / "dino")))
    vectors = backbone.features(*images)
    small = torch.nn.functional.interpolate(images[0] / 255.0, (28, 28), mode="bicubic", antialias=True).clamp(0, 1)
    model = transformers.Dinov2Model.from_pretrained(tmp_path / "dino").eval()
    with torch.no_grad():
        expected = model(normalised(small * 255.0)).pooler_output
    torch.testing.assert_close(vectors, expected)
    assert "side=28|bicubic" in backbone.identity


def test_resnet_gives_its_pooled_map(tmp_path: Path, images: Any) -> None:
    vectors = load_image_backbone(str(save_resnet(tmp_path / "resnet"))).features(*images)
    model = transformers.ResNetModel.from_pretrained(tmp_path / "resnet").eval()
    with torch.no_grad():
        expected = model(normalised(images[0])).last_hidden_state.mean((2, 3))
    torch.testing.assert_close(vectors, expected)


def test_clip_gives_the_vector_that_is_compared_with_texts(tmp_path: Path, images: Any) -> None:
    backbone = load_image_backbone(str(save_clip(tmp_path / "clip")))
    vectors = backbone.features(*images)
    model = transformers.CLIPModel.from_pretrained(tmp_path / "clip").eval()
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(normalised(images[0])).pooler_output)
    assert vectors.shape == (3, 12)
    torch.testing.assert_close(vectors, expected)
    assert backbone.reads_language


def test_pixels_that_are_not_valid_change_nothing(tmp_path: Path, images: Any) -> None:
    backbone = load_image_backbone(str(save_vit(tmp_path / "vit")))
    pixels, valid = images[0].clone(), images[1].clone()
    valid[1, :, 20:] = False
    first = backbone.features(pixels, valid)
    pixels[1, :, :, 20:] = 0
    torch.testing.assert_close(backbone.features(pixels, valid), first, rtol=0, atol=0)
    assert not torch.allclose(first[1], backbone.features(pixels, images[1])[1])


def test_identity_tells_weights_and_preparation_apart(tmp_path: Path) -> None:
    specs = [
        save_vit(tmp_path / "a"),
        save_vit(tmp_path / "b"),
        save_vit(tmp_path / "c", seed=1),
        save_vit(tmp_path / "d", do_normalize=False),
    ]
    one, same, other, plain = (load_image_backbone(str(spec)).identity for spec in specs)
    assert one == same and len({one, other, plain}) == 3


def test_absent_settings_are_said(tmp_path: Path) -> None:
    (save_vit(tmp_path / "vit") / "preprocessor_config.json").unlink()
    backbone = load_image_backbone(str(tmp_path / "vit"))
    assert "images of 32 pixels" in backbone.notes[0] and "side=32" in backbone.identity


def test_weights_of_another_model_are_refused(tmp_path: Path, images: Any) -> None:
    folder = save_vit(tmp_path / "vit")
    config = transformers.ViTConfig.from_pretrained(folder)
    config.num_hidden_layers = 3
    config.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"image model.*lacks 1"):
        load_image_backbone(str(folder)).features(*images)


def test_models_of_text_and_folders_without_safetensors_are_refused(tmp_path: Path, images: Any) -> None:
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"BertModel.*no vector of an image"):
        load_image_backbone(str(tmp_path / "bert")).features(*images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="safetensors"):
        load_image_backbone(str(tmp_path / "empty"))


def test_shapes_are_checked(tmp_path: Path, images: Any) -> None:
    backbone = load_image_backbone(str(save_vit(tmp_path / "vit")))
    with pytest.raises(ShapeError, match="Images"):
        backbone.features(images[0][:, :, :20], images[1])
    with pytest.raises(ShapeError, match="Masks"):
        backbone.features(images[0], images[1][:2])


def test_a_hub_that_cannot_be_reached_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RemoteError, match="statistics"):
        load_image_backbone("some/vit@main", cache_dir=tmp_path)


def test_a_hub_id_is_pinned_to_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "huggingface" / "models--some--vit"
    save_vit(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(commit)
    backbone = load_image_backbone("some/vit@v1", cache_dir=tmp_path)
    assert backbone.identity.startswith(f"hub|some/vit@{commit}|side=32")
    assert backbone.features(*images).shape == (3, 16)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(body)
    for module in [found for found in sys.modules if found.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(str(folder))


def test_torchvision_for_another_torch_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, monkeypatch, "timm", "raise RuntimeError('operator torchvision::nms does not exist')")
    with pytest.raises(ConfigError, match=r"built for another torch than .*pip install .*torchvision") as caught:
        load_image_backbone("timm:resnet18")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "missing"), [("timm", "timm"), ("torchvision.ops", "torchvision")])
def test_missing_packages_name_the_extra(
    name: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, monkeypatch, "timm", f"raise ModuleNotFoundError('gone', name='{name}')")
    with pytest.raises(MissingDependencyError, match=rf"'{missing}'.*urbanfm\[timm\]"):
        load_image_backbone("timm:resnet18")


def test_other_failures_of_timm_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, "timm", "raise RuntimeError('something else')")
    with pytest.raises(RuntimeError, match="something else"):
        load_image_backbone("timm:resnet18")


class Pooled(torch.nn.Module):
    """What stands in for a model of timm: the colour means of the image, through one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.fc(pixels.mean((2, 3)))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A package with the three functions of timm that are called; returns what models were asked for."""
    asked: list[dict[str, Any]] = []

    def create_model(name: str, **options: Any) -> Pooled:
        asked.append({"name": name, **options})
        model = Pooled()
        model.load_state_dict(safetensors.torch.load_file(options["pretrained_cfg"]["file"]))
        return model

    def get_pretrained_cfg(name: str, allow_unregistered: bool) -> Any:
        if name == "pooled.wrong_tag":
            raise RuntimeError("Invalid pretrained tag")
        return SimpleNamespace(hf_hub_id="timm/pooled.tag") if name == "pooled" else None

    timm, models = ModuleType("timm"), ModuleType("timm.models")
    timm.create_model, timm.models = create_model, models  # type: ignore[attr-defined]
    models.get_pretrained_cfg = get_pretrained_cfg  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.models", models)
    return asked


def save_timm(folder: Path) -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    safetensors.torch.save_file(Pooled().state_dict(), folder / "model.safetensors")
    trained = {"input_size": [3, 24, 24], "mean": MEAN, "std": STD, "interpolation": "bilinear", "tag": "tag"}
    content = {"architecture": "pooled", "num_classes": 10, "pretrained_cfg": trained, "model_args": {"depth": 2}}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_timm_loads_a_folder_of_its_layout(tmp_path: Path, images: Any, stand_in: list[dict[str, Any]]) -> None:
    folder = save_timm(tmp_path / "pooled")
    backbone = load_image_backbone(f"timm:{folder}")
    assert "side=24|bilinear" in backbone.identity and not stand_in  # weights wait until they are used
    vectors = backbone.features(*images)
    small = torch.nn.functional.interpolate(images[0] / 255.0, (24, 24), mode="bilinear", antialias=True)
    model = Pooled()
    model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    torch.testing.assert_close(vectors, model(normalised(small * 255.0)).detach())
    (asked,) = stand_in
    assert (asked["name"], asked["num_classes"], asked["depth"]) == ("pooled", 0, 2)
    assert asked["pretrained_cfg"]["num_classes"] == 10
    backbone.features(*images)
    assert len(stand_in) == 1


def test_a_bare_name_of_timm_is_looked_up_and_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Any, stand_in: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "89abcdef0123456789abcdef0123456789abcdef"
    repository = tmp_path / "huggingface" / "models--timm--pooled.tag"
    save_timm(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    for spec in ("timm:pooled", "timm:timm/pooled.tag", f"timm:pooled@{commit}"):
        backbone = load_image_backbone(spec, cache_dir=tmp_path)
        assert backbone.identity.startswith(f"hub|timm/pooled.tag@{commit}|")
    assert backbone.features(*images).shape == (3, 5)


@pytest.mark.parametrize("name", ["unknown", "pooled.wrong_tag", ""])
def test_names_that_timm_does_not_know_are_refused(name: str, stand_in: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="knows no weights"):
        load_image_backbone(f"timm:{name}")


def test_folders_of_transformers_and_damaged_ones_are_refused_by_timm(
    tmp_path: Path, images: Any, stand_in: list[dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match="Without 'timm:'"):
        load_image_backbone(f"timm:{save_vit(tmp_path / 'vit')}")
    folder = save_timm(tmp_path / "pooled")
    safetensors.torch.save_file({"fc.weight": torch.zeros(5, 3)}, folder / "model.safetensors")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_image_backbone(f"timm:{folder}").features(*images)
