"""The SQLite store: every call is one transaction on one file."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from jobcore import CorruptRecord, Job, Status
from jobcore.lifecycle import (
    GroupKey,
    GroupTally,
    PoolState,
    ShareUsage,
    Tick,
    decode_job,
    decode_spec,
    from_micros,
    readable,
    to_micros,
)
from jobcore.ports import Added, Due, JobQuery, Page, Usage, Waiting
from jobcore.scheduling.legacy import SHARED_RECORD

from ._adding import insert, insert_new
from ._errors import NoSpace, StoreUnusable, translated
from ._files import check_place, connect, create_private, keep_reserve, release_reserve
from ._reading import IDS_PER_QUERY, newest, position_of, read_rows, read_statement
from ._records import GROUP, KINDS, POOL, SHARE, Kind, R, decoded, save, select
from ._schema import UPDATE_JOB, job_update, lane_of

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
_POOLS = select(POOL, "name <> ?")
_TO_PAUSE = select(GROUP, "pausing = 1")


class SqliteStore:
    """
    A `jobcore.JobStore` in one SQLite file.

    A write is on the disk when the call returns (write-ahead log, synchronous=FULL).
    Many processes of one machine may use the file at once, each with its own
    `SqliteStore`. Threads of one process may share a store: a lock guards its single
    connection. After a fork the child has to open its own.

    A job whose record cannot be read makes `get` raise `jobcore.CorruptRecord`, is left
    out by `find` (and reported to *on_corrupt*), and is still counted and scheduled by
    its columns. A pool, share or group whose record cannot be read is reported to
    *on_corrupt* and counts as absent. `check` lists all of them.

    A file of an earlier format is migrated when it is opened, in one transaction.

    Args:
        path: the file; created with access for its owner only if it does not exist.
        busy_seconds: the longest wait for another process's write.
        reserve_bytes: disk space to reserve in a file beside the store. On a full disk it is released
            to record a stop or to open the store. 0 for none.
        on_corrupt: called with each record that cannot be read and was left out; the default warns.

    Raises:
        StoreUnusable: the path cannot hold a store, or its file is not a store of this release.
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
                    self._db = connect(self.path, busy_seconds, self._on_corrupt)
            except NoSpace:
                if not release_reserve(self.path):
                    raise
        if reserve_bytes:
            keep_reserve(self.path, reserve_bytes)

    # --- the connection -----------------------------------------------------------------

    def close(self) -> None:
        """Close the file. Writes are durable without it."""
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
                # After some errors (disk full, I/O) SQLite has rolled back by itself.
                with suppress(sqlite3.Error):
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                raise

    def _writing(self) -> Any:
        # IMMEDIATE waits for other writers at BEGIN. A write in a deferred transaction may fail
        # with "busy" at once, without waiting.
        return self._transaction("BEGIN IMMEDIATE")

    def _write(self, work: Callable[[sqlite3.Connection], T], *, is_vital: bool = False) -> T:
        """
        Do *work* in one transaction; on a full disk, make space and repeat it.

        A transaction that failed has no effect, so it may be repeated. The first source of space is
        the write-ahead log: once it is copied into the file, it is written from its start again,
        over space that it owns already. The second is the reserve, for vital writes only.
        """
        spaces = self._make_space(is_vital=is_vital)
        while True:
            try:
                with self._writing() as db:
                    return work(db)
            except NoSpace:
                if not next(spaces, False):
                    raise

    def _make_space(self, *, is_vital: bool) -> Iterator[bool]:
        """Release space, one source after another; each step is worth another try."""
        with self._lock, suppress(sqlite3.Error):
            self._open().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        yield True
        while is_vital and release_reserve(self.path):
            yield True

    def _reading(self) -> Any:
        # For several statements that have to see the same snapshot.
        return self._transaction("BEGIN")

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Read by one statement, which sees one snapshot without a transaction."""
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
            # One of them is stored already. That is rare, so only now every id is looked up.
            return self._write(lambda db: insert_new(db, jobs))
        return [Added.CREATED] * len(jobs)

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """
        Write each job over the version it was read at, all in one transaction.

        On a full disk a stop may use the reserve: it may end the job that fills the disk.
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
        """List the jobs that are due for *tick*, oldest first (see `jobcore.JobStore.due`)."""
        column = f"{tick.value}_at"
        rows = self._rows(
            f"SELECT job_id, {column}, status, attempt FROM job INDEXED BY due_{tick.value} "
            f"WHERE {column} <= ? ORDER BY {column}, job_id LIMIT ?",
            (to_micros(before), max(0, limit)),
        )
        return [Due(job_id, from_micros(at), Status(s), attempt) for job_id, at, s, attempt in rows]

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """
        List the heads of the lanes (see `jobcore.JobStore.waiting`).

        It seeks from lane to lane in the index, so its cost is the number of lanes times *depth* and
        does not depend on the number of waiting jobs.
        """
        heads: list[Waiting] = []
        micros, depth = to_micros(now), max(0, depth)
        with self._reading() as db:
            (lane,) = db.execute(_NEXT_LANE, ("",)).fetchone()
            while lane is not None:
                share, priority, placements = lane_of(lane)
                heads += [
                    Waiting(job_id, priority, share, placements, from_micros(at), attempt)
                    for job_id, at, attempt in db.execute(_LANE_HEAD, (lane, micros, depth))
                ]
                (lane,) = db.execute(_NEXT_LANE, (lane,)).fetchone()
        return heads

    def usage(self) -> Sequence[Usage]:
        """Count the slots of active jobs by pool and share."""
        return [Usage(*row) for row in self._rows(_USAGE)]

    def find(self, query: JobQuery) -> Page:
        """
        List jobs, newest submission first.

        Raises:
            ValueError: *query* has a bad cursor.
        """
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
        """Count jobs by status, of one group or owner if given, without reading the table."""
        where = {"job_group": group, "owner": owner}
        given = {column: value for column, value in where.items() if value is not None}
        tests = " AND ".join(f"{column} = ?" for column in given) or "TRUE"
        index = f"by_{next(iter(given), 'status')}"
        rows = self._rows(
            f"SELECT status, count(*) FROM job INDEXED BY {index} WHERE {tests} GROUP BY status",
            tuple(given.values()),
        )
        return {Status(status): count for status, count in rows}

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """Find the next end of a back-off (LAUNCH), or the next due time in the index of *tick*."""
        column, index = f"{tick.value}_at", f"due_{tick.value}"
        if tick is Tick.LAUNCH:
            column, index = "not_before", "backing_off"
        ((at,),) = self._rows(
            f"SELECT min({column}) FROM job INDEXED BY {index} WHERE {column} > ?",
            (to_micros(after),),
        )
        return None if at is None else from_micros(at)

    # --- records beside jobs ------------------------------------------------------------

    def pools(self) -> Mapping[str, PoolState]:
        """Read the state of each pool (see `jobcore.JobStore.pools`)."""
        # A process of an earlier release that still runs may write the shared record again.
        found = decoded(POOL, self._rows(_POOLS, (SHARED_RECORD,)), self._on_corrupt)
        return {state.name: state for state in found}

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at."""
        return self._write(lambda db: save(db, POOL, state))

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of shares (see `jobcore.JobStore.shares`)."""
        found = self._records(SHARE, [(name,) for name in names])
        return {usage.share: usage for usage in found}

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Write the usage of shares in one transaction, each over the version it was read at."""
        return self._write(lambda db: [save(db, SHARE, usage) for usage in usages])

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups (see `jobcore.JobStore.tallies`)."""
        return {tally.key: tally for tally in self._records(GROUP, keys)}

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """Read the tallies of groups that are to be paused, from an index of these only."""
        return list(decoded(GROUP, self._rows(_TO_PAUSE), self._on_corrupt))

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at."""
        return self._write(lambda db: save(db, GROUP, tally))

    def _records(self, kind: Kind[R], keys: Collection[tuple[str, ...]]) -> Iterator[R]:
        sql = select(kind, " AND ".join(f"{name} = ?" for name in kind.keys))
        with self._reading() as db:
            rows = [row for key in keys for row in db.execute(sql, key)]
        return decoded(kind, rows, self._on_corrupt)

    # --- care ---------------------------------------------------------------------------

    def data_version(self) -> int:
        """
        Return a number that changes when another process or store object has written.

        It reads no disk, so a loop may call it many times a second. Its only use is to be compared
        with an earlier value.
        """
        with self._lock, translated(self.path, self._busy_seconds):
            version: int = self._open().execute("PRAGMA data_version").fetchone()[0]
            return version

    def check(self) -> list[str]:
        """Read everything; return a line for each problem of the file or of a record."""
        with self._reading() as db:
            found = [row[0] for row in db.execute("PRAGMA quick_check") if row[0] != "ok"]
            damaged: list[CorruptRecord] = []
            ids = [row[0] for row in db.execute("SELECT job_id FROM job")]
            for start in range(0, len(ids), IDS_PER_QUERY):
                for row in read_rows(db, ids[start : start + IDS_PER_QUERY]):
                    try:
                        _decode(*row)
                    except CorruptRecord as error:
                        damaged.append(error)
            for kind in KINDS:
                for _ in decoded(kind, db.execute(select(kind)), damaged.append):
                    pass
        return found + list(map(str, damaged))

    def backup(self, path: str | os.PathLike[str]) -> None:
        """
        Copy a snapshot of the store to a new file, while the store may be in use.

        Raises:
            StoreUnusable: the file exists already, or cannot be created.
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
            target.unlink(missing_ok=True)  # an incomplete backup must not be used
            raise


def _warn(error: CorruptRecord) -> None:
    warnings.warn(str(error), RuntimeWarning, stacklevel=4)


# --- reading ----------------------------------------------------------------------------


def _decode(job_id: str, version: int, record: bytes | None, spec: bytes | None) -> Job:
    """
    Decode the row of a job.

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
