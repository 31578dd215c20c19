"""UrbanCLIP's network: what its parts promise, its losses against plain formulas, and the captions that it writes."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.importers.coca import import_coca
from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.describe import Writing, write
from urbanfm_core.models.urbanclip.losses import pretraining_losses
from urbanfm_core.models.urbanclip.method import UrbanClip
from urbanfm_core.models.urbanclip.network import MOST_LOG_SCALE, UrbanClipModel
from urbanfm_core.training.checkpoint import restore

GOLDEN = Path(__file__).parents[3] / "golden" / "coca"
SMALL = UrbanClipConfig(
    image_size=16,
    patch_size=8,
    image_width=16,
    image_layers=2,
    image_heads=2,
    image_mlp=32,
    pooler_queries=4,
    pooler_heads=2,
    embed_dim=16,
    context_length=9,
    vocab_size=20,
    start_id=2,
    end_id=3,
    width=16,
    text_layers=2,
    text_heads=2,
    text_mlp=32,
    decoder_layers=2,
    decoder_heads=2,
    decoder_mlp=32,
)
START, END = 2, 3


def network(config=SMALL):
    torch.manual_seed(0)
    return UrbanClipModel(config).eval()


def batch(count=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, 3, 16, 16, generator=generator)
    text = torch.zeros(count, 9, dtype=torch.int64)
    for row in range(count):
        words = torch.randint(4, 20, (1 + row % 6,), generator=generator)
        text[row, : len(words) + 2] = torch.tensor([START, *words.tolist(), END])
    return {"image": image, "text": text}


@pytest.mark.parametrize("name", ["coca_tiny32_split", "coca_tiny48"])
def test_losses_are_open_clip_s(name):
    _, trained = restore(import_coca(GOLDEN / f"{name}.safetensors"), torch.device("cpu"))
    with np.load(GOLDEN / f"{name}_io.npz") as file:
        golden = {key: torch.from_numpy(file[key]) for key in file.files}
    given = {"image": golden["image"], "text": golden["tokens"]}
    for caption_weight, total in ((1.0, "loss_total_1_1"), (2.0, "loss_total_1_2")):
        found = pretraining_losses(trained.model, given, replace(trained.config, caption_weight=caption_weight))
        torch.testing.assert_close(found["contrastive"], golden["loss_contrastive"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found["captioning"], golden["loss_caption"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found["loss"], golden[total], atol=2e-5, rtol=1e-5)


def test_every_parameter_gets_a_finite_gradient():
    model = network(replace(SMALL, extra_dim=6)).train()
    extra = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
    extra[2] = float("nan")
    losses = pretraining_losses(model, {**batch(), "extra": extra}, model.config)
    losses["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    assert set(losses) == {"loss", "contrastive", "captioning", "extra"}


def test_a_lone_region_with_the_third_modality_has_nothing_to_be_told_from():
    model = network(replace(SMALL, extra_dim=6))
    extra = torch.full((5, 6), float("nan"))
    extra[1] = 1.0
    losses = pretraining_losses(model, {**batch(), "extra": extra}, model.config)
    assert losses["extra"] == 0 and torch.isfinite(losses["loss"])


def test_words_know_nothing_of_later_words_and_the_vector_knows_all():
    model, given = network(), batch()
    first = given["text"][4:5]
    other = first.clone()
    other[0, 4] = 19 if first[0, 4] != 19 else 18
    vectors, tokens = model.encode_texts(torch.cat([first, other]))
    torch.testing.assert_close(tokens[0, :4], tokens[1, :4])
    assert (tokens[0, 4:6] - tokens[1, 4:6]).abs().max() > 1e-3
    assert (vectors[0] - vectors[1]).abs().max() > 1e-4


def test_gradient_checkpoints_change_nothing():
    losses, gradients = [], []
    for checkpoints in (False, True):
        model = network(replace(SMALL, gradient_checkpointing=checkpoints)).train()
        found = pretraining_losses(model, batch(), model.config)["loss"]
        found.backward()
        losses.append(found.item())
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert losses[0] == losses[1]
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_the_scale_stays_within_its_range():
    model = network()
    with torch.no_grad():
        model.log_scale.fill_(7.0)
    assert model.scale().item() == pytest.approx(100.0)
    assert model.log_scale.item() == pytest.approx(MOST_LOG_SCALE)


def test_without_a_contrast_the_vector_is_what_the_decoder_reads():
    model = network(replace(SMALL, contrastive_weight=0.0))
    image = batch()["image"]
    expected = F.normalize(model.encode_images(image)[1].mean(1), dim=-1)
    torch.testing.assert_close(model(image), expected)
    assert set(pretraining_losses(model, batch(), model.config)) == {"loss", "captioning"}


def test_the_predictor_hears_the_prompt():
    config = replace(SMALL, predictions=2, predictor_width=8, prompt_ids=(2, 7, 8))
    model, image = network(config), batch()["image"]
    guided = model.predict(image)[1]
    assert guided.shape == (5, 2)
    other = UrbanClipModel(replace(config, prompt_ids=(2, 9, 10)))
    other.load_state_dict(model.state_dict())
    assert (other.eval().predict(image)[1] - guided).abs().max() > 1e-4
    plain = network(replace(SMALL, predictions=2, predictor_width=8))
    vectors = plain.encode_images(image)[0]
    hidden = torch.relu(vectors @ plain.prediction[0].weight.T + plain.prediction[0].bias)
    expected = hidden @ plain.prediction[2].weight.T + plain.prediction[2].bias
    torch.testing.assert_close(plain.predict(image)[1], expected)


def likelihood(model, image, text):
    """Log-likelihood of the words of one text, step by step over the whole text."""
    _, seen = model.encode_images(image)
    _, tokens = model.encode_texts(text)
    logits = model.decoder.words(model.decoder(tokens, seen)).log_softmax(-1)
    return logits[:, :-1].gather(2, text[:, 1:, None])[:, :, 0]


def test_reading_word_by_word_gives_the_likeliest_words_of_the_whole_text():
    model, image = network(), batch()["image"]
    plain = Writing(beams=1, repeats=0, shortest=0)
    ids = write(model, image, START, END, plain)
    for row, text in enumerate(ids.tolist()):
        end = text.index(END)
        for place in range(1, end):
            _, tokens = model.encode_texts(torch.tensor([text[:place]]))
            _, seen = model.encode_images(image[row : row + 1])
            logits = model.decoder.words(model.decoder(tokens, seen))[0, -1]
            logits[[0, START]] = float("-inf")
            assert int(logits.argmax()) == text[place]


def test_beams_find_texts_at_least_as_likely_as_the_greedy_one():
    model, image = network(), batch()["image"]
    better = 0
    for row in range(len(image)):
        one = image[row : row + 1]
        means = []
        for beams in (1, 8):
            text = write(model, one, START, END, Writing(beams=beams, repeats=0, shortest=2))
            words = likelihood(model, one, text).detach()[0, : int((text[0, 1:] != 0).sum())]
            means.append(float(words.mean()))
        better += means[1] > means[0] - 1e-5
    assert better >= 4


def test_no_run_of_words_is_written_twice_and_every_text_ends():
    model, image = network(), batch()["image"]
    for writing in (Writing(beams=3, repeats=2, shortest=6), Writing(nucleus=0.9, repeats=2, shortest=6)):
        for text in write(model, image, START, END, writing).tolist():
            words = text[1 : text.index(END)]
            assert len(words) >= 6 and len(text) <= SMALL.context_length
            pairs = list(pairwise(words))
            assert len(set(pairs)) == len(pairs)


def test_what_is_drawn_depends_on_the_seed_alone():
    model, image = network(), batch()["image"]
    first, again, other = (
        write(model, image, START, END, Writing(nucleus=0.9, seed=seed)).tolist() for seed in (1, 1, 2)
    )
    assert first == again and first != other


def test_a_network_that_learned_four_pictures_writes_their_captions():
    torch.manual_seed(0)
    model, given = UrbanClipModel(SMALL), batch(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        pretraining_losses(model, given, SMALL)["loss"].backward()
        optimizer.step()
    found = write(model.eval(), given["image"], START, END, Writing(beams=3, shortest=0))
    for text, truth in zip(found.tolist(), given["text"].tolist(), strict=True):
        assert text[: text.index(END) + 1] == truth[: truth.index(END) + 1]


def test_networks_that_learned_without_words_say_so():
    model = network(replace(SMALL, objective="views"))
    with pytest.raises(ConfigError, match="without texts"):
        model.encode_texts(torch.tensor([[START, END]]))
    with pytest.raises(ConfigError, match="write captions"):
        write(model, batch()["image"], START, END, Writing())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_heads": 3}, "no multiple of image_heads"),
        ({"patch_size": 5}, "no multiple of patch_size"),
        ({"pooler_queries": 1}, "0 or at least 2"),
        ({"width": 32, "text_heads": 2}, "width 32, but image tokens have 16"),
        ({"contrastive_weight": 0.0, "caption_weight": 0.0}, "nothing to learn"),
        ({"objective": "words"}, "no objective"),
        ({"crop": 0.0}, "lie in"),
        ({"context_length": 2}, "at least 3"),
        ({"flips": 1}, "true or false"),
    ],
)
def test_numbers_that_make_no_network_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        replace(SMALL, **changes)


def test_wrong_sizes_and_an_unknown_vocabulary_are_refused():
    model = network()
    with pytest.raises(ShapeError, match="Images must be"):
        model(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ShapeError, match="9 tokens, got 10"):
        model.encode_texts(torch.zeros(1, 10, dtype=torch.int64))
    with pytest.raises(ConfigError, match="Prepare the data"):
        UrbanClip().build(replace(SMALL, vocab_size=0))
