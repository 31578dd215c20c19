import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.importers.refound import import_refound, published_name
from urbanfm_core.models import make_config
from urbanfm_core.models.refound import RefoundConfig, RefoundModel, pretraining_losses
from urbanfm_core.models.refound.network import cut_patches, layer_of

GOLDEN = Path(__file__).parents[2] / "golden" / "refound"
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
MASK, SEP = 4, 3


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "refound_forward.npz")


@pytest.fixture(scope="module")
def published():
    found = import_refound(GOLDEN / "refound_random.pdparams", heads=4)
    model = RefoundModel(make_config(RefoundConfig, found.config))
    model.load_state_dict(found.weights)
    return model.eval()


def golden_batch(golden, length=64):
    def part(name):
        return torch.from_numpy(golden[f"in_{name}"][:, :length])

    return {
        "tokens": part("poi_name_token_ids"),
        "token_mask": part("attn_mask_poi").bool(),
        "word_position": part("word_level_pos_ids"),
        "poi_position": part("poi_level_pos_ids"),
        "grid_position": part("grid_level_pos_ids"),
        "category": part("poi_cate_ids"),
        "image": torch.from_numpy(golden["in_img"]),
        "image_mask": torch.ones(3, 16, dtype=torch.bool),
        "has_image": torch.ones(3, dtype=torch.bool),
        "has_pois": torch.tensor([True, False, True]),
    }


ALL = torch.ones(3, dtype=torch.bool)


@torch.inference_mode()
def test_it_computes_what_the_reference_computes(golden, published):
    batch = golden_batch(golden)
    outputs = []
    hooks = [layer.register_forward_hook(lambda *args: outputs.append(args[-1])) for layer in published.layers]
    embedded, _ = published.embed(batch)
    encoded = published.encode(batch)
    for hook in hooks:
        hook.remove()
    np.testing.assert_allclose(embedded[:, :64], golden["poi_embedding"], **CLOSE)
    np.testing.assert_allclose(embedded[:, 64:], golden["img_embedding"], **CLOSE)
    np.testing.assert_allclose(torch.stack(outputs), golden["layer_outputs"], **CLOSE)
    np.testing.assert_allclose(outputs[-1], golden["encoder_output"], **CLOSE)
    np.testing.assert_allclose(encoded.tokens, golden["encoder_output"][:, :64], **CLOSE)
    np.testing.assert_allclose(encoded.patches, golden["encoder_output"][:, 65:], **CLOSE)
    np.testing.assert_allclose(encoded.poi_cls, golden["cls_poi"], **CLOSE)
    np.testing.assert_allclose(encoded.image_cls, golden["cls_img"], **CLOSE)
    both = torch.stack([encoded.poi_cls, encoded.image_cls], dim=1)
    np.testing.assert_allclose(both, golden["feature_extractor"], **CLOSE)


@torch.inference_mode()
def test_both_fusions_and_the_head_are_those_of_the_reference(golden, published):
    batch = {**golden_batch(golden), "has_pois": ALL}  # the reference counts the CLS token of no POIs too
    encoded = published.encode(batch)
    np.testing.assert_allclose(published.fuse(encoded, ALL, ALL), golden["agg_attn"], **CLOSE)
    np.testing.assert_allclose(published(batch), golden["agg_attn"], **CLOSE)
    np.testing.assert_allclose(published.predict(batch), golden["pred_attn"], **CLOSE)
    average = RefoundModel(replace(published.config, fusion="average"))
    state = {name: tensor for name, tensor in published.state_dict().items() if not name.startswith("fusion.")}
    average.load_state_dict(state)
    np.testing.assert_allclose(average.eval()(batch), golden["agg_avr"], **CLOSE)
    np.testing.assert_allclose(average.predict(batch), golden["pred_avr"], **CLOSE)


@torch.inference_mode()
def test_masked_words_and_patches_enter_like_those_of_the_reference(golden, published):
    encoded = published.encode(
        golden_batch(golden),
        tokens=torch.from_numpy(golden["in_poi_name_token_ids_masked"]),
        patch_mask=torch.from_numpy(golden["in_img_mask"]),
    )
    np.testing.assert_allclose(encoded.tokens, golden["encoder_output_masked"][:, :64], **CLOSE)
    np.testing.assert_allclose(encoded.patches, golden["encoder_output_masked"][:, 65:], **CLOSE)


