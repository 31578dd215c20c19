import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.importers.pickles import load_array_pickle
from urbanfm_core.importers.refound import import_refound, initialise_from_bert
from urbanfm_core.models import make_config
from urbanfm_core.models.refound import RefoundConfig, RefoundModel
from urbanfm_core.training.checkpoint import Checkpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "refound"
PUBLISHED = GOLDEN / "refound_random.pdparams"
LAYER = "encoder.transformer.layer."


@pytest.fixture
def content():
    return dict(load_array_pickle(PUBLISHED))


def saved(content, folder, protocol=4):
    path = folder / "some.pdparams"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def test_the_restricted_reader_reads_what_pickle_reads(content):
    plain = pickle.loads(PUBLISHED.read_bytes())
    assert content.keys() == plain.keys() and len(plain) == 124
    for name, value in plain.items():
        if isinstance(value, np.ndarray):
            assert content[name].dtype == value.dtype
            np.testing.assert_array_equal(content[name], value)
        else:
            assert content[name] == value


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_old_protocols_numpy_1_names_and_column_order_are_read(tmp_path, protocol):
    arrays = {
        "a": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "b": np.arange(4, dtype=">f8"),
        "c": np.float16([[1, -2]]),
        "d": np.zeros((0, 3), np.float32)[:, :1] if protocol > 2 else np.ones((1, 1), np.float32),
    }
    raw = pickle.dumps(arrays, protocol=protocol)
    old = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray").replace(
        b"\x8c\x16numpy.core", b"\x8c\x15numpy.core"
    )
    if protocol == 4:  # a frame tells its length
        start = old.index(b"\x95") + 1
        old = old[:start] + (len(old) - start - 8).to_bytes(8, "little") + old[start + 8 :]
    assert b"numpy.core.multiarray" in old and b"numpy._core" not in old
    for name, data in (("new", raw), ("old", old)):
        path = tmp_path / f"{name}.pdparams"
        path.write_bytes(data)
        found = load_array_pickle(path)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype


def test_every_key_is_accounted_for(content):
    found = import_refound(PUBLISHED, heads=4, tokenizer=str(GOLDEN / "wordpiece"))
    config = make_config(RefoundConfig, found.config)
    sizes = {
        "vocab_size": 120,
        "categories": 12,
        "hidden_size": 48,
        "layers": 4,
        "heads": 4,
        "intermediate_size": 96,
        "shared_layers": 2,
        "max_tokens": 64,
        "max_pois": 64,
        "image_size": 64,
        "patch_size": 16,
        "grid": 4,
        "fusion": "attention",
        "predictions": 1,
        "separator_id": 3,
        "mask_id": 4,
    }
    assert found.config.items() >= sizes.items()
    model = RefoundModel(config)
    assert model.state_dict().keys() == found.weights.keys()
    arrays = {name: value for name, value in content.items() if isinstance(value, np.ndarray)}
    idle = sum(value.size for name, value in arrays.items() for i in (2, 3) if f"{LAYER}{i}.poi_" in name)
    idle += sum(value.size for name, value in arrays.items() for i in (2, 3) if f"{LAYER}{i}.img_" in name)
    assert idle > 0
    assert sum(w.numel() for w in found.weights.values()) + idle == sum(value.size for value in arrays.values())
    assert "24 weights of experts that the published model never uses" in " ".join(found.manifest["notes"])
    query = torch.from_numpy(content[f"{LAYER}1.attention.selfattn.query.weight"].copy()).T
    assert torch.equal(found.weights["layers.1.qkv.weight"][:48], query)
    assert content["encoder.poi_embed_module.word_embedding_table.weight"][0].any()
    assert not found.weights["pois.word.weight"][0].any()


def test_it_becomes_a_checkpoint_like_any_other(tmp_path):
    found = import_refound(PUBLISHED, heads=4)
    found.save(tmp_path / "ckpt")
    loaded = Checkpoint.load(tmp_path / "ckpt")
    assert loaded.config == found.config
    assert all(torch.equal(loaded.weights[name], tensor) for name, tensor in found.weights.items())
    notes = " ".join(found.manifest["notes"])
    assert "import with a tokenizer" in notes and "assumed" not in notes


def test_what_the_weights_do_not_tell_is_told(content, tmp_path):
    wide = dict(content)
    rows = np.random.default_rng(0).normal(size=(21128, 48)).astype(np.float32)
    wide["encoder.poi_embed_module.word_embedding_table.weight"] = rows
    found = import_refound(saved(wide, tmp_path))
    assert (found.config["tokenizer"], found.config["mask_id"], found.config["separator_id"]) == (
        "bert-base-chinese",
        103,
        102,
    )
    assert found.config["heads"] == 1
    assert "1 are assumed" in " ".join(found.manifest["notes"])


