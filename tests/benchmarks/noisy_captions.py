"""What false captions cost: UrbanLN with and without its consensus and its distillation, UrbanCLIP beside the same image
encoder without text and beside shuffled captions.

    python -m tests.benchmarks.noisy_captions                        400 regions, 3 seeds
    python -m tests.benchmarks.noisy_captions --regions 60 --seeds 1 --epochs 1 --noise 0 0.4     a trial

With the chance that a column names, for each captioner on its own, a caption of the sample city is replaced by the one that
the captioner wrote of another region; with `--corrupt facts` each fact of a caption, true or not, by a false one instead, and
the caption is written anew from the facts in its captioner's style, with chance 0 too. Every
variant is trained from several seeds; linear probes predict land use and population in spatial blocks; a training's score
is the mean over three splits, and brackets are 95 % t intervals over the trainings.

UrbanLN learns from one caption of each picture: the one that consensus picks, or without it one at random. UrbanCLIP learns
from all of them. Shuffled captions are true ones of other regions. 'without text' is UrbanCLIP's own ablation UrbanViT: the
same image encoder that contrasts two views of a picture.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import urbanfm_core
from urbanfm_core.captions.consensus import consensus_captions
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.samplecity import captions as writing
from urbanfm_core.evaluation.floors import centres_m
from urbanfm_core.evaluation.inputs import read_floors
from urbanfm_core.evaluation.report import aligned, value_text
from urbanfm_core.evaluation.results import Summary
from urbanfm_core.evaluation.run import Settings, evaluate
from urbanfm_core.evaluation.tables import Features, label_columns
from urbanfm_core.evaluation.targets import read_targets
from urbanfm_core.progress import Progress

TARGETS = ["land_use", "log:population"]
SETTINGS = Settings(seeds=(0, 1, 2), mlp=False, settled_per_km2=0)
# Larger than the presets -tiny, so that there is something to learn with, and still seconds on one core.
SIZES = {
    "urbanln": [
        *("image_size=48", "vision_width=64", "vision_layers=3", "vision_heads=4", "vision_mlp=128"),
        *("text_width=64", "text_layers=2", "text_heads=4", "text_mlp=128", "embedding_dim=32"),
        *("queue=128", "momentum=0.98", "tokenizer_size=800"),
    ],
    "urbanclip": [
        *("image_size=48", "image_width=64", "image_layers=3", "image_heads=4", "image_mlp=128", "embed_dim=64"),
        *("width=64", "text_heads=4", "text_mlp=128", "decoder_heads=4", "decoder_mlp=128", "context_length=48"),
        "tokenizer_size=800",
    ],
}
LEARNING_RATE, BATCH = 1e-3, 32


@dataclass(frozen=True)
class Variant:
    """A way to train: which captions, and which changes to the method; `clean` for those that noise does not concern."""

    name: str
    method: str
    captions: str
    changes: tuple[str, ...] = ()
    clean: bool = False
    trained: bool = True


FULL = "UrbanLN"
VARIANTS = (
    Variant(FULL, "urbanln", "consensus"),
    Variant("UrbanLN w/o consensus", "urbanln", "all", ("captions=random",)),
    Variant("UrbanLN w/o distillation", "urbanln", "consensus", ("msd=false",)),
    Variant("UrbanLN, shuffled captions", "urbanln", "shuffled", clean=True),
    Variant("UrbanLN, untrained", "urbanln", "consensus", clean=True, trained=False),
    Variant("UrbanCLIP", "urbanclip", "all"),
    Variant("UrbanCLIP, shuffled captions", "urbanclip", "shuffled", clean=True),
    Variant("UrbanCLIP without text", "urbanclip", "all", ("objective=views",), clean=True),
    Variant("UrbanCLIP, untrained", "urbanclip", "all", clean=True, trained=False),
)


def exchanged(frame: pd.DataFrame, chance: float, seed: int) -> pd.DataFrame:
    """Captions from above, so many of them replaced by their captioner's of another region."""
    rng = np.random.default_rng((seed, round(1000 * chance)))
    made = frame[["region_id", "image", "captioner", "caption"]].copy()
    other = made.caption.to_numpy(copy=True)
    for rows in made.groupby("captioner").indices.values():
        # From somewhere else on the circle of regions, never from the same one.
        other[rows] = made.caption.to_numpy()[np.roll(rows, rng.integers(1, len(rows)))]
    false = rng.random(len(made)) < chance
    made["caption"] = np.where(false, other, made.caption)
    return made.assign(true=~false, false=false)


