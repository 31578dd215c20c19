"""Start ReFound from a BERT model: word embeddings and transformer layers (paper, section 4.1.1 and appendix A.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.refound.network import Expert, RefoundModel
from urbanfm_core.models.text_source import find_model

_SIZES = {
    "hidden_size": "hidden_size",
    "num_attention_heads": "heads",
    "intermediate_size": "intermediate_size",
}


def initialise_from_bert(
    model: RefoundModel, spec: str, *, vocabulary: Mapping[str, int] | None = None, cache_dir: str | Path | None = None
) -> list[str]:
    """Copy what BERT knows into a fresh network.

    Layer i takes the attention of BERT's layer i, and each of its experts BERT's feed-forward network. Words, token
    types, word-level positions and the normalisation of the POI embedding come from BERT's embeddings. Words are those
    of the same row if the network was made for BERT's own tokenizer; with a `vocabulary`, those of the same spelling.

    Args:
        model: Changed in place.
        spec: Hugging Face id, or a folder with the weights in safetensors format.
        vocabulary: The tokenizer's words and their ids. None: the tokenizer is the one that the configuration names.
        cache_dir: Where downloads are kept; None for the user's cache folder.
    Returns:
        What was taken and what was not, in sentences.
    Raises:
        ConfigError: it is no BERT, cannot be loaded, or has other widths than the network.
        RemoteError: the hub cannot be reached.
    """
    folder = find_model(spec, cache_dir).folder
    bert = _load(folder, spec)
    config = model.config
    differing = [
        f"{theirs} is {getattr(bert.config, theirs)}, the network has {getattr(config, ours)}"
        for theirs, ours in _SIZES.items()
        if getattr(bert.config, theirs) != getattr(config, ours)
    ]
    if differing:
        raise ConfigError(
            f"The network cannot start from the BERT model '{spec}': {'; '.join(differing)}.",
            "Choose hidden_size, heads and intermediate_size like BERT's, or another model.",
        )
    notes = []
    with torch.no_grad():
        taken = min(len(model.layers), len(bert.encoder.layer))
        for ours, theirs in zip(model.layers, bert.encoder.layer, strict=False):
            _copy_layer(ours, theirs)
        embeddings = bert.embeddings
        types = _copy_rows(model.pois.token_type.weight, embeddings.token_type_embeddings.weight)
        positions = _copy_rows(model.pois.word_position.weight, embeddings.position_embeddings.weight)
        model.pois.norm.load_state_dict(embeddings.LayerNorm.state_dict())
        notes.append(
            f"{taken} of {len(model.layers)} layers, {positions} word positions and {types} token types start from "
            f"{spec}."
        )
        words = embeddings.word_embeddings.weight
        if vocabulary is not None:
            notes.append(_copy_words(model, words, vocabulary, _vocabulary(folder, spec), spec))
        elif config.tokenizer == spec and config.vocab_size == len(words):
            model.pois.word.weight[1:] = words[1:]
            notes.append(f"All {len(words):,} words start from {spec}.")
        else:
            notes.append(
                f"No word starts from {spec}: its {len(words):,} words are not those of the tokenizer "
                f"'{config.tokenizer}' with {config.vocab_size:,}."
            )
    return notes


def _load(folder: Path, spec: str) -> Any:
    import transformers
    from safetensors import SafetensorError

    # The folder is on this disk, and safetensors only: nothing is fetched here, and no code of its author is run.
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        kind = transformers.AutoConfig.from_pretrained(folder, **options).model_type  # nosec B615
        if kind != "bert":
            raise ConfigError(f"The model '{spec}' is of the kind '{kind}', expected 'bert'.")
        loaded: Any = transformers.BertModel.from_pretrained(  # nosec B615
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            add_pooling_layer=False,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"The BERT model '{spec}' cannot be loaded from {folder}: {error}",
            "Expected what save_pretrained writes, with weights in safetensors format.",
        ) from error
    bert, found = loaded
    if found["missing_keys"]:
        absent = sorted(found["missing_keys"])
        raise ConfigError(f"The BERT model '{spec}' lacks {len(absent)} of its weights, among them {absent[0]}.")
    return bert


def _copy_layer(ours: Any, theirs: Any) -> None:
    attention = theirs.attention
    query, key, value = attention.self.query, attention.self.key, attention.self.value
    ours.qkv.weight.copy_(torch.cat([query.weight, key.weight, value.weight]))
    ours.qkv.bias.copy_(torch.cat([query.bias, key.bias, value.bias]))
    ours.out.load_state_dict(attention.output.dense.state_dict())
    ours.norm.load_state_dict(attention.output.LayerNorm.state_dict())
    expert: Expert
    for expert in ours.experts.values():
        expert.expand.load_state_dict(theirs.intermediate.dense.state_dict())
        expert.contract.load_state_dict(theirs.output.dense.state_dict())
        expert.norm.load_state_dict(theirs.output.LayerNorm.state_dict())


def _copy_rows(ours: Tensor, theirs: Tensor) -> int:
    """Copy the rows that both tables have; returns how many."""
    rows = min(len(ours), len(theirs))
    ours[:rows] = theirs[:rows]
    return rows


def _copy_words(
    model: RefoundModel, words: Tensor, vocabulary: Mapping[str, int], known: Mapping[str, int], spec: str
) -> str:
    """Copy the rows of words with the same spelling; padding stays zero."""
    pairs = [
        (row, known[word])
        for word, row in vocabulary.items()
        if word in known and 0 < row < model.config.vocab_size and known[word] < len(words)
    ]
    rows = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    model.pois.word.weight[rows[:, 0]] = words[rows[:, 1]]
    return f"{len(pairs):,} of {model.config.vocab_size:,} words start from {spec}, which spells them alike."


def _vocabulary(folder: Path, spec: str) -> Mapping[str, int]:
    import transformers

    # transformers would make up an empty tokenizer where there is none.
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise ConfigError(
            f"'{spec}' has no tokenizer: {folder} holds neither tokenizer.json nor vocab.txt.",
            "Save it into the same folder with tokenizer.save_pretrained(folder).",
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(  # nosec B615
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"The tokenizer of '{spec}' cannot be loaded from {folder}: {error}",
            "Save it into the same folder with tokenizer.save_pretrained(folder).",
        ) from error
    return dict(tokenizer.get_vocab())
