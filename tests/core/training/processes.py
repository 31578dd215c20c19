"""Training in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, time, torch
from pathlib import Path
sys.path.insert(0, {here!r})
from core.training import line_task
from urbanfm_core.progress import Progress
from urbanfm_core.training.loop import fit
from urbanfm_core.training.task import Task, TrainingConfig

torch.set_num_threads(1)
folder, slow = Path(sys.argv[1]), float(sys.argv[2])
folder.mkdir(exist_ok=True)

class Slow(Progress):
    def cancelled(self):
        time.sleep(slow)
        return False

def main():
    method, config = line_task.{method}(), line_task.LineConfig(dropout={dropout})
    torch.manual_seed(0)
    task = Task(method, config, method.build(config), line_task.{samples}())
    settings = TrainingConfig(epochs=5, batch_size=16, learning_rate=0.05, seed=3)
    found = fit(task, settings, device=torch.device("cpu"), folder=folder, data_fingerprint="d", progress=Slow(), save_every_s=0.0)
    if found.writes:
        torch.save({{"weights": found.weights, "history": found.history, "notes": found.notes}}, folder / "end.pt")

main()
"""


def start(tmp_path, folder, slow=0.0, method="Line", dropout=0.3, samples="line_samples", **environment):
    script = tmp_path / f"script{len(list(tmp_path.glob('*.py')))}.py"
    here = str(Path(__file__).parents[2])
    script.write_text(SCRIPT.format(here=here, method=method, dropout=dropout, samples=samples))
    root = str(Path(__file__).parents[3])
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(slow)],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment},
    )


def start_two(tmp_path, folder, port, **options):
    """Two processes of one run; returns when both are done, with their exit codes."""
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    started = [
        start(tmp_path, folder, dropout=0.0, RANK=str(rank), LOCAL_RANK=str(rank), **options, **common)
        for rank in range(2)
    ]
    return [process.wait(timeout=120) for process in started]