def corrupted(frame: pd.DataFrame, chance: float, seed: int) -> pd.DataFrame:
    """Captions from above with so many of their facts replaced by false ones; refusals stay as they are."""
    rng = np.random.default_rng((seed, round(1000 * chance)))
    rows = []
    for row in frame.itertuples():
        text, right, wrong = row.caption, [], []
        if not row.refused:
            truth = [_fact(one) for some in (row.facts_true, row.facts_omitted) for one in some]
            said = [(_fact(one), True) for one in row.facts_true] + [(_fact(one), False) for one in row.facts_false]
            # Captions name the main use first.
            said.sort(key=lambda one: one[0][0] != "main use")
            kept: list[tuple[writing.Fact, bool]] = []
            for fact, true in said:
                changed = rng.random() < chance
                new = writing._mistake(rng, *fact, truth) if changed else fact
                if all(new != other for other, _ in kept):
                    kept.append((new, true and not changed))
            text = writing._STYLES[row.captioner](rng, "satellite", [fact for fact, _ in kept])
            right, wrong = ([fact for fact, true in kept if true is which] for which in (True, False))
        rows.append((row.region_id, row.image, row.captioner, text, len(right), len(wrong)))
    return pd.DataFrame(rows, columns=["region_id", "image", "captioner", "caption", "true", "false"])


def _fact(text: str) -> writing.Fact:
    topic, _, value = text.partition(": ")
    return topic, value


def caption_files(
    city: Path, folder: Path, noise: list[float], seed: int, what: str
) -> Iterator[tuple[float, dict[str, Path]]]:
    """For each noise the files with all captions, with those of consensus, and, where there is none, with shuffled ones."""
    frame = pd.read_parquet(city / "captions.parquet")
    frame = frame[frame.image == "satellite"].reset_index(drop=True)
    for chance in noise:
        made = (exchanged if what == "captions" else corrupted)(frame, chance, seed)
        paths = {"all": folder / f"all-{chance:g}.parquet", "consensus": folder / f"consensus-{chance:g}.parquet"}
        made.to_parquet(paths["all"])
        found = consensus_captions(CaptionSet.read(paths["all"]))
        found.captions.to_parquet(paths["consensus"])
        chosen = np.array([*zip(found.captions.region, found.captions.text, strict=True)], dtype=object)
        false = made.set_index(["region_id", "caption"])[["true", "false"]]
        false = false[~false.index.duplicated()]
        told = false.loc[[tuple(one) for one in chosen]]
        print(
            f"{chance:.0%} replaced: {made.false.sum() / (made.true + made.false).sum():.1%} of all {what} are false, "
            f"{told.false.sum() / (told.true + told.false).sum():.1%} of those that consensus picks"
        )
        if not chance:
            order = np.random.default_rng(seed).permutation(frame.region_id.unique())
            other = dict(zip(frame.region_id.unique(), order, strict=True))
            paths["shuffled"] = folder / "shuffled.parquet"
            made.assign(region_id=made.region_id.map(other)).to_parquet(paths["shuffled"])
        yield chance, paths


def train_and_embed(variant: Variant, captions: Path, city: Path, work: Path, seed: int, epochs: int) -> np.ndarray:
    """Vectors of the regions by a variant that is trained from a seed."""
    layers = {"regions": city / "regions.gpkg", "imagery": city / "imagery.tif", "cache": work / "cache"}
    out = work / "checkpoint"
    urbanfm_core.train(
        preset=f"{variant.method}-tiny",
        overrides=[*SIZES[variant.method], *variant.changes, f"seed={seed}"],
        epochs=epochs if variant.trained else 1,
        learning_rate=LEARNING_RATE if variant.trained else 1e-12,
        batch_size=BATCH,
        seed=seed,
        device="cpu",
        captions=captions,
        out=out,
        **layers,
    )
    vectors: np.ndarray = urbanfm_core.embed(checkpoint=out, device="cpu", **layers).vectors
    return vectors


