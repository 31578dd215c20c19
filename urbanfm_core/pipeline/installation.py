"""The stage that checks an installation."""

from __future__ import annotations

from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.installation import CheckStage


def check(stage: CheckStage, progress: Progress) -> Result:
    from urbanfm_core.environment import as_dicts, run_checks, write_report

    checks = run_checks()
    if stage.report is not None:
        write_report(stage.report, checks)
    summary = {"ok": all(item.ok for item in checks), "checks": as_dicts(checks), "report": stage.report}
    return Result(summary, checks)
