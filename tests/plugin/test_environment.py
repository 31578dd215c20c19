"""Finding, checking and setting up the interpreter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import Fake
from qgis.core import QgsSettings

from qgis_plugin import settings
from qgis_plugin.algorithms.embedregions import EmbedRegions
from qgis_plugin.runtime import environment
from qgis_plugin.runtime import setup as setting_up
from qgis_plugin.runtime.setup import Plan, Setup, SetupError


def made_environment(folder: Path) -> Path:
    python = environment.python_of(folder)
    python.parent.mkdir(parents=True)
    python.write_text("")
    (folder / environment.MARKER).write_text("{}")
    return python


def test_without_an_environment_the_remedy_is_one_line(qgis_app: Any) -> None:
    fine, message = EmbedRegions().canExecute()
    assert not fine
    assert "Set up environment" in message and "URBANFM_PYTHON" in message
    assert "\n" not in message


def test_can_execute_starts_no_process(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("a process was started")

    monkeypatch.setattr("subprocess.Popen", refuse)
    assert EmbedRegions().canExecute() == (True, "")


def test_the_order_is_variable_then_setting_then_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made_environment(tmp_path / "env")
    settings.put(settings.ENVIRONMENT_FOLDER, str(tmp_path / "env"))
    assert environment.find().path == own
    chosen = tmp_path / "chosen"
    chosen.write_text("")
    settings.put(settings.PYTHON, str(chosen))
    assert environment.find().path == chosen
    named = tmp_path / "named"
    named.write_text("")
    monkeypatch.setenv("URBANFM_PYTHON", str(named))
    assert environment.find().path == named


def test_one_that_was_named_and_is_not_there_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_environment(tmp_path / "env")
    settings.put(settings.ENVIRONMENT_FOLDER, str(tmp_path / "env"))
    monkeypatch.setenv("URBANFM_PYTHON", str(tmp_path / "gone"))
    with pytest.raises(environment.EnvironmentMissing, match="gone"):
        environment.find()


def test_an_environment_that_is_not_finished_is_not_used(tmp_path: Path) -> None:
    python = made_environment(tmp_path / "env")
    (tmp_path / "env" / environment.MARKER).unlink()
    settings.put(settings.ENVIRONMENT_FOLDER, str(tmp_path / "env"))
    assert python.exists()
    with pytest.raises(environment.EnvironmentMissing):
        environment.find()


@pytest.mark.parametrize(("mode", "text"), [("missing", "torch"), ("old", "3.8.1"), ("success", "")])
def test_running_it_once_shows_what_is_wrong(fake: Fake, mode: str, text: str) -> None:
    fake.behave(mode)
    verdict = environment.verify(fake.python)
    assert bool(verdict.problem) is bool(text)
    assert text in verdict.problem


def test_something_that_is_no_python_is_named(tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_text("#!/bin/sh\necho hello\n")
    odd.chmod(0o755)
    assert "odd" in environment.verify(odd).problem


def test_a_good_verdict_is_remembered_until_the_file_changes(fake: Fake) -> None:
    assert not environment.verify(fake.python).problem
    fake.behave("missing")
    assert not environment.verify(fake.python).problem
    fake.python.write_text(fake.python.read_text() + "\n")
    assert environment.verify(fake.python).problem


def test_the_scrubbed_environment_keeps_what_is_the_users() -> None:
    source = {
        "HOME": "/h", "HTTPS_PROXY": "p", "PROJ_LIB": "x", "GDAL_DATA": "x", "PYTHONHOME": "x", "PIP_INDEX_URL": "i",
        "REQUESTS_CA_BUNDLE": "c", "LD_LIBRARY_PATH": "x",
    }  # fmt: skip
    assert environment.scrubbed(source) == {"HOME": "/h", "HTTPS_PROXY": "p"}
    assert set(environment.scrubbed(source, for_pip=True)) == {
        "HOME", "HTTPS_PROXY", "PIP_INDEX_URL", "REQUESTS_CA_BUNDLE",
    }  # fmt: skip


def test_the_proxy_of_qgis_reaches_pip_with_its_password_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert setting_up.proxies() == {}
    values = {"Enabled": True, "Type": "HttpProxy", "Host": "proxy.org", "Port": "3128", "User": "a", "Password": "b@c"}
    for name, value in values.items():
        QgsSettings().setValue(f"proxy/proxy{name}", value)
    try:
        assert setting_up.proxies()["HTTPS_PROXY"] == "http://a:b%40c@proxy.org:3128"
        monkeypatch.setenv("https_proxy", "mine")
        assert "HTTPS_PROXY" not in setting_up.proxies()
    finally:
        QgsSettings().remove("proxy")


def plan(tmp_path: Path, **more: Any) -> Plan:
    return Plan(**{"folder": tmp_path / "new", "base": Path(sys.base_prefix) / "bin" / "python3", **more})


def test_a_plan_installs_pinned_versions_into_its_own_folder(tmp_path: Path) -> None:
    commands = [command for _, command in plan(tmp_path, torch_index="https://example.org/cpu").steps()]
    assert commands[0][1:4] == ["-I", "-m", "venv"]
    for command in commands[1:]:
        assert command[0].startswith(str(tmp_path / "new"))
    installs = [command for command in commands if "pip" in command]
    assert len(installs) == 2
    for command in installs:
        assert command[command.index("-c") + 1].endswith("constraints.txt")
        assert "--no-input" in command
    assert "https://example.org/cpu" in installs[0]


def test_an_offline_plan_uses_no_network(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a.whl").write_text("")
    offline = plan(tmp_path, wheels=tmp_path / "wheels", torch_index="https://example.org/cpu")
    offline.check()
    installs = [command for _, command in offline.steps() if "pip" in command]
    assert len(installs) == 1
    assert "--no-index" in installs[0] and str(tmp_path / "wheels") in installs[0]
    assert not any("https://" in part for part in installs[0])


def test_a_plan_that_cannot_work_says_why(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("years")
    with pytest.raises(SetupError, match="other files"):
        plan(tmp_path, folder=tmp_path / "mine").check()
    with pytest.raises(SetupError, match="no wheels"):
        plan(tmp_path, wheels=tmp_path).check()
    with pytest.raises(SetupError, match="nowhere"):
        plan(tmp_path, base=tmp_path / "nowhere").check()


class OneStep(Plan):
    """A plan that makes a folder like an environment and runs one harmless command."""

    code = "print('hello')"

    def check(self) -> None:
        return

    def steps(self) -> Any:
        make = f"import pathlib; p = pathlib.Path({str(self.folder)!r}); p.mkdir(); (p / 'pyvenv.cfg').touch()"
        yield "making", [sys.executable, "-c", f"{make}; {self.code}"]


def carry_out(plan_: Plan, cancel: bool = False) -> Setup:
    setup = Setup(plan_)
    if cancel:
        setup.cancel()
    setup.start()
    setup.join(30)
    assert not setup.is_alive()
    return setup


def test_a_finished_environment_is_marked_and_its_log_is_heard(tmp_path: Path) -> None:
    setup = carry_out(OneStep(tmp_path / "new", Path("x")))
    assert (setup.problem, setup.cancelled) == ("", False)
    assert (tmp_path / "new" / environment.MARKER).is_file()
    lines = []
    while not setup.lines.empty():
        lines.append(setup.lines.get())
    assert "hello" in lines


def test_a_failed_or_cancelled_set_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneStep, "code", "print('no disk'); raise SystemExit(1)")
    setup = carry_out(OneStep(tmp_path / "new", Path("x")))
    assert "no disk" in setup.problem
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(OneStep, "code", "import time; time.sleep(600)")
    setup = carry_out(OneStep(tmp_path / "new", Path("x")), cancel=True)
    assert setup.cancelled and not setup.problem
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_no_environment_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    setting_up.remove_environment(tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()
