"""Parameters of the stage that checks an installation."""

from __future__ import annotations

from urbanfm_core.parameters import Stage, param


class CheckStage(Stage):
    """Check this installation: interpreter, packages, device, text encoder, and what mends what is missing."""

    report: str | None = param(
        None, "HTML report to write.", label="Report on the environment", kind="file", output=True
    )