@torch.inference_mode()
def test_padding_that_is_cut_off_changes_nothing(golden, published):
    longest = int(golden["in_attn_mask_poi"][:2].sum(1).max())
    assert longest < 64
    batch = {name: tensor[:2] for name, tensor in golden_batch(golden, longest).items()}
    encoded = published.encode(batch)
    np.testing.assert_allclose(encoded.tokens, golden["encoder_output"][:2, :longest], **CLOSE)
    np.testing.assert_allclose(encoded.image_cls, golden["cls_img"][:2], **CLOSE)


def test_layers_learn_at_the_rates_of_the_reference(published):
    groups = json.loads((GOLDEN / "refound_lr_groups.json").read_text())
    layer = {name: group["layer_id"] for group in groups for name in group["params"]}
    decays = {name: group["weight_decay"] > 0 for group in groups for name in group["params"]}
    for name, parameter in published.named_parameters():
        theirs = published_name(name).format("query")
        assert layer_of(name, published.config.layers) == layer[theirs], name
        assert (parameter.ndim > 1) == decays[theirs], name


# A small network of ours -----------------------------------------------------------------------------------------

CONFIG = RefoundConfig(
    vocab_size=40,
    categories=6,
    hidden_size=16,
    layers=3,
    heads=2,
    intermediate_size=24,
    shared_layers=1,
    max_tokens=12,
    max_pois=6,
    image_size=12,
    patch_size=4,
    grid=2,
    visual_vocab_size=7,
    dropout=0.0,
    language_dim=5,
    vision_dim=6,
    vision_language_dim=4,
    mask_id=MASK,
    separator_id=SEP,
    mask_tokens=0.5,
)


def make_batch(rows=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    length, patches = 9, CONFIG.patches
    poi = torch.tensor([0, 1, 1, 1, 2, 2, 3, 3, 3])
    tokens = torch.randint(5, 40, (rows, length), generator=draw)
    tokens[:, 0] = 2
    tokens[:, [3, 5, 8]] = SEP
    mask = torch.ones(rows, length, dtype=torch.bool)
    mask[0, 6:] = False
    tokens[~mask] = 0
    patch = torch.randint(0, patches, (rows, 4), generator=draw)
    poi_patch = patch[:, poi].masked_fill(~mask | (tokens == SEP), -1)
    poi_patch[:, 0] = -1
    return {
        "tokens": tokens,
        "token_mask": mask,
        "word_position": torch.tensor([0, 0, 1, 2, 0, 1, 0, 1, 2]).expand(rows, -1),
        "poi_position": poi.expand(rows, -1),
        "grid_position": torch.randint(1, 5, (rows, length), generator=draw),
        "category": torch.randint(1, 6, (rows, length), generator=draw),
        "image": torch.randn(rows, 3, 12, 12, generator=draw),
        "image_mask": torch.ones(rows, patches, dtype=torch.bool),
        "has_image": torch.ones(rows, dtype=torch.bool),
        "has_pois": torch.ones(rows, dtype=torch.bool),
        "poi_patch": poi_patch,
        "visual_token": torch.randint(0, 7, (rows, patches), generator=draw),
        "language": torch.randn(rows, 5, generator=draw),
        "vision": torch.randn(rows, 6, generator=draw),
        "vision_language": torch.randn(rows, 4, generator=draw),
        "has_language": torch.ones(rows, dtype=torch.bool),
        "has_vision": torch.ones(rows, dtype=torch.bool),
        "has_vision_language": torch.ones(rows, dtype=torch.bool),
    }


def make_model(seed=0, **changes):
    torch.manual_seed(seed)
    return RefoundModel(replace(CONFIG, **changes))


def test_patches_lie_row_by_row():
    image = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)[:, :, :, :4].float()
    patches = cut_patches(image, 2)
    assert patches.shape == (2, 4, 12)
    assert torch.equal(patches[1, 1], image[1, :, :2, 2:].flatten())
    assert torch.equal(patches[1, 2], image[1, :, 2:, :2].flatten())


@torch.inference_mode()
def test_what_is_masked_has_no_effect():
    model, batch = make_model().eval(), make_batch()
    batch["has_image"][1] = False
    batch["has_pois"][2] = False
    batch["image_mask"][3, 4] = False
    before = model(batch)
    batch["image"][1] += 1.0
    batch["tokens"][2, 1:] = 7
    batch["image"][3, :, 4:8, 4:8] = 5.0
    batch["tokens"][0, 6:] = 9
    after = model(batch)
    torch.testing.assert_close(after, before)
    batch["image"][4] += 1.0
    assert not torch.allclose(model(batch)[4], before[4])


