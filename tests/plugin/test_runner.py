"""The other process: events, failures, cancelling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import ROOT, Fake, Feedback, is_gone, wait_for

from qgis_plugin.runtime import runner
from qgis_plugin.runtime.job import KEPT_LOGS, Job
from qgis_plugin.runtime.process import ChildProcess


def make_job(tmp_path: Path) -> Job:
    job = Job("train")
    job.params = {"pois": "p.gpkg"}
    job.outputs = {"out": str(tmp_path / "made" / "ckpt")}
    (tmp_path / "made").mkdir()
    return job


def run_fake(fake: Fake, tmp_path: Path, mode: str, feedback: Feedback) -> runner.Outcome:
    fake.behave(mode)
    with make_job(tmp_path) as job:
        return runner.run(job, fake.python, feedback)


def test_a_job_reaches_the_worker_and_its_events_come_back(fake: Fake, tmp_path: Path) -> None:
    feedback = Feedback()
    outcome = run_fake(fake, tmp_path, "success", feedback)
    assert fake.job == {
        "protocol": 1,
        "stage": "train",
        "params": {"pois": "p.gpkg"},
        "outputs": {"out": str(tmp_path / "made" / "ckpt")},
    }
    assert outcome.result["method"] == "aether"
    assert outcome.metrics == {"loss": [(1, 0.5)]}
    # One text for a count that goes up, not a line for each step.
    assert feedback.texts == ["half a job 0.25"]
    assert "device: cpu" in feedback.infos
    assert feedback.warnings == ["one POI outside"]
    assert feedback.fractions[-1] == 100.0


def test_progress_is_laid_into_the_part_it_is_given(fake: Fake, tmp_path: Path) -> None:
    feedback = Feedback()
    with make_job(tmp_path) as job:
        runner.run(job, fake.python, feedback, 20.0, 40.0)
    assert feedback.fractions == [25.0, 30.0, 40.0]


def test_the_worker_is_isolated(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaks = ("PROJ_LIB", "GDAL_DATA", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "PIP_TARGET", "SSL_CERT_FILE")
    for name in leaks:
        monkeypatch.setenv(name, "" if name == "PYTHONHOME" else "/leak")
    monkeypatch.setenv("OPENAI_API_KEY", "kept")
    run_fake(fake, tmp_path, "success", Feedback())
    assert not set(leaks) & set(fake.seen["env"])
    assert "OPENAI_API_KEY" in fake.seen["env"]
    assert fake.seen["arguments"][0] == "-I"


def test_the_folder_of_a_job_is_removed_whatever_happens(fake: Fake, tmp_path: Path) -> None:
    folders = []
    for mode in ("success", "error"):
        fake.behave(mode)
        try:
            with Job("train") as job:
                job.outputs = {"out": str(tmp_path / mode)}
                folders.append(job.folder)
                runner.run(job, fake.python, Feedback())
        except runner.WorkerError:
            pass
    assert len(folders) == 2
    assert not any(folder.exists() for folder in folders)


def test_lines_that_are_no_events_go_to_the_log_and_harm_nothing(fake: Fake, tmp_path: Path) -> None:
    fake.behave("garbage")
    with make_job(tmp_path) as job:
        outcome = runner.run(job, fake.python, Feedback())
        log = job.log.read_text()
    assert outcome.result["method"] == "aether"
    assert log.count("[output that is no event]") == 5
    assert "Downloading 100%" in log


def test_the_last_line_is_read_after_the_process_is_gone(fake: Fake, tmp_path: Path) -> None:
    assert run_fake(fake, tmp_path, "tail", Feedback()).result["samples"] == 7


@pytest.mark.parametrize(
    ("mode", "texts"),
    [
        ("error", ["Layer x has no polygons.", "Choose another layer."]),
        ("bug", ["code 1", "something broke inside", "Log: "]),
        ("killed", ["signal 9", "memory"]),
        ("nothing", ["without a result"]),
    ],
)
def test_a_failure_says_what_and_what_to_do(fake: Fake, tmp_path: Path, mode: str, texts: list[str]) -> None:
    with pytest.raises(runner.WorkerError) as caught:
        run_fake(fake, tmp_path, mode, Feedback())
    for text in texts:
        assert text in str(caught.value)


def test_a_user_error_does_not_send_the_user_to_a_log(fake: Fake, tmp_path: Path) -> None:
    with pytest.raises(runner.WorkerError) as caught:
        run_fake(fake, tmp_path, "error", Feedback())
    assert "Log: " not in str(caught.value)


def test_a_worker_of_another_protocol_is_told(fake: Fake, tmp_path: Path) -> None:
    feedback = Feedback()
    run_fake(fake, tmp_path, "protocol", feedback)
    assert any("protocol 99" in warning for warning in feedback.warnings)


def test_an_interpreter_that_does_not_start_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "no-python"
    broken.write_text("")
    with make_job(tmp_path) as job, pytest.raises(runner.WorkerError, match="no-python"):
        runner.run(job, broken, Feedback())


def test_cancel_while_it_talks(fake: Fake, tmp_path: Path) -> None:
    outcome = run_fake(fake, tmp_path, "slow", Feedback(stop_at="/6,000"))
    assert outcome.cancelled
    assert is_gone(fake.seen["pid"])


def test_cancel_is_asked_for_first(fake: Fake, tmp_path: Path) -> None:
    fake.behave("polite")
    feedback = Feedback()
    threading.Thread(target=lambda: (wait_for(fake.record), feedback.cancel())).start()
    with make_job(tmp_path) as job:
        outcome = runner.run(job, fake.python, feedback)
    assert outcome.cancelled
    assert is_gone(fake.seen["pid"])


def test_cancel_ends_a_silent_worker_with_its_children_and_leaves_no_half_file(fake: Fake, tmp_path: Path) -> None:
    fake.behave("silent")
    feedback = Feedback()
    fake.record.unlink(missing_ok=True)

    def cancel_when_its_child_runs() -> None:
        while True:
            wait_for(fake.record)
            try:
                if "child" in fake.seen:
                    break
            except json.JSONDecodeError:
                continue
        feedback.cancel()

    thread = threading.Thread(target=cancel_when_its_child_runs)
    thread.start()
    with make_job(tmp_path) as job:
        outcome = runner.run(job, fake.python, feedback)
    thread.join()
    assert outcome.cancelled
    assert is_gone(fake.seen["pid"]) and is_gone(fake.seen["child"])
    assert list((tmp_path / "made").iterdir()) == []


def test_half_files_of_others_are_left_alone(tmp_path: Path) -> None:
    with make_job(tmp_path) as job:
        own = [Path(path) for path in job.outputs.values()]
        others = [tmp_path / "made" / ".other.0a1b-2f-0a1b2c3d.part.gpkg"]
        others += [path.with_name(f".{path.stem}.0a1b-30-0a1b2c3d.part{path.suffix}") for path in own]
        for other in others:
            other.write_text("x")
        job.remove_leftovers(0x2F)
        assert all(other.exists() for other in others)
        job.remove_leftovers(0x30)
        assert [other.exists() for other in others] == [True] + [False] * len(own)


def test_folders_of_jobs_of_a_crashed_qgis_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned = tmp_path / f"urbanfm-embed-{gone.pid}-ab12_xyz"
    others = [tmp_path / f"urbanfm-embed-{os.getpid()}-ab12_xyz", tmp_path / "urbanfm-embed-mine"]
    for folder in (abandoned, *others):
        folder.mkdir()
        (folder / "regions.gpkg").write_text("x")
    with Job("grid"):
        assert not abandoned.exists()
    assert all((folder / "regions.gpkg").exists() for folder in others)


def test_logs_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(KEPT_LOGS + 5):
        with Job("grid") as job:
            job.log.write_text("x")
    assert len(list(job.log.parent.glob("*.log"))) == KEPT_LOGS


def test_a_line_of_many_bytes_and_odd_ones_is_read(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(b'x' * 300_000 + b'\\n\\xff\\n'); sys.stdout.flush()"
    process = ChildProcess([sys.executable, "-c", code], {})
    lines = []
    while not process.finished():
        line = process.line(0.05)
        if line is not None:
            lines.append(line)
    process.close()
    assert [len(lines[0]), lines[1]] == [300_000, "\ufffd"]


def test_the_bootstrap_gives_the_worker_the_library_and_nothing_of_the_plugin() -> None:
    bootstrap = ROOT / "qgis_plugin" / "runtime" / "bootstrap.py"
    code = (
        "import importlib.util, json, runpy, sys\n"
        f"runpy.run_path({str(bootstrap)!r})\n"
        "import urbanfm_core\n"
        "names = ('provider', 'contract', 'runtime', 'qgis_plugin', 'algorithms')\n"
        "print(json.dumps([urbanfm_core.__file__, [n for n in names if importlib.util.find_spec(n)]]))\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tests"
    )
    found: list[Any] = json.loads(done.stdout)
    assert found == [str(ROOT / "urbanfm_core" / "__init__.py"), []]


def test_layers_are_called_by_their_names_and_not_by_temporary_files(fake: Fake, tmp_path: Path) -> None:
    fake.behave("error")
    with make_job(tmp_path) as job, pytest.raises(runner.WorkerError, match="Layer 'My regions' has no polygons"):
        job.names = {" x ": " 'My regions' "}
        runner.run(job, fake.python, Feedback())
