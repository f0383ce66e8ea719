"""Rows of jobs: adding them, and reading them back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from jobcore import CorruptRecord, Job
from jobcore.lifecycle import decode_job, decode_spec, readable
from jobcore.ports import Added

from ._schema import INSERT_JOB, INSERT_SPEC, job_row, spec_text

__all__ = ["IDS_PER_QUERY", "READ_JOBS", "decode", "insert", "insert_new", "read"]

IDS_PER_QUERY = 500
# The texts are read as bytes: a damaged one must not make SQLite's decoder fail the whole query.
READ_JOBS = """
SELECT job.job_id, job.version, CAST(job.record AS BLOB), CAST(spec.body AS BLOB)
FROM job LEFT JOIN spec USING (n) WHERE job.job_id IN ({})
"""


# --- adding -----------------------------------------------------------------------------


def insert(db: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """
    Insert all *jobs*; the fast path has no look-up and no savepoint per job.

    Raises:
        sqlite3.IntegrityError: one of them is there already; the caller rolls back.
    """
    # Row numbers are safe to choose here: the transaction keeps other writers out.
    first = (db.execute("SELECT max(n) FROM job").fetchone()[0] or 0) + 1
    db.executemany(INSERT_JOB, (job_row(n, job) for n, job in enumerate(jobs, first)))
    db.executemany(INSERT_SPEC, ((n, spec_text(job)) for n, job in enumerate(jobs, first)))


def insert_new(db: sqlite3.Connection, jobs: Sequence[Job]) -> list[Added]:
    """Insert those of *jobs* that are not there; say what became of each."""
    added = _what_to_add(db, jobs)
    insert(db, [job for job, a in zip(jobs, added, strict=True) if a is Added.CREATED])
    return added


def _what_to_add(db: sqlite3.Connection, jobs: Sequence[Job]) -> list[Added]:
    """Tell new jobs from repeated ones; only asked when the batch has one that is there."""
    stored: dict[str, bytes | str | None] = {
        row[0]: row[3] for row in read(db, [job.job_id for job in jobs])
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
    """Write JSON in the one order that equal documents share; None for what is no JSON."""
    try:
        return json.dumps(json.loads(text or b""), sort_keys=True)
    except ValueError:
        return None


# --- reading ----------------------------------------------------------------------------


def read(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[Any]:
    """Read the rows of jobs that `decode` takes."""
    rows: list[Any] = []
    for start in range(0, len(job_ids), IDS_PER_QUERY):
        part = job_ids[start : start + IDS_PER_QUERY]
        rows += db.execute(READ_JOBS.format(",".join("?" * len(part))), part)
    return rows


def decode(job_id: str, version: int, record: bytes | None, spec: bytes | None) -> Job:
    """
    Make a job of its row.

    Raises:
        CorruptRecord: it cannot be read.
    """
    if spec is None:
        raise CorruptRecord(job_id, "its spec is missing")
    job = readable(
        "job",
        job_id,
        lambda: decode_job(
            json.loads(record or b""), decode_spec(json.loads(spec)), version=version
        ),
    )
    if job.job_id != job_id:
        raise CorruptRecord(job_id, f"it is the record of job {job.job_id}")
    return job
