"""
The tables, and the row of a job.

`job` has the record that transitions rewrite. `spec` is written once, so that a transition writes
only the small record. Each value that a query needs is a column, and is NULL in the states in
which no query needs it. Every index that a tick uses is partial over such a column, so its cost
grows with the due work and not with the history. Only `get`, `find` and `check` decode records.

Format 2 added `share` and `tally`, which format 1 kept in one row of `pool`, and the index of
back-offs. `_migration` brings a file from format 1 to 2.
"""

from __future__ import annotations

import json
from functools import lru_cache

import jobcore
from jobcore import Job, Placement
from jobcore.lifecycle import New, Tick, encode_job, encode_spec, to_micros

__all__ = [
    "ADDED_IN_2",
    "APPLICATION_ID",
    "CREATE",
    "INSERT_JOB",
    "INSERT_SPEC",
    "LISTINGS",
    "UPDATE_JOB",
    "VERSION",
    "job_row",
    "job_update",
    "lane_of",
    "spec_text",
    "to_text",
]

VERSION = 2
APPLICATION_ID = 0x6A6F6263  # "jobc"; distinguishes a store from another program's database

# Listings are newest first. The conditions that have an index, the most selective first. An index
# is read once for each status and the results are merged, so that any set of statuses costs no
# more than the page.
LISTINGS = ("name", "job_group", "owner")

_FORMAT_1 = """
CREATE TABLE job (
    n            INTEGER PRIMARY KEY,
    job_id       TEXT NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    status       TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    owner        TEXT NOT NULL,
    job_group    TEXT,
    name         TEXT NOT NULL,
    lane         TEXT,
    not_before   INTEGER,
    launch_at    INTEGER,
    monitor_at   INTEGER,
    notify_at    INTEGER,
    pool         TEXT,
    share        TEXT,
    slots        INTEGER,
    record       TEXT NOT NULL
);
CREATE TABLE spec (
    n    INTEGER PRIMARY KEY REFERENCES job (n) ON DELETE CASCADE,
    body TEXT NOT NULL
);
CREATE TABLE pool (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    body    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX waiting ON job (lane, submitted_at, job_id, not_before, attempt)
    WHERE lane IS NOT NULL;
CREATE INDEX due_launch ON job (launch_at, job_id, status, attempt) WHERE launch_at IS NOT NULL;
CREATE INDEX due_monitor ON job (monitor_at, job_id, status, attempt) WHERE monitor_at IS NOT NULL;
CREATE INDEX due_notify ON job (notify_at, job_id, status, attempt) WHERE notify_at IS NOT NULL;
CREATE INDEX active ON job (pool, share, slots) WHERE pool IS NOT NULL;
CREATE INDEX by_status ON job (status, submitted_at, job_id);
CREATE INDEX by_owner ON job (owner, status, submitted_at, job_id);
CREATE INDEX by_job_group ON job (job_group, status, submitted_at, job_id)
    WHERE job_group IS NOT NULL;
CREATE INDEX by_name ON job (name, status, submitted_at, job_id);
"""
ADDED_IN_2 = """
CREATE TABLE share (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    body    TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE tally (
    job_group TEXT NOT NULL,
    owner     TEXT NOT NULL,
    version   INTEGER NOT NULL,
    pausing   INTEGER,
    body      TEXT NOT NULL,
    PRIMARY KEY (job_group, owner)
) WITHOUT ROWID;
CREATE INDEX to_pause ON tally (pausing) WHERE pausing IS NOT NULL;
CREATE INDEX backing_off ON job (not_before) WHERE not_before IS NOT NULL;
"""
CREATE = _FORMAT_1 + ADDED_IN_2

INSERT_JOB = """
INSERT INTO job (n, job_id, submitted_at, owner, job_group, name, version, status, attempt, lane,
                 not_before, launch_at, monitor_at, notify_at, pool, share, slots, record)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_SPEC = "INSERT INTO spec (n, body) VALUES (?, ?)"
UPDATE_JOB = """
UPDATE job SET version = ?, status = ?, attempt = ?, lane = ?, not_before = ?, launch_at = ?,
               monitor_at = ?, notify_at = ?, pool = ?, share = ?, slots = ?, record = ?
WHERE job_id = ? AND version = ?
"""

Value = str | int | None

to_text = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def spec_text(job: Job) -> str:
    """Encode the job's spec for its column."""
    return to_text(encode_spec(job.spec))


def job_row(n: int, job: Job) -> tuple[Value, ...]:
    """Make the parameters of `INSERT_JOB`."""
    spec = job.spec
    fixed = (n, job.job_id, to_micros(job.submitted_at), spec.owner, spec.group, spec.name)
    return (*fixed, job.version, *_state_columns(job))


def job_update(job: Job) -> tuple[Value, ...]:
    """Make the parameters of `UPDATE_JOB`, whose condition is the version that was read."""
    return (job.version + 1, *_state_columns(job), job.job_id, job.version)


def _state_columns(job: Job) -> tuple[Value, ...]:
    spec, state, current = job.spec, job.state, job.current
    lane = not_before = None
    if isinstance(state, New):
        lane = _lane(spec.share, spec.priority, spec.placements)
        not_before = None if state.not_before is None else to_micros(state.not_before)
    return (
        job.status.value,
        job.attempt_number,
        lane,
        not_before,
        *(
            None if (at := jobcore.lifecycle.due_at(job, tick)) is None else to_micros(at)
            for tick in (Tick.LAUNCH, Tick.MONITOR, Tick.NOTIFY)
        ),
        *(
            (None, None, None)
            if current is None
            else (current.placement.pool, spec.share, current.placement.count)
        ),
        to_text(encode_job(job)),
    )


@lru_cache(maxsize=4096)  # the jobs of a sweep have the same lane
def _lane(share: str, priority: int, placements: tuple[Placement, ...]) -> str:
    return to_text([share, int(priority), [[p.pool, p.count] for p in placements]])


@lru_cache(maxsize=4096)
def lane_of(text: str) -> tuple[str, int, tuple[Placement, ...]]:
    """Decode a lane: share, priority, placements."""
    share, priority, placements = json.loads(text)
    return share, priority, tuple(Placement(pool, count) for pool, count in placements)
