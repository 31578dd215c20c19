"""Parts of pictures, phrases that pictures do not bear out, and captions written anew."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from urbanfm_core.captions.consensus import consensus_captions
from urbanfm_core.captions.divide import Refiner, refine_captions
from urbanfm_core.captions.phrases import load_detector, phrases_of, without_phrases
from urbanfm_core.captions.scene_graph import SceneGraph
from urbanfm_core.captions.segments import (
    GridSegmenter,
    SamSegmenter,
    disjoint_boxes,
    largest_rectangle,
    load_segmenter,
)
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, RemoteError


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_rectangle_is_the_one_that_trying_all_finds(seed):
    free = np.random.default_rng(seed).random((7, 9)) < (0.2, 0.5, 0.8)[seed % 3]
    areas = {
        (left, top, right, bottom): (right - left) * (bottom - top)
        for left in range(9)
        for right in range(left + 1, 10)
        for top in range(7)
        for bottom in range(top + 1, 8)
        if free[top:bottom, left:right].all()
    }
    found = largest_rectangle(free)
    assert areas[found] == max(areas.values())
    assert largest_rectangle(np.zeros((3, 4), bool)) == (0, 0, 0, 0)


def test_boxes_are_cut_until_none_overlaps():
    boxes = np.array([[0, 0, 128, 128], [0, 0, 64, 64], [10, 10, 30, 30], [0, 0, 128, 128], [100, 100, 103, 103]])
    found = disjoint_boxes(boxes.astype(float), 128, 128)
    covered = np.zeros((128, 128), int)
    for left, top, right, bottom in found:
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    assert found[0].tolist() == [10, 10, 30, 30]  # the smallest stays whole; the one of 3 pixels is too small
    assert found[-1].tolist() in ([0, 64, 128, 128], [64, 0, 128, 128])
    assert len(disjoint_boxes(boxes.astype(float), 128, 128, most=1)) == 1
    assert disjoint_boxes(np.zeros((0, 4)), 128, 128).shape == (0, 4)


def test_a_grid_covers_the_picture():
    boxes = load_segmenter("grid:3").boxes(picture(0))
    assert len(boxes) == 9
    assert boxes[0].tolist() == [0, 0, 21, 16] and boxes[-1].tolist() == [42, 32, 64, 48]
    assert ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum() == 48 * 64
    assert len(load_segmenter().boxes(picture(0, 1, 1))) == 1
    with pytest.raises(ConfigError, match="no grid of 1 to 8"):
        load_segmenter("grid:99")


def save_sam(folder: Path) -> Path:
    torch.manual_seed(0)
    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16, "image_size": 64,
        "patch_size": 8, "output_channels": 16, "window_size": 4, "global_attn_indexes": [0],
        "num_pos_feats": 8,
    }  # fmt: skip
    config = transformers.SamConfig(
        vision_config=vision,
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "num_attention_heads": 2,
            "mlp_dim": 16,
            "num_hidden_layers": 2,
            "iou_head_hidden_dim": 8,
        },
    )
    transformers.SamModel(config).save_pretrained(folder)
    settings = {
        "image_processor_type": "SamImageProcessor",
        "size": {"longest_edge": 64},
        "pad_size": {"height": 64, "width": 64},
        "mask_size": {"longest_edge": 16},
        "mask_pad_size": {"height": 16, "width": 16},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_sam_divides_a_picture(tmp_path):
    folder = str(save_sam(tmp_path / "sam"))
    # A random model is sure of nothing, so everything is taken.
    segmenter = SamSegmenter(folder, quality=-1e9, stability=-1.0)
    boxes = segmenter.boxes(picture(1))
    assert len(boxes) and segmenter.notes == []
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= 64).all() and (boxes[:, 3] <= 48).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert np.array_equal(boxes, SamSegmenter(folder, quality=-1e9, stability=-1.0).boxes(picture(1)))
    strict = SamSegmenter(folder, quality=1e9)
    assert np.array_equal(strict.boxes(picture(1)), GridSegmenter().boxes(picture(1)))
    assert strict.notes == ["The segmenter found no clear part in 1 pictures, which were divided in 2 x 2."]
    assert load_segmenter(folder).identity != strict.identity


def test_boxes_of_sam_lie_where_the_masks_lie(tmp_path, monkeypatch):
    segmenter = SamSegmenter(str(save_sam(tmp_path / "sam")))
    mask = np.full((1, 12, 16), -5, np.float32)  # what a picture of 48 x 64 takes of a mask of 16 x 16
    mask[0, 3:6, 8:12] = 5
    boxes = segmenter._good(mask, np.array([0.9], np.float32), 48, 64)
    assert [box.tolist() for box in boxes] == [[32, 12, 48, 24]]
    assert segmenter._good(mask, np.array([0.5], np.float32), 48, 64) == []  # not good enough
    mask[0, 6:9, 8:12] = 0.5
    assert segmenter._good(mask, np.array([0.9], np.float32), 48, 64) == []  # half of it is not sure


OWL_WORDS = "a car red tall building tree pond castle airport".split()


def save_owl(folder: Path) -> Path:
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.Owlv2Config(
        text_config={**sizes, "vocab_size": 16, "max_position_embeddings": 8},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    transformers.Owlv2ForObjectDetection(config).save_pretrained(folder)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[BOS]", "[EOS]", *OWL_WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", eos_token="[EOS]", model_max_length=8
    ).save_pretrained(folder)
    settings = {"image_processor_type": "Owlv2ImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Owlv2Processor"}))
    return folder


def test_a_detector_scores_each_phrase_by_its_best_box(tmp_path):
    folder = save_owl(tmp_path / "owl")
    detector = load_detector(str(folder))
    phrases = ["red car", "castle", "tall building"]
    scores = detector.scores(picture(2), phrases)
    assert scores.shape == (3,) and scores.dtype == np.float32 and ((scores > 0) & (scores < 1)).all()
    # Each phrase for itself, through the model's own processor.
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.Owlv2ForObjectDetection.from_pretrained(folder).eval()
    for phrase, score in zip(phrases, scores, strict=True):
        inputs = processor(text=[[phrase]], images=picture(2).transpose(1, 2, 0), return_tensors="pt")
        with torch.no_grad():
            found = processor.post_process_grounded_object_detection(model(**inputs), threshold=0.0)
        assert score == pytest.approx(float(found[0]["scores"].max()), abs=1e-5)
    assert detector.scores(picture(2), []).shape == (0,)
    assert (detector.scores(picture(2), ["car " * 50]) > 0).all()  # longer than it reads


def test_models_of_other_kinds_are_refused(tmp_path):
    owl, sam = str(save_owl(tmp_path / "owl")), str(save_sam(tmp_path / "sam"))
    with pytest.raises(ConfigError, match=r"phrase detector .* is a model of type 'sam'"):
        load_detector(sam)
    with pytest.raises(ConfigError, match=r"segmenter .* is a model of type 'owlv2'"):
        load_segmenter(owl)


TEXT = "A red car stands near two tall buildings. The eye is drawn to several castles. There are no trees; a pond."


def test_phrases_of_a_caption():
    assert phrases_of(TEXT) == ["red car", "tall buildings", "castles", "pond"]
    assert phrases_of(TEXT, SceneGraph(("office building", "pond"))) == ["tall buildings", "pond"]
    assert phrases_of("") == []


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        ([], TEXT),
        (["castles"], "A red car stands near two tall buildings. There are no trees; a pond."),
        (["tall buildings", "pond"], "A red car stands. The eye is drawn to several castles. There are no trees;"),
        (["red car", "tall buildings"], "The eye is drawn to several castles. There are no trees; a pond."),
    ],
)
def test_refused_phrases_are_cut_out(refused, left):
    assert without_phrases(TEXT, refused) == left


def test_what_joined_a_phrase_goes_with_it():
    assert without_phrases("We see cars, trees and a castle.", ["castle"]) == "We see cars, trees."
    assert without_phrases("We see cars, trees and a castle.", ["cars"]) == "We see trees and a castle."
    assert without_phrases("We see cars, trees and a castle.", ["trees"]) == "We see cars and a castle."
    assert without_phrases("Castles.", ["castles"]) == ""


class Speaker:
    """Describes a part by its mean colour and a whole by what it is told."""

    notes: list[str] = []  # noqa: RUF012

    def __init__(self, name: str, fails_at: int | None = None) -> None:
        self.name, self.identity = name, f"speaker|{name}"
        self.prompts: list[str] = []
        self._fails_at = fails_at

    def describe(self, images, prompts, progress=None):
        if self._fails_at is not None and len(self.prompts) >= self._fails_at:
            raise RemoteError("The captioner did not answer in time.")
        self.prompts += prompts
        assert len(images) == len(prompts)
        return [
            f"{self.name} says: {prompt.splitlines()[1]}"
            if "Write the description anew" in prompt
            else ("A pond." if image.mean() > 128 else "A castle.")
            for image, prompt in zip(images, prompts, strict=True)
        ]


class Detector:
    """Sees everything but castles and airports."""

    identity = "detector|1"

    def scores(self, picture, phrases):
        return np.array([0.009 if "castle" in p or "airport" in p else 0.011 for p in phrases], np.float32)


CAPTIONS = CaptionSet.from_rows(
    [
        ("r1", "", "satellite", "a", "A red car and an airport."),
        ("r1", "", "satellite", "b", "A tall building."),
        ("r2", "", "satellite", "a", "A castle."),
        ("r2", "", "satellite", "file", "A castle near a tree."),
        ("r9", "", "satellite", "a", "Not among the pictures."),
    ]
)
DARK, HALF = np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)
HALF[:, :4] = 255
PICTURES = [HALF, DARK, DARK]
KEYS = ["r1", "r2", "r3"]


def refine(captioners, store=None, detector=None, pictures=PICTURES):
    refiner = Refiner.of({one.name: one for one in captioners}, detector=detector)
    return refine_captions(CAPTIONS, KEYS, "satellite", pictures, refiner, store=store)


def test_captions_are_completed_and_corrected():
    a, b = Speaker("a"), Speaker("b")
    found = refine([a, b], detector=Detector())
    assert list(found.region) == ["r1", "r1", "r2", "r2"] and set(found.kind) == {"satellite"}
    assert list(found.captioner) == ["a", "b", "a", "file"]
    assert list(found.text) == ["a says: A red car.", "b says: A tall building.", "", "A tree."]
    merging = [prompt for prompt in a.prompts if "anew" in prompt]
    assert merging[0].startswith("This is a satellite picture. A description of it:\nA red car.\n")
    assert "- A pond.\n- A pond.\n" in merging[0] and "castle" not in merging[0]
    assert "$" not in "".join(a.prompts)
    notes = " ".join(found.notes)
    for part in (
        "12 short captions of parts; 2 of 4 captions written anew",
        "1 captions are empty now",
        "did not confirm 3 of 7 phrases",
        "1 captions are not written anew: their captioner is not at hand",
        "divided into 2 x 2",
    ):
        assert part in notes


def test_without_a_detector_nothing_is_cut_and_the_report_says_so():
    found = refine([Speaker("a")])
    assert found.text[3] == "A castle near a tree."
    assert any("No phrase detector was given" in note for note in found.notes)


def test_a_caption_of_which_nothing_is_left_is_counted():
    found = refine([], detector=Detector())
    assert list(found.text) == ["A red car.", "A tall building.", "", "A tree."]
    assert any("1 captions are empty now" in note for note in found.notes)
    chosen = consensus_captions(found, encoder=None)
    assert list(chosen.captions.text) == ["A red car.", "A tree."]


def test_a_captioner_that_writes_nothing_leaves_the_caption_as_it_is():
    class Silent(Speaker):
        def describe(self, images, prompts, progress=None):
            return ["" if "anew" in prompt else "A pond." for prompt in prompts]

    found = refine([Silent("a")])
    assert found.text[0] == "A red car and an airport."
    assert any("2 captions stay as filtered: their captioner wrote nothing" in note for note in found.notes)


def test_a_run_that_broke_off_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("urbanfm_core.captions.divide._PICTURES_PER_PARTITION", 1)
    whole = refine([Speaker("a"), Speaker("b")], detector=Detector())
    store = SampleStore(tmp_path, {"refined": 1})
    with pytest.raises(RemoteError, match="did not answer in time"):
        refine([Speaker("a", fails_at=5), Speaker("b")], store, Detector())
    again = Speaker("a")
    found = refine([again, Speaker("b")], store, Detector())
    assert len(again.prompts) == 4  # the parts of r2; r1 was done
    assert list(found.text) == list(whole.text) and found.notes == whole.notes
    # Another picture is another partition.
    other = Speaker("a")
    refine([other, Speaker("b")], store, Detector(), [DARK, DARK, DARK])
    assert len(other.prompts) == 5


def test_street_views_are_named_by_their_key():
    captions = CaptionSet.from_rows([("", "pano.jpg", "street", "a", "A quiet street.")])
    found = refine_captions(captions, ["pano.jpg#0", "pano.jpg#90"], "street", [DARK, HALF], Refiner.of({}))
    assert list(found.image) == ["pano.jpg#0", "pano.jpg#90"]
    assert len(consensus_captions(found, encoder=None).captions) == 2
