"""The store: every call is one transaction on one file."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import jobcore  # what a mere reader does not need is loaded on use
from jobcore import CorruptRecord, Job, Status
from jobcore.lifecycle import Tick, decode_job, decode_spec, from_micros, to_micros
from jobcore.ports import Added, Due, JobQuery, Page

from ._adding import insert, insert_new
from ._errors import NoSpace, StoreUnusable, translated
from ._files import check_place, connect, create_private, keep_reserve, release_reserve
from ._reading import IDS_PER_QUERY, newest, position_of, read_rows, read_statement
from ._schema import (
    UPDATE_JOB,
    job_update,
    lane_of,
    to_text,
)

__all__ = ["SqliteStore"]

T = TypeVar("T")


_NEXT_LANE = "SELECT min(lane) FROM job INDEXED BY waiting WHERE lane > ?"
_LANE_HEAD = """
SELECT job_id, submitted_at, attempt FROM job INDEXED BY waiting
WHERE lane = ? AND (not_before IS NULL OR not_before <= ?)
ORDER BY submitted_at, job_id LIMIT ?
"""
_USAGE = """
SELECT pool, share, sum(slots), sum(iif(status IN ('InProgress', 'Stopping'), slots, 0))
FROM job INDEXED BY active WHERE pool IS NOT NULL
GROUP BY pool, share
"""


class SqliteStore:
    """
    A `jobcore.JobStore` in one SQLite file.

    A write is on the disk when the call returns (write-ahead log, synchronous=FULL).
    Many processes of one machine may use the file at once, each with its own
    `SqliteStore`; threads of one process may share one, whose single connection is
    guarded by a lock. After a fork the child has to open its own.

    A job whose record cannot be read makes `get` raise `jobcore.CorruptRecord`, is left
    out by `find` (and reported to *on_corrupt*), and is still counted and scheduled by
    what its columns say. `check` lists all of them.

    Args:
        path: the file; it is created, readable by its owner alone, if it is not there.
        busy_seconds: how long to wait for another process's write.
        reserve_bytes: laid aside in a file beside the store, and given back to a full disk when a
            stop has to be recorded, or the store cannot be opened; 0 for none.
        on_corrupt: told of each job that `find` leaves out; by default a warning is issued.

    Raises:
        StoreUnusable: the path is no place for a store, or its file no store of this release.
        Unavailable: it cannot be opened now.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_seconds: float = 10.0,
        reserve_bytes: int = 0,
        on_corrupt: Callable[[CorruptRecord], None] | None = None,
    ) -> None:
        self.path = Path(os.path.realpath(os.fspath(path)))
        self._busy_seconds = busy_seconds
        self._on_corrupt = on_corrupt or _warn
        self._lock = threading.RLock()
        self._pid = os.getpid()
        check_place(self.path)
        create_private(self.path)
        self._db: sqlite3.Connection | None = None
        while self._db is None:
            try:
                with translated(self.path, busy_seconds):
                    self._db = connect(self.path, busy_seconds)
            except NoSpace:
                if not release_reserve(self.path):
                    raise
        if reserve_bytes:
            keep_reserve(self.path, reserve_bytes)

    # --- the connection -----------------------------------------------------------------

    def close(self) -> None:
        """Close the file. Nothing is lost if this is never called."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None and self._pid == os.getpid():
                db.close()

    def __enter__(self) -> Self:
        """Use the store until the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _open(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            msg = "this SqliteStore was opened before a fork; open another one in the child process"
            raise RuntimeError(msg)
        if self._db is None:
            msg = f"the store {self.path} is closed"
            raise RuntimeError(msg)
        return self._db

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self.path, self._busy_seconds):
            db = self._open()
            db.execute(begin)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors (disk full, I/O).
                with suppress(sqlite3.Error):
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                raise

    def _writing(self) -> Any:
        # IMMEDIATE: wait for other writers here, where waiting is possible, and not midway.
        return self._transaction("BEGIN IMMEDIATE")

    def _write(self, work: Callable[[sqlite3.Connection], T], *, is_vital: bool = False) -> T:
        """
        Do *work* in one transaction; where the disk is full, again after room was made.

        What was done in vain leaves no trace, so it may be done again. The log is the first
        source of room: once it is copied into the file, it is written from its start again, over
        space that it has already and that nobody else can take. The reserve is for what is vital.
        """
        rooms = self._make_room(is_vital=is_vital)
        while True:
            try:
                with self._writing() as db:
                    return work(db)
            except NoSpace:
                if not next(rooms, False):
                    raise

    def _make_room(self, *, is_vital: bool) -> Iterator[bool]:
        with self._lock, suppress(sqlite3.Error):
            self._open().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        yield True
        while is_vital and release_reserve(self.path):
            yield True

    def _reading(self) -> Any:
        # Several statements that have to see the same moment.
        return self._transaction("BEGIN")

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Read by one statement, which sees one moment by itself."""
        with self._lock, translated(self.path, self._busy_seconds):
            return self._open().execute(sql, values).fetchall()

    # --- writes -------------------------------------------------------------------------

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Register new jobs, each at most once, in one transaction (see `jobcore.JobStore.add`)."""
        if not jobs:
            return []
        try:
            self._write(lambda db: insert(db, jobs))
        except sqlite3.IntegrityError:
            # One of them is there. Rare, so only now is every id looked up.
            return self._write(lambda db: insert_new(db, jobs))
        return [Added.CREATED] * len(jobs)

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """
        Write each job over the version it was read at, all in one transaction.

        Where the disk is full, a stop may use the reserve: it may be what ends the job that fills it.
        """
        if not jobs:
            return []
        updates = [job_update(job) for job in jobs]
        won = self._write(
            lambda db: [db.execute(UPDATE_JOB, update).rowcount == 1 for update in updates],
            is_vital=any(job.stop is not None for job in jobs),
        )
        return [
            replace(job, version=job.version + 1) if mine else None
            for job, mine in zip(jobs, won, strict=True)
        ]

    # --- reads --------------------------------------------------------------------------

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Read jobs, consistently (see `jobcore.JobStore.get`)."""
        if len(job_ids) <= IDS_PER_QUERY:
            rows = self._rows(read_statement(len(job_ids)), job_ids)
        else:
            with self._reading() as db:
                rows = read_rows(db, job_ids)
        return {job_id: _decode(job_id, *rest) for job_id, *rest in rows}

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List what *tick* has to look at, oldest first (see `jobcore.JobStore.due`)."""
        column = f"{tick.value}_at"
        rows = self._rows(
            f"SELECT job_id, {column}, status, attempt FROM job INDEXED BY due_{tick.value} "
            f"WHERE {column} <= ? ORDER BY {column}, job_id LIMIT ?",
            (to_micros(before), max(0, limit)),
        )
        return [Due(job_id, from_micros(at), Status(s), attempt) for job_id, at, s, attempt in rows]

    def waiting(self, *, now: datetime, depth: int) -> Sequence[jobcore.ports.Waiting]:
        """
        List the heads of the lanes (see `jobcore.JobStore.waiting`).

        It hops from lane to lane in the index, so it costs the lanes times *depth*, and
        not the jobs that wait.
        """
        heads: list[jobcore.ports.Waiting] = []
        micros, depth = to_micros(now), max(0, depth)
        with self._reading() as db:
            (lane,) = db.execute(_NEXT_LANE, ("",)).fetchone()
            while lane is not None:
                share, priority, placements = lane_of(lane)
                heads += [
                    jobcore.ports.Waiting(
                        job_id, priority, share, placements, from_micros(at), attempt
                    )
                    for job_id, at, attempt in db.execute(_LANE_HEAD, (lane, micros, depth))
                ]
                (lane,) = db.execute(_NEXT_LANE, (lane,)).fetchone()
        return heads

    def usage(self) -> Sequence[jobcore.ports.Usage]:
        """Count the slots of active jobs by pool and share."""
        return [jobcore.ports.Usage(*row) for row in self._rows(_USAGE)]

    def find(self, query: JobQuery) -> Page:
        """
        List jobs, newest submission first.

        Raises:
            ValueError: *query* has a bad limit or cursor.
        """
        if not 1 <= query.limit <= 1000:
            msg = f"limit: expected 1 to 1,000, got {query.limit}"
            raise ValueError(msg)
        after = None if query.cursor is None else position_of(query.cursor)
        with self._reading() as db:
            keys = list(islice(newest(db, query, after), query.limit + 1))
            page = keys[: query.limit]
            rows = {row[0]: row for row in read_rows(db, [job_id for _, job_id in page])}
        jobs = []
        for _, job_id in page:
            try:
                jobs.append(_decode(*rows[job_id]))
            except CorruptRecord as error:
                self._on_corrupt(error)
        cursor = "{}/{}".format(*page[-1]) if len(keys) > query.limit else None
        return Page(jobs=tuple(jobs), cursor=cursor)

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs by status, of one group or owner if given; from the index alone."""
        where = {"job_group": group, "owner": owner}
        given = {column: value for column, value in where.items() if value is not None}
        tests = " AND ".join(f"{column} = ?" for column in given) or "TRUE"
        index = f"by_{next(iter(given), 'status')}"
        rows = self._rows(
            f"SELECT status, count(*) FROM job INDEXED BY {index} WHERE {tests} GROUP BY status",
            tuple(given.values()),
        )
        return {Status(status): count for status, count in rows}

    # --- pools --------------------------------------------------------------------------

    def pools(self) -> Mapping[str, jobcore.lifecycle.PoolState]:
        """Read what has been learned about each pool."""
        rows = self._rows("SELECT name, version, body FROM pool")
        return {name: _decode_pool(name, version, body) for name, version, body in rows}

    def save_pool(self, state: jobcore.lifecycle.PoolState) -> bool:
        """Write a pool's state over the version it was read at; False if somebody was faster."""
        body = _encode_pool(state)
        if state.version == 0:
            sql = "INSERT INTO pool (name, version, body) VALUES (?, 1, ?) ON CONFLICT DO NOTHING"
            values: tuple[str | int, ...] = (state.name, body)
        else:
            sql = "UPDATE pool SET version = version + 1, body = ? WHERE name = ? AND version = ?"
            values = (body, state.name, state.version)
        return self._write(lambda db: db.execute(sql, values).rowcount == 1)

    # --- care ---------------------------------------------------------------------------

    def data_version(self) -> int:
        """
        Give a number that changes when another process, or another store object, has written.

        It is cheap (no disk is read), so a loop may ask many times a second. It is worth
        nothing but to be compared with the last answer.
        """
        with self._lock, translated(self.path, self._busy_seconds):
            version: int = self._open().execute("PRAGMA data_version").fetchone()[0]
            return version

    def check(self) -> list[str]:
        """Read everything, and tell what is wrong with the file or with single records."""
        with self._reading() as db:
            found = [row[0] for row in db.execute("PRAGMA quick_check") if row[0] != "ok"]
            ids = [row[0] for row in db.execute("SELECT job_id FROM job")]
            for start in range(0, len(ids), IDS_PER_QUERY):
                for row in read_rows(db, ids[start : start + IDS_PER_QUERY]):
                    try:
                        _decode(*row)
                    except CorruptRecord as error:
                        found.append(str(error))
        return found

    def backup(self, path: str | os.PathLike[str]) -> None:
        """
        Copy the store, as it is at one moment, to a new file; others may go on using it.

        Raises:
            StoreUnusable: the file is there already, or cannot be made.
        """
        target = Path(os.path.abspath(os.fspath(path)))
        if target.exists():
            msg = f"path: {target} is there already; name a new file for the backup"
            raise StoreUnusable(msg)
        create_private(target)
        try:
            with self._lock, translated(target, self._busy_seconds):
                copy = sqlite3.connect(target)
                try:
                    self._open().backup(copy)
                finally:
                    copy.close()
        except BaseException:
            target.unlink(missing_ok=True)  # half a backup is none
            raise


