"""Every sentence that a run logs as a warning, and every note, stands in its report: whatever the stage, once."""

import html
import inspect

import pytest
from stage_cases import CASES

from urbanfm_core import pipeline
from urbanfm_core.progress import Keeping, Progress
from urbanfm_core.report import Page, lead
from urbanfm_core.result import Result
from urbanfm_core.stages import STAGES

# 'check' must also work where packages are missing that the frame needs, and logs nothing.
WITH_REPORTS = [name for name, stage in STAGES.items() if "report" in stage.model_fields and name != "check"]


class Heard(Progress):
    def __init__(self):
        self.said = []

    def log(self, level, message):
        self.said.append((level, message))


def warn(stage, progress):
    """A stage that warns on every way that there is, and twice of the same."""
    progress.log("info", "<info>")
    progress.log("warning", "one & all")
    progress.part(0.0, 0.5).part(0.2, 0.3).log("warning", "<from inside>")
    for _ in progress.track([1, 2], "things"):
        progress.log("warning", "again and again")
    notes = ["a note", "again and again"]
    return Result({}, notes=notes, page=Page("Title", ["<p>The body.</p>"], [lead("The answer.")]))


@pytest.mark.parametrize("name", WITH_REPORTS)
def test_warnings_and_notes_reach_the_report_of_every_stage(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(pipeline._STAGE_FUNCTIONS, name, warn)
    heard = Heard()
    values = {field: value for field, value in dict(CASES)[name].items() if field != "embeddings"}
    if "embeddings" in dict(CASES)[name]:
        (tmp_path / "vectors.csv").write_text("region_id,a\n1,2\n")
        listed = "list" in str(STAGES[name].model_fields["embeddings"].annotation)
        values["embeddings"] = ["vectors.csv"] if listed else "vectors.csv"
    pipeline.run(name, {**values, "report": "r.html"}, heard)
    page = (tmp_path / "r.html").read_text()
    box = page[page.index("<div class=warn>") : page.index("</div>", page.index("<div class=warn>"))]
    assert [item.split("</li>")[0] for item in box.split("<li>")[1:]] == [
        "one &amp; all", html.escape("<from inside>"), "again and again",
    ]  # fmt: skip
    assert page.index("The answer.") < page.index("<div class=warn>") < page.index("The body.") < page.index("a note")
    assert page.count("again and again") == 1 and html.escape("<info>") not in page
    # Whoever listens hears all of it, notes too.
    assert heard.said.count(("warning", "again and again")) == 2 and ("info", "a note") in heard.said


def test_a_run_without_warnings_has_no_empty_box(tmp_path, monkeypatch):
    monkeypatch.setitem(
        pipeline._STAGE_FUNCTIONS, "inspect", lambda stage, progress: Result({}, page=Page("Title", ["<p>x</p>"]))
    )
    pipeline.run("inspect", {"checkpoint": "c", "report": str(tmp_path / "r.html")}, Progress())
    page = (tmp_path / "r.html").read_text()
    assert "<div class=warn>" not in page and "<h2>Notes</h2>" not in page


def test_keeping_passes_everything_on():
    class Other(Heard):
        def update(self, fraction, message=""):
            self.said.append((fraction, message))

        def metric(self, name, value, step):
            self.said.append((name, value, step))

        def cancelled(self):
            return True

    other = Other()
    kept = Keeping(other)
    kept.part(0.5, 1.0).update(0.5, "half")
    kept.metric("loss", 1.0, 2)
    assert other.said == [(0.75, "half"), ("loss", 1.0, 2)] and kept.cancelled() and kept.warnings == []
    # Nothing that a progress can do is left to the silent base class.
    verbs = {name for name, _ in inspect.getmembers(Progress, inspect.isfunction)} - {"check", "part", "track"}
    assert verbs == {"update", "log", "metric", "cancelled"}
