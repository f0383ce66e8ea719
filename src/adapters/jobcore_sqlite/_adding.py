"""Insertion of new jobs: all at once, or those that are not stored yet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from jobcore import Job
from jobcore.ports import Added

from ._reading import read_rows
from ._schema import INSERT_JOB, INSERT_SPEC, job_row, spec_text

__all__ = ["insert", "insert_new"]


def insert(db: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """
    Insert all *jobs*, without a look-up or a savepoint for each: the fast path.

    Raises:
        sqlite3.IntegrityError: one of them is stored already; the caller rolls back.
    """
    # Choosing row numbers is safe: the transaction excludes other writers.
    first = (db.execute("SELECT max(n) FROM job").fetchone()[0] or 0) + 1
    db.executemany(INSERT_JOB, (job_row(n, job) for n, job in enumerate(jobs, first)))
    db.executemany(INSERT_SPEC, ((n, spec_text(job)) for n, job in enumerate(jobs, first)))


def insert_new(db: sqlite3.Connection, jobs: Sequence[Job]) -> list[Added]:
    """Insert those of *jobs* that are not stored; return the result for each."""
    added = _compare_with_stored(db, jobs)
    insert(db, [job for job, a in zip(jobs, added, strict=True) if a is Added.CREATED])
    return added


def _compare_with_stored(db: sqlite3.Connection, jobs: Sequence[Job]) -> list[Added]:
    """Return CREATED, DUPLICATE or CLASH for each job, by comparison with the stored specs."""
    stored: dict[str, bytes | str | None] = {
        row[0]: row[3] for row in read_rows(db, [job.job_id for job in jobs])
    }
    added = []
    for job in jobs:
        text = spec_text(job)
        if job.job_id not in stored:
            stored[job.job_id] = text
            added.append(Added.CREATED)
        else:
            same = _canonical(stored[job.job_id]) == _canonical(text)
            added.append(Added.DUPLICATE if same else Added.CLASH)
    return added


def _canonical(text: bytes | str | None) -> str | None:
    """Write JSON with sorted keys, to compare documents; None if it is not JSON."""
    try:
        return json.dumps(json.loads(text or b""), sort_keys=True)
    except ValueError:
        return None
