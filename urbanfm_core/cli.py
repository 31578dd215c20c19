"""`urbanfm STAGE ...`: the command line, generated from `stages.py`.

Only the flags that the user gave are collected here; merged over a `--config` file they become a stage, whose own
definition does all checking, so that the command line, a job file and Python accept exactly the same.
"""

from __future__ import annotations

import inspect
import json
import signal
import sys
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

import urbanfm_core
from urbanfm_core.errors import Cancelled, ConfigError, UrbanFMError
from urbanfm_core.parameters import Stage
from urbanfm_core.progress import Progress
from urbanfm_core.stages import STAGES, make_stage
from urbanfm_core.worker import EXIT_BUG, EXIT_CANCELLED, EXIT_OK, EXIT_USER

_console = Console(stderr=True, highlight=False)
_RUN = Group("Run", sort_key=3)
_GROUPS = {
    "input": Group("Inputs and options", sort_key=0),
    "output": Group("Outputs", sort_key=1),
    "advanced": Group("Advanced", sort_key=2),
}


class BarProgress(Progress):
    """A bar with an estimate on a terminal; plain lines where there is none."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=1.0)
        self._stop = False

    def update(self, fraction: float, message: str = "") -> None:
        self._bar.update(self._task, completed=fraction, description=message)

    def log(self, level: str, message: str) -> None:
        style = "yellow" if level == "warning" else ""
        self._bar.console.print(message, style=style, markup=False)

    def cancelled(self) -> bool:
        return self._stop

    def stop(self, *_: object) -> None:
        """First interrupt: stop at the next safe point. Second: at once."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self._bar.console.print("Stopping; press Ctrl-C again to stop at once.", style="yellow")


def build_app() -> App:
    """The command-line program, one command a stage."""
    app = App(
        name="urbanfm",
        help="Urban region embeddings: one vector per region, from points of interest, imagery and more.",
        version=urbanfm_core.__version__,
        result_action="return_value",
        console=Console(highlight=False),
        error_console=_console,
    )
    for name, model in STAGES.items():
        app.command(_command(name, model), name=name)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 ok, 1 bug, 2 user error, 3 cancelled."""
    try:
        code = build_app()(sys.argv[1:] if arguments is None else arguments, exit_on_error=False, print_error=True)
    except CycloptsError:
        return EXIT_USER
    return code if isinstance(code, int) else EXIT_OK


def _command(name: str, model: type[Stage]) -> Callable[..., int]:
    def command(**given: Any) -> int:
        config, dry_run = given.pop("config", None), given.pop("dry_run", None)
        values = {key: value for key, value in given.items() if value is not None}
        return _guarded(lambda: _run(name, {**_read_config(config, name), **values}, bool(dry_run)))

    parameters = [_flag(field_name, item) for field_name, item in model.model_fields.items()]
    parameters.append(
        _keyword(
            "config", Path, "JSON, TOML or YAML file with parameters of this stage; flags win over it.", _RUN, None
        )
    )
    parameters.append(
        _keyword(
            "dry_run",
            bool,
            "Say what would be read, the device, and expected memory and time; do nothing.",
            _RUN,
            False,
        )
    )
    command.__doc__ = inspect.cleandoc(model.__doc__ or "")
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def _flag(name: str, item: FieldInfo) -> inspect.Parameter:
    extra: Any = item.json_schema_extra
    text = item.description or ""
    if extra["unit"]:
        text += f" In {extra['unit']}."
    if item.is_required():
        text += " Required."
    group = _GROUPS["output" if extra["output"] else "advanced" if extra["advanced"] else "input"]
    default = None if item.is_required() else item.default
    # An extent west of Greenwich begins like a flag.
    return _keyword(name, item.annotation, text, group, default, hyphen=extra["kind"] == "extent")


def _keyword(name: str, kind: Any, text: str, group: Group, default: Any, *, hyphen: bool = False) -> inspect.Parameter:
    shown = (lambda _: default) if default not in (None, [], False) else False
    # A list takes all that follows its flag, or the flag several times.
    about = Parameter(
        help=text,
        group=group,
        show_default=shown,
        negative_iterable=(),
        consume_multiple=True,
        allow_leading_hyphen=hyphen,
    )
    options = about if default is True else Parameter.combine(about, Parameter(negative_bool=()))
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, options]
    )


def _read_config(path: Path | None, stage: str) -> dict[str, Any]:
    """Parameters from a file: a flat table, or one that holds a table named like the stage."""
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            content: Any = tomllib.loads(text)
        elif path.suffix in (".yaml", ".yml"):
            import yaml

            content = yaml.safe_load(text)
        else:
            content = json.loads(text)
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"The configuration {path} cannot be parsed: {error}.") from error
    except Exception as error:  # yaml has an exception family of its own
        raise ConfigError(f"The configuration {path} cannot be parsed: {error}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"The configuration {path} holds no table of parameters.")
    chosen = content.get(stage, content)
    return {str(key).replace("-", "_"): value for key, value in chosen.items()}


def _run(name: str, values: dict[str, Any], dry_run: bool) -> int:
    stage = make_stage(name, values)
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=_console, transient=True) as bar:
        progress = BarProgress(bar)
        previous = signal.signal(signal.SIGINT, progress.stop)
        try:
            if dry_run:
                from urbanfm_core import planning

                lines, code = planning.plan(name, stage, progress).lines(), EXIT_OK
            else:
                from urbanfm_core import pipeline

                result = pipeline.run_stage(name, stage, progress)
                lines, code = result.lines(), EXIT_USER if result.summary.get("ok") is False else EXIT_OK
        finally:
            signal.signal(signal.SIGINT, previous)
    for line in lines:
        print(line)
    return code


def _guarded(action: Callable[[], int]) -> int:
    try:
        return action()
    except Cancelled as error:
        _console.print(error.message, style="yellow", markup=False)
        return EXIT_CANCELLED
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    except UrbanFMError as error:
        _console.print(f"Error: {error.message}", style="bold red", markup=False)
        if error.hint:
            _console.print(error.hint, markup=False)
        return EXIT_USER
    except Exception:
        traceback.print_exc()
        _console.print("This is a bug in UrbanFM. Please report it with the lines above.", style="bold red")
        return EXIT_BUG


if __name__ == "__main__":
    sys.exit(main())
