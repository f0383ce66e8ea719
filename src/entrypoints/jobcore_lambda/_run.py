"""One invocation of a tick's function: run the tick within the time limit, and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jobcore import Settings, Unavailable
from jobcore.lifecycle import is_job_id
from jobcore.ticks import TickReport

from ._report import Context, Reporter, reporter
from ._view import StoreView
from ._wiring import Wiring

__all__ = ["Context", "Pass", "hinted_ids", "run", "settings"]

# Reserved for the end of a tick: one slow answer (connect 3 s, read 10 s) and saving its outcome.
MARGIN_MS = 20_000
HINTS_MAX = 1000

Pass = Callable[[StoreView, Settings], TickReport]


def hinted_ids(event: Mapping[str, Any]) -> list[str] | None:
    """Read the job ids of a hint; None if the event has none, so that the tick reads the index."""
    ids = event.get("job_ids")
    if not isinstance(ids, list):
        return None
    valid = [i for i in ids if isinstance(i, str) and is_job_id(i)]
    return list(dict.fromkeys(valid))[:HINTS_MAX]


def settings(wired: Wiring, report: Reporter, context: Context) -> Settings:
    """Make the settings of the ticks of one invocation; they end early when its time runs out."""
    margin = min(MARGIN_MS, context.get_remaining_time_in_millis() // 3)
    return Settings(
        limits=wired.limits,
        rules=wired.rules,
        launches_together=wired.launches_together,
        on_change=report.changed,
        on_trouble=report.trouble,
        go_on=lambda: context.get_remaining_time_in_millis() > margin,
    )


def run(
    function: str,
    work: Pass,
    wired: Wiring,
    context: Context,
    *,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """
    Run a tick, and repeat it each `Wiring.repeat_seconds` while there is time (once for a hint).

    Raises:
        Unavailable: the store or the trainer did not answer; nothing was done. The invocation fails,
            which the alarm on errors counts, and the next schedule tries again.
    """
    report = reporter(function, wired, context)
    chosen = settings(wired, report, context)
    pause = wired.repeat_seconds if only is None else 0
    total = TickReport()
    try:
        while True:
            view = StoreView(wired.store, only)
            _add(total, work(view, chosen))
            now = wired.clock.now()
            if only is None and function in ("launch", "notify"):
                # Not for the monitor: a running job is always due, which is no delay.
                report.age("OldestDue", view.oldest_due, now)
            if function == "launch":
                report.age("OldestWaiting", view.oldest_waiting, now)
            if not pause:
                break
            if context.get_remaining_time_in_millis() < pause * 1000 + MARGIN_MS:
                break
            time.sleep(pause)
    except Unavailable as error:
        report.trouble("", f"Unavailable: {error}")
        report.count("Troubles")
        raise
    finally:
        for name in ("launched", "refused", "published", "stopped", "troubles", "looked_at"):
            if value := getattr(total, name):
                report.count("".join(map(str.capitalize, name.split("_"))), value)
        report.flush(wired.clock.now())
    document = asdict(total)
    document["wake_at"] = total.wake_at.isoformat() if total.wake_at is not None else None
    return document


def _add(total: TickReport, report: TickReport) -> None:
    for name in ("looked_at", "changed", "launched", "refused", "published", "stopped", "troubles"):
        setattr(total, name, getattr(total, name) + getattr(report, name))
    total.wake_at = report.wake_at
