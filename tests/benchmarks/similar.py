"""Regions like some chosen ones among a million vectors in a file, beside reading the whole matrix and multiplying it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting

ROWS, WIDTH, CHOSEN, TOP = 1_000_000, 128, 5, 20
BATCH = 100_000


def make(folder: Path, scale: float, seed: int) -> None:
    """A Parquet file like those of `embed`: an id and a list of float32 a region, one row group, compressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    schema = pa.schema([("region_id", pa.string()), ("embedding", pa.list_(pa.float32()))])
    with pq.ParquetWriter(folder / "vectors.parquet", schema, compression="zstd") as file:
        for start in range(0, int(ROWS * scale), BATCH):
            count = min(BATCH, int(ROWS * scale) - start)
            vectors = rng.standard_normal((count, WIDTH), np.float32)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), WIDTH).cast(pa.list_(pa.float32()))
            file.write_table(pa.table([pa.array([f"r{start + row}" for row in range(count)]), lists], schema=schema))


def ours(setting: Setting) -> Callable[[], Output]:
    """The stage `similar`, from the file to a score, rank and percentile of every region in a file."""
    import urbanfm_core

    def work() -> Output:
        ids = [f"r{row}" for row in range(CHOSEN)]
        table = setting.scratch / "scores.parquet"
        found = urbanfm_core.similar(embeddings=str(setting.inputs / "vectors.parquet"), ids=ids, table=str(table))
        return Output(lambda: {"score": found.ranking.score, "top": found.ranking.top(TOP)})

    return work


def whole(setting: Setting) -> Callable[[], Output]:
    """The whole table in memory as pandas reads it, then one matrix product."""
    import pyarrow.parquet as pq

    def work() -> Output:
        table = pq.read_table(setting.inputs / "vectors.parquet")
        vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        query = unit[:CHOSEN].mean(axis=0)
        score = unit @ (query / np.linalg.norm(query))
        others = np.argsort(-score[CHOSEN:], kind="stable")[:TOP] + CHOSEN
        return Output(lambda: {"score": score, "top": others})

    return work


def reading(setting: Setting) -> Callable[[], Output]:
    """Nothing but reading and decompressing the vectors once, in blocks."""
    import pyarrow.parquet as pq

    def work() -> Output:
        with pq.ParquetFile(setting.inputs / "vectors.parquet", buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(16_384, columns=["embedding"], use_threads=False):
                batch.column(0).flatten().to_numpy()
        return Output()

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Scores within the rounding of float32, and the same best regions."""
    mine, words = outputs["ours"], {}
    for name, one in outputs.items():
        if "score" not in one:
            continue
        apart = float(np.abs(one["score"] - mine["score"]).max())
        alike = len(np.intersect1d(one["top"], mine["top"]))
        words[name] = f"scores within {apart:.1e}, {alike} of the best {TOP} the same"
        if apart > 1e-5 or alike < TOP - 1:
            raise Mismatch(f"{name}: {words[name]}.")
    return words


CASES = {
    "vectors": Case(
        f"scores of 1,000,000 vectors of {WIDTH} with {CHOSEN} chosen ones, and the best {TOP}",
        make,
        {
            "ours": Contender(ours, "ours"),
            "whole matrix": Contender(whole, "peer"),
            "reading": Contender(reading, "floor"),
        },
        compare,
        (Goal("ours", "whole matrix", 1.0), Goal("ours", "whole matrix", 0.5, "peak_mib")),
    ),
}
