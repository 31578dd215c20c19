"""The worker as the plugin sees it: a process, lines of JSON, an exit code."""

import json
import subprocess
import sys

import pytest

from urbanfm_core.worker import PROTOCOL


def start(tmp_path, job, text=None):
    file = tmp_path / "job.json"
    file.write_text(text if text is not None else json.dumps(job))
    return subprocess.Popen(
        [sys.executable, "-m", "urbanfm_core.worker", str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, said=""):
    out, err = process.communicate(said if said else None, timeout=120)
    return [json.loads(line) for line in out.splitlines()], process.returncode, err


def job(stage, params=None, **outputs):
    return {"protocol": PROTOCOL, "stage": stage, "params": params or {}, "outputs": outputs}


def run(tmp_path, work):
    process = start(tmp_path, work)
    events, code, err = [], None, ""
    lines = iter(process.stdout.readline, "")
    events = [json.loads(line) for line in lines]
    err = process.stderr.read()
    code = process.wait(timeout=60)
    return events, code, err


def test_a_stage_runs_and_tells_its_result(tmp_path):
    out = tmp_path / "grid ü.gpkg"
    params = {"extent": "500000,4000000,501000,4001000", "extent_crs": "EPSG:32630", "grid_size": 250}
    events, code, _ = run(tmp_path, job("grid", params, out=str(out)))
    assert code == 0
    assert events[0]["event"] == "hello" and events[0]["protocol"] == PROTOCOL
    assert events[-1]["event"] == "done" and events[-1]["result"]["regions"] == 16
    assert out.is_file()
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (job("grid", {"grid_size": -1}, out="x.gpkg"), "grid_size"),
        (job("nosuch"), "nosuch"),
        ({"protocol": 99, "stage": "grid"}, "protocol"),
        ([1, 2], "job"),
        (job("grid", {"over": "/nowhere/at all.gpkg"}, out="x.gpkg"), "nowhere"),
    ],
)
def test_a_user_error_has_code_2_and_says_what_is_wrong(tmp_path, work, told):
    events, code, _ = run(tmp_path, work)
    assert code == 2
    assert events[-1]["event"] == "error" and events[-1]["code"] == 2
    assert told in events[-1]["message"]


def test_text_that_is_not_json_is_a_user_error(tmp_path):
    process = start(tmp_path, None, text="{not json")
    events, code, _ = finish(process)
    assert code == 2 and "job" in events[-1]["message"]


def test_cancel_stops_with_code_3_and_leaves_no_output(tmp_path):
    out = tmp_path / "city"
    process = start(tmp_path, job("samplecity", {"regions": 5000, "seed": 1}, out=str(out)))
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "progress":
            process.stdin.write("cancel\n")
            process.stdin.flush()
            break
    events += [json.loads(line) for line in process.stdout]
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert events[-1]["event"] == "error" and events[-1]["code"] == 3
    assert sorted(item.name for item in tmp_path.iterdir()) == ["job.json"]


def test_the_other_side_going_away_stops_the_work(tmp_path):
    process = start(tmp_path, job("samplecity", {"regions": 5000, "seed": 1}, out=str(tmp_path / "city")))
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            process.stdin.close()
            break
    rest = process.stdout.read()
    process.wait(timeout=60)
    assert process.returncode == 3
    assert json.loads(rest.splitlines()[-1])["code"] == 3
