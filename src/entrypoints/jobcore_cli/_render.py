"""Output for people: tables that fit the terminal, local times, colours on a terminal only.

Tables are laid out here: importing rich takes longer than `jobcore list` takes to run.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import jobcore
from jobcore.metrics import describe_metrics

from ._variables import NO_COLOR

_COLOURS = {
    jobcore.Status.NEW: "36",
    jobcore.Status.LAUNCHING: "34",
    jobcore.Status.LAUNCHED: "34",
    jobcore.Status.IN_PROGRESS: "34;1",
    jobcore.Status.STOPPING: "33",
    jobcore.Status.HELD: "33;1",
    jobcore.Status.COMPLETED: "32",
    jobcore.Status.FAILED: "31;1",
    jobcore.Status.STOPPED: "33",
}


def wants_colour(no_color: bool) -> bool:
    """Check whether to use colours: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    if no_color or NO_COLOR.value() or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty()


def width() -> int:
    """Return the number of columns to fill; 80 without a terminal."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def plain(text: str) -> str:
    """Replace control characters, so that text of jobs cannot control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" if c not in "\n\t\r" else " " for c in text)


def clip(text: str, columns: int) -> str:
    """Cut text to a number of columns."""
    return text if len(text) <= columns else text[: max(0, columns - 1)] + "…"


def moment(at: datetime | None) -> str:
    """Write a time in the local time zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at is not None else "-"


def ago(span: timedelta) -> str:
    """Write a duration in at most six characters: 12s, 3m05s, 2h10m, 4d03h."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds // 60 % 60:02d}m"
    return f"{seconds // 86400}d{seconds // 3600 % 24:02d}h"


def short_ids(jobs: Sequence[jobcore.Job]) -> dict[str, str]:
    """Shorten the ids of *jobs* to 8 characters, or to as many as distinguish them."""
    ids = sorted({job.job_id for job in jobs})
    length = 8
    for one, other in pairwise(ids):
        differs = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        length = max(length, differs + 1)
    return {job_id: job_id[:length] for job_id in ids}


def run_time(job: jobcore.Job, now: datetime) -> timedelta | None:
    """Add up the run times of the job's attempts; None if none has started."""
    spans = [
        (attempt.ended_at or now) - attempt.started_at
        for attempt in (*job.attempts, *([job.current] if job.current else []))
        if attempt.started_at is not None
    ]
    return sum(spans, timedelta(0)) if spans else None


def reason(job: jobcore.Job) -> str:
    """Return the reason of the job's status in a few words; may be empty."""
    state = job.state
    if isinstance(state, jobcore.lifecycle.Failed):
        return f"{state.failure.failure_class}: {headline(state.failure)}"
    if isinstance(state, jobcore.lifecycle.Held):
        return f"{state.code}: {jobcore.redact.redact(state.reason)}"
    if isinstance(state, jobcore.lifecycle.New) and state.after is not None:
        return f"retry after {state.after.failure_class}"
    if isinstance(state, jobcore.lifecycle.Launched):
        return state.detail
    if job.status is jobcore.Status.COMPLETED and job.charges:
        return "retried: " + ", ".join(f"{name} {n}" for name, n in sorted(job.charges.items()))
    if job.status is jobcore.Status.STOPPED and job.stop is not None:
        return f"stopped by {job.stop.by}"
    return ""


def headline(failure: jobcore.Failure) -> str:
    """Return a failure's message without the prefix of the training toolkit."""
    text = jobcore.redact.redact(failure.headline)
    if 'ErrorMessage "' in text:
        text = text.split('ErrorMessage "', 1)[1].rsplit('"', 1)[0]
    return text


def owner_note(job: jobcore.Job, caller: str) -> str:
    """Name the owner of a job that is not the caller's, for the end of a line; "" for the caller's."""
    return "" if job.spec.owner == caller else f"  (owner {plain(job.spec.owner)})"


def jobs_table(jobs: Sequence[jobcore.Job], *, now: datetime, colour: bool) -> list[str]:
    """Lay out the table of `jobcore list`."""
    ids = short_ids(jobs)
    rows = []
    for job in jobs:
        placement = job.current.placement if job.current else None
        pool = placement.pool if placement else job.spec.placements[0].pool
        ran = run_time(job, now)
        rows.append(
            [
                ids[job.job_id],
                plain(job.spec.name),
                str(job.status),
                str(job.attempt_number),
                plain(pool),
                ago(now - job.submitted_at),
                ago(ran) if ran is not None else "-",
                plain(reason(job)),
            ]
        )
    styles = [_COLOURS[job.status] for job in jobs]
    heads = ["ID", "NAME", "STATUS", "TRY", "POOL", "AGE", "RAN", "REASON"]
    lines = table(heads, rows, shrink=(1, 4), last_fills=True)
    if colour:
        lines = [
            lines[0],
            *(f"\x1b[{style}m{line}\x1b[0m" for line, style in zip(lines[1:], styles, strict=True)),
        ]
    return lines