def test_an_encoder_alone_is_enough(content, tmp_path):
    encoder = {name: value for name, value in content.items() if name.startswith("encoder.")}
    found = import_refound(saved(encoder, tmp_path), heads=4)
    assert found.config["fusion"] == "average" and found.config["predictions"] == 0
    bare = {name.removeprefix("encoder."): value for name, value in encoder.items()}
    again = import_refound(saved(bare, tmp_path), heads=4)
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in found.weights.items())


def test_weights_that_are_not_wanted_can_be_named(content, tmp_path):
    content["mlm_head.weight"] = np.ones((3, 3), np.float32)
    path = saved(content, tmp_path)
    with pytest.raises(CheckpointError, match=r"1 weights have no place in the network: mlm_head\.weight"):
        import_refound(path, heads=4)
    found = import_refound(path, heads=4, leave_out=("mlm_head.",))
    assert "mlm_head.weight" in " ".join(found.manifest["notes"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update({"attn_agg.l3.weight": np.ones(2, np.float32)}), r"no place.*attn_agg\.l3\.weight"),
        (lambda c: c.update({f"{LAYER}1.ps_output.dense.bias": np.ones(48, np.float32)}), r"layer\.1\.ps_output"),
        (lambda c: c.pop(f"{LAYER}3.attention.selfattn.key.bias"), r"lacks.*selfattn\.key\.bias"),
        (lambda c: c.pop(f"{LAYER}0.img_output.LayerNorm.weight"), r"lacks.*img_output"),
        (lambda c: c.pop(f"{LAYER}3.ps_output.dense.weight"), "shared experts in"),
        (lambda c: c.pop("encoder.poi_embed_module.word_embedding_table.weight"), "no published ReFound model"),
        (
            lambda c: c.update({"encoder.poi_embed_module.LayerNorm.bias": np.ones(3, np.float32)}),
            r"pois\.norm\.bias is",
        ),
        (lambda c: c.update({"encoder.poi_embed_module.LayerNorm.bias": "no"}), "no array of floating-point"),
        (
            lambda c: c.update({"encoder.poi_embed_module.LayerNorm.bias": np.ones(48, np.int64)}),
            "no array of floating",
        ),
        (
            lambda c: c.update({"encoder.poi_embed_module.LayerNorm.bias": np.full(48, np.nan, np.float32)}),
            "not finite",
        ),
        (
            lambda c: c.update({f"{LAYER}0.attention.selfattn.key.weight": np.ones((48, 3), np.float32)}),
            r"layers\.0\.qkv",
        ),
        (
            lambda c: c.update({f"{LAYER}0.attention.selfattn.key.weight": np.ones((3, 48), np.float32)}),
            "do not fit each",
        ),
        (lambda c: c.update({"encoder.img_embed_module.patch_to_emb.weight": np.ones((7, 48), np.float32)}), "square"),
        (lambda c: c.update({"attn_agg.l1.weight": np.ones((48, 16), np.float32)}), "layer of 32"),
    ],
)
def test_another_layout_is_refused_by_name(content, tmp_path, change, words):
    change(content)
    with pytest.raises(CheckpointError, match=words):
        import_refound(saved(content, tmp_path), heads=4)


def test_heads_must_divide_the_width(tmp_path):
    with pytest.raises(CheckpointError, match="multiple of heads 5"):
        import_refound(PUBLISHED, heads=5)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("where", ["instead of a weight", "inside the table of names", "as the whole"])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(content, tmp_path, where):
    mark = tmp_path / "it-ran"
    if where == "as the whole":
        content = Bomb(mark)
    elif where == "instead of a weight":
        content["attn_agg.l1.bias"] = Bomb(mark)
    else:
        content["StructuredToParameterName@@"] = {"a": Bomb(mark)}
    path = saved(content, tmp_path)
    with pytest.raises(CheckpointError, match=r"refused; nothing in it was run \(it asks for"):
        import_refound(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the file was harmless, so the test showed nothing"


HOSTILE = {
    "a builtin": b"cbuiltins\neval\n(V1+1\ntR.",
    "numpy's own loader": b"cnumpy\nload\n(Vx\ntR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.__new\x93.",
    "objects as content": pickle.dumps({"a": np.array([[1], "x"], dtype=object)}),
    "texts as content": pickle.dumps({"a": np.array(["x"])}),
    "another encoding": b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
    "a changed class": b"c_codecs\nencode\n}Vx\nI1\nsb.",
    "an array of nothing": b"\x80\x02}X\x01\x00\x00\x00acnumpy\nndarray\n)Rs.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Px\n.",
    "no pickle at all": b"PK\x03\x04 and so on",
    "a list": pickle.dumps([1]),
    "numbered weights": pickle.dumps({1: 2}),
    "too few bytes": pickle.dumps({"a": np.ones(3)}).replace(b"K\x03\x85", b"K\x05\x85"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_broken_files_are_refused(tmp_path, name):
    path = tmp_path / "odd.pdparams"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointError, match=r"odd\.pdparams"):
        load_array_pickle(path)
    assert load_array_pickle(PUBLISHED), "the reader itself must stay whole"


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 300_000, 766_000])
def test_a_cut_file_is_named_as_such(tmp_path, size):
    path = tmp_path / "cut.pdparams"
    path.write_bytes(PUBLISHED.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"cut\.pdparams is not a whole pickle"):
        load_array_pickle(path)
    with pytest.raises(CheckpointError, match="There is no file"):
        load_array_pickle(tmp_path / "none.pdparams")