class Probes:
    """Scores of vectors on the targets, by spatial blocks."""

    def __init__(self, city: Path) -> None:
        self.regions = RegionSet.from_layer(city / "regions.gpkg")
        labels = label_columns(self.regions)
        self.targets = read_targets(TARGETS, labels, self.regions.area_m2() / 1e6)
        self.xy = centres_m(self.regions)

    def scores(self, features: Features) -> dict[str, float]:
        """By target, the mean over the splits of its first metric."""
        found = evaluate(self.targets, [features], self.xy, SETTINGS)
        return {result.target: result.best_scores()[0].metrics[result.metric].mean for result in found.results}

    def floors(self, city: Path) -> dict[str, dict[str, float]]:
        """Scores of plain features of the imagery."""
        inputs = CityInputs(imagery=city / "imagery.tif", regions=self.regions)
        return {item.name: self.scores(item) for item in read_floors(self.regions, inputs, Progress())}


Scores = dict[tuple[str, float], list[dict[str, float]]]


def score_lines(scores: Scores, noise: list[float], target: str) -> list[str]:
    """Scores of a target by variant and noise; what is kept of the clean score; and what UrbanLN's parts are worth."""

    def told(name: str, chance: float) -> np.ndarray:
        return np.array([one[target] for one in scores[name, chance]])

    def text(values: np.ndarray) -> str:
        return value_text(Summary(tuple(values.tolist())), interval=True)

    told_of = [variant for variant in VARIANTS if (variant.name, noise[0]) in scores]
    names = [variant.name for variant in told_of]
    header = ["", *(f"{chance:.0%} false" for chance in noise)]
    rows = [
        [name, *(text(told(name, chance)) if (name, chance) in scores else "" for chance in noise)] for name in names
    ]
    out = [f"\n{target}", *aligned([header, *rows])]
    noisy = [variant.name for variant in told_of if not variant.clean]
    later = [chance for chance in noise if chance]
    if later:
        kept = [[name, *(text(told(name, chance) / told(name, 0.0)) for chance in later)] for name in noisy]
        out += ["share of the clean score that is kept, by seed", *aligned([["", *header[2:]], *kept])]
    parts = [
        [f"{FULL} - {name}", *(text(told(FULL, chance) - told(name, chance)) for chance in noise)]
        for name in noisy
        if name.startswith(f"{FULL} w/o") and FULL in names
    ]
    if "UrbanCLIP" in names:
        parts += [
            [f"UrbanCLIP - {name}", text(told("UrbanCLIP", 0.0) - told(name, 0.0)), *[""] * len(later)]
            for name in names
            if name.startswith("UrbanCLIP") and name != "UrbanCLIP"
        ]
    return [*out, "differences, by seed", *aligned([header, *parts])]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All trainings; prints the tables and returns every score."""
    started = time.monotonic()
    scores: Scores = {}
    noise = sorted(options.noise)
    chosen = [variant for variant in VARIANTS if not options.variants or variant.name in options.variants]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        city = urbanfm_core.samplecity(out=work / "city", regions=options.regions, seed=options.city_seed)
        probes = Probes(city)
        for chance, files in caption_files(city, work, noise, options.city_seed, options.corrupt):
            for variant in (one for one in chosen if not (one.clean and chance)):
                for seed in range(options.seeds):
                    vectors = train_and_embed(variant, files[variant.captions], city, work, seed, options.epochs)
                    found = probes.scores(Features(variant.name, vectors.astype(float)))
                    scores.setdefault((variant.name, chance), []).append(found)
                    told = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
                    print(
                        f"{time.monotonic() - started:5.0f} s  {chance:.0%} {variant.name}, seed {seed}: {told}",
                        flush=True,
                    )
        floors = probes.floors(city)
    for target in TARGETS:
        print("\n".join(score_lines(scores, noise, target)))
        print("floors")
        print("\n".join(aligned([[name, f"{found[target]:.3f}"] for name, found in floors.items()])))
    print(f"\n{time.monotonic() - started:.0f} s in all")
    plain = [{"variant": name, "noise": chance, "scores": found} for (name, chance), found in scores.items()]
    return {"options": vars(options), "trainings": plain, "floors": floors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.2, 0.4], help="chances; shuffling needs 0")
    parser.add_argument("--corrupt", choices=("captions", "facts"), default="captions")
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--variants", nargs="+", choices=names, help="those to train; all when not given")
    parser.add_argument("--city-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write every score")
    options = parser.parse_args()
    if 0.0 not in options.noise:
        parser.error("--noise needs 0, which the other columns are compared with")
    found = run(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
