"""Output for people: tables that fit the terminal, local times, colours on a terminal only.

Tables are laid out here: importing rich takes longer than `jobcore list` takes to run.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import jobcore
from jobcore_client.documents import reason, run_time
from jobcore_client.variables import NO_COLOR
from jobcore_client.words import ago, plain

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


def clip(text: str, columns: int) -> str:
    """Cut text to a number of columns."""
    return text if len(text) <= columns else text[: max(0, columns - 1)] + "…"


def moment(at: datetime | None) -> str:
    """Write a time in the local time zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at is not None else "-"


def short_ids(jobs: Sequence[jobcore.Job]) -> dict[str, str]:
    """Shorten the ids of *jobs* to 8 characters, or to as many as distinguish them."""
    ids = sorted({job.job_id for job in jobs})
    length = 8
    for one, other in pairwise(ids):
        differs = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        length = max(length, differs + 1)
    return {job_id: job_id[:length] for job_id in ids}


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


def print_json(document: object) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
