"""Runs of the library that may be killed, or find their disk full: each in a process of its own, forked from one that
has everything imported, so that it starts in a few milliseconds.

    python -m victims < requests > replies        (JSON lines; see `Victims`)
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        killed: It was killed before its end.
        error: Class of the error that it raised; empty if none, or if it was killed.
        message: The error's words.
        logs: What it said.
        calls: Function calls that it made until its end.
        blocks: Blocks of a raster that it read.
    """

    killed: bool = False
    error: str = ""
    message: str = ""
    logs: list[str] = field(default_factory=list)
    calls: int = 0
    blocks: int = 0


class Victims:
    """A context; forks one process for each run."""

    def __enter__(self) -> Victims:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "victims"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def run(
        self,
        stage: str,
        *,
        kill_at: int | None = None,
        file_bytes: int | None = None,
        count: bool = False,
        **params: Any,
    ) -> Ended:
        """Run a stage.

        Args:
            stage: Its name.
            kill_at: Kill it at this function call.
            file_bytes: No file may grow beyond this, as on a disk that is full.
            count: Count function calls.
            params: Of the stage.
        """
        params = {name: str(value) if isinstance(value, Path) else value for name, value in params.items()}
        request = {"stage": stage, "params": params, "kill_at": kill_at, "file_bytes": file_bytes, "count": count}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def main() -> None:
    _prepare()
    for line in sys.stdin:
        request = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                reply = _run(request)
            except BaseException as error:  # a bug in this file: say it rather than hang
                reply = {"error": "Harness", "message": repr(error)}
            os.write(writing, json.dumps(reply).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"killed": True} if os.WIFSIGNALED(status) else json.loads(text)), flush=True)


def _prepare() -> None:
    """Import what a run needs, save often, cut the work small, and encode texts without a model."""
    import matplotlib.figure
    import numpy as np
    import psutil
    import sklearn.decomposition
    import torch._dynamo  # torch imports it with the first optimiser

    from urbanfm_core import pipeline
    from urbanfm_core.geo import zonal
    from urbanfm_core.inference import raster, table
    from urbanfm_core.maps import plot, styles
    from urbanfm_core.models.aether import method as aether
    from urbanfm_core.training import loop, run

    assert all((matplotlib.figure, psutil, sklearn.decomposition, torch._dynamo, pipeline, raster, table, plot, styles))
    run.train.__kwdefaults__["save_every_s"] = 0.0
    loop._SAVING_SHARE = 1.0
    zonal.zonal_mean.__kwdefaults__["memory_bytes"] = 1

    class Encoder:
        spec = identity = "letters"
        dim, notes = 16, ()

        def encode(self, texts: list[str], progress: object) -> np.ndarray:
            rows = [hashlib.md5(text.encode()).digest() for text in texts]
            vectors = np.array([list(row) for row in rows], np.float32) - 127.5
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    aether.load_text_encoder = lambda *_, **__: Encoder()  # type: ignore[assignment]


def _run(request: dict[str, Any]) -> dict[str, Any]:
    from urbanfm_core import pipeline
    from urbanfm_core.errors import UrbanFMError
    from urbanfm_core.geo.raster import RasterReader
    from urbanfm_core.progress import Progress

    reply: dict[str, Any] = {"logs": [], "calls": 0, "blocks": 0}
    kill_at, read = request["kill_at"], RasterReader.read

    class Listener(Progress):
        def log(self, level: str, message: str) -> None:
            reply["logs"].append(message)

    def counted(self: RasterReader, *arguments: Any, **named: Any) -> Any:
        reply["blocks"] += 1
        return read(self, *arguments, **named)

    def called(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            reply["calls"] += 1
            if reply["calls"] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    RasterReader.read = counted  # type: ignore[assignment]
    if request["file_bytes"] is not None:
        # Python keeps what fits of a compiled module, which no later run could import.
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], resource.RLIM_INFINITY))
    if request["count"] or kill_at is not None:
        sys.setprofile(called)
    try:
        pipeline.run(request["stage"], request["params"], Listener())
    except Exception as error:
        sys.setprofile(None)
        reply |= {"error": type(error).__name__, "message": str(error)}
        if not isinstance(error, UrbanFMError):
            import traceback

            reply["message"] += "\n" + traceback.format_exc()
    sys.setprofile(None)
    return reply


if __name__ == "__main__":
    main()
