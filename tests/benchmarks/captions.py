"""Captions of the sample city, whose truth is known: what the light parser reads, and what consensus picks.

    python -m tests.benchmarks.captions                      400 regions
    python -m tests.benchmarks.captions --factual test.csv   also against scene graphs that people wrote: a table of
                                                             the public FACTUAL data, columns caption and scene_graph

The columns `facts_true` and `facts_false` of the sample city tell what a caption claims.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import urbanfm_core
from urbanfm_core.captions.consensus import consensus_captions
from urbanfm_core.captions.light_parser import parse_text
from urbanfm_core.captions.scene_graph import SceneGraph
from urbanfm_core.captions.words import words
from urbanfm_core.data.captions import CaptionSet

# How each fact shows in a scene graph: an object, or an object with an attribute; any of several.
USES = {
    "residential": ("home", ("area", "residential"), "housing"),
    "commercial": ("shop", "shopping area", ("area", "shopping"), ("building", "retail")),
    "office": ("office", "business district", "office block"),
    "industrial": ("industry", ("estate", "industrial"), "shed", "yard"),
    "education": ("school", "school campus", ("building", "educational")),
    "leisure": ("parkland", "recreation area", "park", "sports ground"),
    "civic": (("service", "public"), ("quarter", "civic"), ("institution", "public")),
    "rural": ("field", ("country", "open"), "farmland"),
}
LEVELS = {
    "building density": ("development", ("sparse development", "moderately dense development", "dense development")),
    "greenery": ("tree", ("hardly any trees", "some trees", "plenty of trees")),
    "building height": ("building", ("low-rise buildings", "mid-rise buildings", "tall buildings")),
}
KINDS = ("main use", "second use", *LEVELS, "object")


def expressions(fact: str) -> set:
    """Elements of a scene graph any of which says the fact."""
    topic, value = fact.split(": ")
    if topic.endswith("use"):
        return set(USES[value])
    if topic in LEVELS:
        name, values = LEVELS[topic]
        assert value in values, fact
        return {(name, value.rpartition(" ")[0])}
    # 'a detached house': a kind of house, or a house that is detached.
    said, _, name = value.rpartition(" ")
    return {value, (name, said)}


def elements(graph: SceneGraph) -> set:
    return {*graph.objects, *graph.attributes}


def claims(row: pd.Series) -> tuple[set[str], set[str]]:
    """What a caption says rightly and wrongly."""
    return set(row.facts_true), set(row.facts_false)


def parser_table(captions: pd.DataFrame) -> pd.DataFrame:
    """Of facts by kind, the share that is read; of what is read, the share that is said.

    By kind, only what speaks of a fact of that kind counts; by captioner, all objects and attributes.
    """
    facts = {
        fact for column in ("facts_true", "facts_false", "facts_omitted") for some in captions[column] for fact in some
    }
    of_kind = {kind: set().union(*(expressions(fact) for fact in facts if fact.startswith(kind))) for kind in KINDS}
    tally: Counter = Counter()
    beyond: Counter = Counter()
    for _, row in captions[~captions.refused].iterrows():
        said = set().union(*claims(row))
        found = elements(parse_text(row.caption))
        for fact in said:
            for group in (fact.split(": ")[0], row.captioner, "all"):
                tally[group, "said"] += 1
                tally[group, "read"] += bool(expressions(fact) & found)
        meant = set().union(*map(expressions, said))
        for kind in KINDS:
            tally[kind, "claimed"] += len(found & of_kind[kind])
            tally[kind, "right"] += len(found & of_kind[kind] & meant)
        # 'tree' is right where 'some trees' are, and so is 'several trees', which no fact counts.
        named = {element[0] if isinstance(element, tuple) else element for element in meant}
        right = {e for e in found if e in meant or e in named or (e[0] in named and e[1] == "several")}
        beyond.update(found - right)
        for group in (row.captioner, "all"):
            tally[group, "claimed"] += len(found)
            tally[group, "right"] += len(right)
    groups = (*KINDS, *sorted(set(captions.captioner)), "all")
    rows = {
        group: {
            "facts said": tally[group, "said"],
            "precision": tally[group, "right"] / tally[group, "claimed"],
            "recall": tally[group, "read"] / tally[group, "said"],
        }
        for group in groups
    }
    print(
        "read, and said by no fact:",
        ", ".join(f"{' '.join(np.atleast_1d(e)[::-1])} {n}" for e, n in beyond.most_common(12)),
    )
    return pd.DataFrame(rows).T


def consensus_table(frame: pd.DataFrame, captions: CaptionSet) -> pd.DataFrame:
    """What each way of choosing picks: how often the best caption, and how much of it is true."""
    told = [claims(row) for _, row in frame.iterrows()]
    true, false = (np.array([len(pair[side]) for pair in told]) for side in (0, 1))
    there = np.array([len(a) + len(b) for a, b in zip(frame.facts_true, frame.facts_omitted, strict=True)])
    gain = true - false
    f1 = 2 * true / np.maximum(true + false + there, 1)
    pictures = frame.groupby(["region_id", "path", "image"], sort=False).ngroup().to_numpy()
    best = gain == pd.Series(gain).groupby(pictures).transform("max").to_numpy()
    length = frame.caption.str.len().to_numpy(float)
    ways = {
        "consensus, MiniLM": consensus_captions(captions, encoder="minilm").scores,
        "consensus, words only": consensus_captions(captions, encoder=None).scores,
        "longest": length,
        **{f"always {name}": (frame.captioner == name).to_numpy(float) for name in sorted(set(frame.captioner))},
        "the best there is": gain.astype(float),
    }
    columns = {"best": best, "true": true, "false": false, "true - false": gain, "F1": f1}
    table = {"at random": {name: pd.Series(values).groupby(pictures).mean().mean() for name, values in columns.items()}}
    for way, score in ways.items():
        chosen = pd.Series(score).groupby(pictures).idxmax().to_numpy()
        table[way] = {name: values[chosen].mean() for name, values in columns.items()}
    return pd.DataFrame(table).T


def factual_table(path: Path) -> pd.DataFrame:
    """Exact agreement with scene graphs that people wrote."""
    tally: Counter = Counter()
    for row in pd.read_csv(path).itertuples():
        truth, found = written(row.scene_graph), parse_text(row.caption)
        for kind in ("objects", "attributes", "relations"):
            ours, theirs = set(getattr(found, kind)), truth[kind]
            tally[kind, "both"] += len(ours & theirs)
            tally[kind, "ours"] += len(ours)
            tally[kind, "theirs"] += len(theirs)
    return pd.DataFrame(
        {
            kind: {
                "there": tally[kind, "theirs"],
                "precision": tally[kind, "both"] / tally[kind, "ours"],
                "recall": tally[kind, "both"] / tally[kind, "theirs"],
            }
            for kind in ("objects", "attributes", "relations")
        }
    ).T


def written(text: str) -> dict[str, set]:
    """A graph of the FACTUAL data, with nouns in the singular."""
    graph: dict[str, set] = {"objects": set(), "attributes": set(), "relations": set()}
    for fact in re.findall(r"\(([^()]*)\)", text):
        parts = [part.strip() for part in fact.split(" , ")]
        first, last = words().singular(parts[0]), words().singular(parts[-1])
        graph["objects"].add(first)
        if len(parts) == 3 and parts[1] == "is":
            graph["attributes"].add((first, parts[2]))
        elif len(parts) == 3:
            graph["objects"].add(last)
            graph["relations"].add((first, parts[1], last))
    return graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factual", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        city = urbanfm_core.samplecity(out=Path(folder) / "city", regions=options.regions, seed=options.seed)
        frame = pd.read_parquet(city / "captions.parquet")
        captions = CaptionSet.read(city / "captions.parquet")
    print(f"{len(frame):,} captions, {int(frame.refused.sum()):,} of them refusals\n\nThe light parser\n")
    print(parser_table(frame).round(3).to_string(), "\n\nOne caption of each picture\n", sep="")
    print(consensus_table(frame, captions).round(3).to_string())
    if options.factual:
        print("\nThe light parser against FACTUAL\n")
        print(factual_table(options.factual).round(3).to_string())


if __name__ == "__main__":
    main()