@torch.inference_mode()
@pytest.mark.parametrize("fusion", ["average", "attention"])
def test_the_vector_comes_from_the_sides_that_exist(fusion):
    model, batch = make_model(fusion=fusion).eval(), make_batch()
    batch["has_image"][1] = False
    batch["has_pois"][2] = False
    batch["has_image"][3] = batch["has_pois"][3] = False
    encoded, vectors = model.encode(batch), model(batch)
    torch.testing.assert_close(vectors[0], (encoded.poi_cls[0] + encoded.image_cls[0]) / 2)
    torch.testing.assert_close(vectors[1], encoded.poi_cls[1])
    torch.testing.assert_close(vectors[2], encoded.image_cls[2])
    assert vectors[3].isnan().all()
    if fusion == "attention":
        model.fusion.score.weight.normal_(std=5.0)
        uneven = model(batch)
        assert not torch.allclose(uneven[0], vectors[0])
        torch.testing.assert_close(uneven[1:3], vectors[1:3])


@torch.inference_mode()
def test_a_batch_without_images_need_not_bring_any():
    model, batch = make_model().eval(), make_batch()
    batch["has_image"][:] = False
    expected, masked = model(batch), model.encode(batch)
    del batch["image"], batch["image_mask"]
    torch.testing.assert_close(model(batch), expected)
    encoded = model.encode(batch, attention=True)
    torch.testing.assert_close(encoded.tokens, masked.tokens)
    assert encoded.patches.shape == (6, 0, 16)
    assert encoded.attention.shape == (6, 2, 9, 0)


@torch.inference_mode()
@pytest.mark.parametrize("experts", [True, False])
def test_the_cls_tokens_alone_are_the_same(experts):
    model, batch = make_model(experts=experts, shared_layers=0).eval(), make_batch()
    everything, alone = model.encode(batch), model.encode(batch, cls_only=True)
    torch.testing.assert_close(alone.poi_cls, everything.poi_cls)
    torch.testing.assert_close(alone.image_cls, everything.image_cls)
    assert alone.tokens.shape == (6, 1, 16) and alone.patches.shape == (6, 0, 16)


@torch.inference_mode()
def test_attention_is_the_softmax_over_all_keys():
    model, batch = make_model().eval(), make_batch()
    batch["image_mask"][2, 5] = False
    inputs = []
    hook = model.layers[-1].register_forward_pre_hook(lambda _, args: inputs.append(args))
    found = model.encode(batch, attention=True).attention
    hook.remove()
    x, keys, split, _ = inputs[0]
    layer, width = model.layers[-1], 8
    projected = (x.double() @ layer.qkv.weight.double().T + layer.qkv.bias.double()).numpy()
    expected = np.zeros(found.shape)
    for region in range(len(x)):
        for head in range(2):
            query = projected[region, :, head * width : (head + 1) * width]
            key = projected[region, :, 16 + head * width : 16 + (head + 1) * width]
            weights = np.exp(query @ key.T / np.sqrt(width)) * keys[region, 0, 0].numpy()
            expected[region, head] = (weights / weights.sum(1, keepdims=True))[:split, split + 1 :]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found[2, :, :, 5] == 0).all()
    assert model.encode(batch).attention is None


def test_padding_learns_nothing():
    model, batch = make_model(), make_batch()
    model.encode(batch).tokens[~batch["token_mask"]].square().sum().backward()
    assert not model.pois.word.weight.grad[0].any()
    assert model.pois.category.weight.grad.any()


def test_recomputing_layers_gives_the_same_gradients():
    gradients = []
    for again in (False, True):
        model, batch = make_model(gradient_checkpointing=again, dropout=0.1).train(), make_batch()
        torch.manual_seed(3)
        pretraining_losses(model, batch, model.config, torch.Generator().manual_seed(1))["loss"].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def test_without_moge_each_layer_has_one_network():
    with_experts, without = make_model(), make_model(experts=False)
    assert [sorted(layer.experts) for layer in with_experts.layers] == [["image", "pois"]] * 2 + [["shared"]]
    assert [sorted(layer.experts) for layer in without.layers] == [["shared"]] * 3
    assert without(make_batch()).shape == (6, 16)


def test_experts_are_chosen_by_modality():
    model, batch = make_model(layers=1, shared_layers=0).eval(), make_batch()
    with torch.inference_mode():
        before = model.encode(batch)
        model.layers[0].experts["image"].expand.bias += 1.0
        after = model.encode(batch)
    assert torch.equal(before.tokens, after.tokens)
    assert not torch.allclose(before.patches, after.patches)