# Starting from BERT ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=20,
    )
    torch.manual_seed(0)
    model = transformers.BertModel(config).eval()
    for parameter in model.parameters():  # norms and biases of a fresh model say nothing
        parameter.data.normal_(std=0.3)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxy"])
    )
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder, model


def network(folder, **changes):
    torch.manual_seed(1)
    values = {
        "vocab_size": 30,
        "categories": 4,
        "hidden_size": 16,
        "layers": 3,
        "heads": 2,
        "intermediate_size": 24,
        "shared_layers": 1,
        "max_tokens": 12,
        "max_pois": 6,
        "image_size": 8,
        "patch_size": 4,
        "grid": 2,
        "tokenizer": str(folder),
    }
    return RefoundModel(RefoundConfig(**{**values, **changes})).eval()


@torch.inference_mode()
def test_a_network_that_starts_from_bert_computes_like_it(bert):
    folder, reference = bert
    model = network(folder, layers=2)
    notes = initialise_from_bert(model, str(folder))
    assert any("2 of 2 layers, 12 word positions and 2 token types" in note for note in notes)
    assert any("All 30 words" in note for note in notes)
    # Take away what BERT does not have; then a name alone must come out as it does from BERT.
    for table in (model.pois.poi_position, model.pois.grid_position, model.pois.category, model.modality):
        table.weight.zero_()
    tokens = torch.tensor([[2, 7, 9, 11, 3]])
    zeros, flag = torch.zeros_like(tokens), torch.ones(1, dtype=torch.bool)
    batch = {
        "tokens": tokens,
        "token_mask": tokens > 0,
        "word_position": torch.arange(5)[None],
        "poi_position": zeros,
        "grid_position": zeros,
        "category": zeros,
        "has_pois": flag,
        "has_image": ~flag,
    }
    expected = reference(tokens).last_hidden_state
    torch.testing.assert_close(model.encode(batch).tokens, expected, atol=1e-5, rtol=1e-5)


def test_all_experts_start_from_the_same_network(bert):
    folder, reference = bert
    model = network(folder)
    fresh = model.layers[2].experts["shared"].expand.weight.clone()
    initialise_from_bert(model, str(folder))
    for index, layer in enumerate(model.layers[:2]):
        theirs = reference.encoder.layer[index]
        assert sorted(layer.experts) == ["image", "pois"]
        for expert in layer.experts.values():
            assert torch.equal(expert.expand.weight, theirs.intermediate.dense.weight)
            assert torch.equal(expert.contract.bias, theirs.output.dense.bias)
            assert torch.equal(expert.norm.weight, theirs.output.LayerNorm.weight)
    assert torch.equal(model.layers[2].experts["shared"].expand.weight, fresh), "BERT has two layers only"
    assert not model.pois.word.weight[0].any()


def test_words_are_taken_only_where_they_are_the_same(bert):
    folder, reference = bert
    words = reference.embeddings.word_embeddings.weight
    for changes in ({"tokenizer": "wordpiece"}, {"vocab_size": 31}):
        model = network(folder, **changes)
        fresh = model.pois.word.weight.clone()
        notes = initialise_from_bert(model, str(folder))
        assert torch.equal(model.pois.word.weight, fresh)
        assert any(note.startswith("No word starts from") for note in notes)
    model = network(folder, tokenizer="wordpiece", vocab_size=8)
    fresh = model.pois.word.weight.clone()
    spelled = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "c": 5, "park": 6, "a": 7}
    notes = initialise_from_bert(model, str(folder), vocabulary=spelled)
    assert any("6 of 8 words start from" in note for note in notes)
    found = model.pois.word.weight
    assert torch.equal(found[5], words[7]) and torch.equal(found[7], words[5]) and torch.equal(found[2], words[2])
    assert torch.equal(found[6], fresh[6]) and not found[0].any()


def test_what_is_no_fitting_bert_is_refused(bert, tmp_path):
    folder, _ = bert
    with pytest.raises(ConfigError, match=r"hidden_size is 16, the network has 32.*num_attention_heads is 2"):
        initialise_from_bert(network(folder, hidden_size=32, heads=4), str(folder))
    transformers.ViTModel(
        transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    ).save_pretrained(tmp_path / "vit")
    with pytest.raises(ConfigError, match="kind 'vit'"):
        initialise_from_bert(network(folder), str(tmp_path / "vit"))
    with pytest.raises(ConfigError, match="no folder here"):
        initialise_from_bert(network(folder), str(tmp_path / "none" / "at" / "all"))