def _warn(error: CorruptRecord) -> None:
    warnings.warn(str(error), RuntimeWarning, stacklevel=4)


# --- reading ----------------------------------------------------------------------------


def _decode(job_id: str, version: int, record: bytes | None, spec: bytes | None) -> Job:
    if spec is None:
        raise CorruptRecord(job_id, "its spec is missing")
    try:
        job = decode_job(json.loads(record or b""), decode_spec(json.loads(spec)), version=version)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise CorruptRecord(job_id, f"{type(error).__name__}: {error}") from error
    if job.job_id != job_id:
        raise CorruptRecord(job_id, f"it is the record of job {job.job_id}")
    return job


def _encode_pool(state: jobcore.lifecycle.PoolState) -> str:
    document = {name: getattr(state, name) for name in jobcore.lifecycle.PoolState.__slots__}
    for name in jobcore.lifecycle.PoolState.TIMES:
        if document[name] is not None:
            document[name] = to_micros(document[name])
    del document["name"], document["version"]  # columns
    return to_text(document)


def _decode_pool(name: str, version: int, body: str) -> jobcore.lifecycle.PoolState:
    known = jobcore.lifecycle.PoolState.__slots__  # a newer writer may have added to it
    document = {key: value for key, value in json.loads(body).items() if key in known}
    for key in jobcore.lifecycle.PoolState.TIMES:
        if document.get(key) is not None:
            document[key] = from_micros(document[key])
    return jobcore.lifecycle.PoolState(name=name, version=version, **document)