def test_heads_exist_for_what_is_switched_on_only():
    assert sorted(make_model().heads) == sorted(
        ["language", "vision", "relation_pois", "relation_image", "tokens", "patches", "alignment"]
    )
    assert sorted(make_model(dlfm=False, vision_dim=0, mgdm=False).heads) == [
        "alignment",
        "relation_image",
        "relation_pois",
    ]
    assert "patches" not in make_model(visual_vocab_size=0).heads


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="not known yet"):
        RefoundModel(RefoundConfig())
    with pytest.raises(ShapeError, match=r"\(B, 3, 12, 12\), found \(6, 3, 8, 8\)"):
        make_model()({**make_batch(), "image": torch.zeros(6, 3, 8, 8)})
    with pytest.raises(ConfigError, match="no prediction head"):
        make_model().predict(make_batch())
    for changes, words in (
        ({"heads": 3}, "multiple of heads"),
        ({"patch_size": 5}, "multiple of patch_size"),
        ({"shared_layers": 4}, "more than the 3 layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"temperature": 0.0}, "temperature"),
        ({"cmsa_weight": 0.0}, "cmsa_weight"),
        ({"fusion": "sum"}, "'sum'"),
        ({"cmsa": 1}, "cmsa"),
        ({"layers": True}, "layers"),
        ({"mask_id": 40}, "vocabulary of 40"),
        ({"tokenizer": None}, "tokenizer"),
    ):
        with pytest.raises(ConfigError, match=words):
            replace(CONFIG, **changes)


# Which objective reaches which parameter ---------------------------------------------------------------------------

OFF = {"dlfm": False, "dvfm": False, "dvlfm": False, "mgdm": False, "cmsa": False}
HEADS = {
    "dlfm": {"language"},
    "dvfm": {"vision"},
    "dvlfm": {"relation_pois", "relation_image"},
    "mgdm": {"tokens", "patches"},
    "cmsa": {"alignment"},
}


@pytest.mark.parametrize("objective", HEADS)
def test_an_objective_reaches_its_own_parameters_and_no_others(objective):
    model = make_model(fusion="attention", predictions=2)
    config = replace(model.config, **{**OFF, objective: True})
    losses = pretraining_losses(model, make_batch(), config, torch.Generator().manual_seed(0))
    assert sorted(losses) == sorted(["loss", objective])
    losses["loss"].backward()
    for name, parameter in model.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        if name.startswith("heads."):
            expected = name.split(".")[1] in HEADS[objective]
        elif name == "image.mask":
            expected = objective in ("mgdm", "cmsa")
        else:
            expected = not name.startswith(("fusion.", "prediction."))
        assert reached == expected, name


def test_without_shared_experts_the_top_ones_learn_from_their_own_side():
    for objective, silent in (("dlfm", "image"), ("dvfm", "pois")):
        model = make_model(shared_layers=0)
        pretraining_losses(model, make_batch(), replace(model.config, **{**OFF, objective: True}))["loss"].backward()
        for name, parameter in model.named_parameters():
            if name.startswith("layers.2.experts."):
                assert bool(parameter.grad.abs().max() > 0) == (f".{silent}." not in name), name


def test_the_loss_is_the_plain_sum_and_follows_the_generator():
    model, batch = make_model(), make_batch()
    first = pretraining_losses(model, batch, CONFIG, torch.Generator().manual_seed(5))
    again = pretraining_losses(model, batch, CONFIG, torch.Generator().manual_seed(5))
    other = pretraining_losses(model, batch, CONFIG, torch.Generator().manual_seed(6))
    assert list(first) == ["loss", "dlfm", "dvfm", "dvlfm", "mgdm", "cmsa"]
    torch.testing.assert_close(first["loss"], sum(first[name] for name in HEADS))
    heavy = pretraining_losses(model, batch, replace(CONFIG, cmsa_weight=5.0), torch.Generator().manual_seed(5))
    torch.testing.assert_close(heavy["loss"], first["loss"] + 4 * first["cmsa"])
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["mgdm"], other["mgdm"])
    torch.manual_seed(5)
    drawn = pretraining_losses(model, batch, CONFIG)
    torch.manual_seed(5)
    assert torch.equal(pretraining_losses(model, batch, CONFIG)["loss"], drawn["loss"])


def test_half_precision_comes_close():
    model, batch = make_model(), make_batch()
    exact = pretraining_losses(model, batch, CONFIG, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = pretraining_losses(model, batch, CONFIG, torch.Generator().manual_seed(0))
        vectors = model(batch)
    for name, value in coarse.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], atol=0.03, rtol=0.02, msg=name)
    torch.testing.assert_close(vectors.float(), model(batch), atol=0.05, rtol=0.05)