#: A column that fills the rest gets so many characters, if others can be cut to so many.
_LAST_COLUMNS_MIN, _CUT_COLUMNS_MIN = 14, 14


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    shrink: Sequence[int] = (),
    last_fills: bool = False,
) -> list[str]:
    """
    Lay out a table within the terminal's width.

    Args:
        shrink: the columns that may be cut, each to at most 24 characters.
        last_fills: the last column gets the rest of the width, and is cut to it. For 14 characters
            of it, the columns that may be cut are cut further, to 14.
    """
    widths = [
        max(len(head), *(len(row[i]) for row in rows)) if rows else len(head)
        for i, head in enumerate(heads)
    ]
    for column in shrink:
        widths[column] = min(widths[column], 24)
    if last_fills:
        room = width() - 2 * (len(widths) - 1)
        wanted = min(widths[-1], _LAST_COLUMNS_MIN)
        for column in sorted(shrink, key=lambda column: -widths[column]):
            missing = max(0, sum(widths[:-1]) + wanted - room)
            widths[column] = max(min(widths[column], _CUT_COLUMNS_MIN), widths[column] - missing)
        widths[-1] = max(6, min(widths[-1], room - sum(widths[:-1])))
    lines = []
    for row in [heads, *rows]:
        cells = [clip(cell, w).ljust(w) for cell, w in zip(row, widths, strict=True)]
        lines.append(clip("  ".join(cells).rstrip(), width()))
    return lines


def counts_line(counts: Mapping[jobcore.Status, int]) -> str:
    """Write the numbers of jobs by status in one line."""
    parts = [f"{counts[status]} {status}" for status in jobcore.Status if counts.get(status)]
    return ", ".join(parts) or "no jobs"


def job_document(job: jobcore.Job) -> dict[str, Any]:
    """Make the JSON document of a job, for programs; times are ISO 8601 in UTC."""
    attempts = (*job.attempts, *([job.current] if job.current else []))
    state = job.state
    return {
        "id": job.job_id,
        "name": job.spec.name,
        "owner": job.spec.owner,
        "share": job.spec.share,
        "group": job.spec.group,
        "priority": job.spec.priority,
        "status": str(job.status),
        "since": _iso(state.since),
        "submitted_at": _iso(job.submitted_at),
        "attempt": job.attempt_number,
        "not_before": _iso(state.not_before) if isinstance(state, jobcore.lifecycle.New) else None,
        "reason": reason(job) or None,
        "failure": (
            _failure_document(state.failure)
            if isinstance(state, jobcore.lifecycle.Failed)
            else None
        ),
        "pools": [{"pool": p.pool, "count": p.count} for p in job.spec.placements],
        "args": jobcore.redact.redact_args(job.spec.args),
        "tags": jobcore.redact.redact_args(job.spec.tags),
        "metrics": describe_metrics(job.metrics),
        "charges": {str(name): count for name, count in job.charges.items()},
        "attempts": [_attempt_document(job, attempt) for attempt in attempts],
        "timeline": [
            {
                "at": _iso(m.at),
                "status": str(m.status),
                "attempt": m.attempt,
                "note": jobcore.redact.redact(m.note),
            }
            for m in job.timeline
        ],
        "messages_owed": [entry.event_id for entry in job.outbox],
        "version": job.version,
    }


def _attempt_document(job: jobcore.Job, attempt: jobcore.lifecycle.Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "pool": attempt.placement.pool,
        "count": attempt.placement.count,
        "training_name": jobcore.lifecycle.training_name(job.job_id, attempt.number),
        "launching_at": _iso(attempt.launching_at),
        "launched_at": _iso(attempt.launched_at),
        "started_at": _iso(attempt.started_at),
        "ended_at": _iso(attempt.ended_at),
        "outcome": str(attempt.outcome) if attempt.outcome else None,
        "failure": _failure_document(attempt.failure),
    }


def _failure_document(failure: jobcore.Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {
        "class": failure.failure_class,
        "scope": failure.scope,
        "retry": failure.retryable,
        "rule": failure.rule,
        "text": jobcore.redact.redact(failure.text),
    }


def _iso(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time is not None else None


def print_json(document: object) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
