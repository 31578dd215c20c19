"""A tiny UrbanLN over pictures and captions made of noise, in one process or several."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from urbanfm_core.data.image_store import ImageStatistics, StoredImages
from urbanfm_core.models.image_text import Augmentation, Pictures, caption_samples
from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.method import UrbanLN
from urbanfm_core.training.task import Task, TrainingConfig

SIZES = {"image_size": 16, "patch_size": 8, "embedding_dim": 8, "positions": 12, "kept_positions": 4, "stretch": 2}
VISION = {"vision_width": 16, "vision_layers": 1, "vision_heads": 2, "vision_mlp": 32}
TEXT = {"text_width": 16, "text_layers": 1, "text_heads": 2, "text_mlp": 32, "vocab_size": 30, "end_id": 3}
CONFIG = UrbanLNConfig(**SIZES, **VISION, **TEXT, queue=10, momentum=0.9)
SETTINGS = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.01, seed=3)
STILL = Augmentation(crop=1.0, flips=False, turns=False, jitter=0.0)

SCRIPT = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {here!r})
from dataclasses import replace
from core.training import urbanln_task
from urbanfm_core.progress import Progress
from urbanfm_core.training.loop import fit

torch.set_num_threads(1)
folder, rank = Path(sys.argv[1]), sys.argv[2]
task = urbanln_task.make_task(replace(urbanln_task.CONFIG, msd={msd}), still=True)
found = fit(task, urbanln_task.SETTINGS, device=torch.device("cpu"), folder=folder, data_fingerprint="d", progress=Progress())
torch.save({{"weights": found.weights, "history": found.history}}, folder / f"end{{rank}}.pt")
"""


def noise_samples(still=False, rows=20, size=16):
    """Pictures of noise, each with one caption where nothing shall be drawn, else with up to three."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (rows, 3, size, size), dtype=np.uint8)
    valid = np.packbits(np.ones((rows, size, size), bool), axis=-1)
    ones, order = np.ones(rows), np.arange(rows)
    stored = StoredImages(size, ones, np.ones((3, 3)), [images], [valid], np.zeros(rows, np.int64), order)
    pictures = Pictures("imagery", stored, order, order, order.astype(str).astype(object), rows, {})
    owner = order if still else np.repeat(order, random.integers(1, 4, rows))
    words = random.integers(4, 30, (len(owner), 20)).astype(np.int32)
    words[np.arange(len(owner)), random.integers(2, 20, len(owner))] = CONFIG.end_id
    statistics = ImageStatistics((0.5,) * 3, (0.25,) * 3)
    return caption_samples(pictures, owner, words, statistics, STILL if still else Augmentation())[0]


def make_task(config=CONFIG, still=False):
    method = UrbanLN()
    torch.manual_seed(0)
    return Task(method, config, method.build(config), noise_samples(still))


def start_two(tmp_path, folder, port, msd):
    """Two processes of one run, each of which writes what it ended with; returns their exit codes."""
    script, root = tmp_path / "script.py", Path(__file__).parents[3]
    script.write_text(SCRIPT.format(here=str(root / "tests"), msd=msd))
    folder.mkdir()
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(rank)],
            env={
                **os.environ,
                **common,
                "PYTHONPATH": str(root),
                "OMP_NUM_THREADS": "1",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
        )
        for rank in range(2)
    ]
    return [process.wait(timeout=120) for process in started]