def test_rows_that_lack_something_are_left_out():
    model, batch = make_model().eval(), make_batch(8)
    config = replace(CONFIG, mgdm=False, cmsa=False)
    lacking = {"has_pois": 1, "has_image": 2, "has_language": 3, "has_vision": 4, "has_vision_language": 5}
    for name, row in lacking.items():
        batch[name][row] = False
    batch["language"][3] = batch["vision"][4] = batch["vision_language"][5] = torch.nan
    found = pretraining_losses(model, batch, config)
    for name, rows in (("dlfm", [0, 2, 4, 5, 6, 7]), ("dvfm", [0, 1, 3, 5, 6, 7]), ("dvlfm", [0, 3, 4, 6, 7])):
        kept = {key: tensor[rows] for key, tensor in batch.items()}
        torch.testing.assert_close(found[name], pretraining_losses(model, kept, config)[name], msg=name)


@pytest.mark.parametrize("lacking", ["has_pois", "has_image", "teachers"])
def test_a_batch_with_nothing_to_learn_from_gives_zero_with_a_graph(lacking):
    model, batch = make_model(), make_batch()
    names = ["has_language", "has_vision", "has_vision_language"] if lacking == "teachers" else [lacking]
    for name in names:
        batch[name][:] = False
    losses = pretraining_losses(model, batch, CONFIG)
    empty = {
        "has_pois": ["dlfm", "dvlfm", "cmsa"],
        "has_image": ["dvfm", "dvlfm", "cmsa"],
        "teachers": ["dlfm", "dvfm", "dvlfm"],
    }[lacking]
    for name in HEADS:
        assert losses[name].requires_grad
        assert (losses[name].item() == 0.0) == (name in empty), name
    losses["loss"].backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_only_words_of_names_and_valid_patches_are_hidden(monkeypatch):
    model, batch = make_model(), make_batch()
    batch["has_pois"][4] = False
    batch["image_mask"][2, :4] = False
    batch["has_image"][3] = False
    seen = {}
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda b, **given: seen.update(given) or encode(b, **given))
    pretraining_losses(model, batch, replace(CONFIG, mask_tokens=0.99), torch.Generator().manual_seed(0))
    changed = seen["tokens"] != batch["tokens"]
    words = batch["token_mask"] & (batch["tokens"] != SEP) & (batch["poi_position"] > 0)
    words[4] = False
    assert changed.any() and not (changed & ~words).any()
    assert seen["patch_mask"].sum(1).tolist() == [4, 4, 2, 0, 4, 4]
    assert not seen["patch_mask"][2, :4].any()
    pretraining_losses(model, batch, replace(CONFIG, mgdm=False, cmsa=False))
    assert seen["patch_mask"] is None and torch.equal(seen["tokens"], batch["tokens"])


def test_alignment_counts_unmasked_words_with_a_visible_place_only(monkeypatch):
    used = {}

    def record(logits, poi_patch, patch_mask, use):
        used["use"] = use
        return logits.sum()

    def keep_second(tokens, candidates, *rest):
        hidden = torch.zeros_like(candidates)
        hidden[:, 2] = candidates[:, 2]
        return tokens, hidden

    monkeypatch.setattr("urbanfm_core.models.refound.losses.cross_modal_alignment", record)
    monkeypatch.setattr("urbanfm_core.models.refound.losses.mask_tokens", keep_second)
    batch = make_batch()
    batch["has_image"][1] = False
    batch["has_pois"][2] = False
    batch["image_mask"][3, batch["poi_patch"][3, 4]] = False
    pretraining_losses(make_model(), batch, CONFIG)
    assert not used["use"][:, 0].any() and not used["use"][:, 2].any()
    assert not used["use"][~batch["token_mask"]].any()
    assert not used["use"][1:3].any() and not used["use"][3, 4]
    assert used["use"][0, 1] and used["use"][4, 7]


def test_a_batch_without_images_trains_on_words_alone():
    batch = make_batch()
    del batch["image"], batch["image_mask"]
    batch["has_image"][:] = False
    losses = pretraining_losses(make_model(), batch, CONFIG)
    assert list(losses) == ["loss", "dlfm", "mgdm"]
    with pytest.raises(ConfigError, match="No objective is left"):
        pretraining_losses(make_model(), batch, replace(CONFIG, dlfm=False, mgdm=False))


def test_the_tokenizer_must_be_known():
    with pytest.raises(ConfigError, match=r"\[MASK\]"):
        pretraining_losses(make_model(), make_batch(), replace(CONFIG, mask_id=0))
