"""Search by phrase on the sample city, whose latent fields are known: are the best 20 regions those that the phrase means?

    python -m tests.benchmarks.text_search                   400 regions, a few minutes on one thread

Models learn from imagery and from the captions of half of the regions, drawn at random; the regions of both halves are then
embedded from imagery alone and ranked by ten phrases, each half by itself. A phrase means the fifth of a half's regions with the
highest, or lowest, latent field (`truth.parquet`), which no model sees; so one region in five is right by chance. The floor
ranks regions by the captions themselves, read by the text encoder MiniLM; it has the captions of both halves.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

import urbanfm_core
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.maps.search import rank
from urbanfm_core.models.text import encode_whole, load_text_encoder
from urbanfm_core.progress import Progress

BEST, MEANT = 20, 0.2
PRESETS, EPOCHS = ("urbanclip-tiny", "urbanln-tiny"), 150
HALVES = ("with captions", "without")


class Phrase(NamedTuple):
    """What is looked for, the latent field that it means, and whether its high or its low end."""

    text: str
    field: str
    high: bool = True


PHRASES = (
    Phrase("a residential area with homes", "function_residential"),
    Phrase("a shopping area with shops", "function_commercial"),
    Phrase("office blocks in a business district", "function_office"),
    Phrase("an industrial estate with sheds and yards", "function_industrial"),
    Phrase("a school campus", "function_education"),
    Phrase("parks and sports grounds", "function_leisure"),
    Phrase("dense development", "density"),
    Phrase("plenty of trees", "greenery"),
    Phrase("hardly any trees", "greenery", high=False),
    Phrase("tall buildings", "height"),
)


def meant(values: np.ndarray, high: bool) -> np.ndarray:
    """Which regions a phrase means, (R,) bool: the fifth with the highest values, or the lowest."""
    count = round(MEANT * len(values))
    order = np.argsort(-values if high else values, kind="stable")
    return np.isin(np.arange(len(values)), order[:count])


def precision(score: np.ndarray, right: np.ndarray) -> float:
    """Share of the best 20 regions that are right; a region without a score is never among them."""
    best = np.argsort(np.where(np.isfinite(score), -score, np.inf), kind="stable")[:BEST]
    return float((right & np.isfinite(score))[best].mean())


def table_of(scores: dict[str, np.ndarray], truth: pd.DataFrame, halves: np.ndarray) -> pd.DataFrame:
    """Precision at 20 by phrase, and its mean.

    Args:
        scores: By who ranks, (phrases, R).
        truth: Latent fields, R rows.
        halves: (R,) bool, which regions' captions were learned from.
    """
    rows = {}
    for number, phrase in enumerate(PHRASES):
        row = {}
        for who, score in scores.items():
            for name, part in zip(HALVES, (halves, ~halves), strict=True):
                right = meant(truth[phrase.field].to_numpy()[part], phrase.high)
                row[who, name] = precision(score[number, part], right)
        rows[phrase.text] = row
    table = pd.DataFrame(rows).T
    table.loc["mean"] = table.mean()
    return table


def floor(captions: CaptionSet, ids: list[str]) -> np.ndarray:
    """Scores of the phrases by the mean vector of each region's captions, (phrases, R)."""
    starts, rows = captions.by_key(ids, "satellite")
    owner = np.repeat(np.arange(len(ids)), np.diff(starts))
    encoder = load_text_encoder("minilm")
    texts = encode_whole(encoder, [str(captions.text[row]) for row in rows], Progress())
    total = np.zeros((len(ids), texts.shape[1]), np.float32)
    np.add.at(total, owner, texts)
    queries = encode_whole(encoder, [phrase.text for phrase in PHRASES], Progress())
    return np.stack([rank(total, query).score for query in queries])


def model(preset: str, city: Path, captions: Path, folder: Path, epochs: int, seed: int) -> np.ndarray:
    """Scores of the phrases by a model that is trained, embeds and searches as users do it, (phrases, R)."""
    layers = {"regions": city / "regions.gpkg", "imagery": city / "imagery.tif", "cache": folder / "cache"}
    checkpoint, vectors = folder / preset, folder / f"{preset}.parquet"
    settings = {"preset": preset, "epochs": epochs, "seed": seed, "device": "cpu"}
    urbanfm_core.train(captions=captions, out=checkpoint, **settings, **layers)
    urbanfm_core.embed(checkpoint=checkpoint, parquet=vectors, device="cpu", **layers)
    given = {"checkpoint": checkpoint, "embeddings": vectors, "device": "cpu"}
    return np.stack([urbanfm_core.search(query=phrase.text, **given).score for phrase in PHRASES])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the city, of the halves and of the training")
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        city = urbanfm_core.samplecity(out=folder / "city", regions=options.regions, seed=options.seed)
        ids = gpd.read_file(city / "regions.gpkg")["region_id"].tolist()
        truth = pd.read_parquet(city / "truth.parquet").set_index("region_id").loc[ids]
        halves = np.random.default_rng(options.seed).permutation(len(ids)) < len(ids) // 2
        # Refusals are no captions: the rules take them out, as for any city.
        captions = urbanfm_core.caption(captions=city / "captions.parquet", out=folder / "refined.parquet")
        told = np.isin(captions.region, np.array(ids, dtype=object)[halves])
        captions.take(np.flatnonzero(told)).to_parquet(folder / "half.parquet")
        scores = {"captions by MiniLM": floor(captions, ids)}
        for preset in options.presets:
            started = time.perf_counter()
            scores[preset] = model(preset, city, folder / "half.parquet", folder, options.epochs, options.seed)
            print(f"{preset}: trained, embedded and searched in {time.perf_counter() - started:.0f} s", flush=True)
    right = meant(truth[PHRASES[0].field].to_numpy()[halves], high=True).mean()
    print(f"{len(ids)} regions, {int(halves.sum())} of them with captions; by chance {right:.2f} would be right\n")
    print("Precision at 20\n")
    print(table_of(scores, truth, halves).round(2).to_string())


if __name__ == "__main__":
    main()
