"""A store in memory that loses the same information as a real one.

It keeps JSON text, not the objects, so anything that the codec loses is lost here as well. One lock
makes every call atomic. Index values are derived from the decoded text at each write. Ticks read the
jobs that a tick may still need only, so finished ones cost nothing.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import nsmallest
from typing import TypeVar

from jobcore import CorruptRecord, Job, Status
from jobcore.lifecycle import (
    GroupKey,
    GroupTally,
    Json,
    PoolState,
    ShareUsage,
    Tick,
    decode_job,
    decode_pool,
    decode_share,
    decode_spec,
    decode_tally,
    due_at,
    encode_job,
    encode_pool,
    encode_share,
    encode_spec,
    encode_tally,
    readable,
    to_micros,
)
from jobcore.ports import Added, Due, JobQuery, Page, Usage, Waiting, order_key, waiting_of

__all__ = ["MemoryStore"]

R = TypeVar("R")

_CURSOR = re.compile(r"(-?[0-9]{1,20})/(.{1,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One stored job: two texts, and the index values that are derived from them."""

    job_id: str
    version: int
    spec: str
    record: str
    status: Status
    submitted_at: int
    owner: str
    group: str | None
    name: str
    due: Mapping[Tick, Due]
    waiting: Waiting | None
    not_before: datetime | None
    usage: Usage | None

    @property
    def sort_key(self) -> tuple[int, str]:
        return (self.submitted_at, self.job_id)

    @property
    def is_live(self) -> bool:
        return bool(self.due) or self.waiting is not None or self.usage is not None


def _text(document: Json) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _row(job_id: str, version: int, spec: str, record: str) -> _Row:
    """Derive the index values from the texts."""
    job = _decode(job_id, version, spec, record)
    due = {
        tick: Due(job_id, at, job.status, job.attempt_number)
        for tick in Tick
        if (at := due_at(job, tick)) is not None
    }
    usage = None
    if job.current is not None:
        placement = job.current.placement
        running = placement.count if job.status.runs else 0
        usage = Usage(placement.pool, job.spec.share, placement.count, running)
    is_new = job.status is Status.NEW
    return _Row(
        job_id=job_id,
        version=version,
        spec=spec,
        record=record,
        status=job.status,
        submitted_at=to_micros(job.submitted_at),
        owner=job.spec.owner,
        group=job.spec.group,
        name=job.spec.name,
        due=due,
        waiting=waiting_of(job) if is_new else None,
        not_before=getattr(job.state, "not_before", None),
        usage=usage,
    )


def _decode(job_id: str, version: int, spec: str, record: str) -> Job:
    return readable(
        "job",
        job_id,
        lambda: decode_job(json.loads(record), decode_spec(json.loads(spec)), version=version),
    )


def _warn(error: CorruptRecord) -> None:
    warnings.warn(str(error), RuntimeWarning, stacklevel=4)


class MemoryStore:
    """
    A `jobcore.JobStore` on dicts, for tests, simulations and dry runs.

    Args:
        index_lag: by how many writes `due`, `waiting` and `find` lag behind, as the
            indexes of a distributed store may. `catch_up` ends the lag once.
        on_corrupt: called with each record that cannot be read and was left out; the default warns.
    """

    def __init__(
        self, *, index_lag: int = 0, on_corrupt: Callable[[CorruptRecord], None] = _warn
    ) -> None:
        if index_lag < 0:
            msg = f"index_lag: expected a number of writes, 0 or more, got {index_lag}"
            raise ValueError(msg)
        self._lock = threading.RLock()
        self._rows: dict[str, _Row] = {}
        self._live: dict[str, _Row] = {}
        # (kind, key) -> version and text, of the records beside jobs
        self._records: dict[tuple[str, tuple[str, ...]], tuple[int, str]] = {}
        self._on_corrupt = on_corrupt
        # The content of the index before each of the last writes, the oldest first.
        self._before: deque[dict[str, _Row]] = deque(maxlen=index_lag)

    # --- writes -------------------------------------------------------------------------

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Register new jobs, each at most once (see `jobcore.JobStore.add`)."""
        with self._lock:
            added: list[Added] = []
            created: dict[str, _Row] = {}
            for job in jobs:
                spec = _text(encode_spec(job.spec))
                stored = created.get(job.job_id) or self._rows.get(job.job_id)
                if stored is not None:
                    added.append(Added.DUPLICATE if stored.spec == spec else Added.CLASH)
                    continue
                record = _text(encode_job(job))
                created[job.job_id] = _row(job.job_id, job.version, spec, record)
                added.append(Added.CREATED)
            self._write(created.values())
            return added

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """Write each job over the version it was read at (see `jobcore.JobStore.save`)."""
        with self._lock:
            saved: list[Job | None] = []
            written: dict[str, _Row] = {}
            for job in jobs:
                stored = written.get(job.job_id) or self._rows.get(job.job_id)
                if stored is None or stored.version != job.version:
                    saved.append(None)
                    continue
                record = _text(encode_job(job))
                written[job.job_id] = _row(job.job_id, job.version + 1, stored.spec, record)
                saved.append(replace(job, version=job.version + 1))
            self._write(written.values())
            return saved

    def _write(self, rows: Iterable[_Row]) -> None:
        if self._before.maxlen:
            self._before.append(dict(self._rows))
        for row in rows:
            self._rows[row.job_id] = row
            if row.is_live:
                self._live[row.job_id] = row
            else:
                self._live.pop(row.job_id, None)

    # --- consistent reads ---------------------------------------------------------------

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Read jobs, consistently (see `jobcore.JobStore.get`)."""
        with self._lock:
            rows = [self._rows[job_id] for job_id in job_ids if job_id in self._rows]
        return {r.job_id: _decode(r.job_id, r.version, r.spec, r.record) for r in rows}

    def usage(self) -> Sequence[Usage]:
        """Count the slots of active jobs by pool and share."""
        slots: Counter[tuple[str, str]] = Counter()
        running: Counter[tuple[str, str]] = Counter()
        with self._lock:
            for row in self._live.values():
                if row.usage is not None:
                    slots[row.usage.pool, row.usage.share] += row.usage.slots
                    running[row.usage.pool, row.usage.share] += row.usage.running
        return [Usage(*key, count, running[key]) for key, count in sorted(slots.items())]

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs by status, of one group or owner if given."""
        with self._lock:
            return dict(
                Counter(
                    row.status
                    for row in self._rows.values()
                    if group in (None, row.group) and owner in (None, row.owner)
                )
            )

    # --- indexed reads, which may lag ---------------------------------------------------

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List the jobs that are due for *tick*, oldest first (see `jobcore.JobStore.due`)."""
        with self._lock:
            found = [
                row.due[tick]
                for row in self._indexed(self._live)
                if tick in row.due and row.due[tick].at <= before
            ]
        return nsmallest(limit, found, key=lambda due: (due.at, due.job_id))

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """List the heads of the lanes (see `jobcore.JobStore.waiting`)."""
        lanes: dict[object, list[Waiting]] = {}
        with self._lock:
            for row in self._indexed(self._live):
                backs_off = row.not_before is not None and row.not_before > now
                if row.waiting is not None and not backs_off:
                    lanes.setdefault(row.waiting.lane, []).append(row.waiting)
        return [job for lane in lanes.values() for job in nsmallest(depth, lane, key=order_key)]

    def find(self, query: JobQuery) -> Page:
        """
        List jobs, newest submission first.

        A job whose record cannot be read is reported and left out.

        Raises:
            ValueError: *query* has a bad cursor.
        """
        after = None if query.cursor is None else _cursor(query.cursor)
        with self._lock:
            rows = sorted(
                (row for row in self._indexed(self._rows) if _matches(row, query, after)),
                key=lambda row: row.sort_key,
                reverse=True,
            )
        jobs = []
        for row in rows[: query.limit]:
            try:
                jobs.append(_decode(row.job_id, row.version, row.spec, row.record))
            except CorruptRecord as error:
                self._on_corrupt(error)
        cursor = None
        if len(rows) > query.limit:
            cursor = "{}/{}".format(*rows[query.limit - 1].sort_key)
        return Page(jobs=tuple(jobs), cursor=cursor)

    def _indexed(self, rows: dict[str, _Row]) -> Iterable[_Row]:
        """Return the rows of the index: those of some writes ago, if it lags."""
        if not self._before.maxlen or not self._before:
            return rows.values()
        return self._before[0].values()

    def catch_up(self) -> None:
        """Bring the lagging indexes up to date."""
        with self._lock:
            self._before.clear()

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """Find the next end of a back-off (LAUNCH), or the next due time of *tick*."""
        with self._lock:
            if tick is Tick.LAUNCH:
                times = [row.not_before for row in self._live.values() if row.not_before]
            else:
                times = [row.due[tick].at for row in self._live.values() if tick in row.due]
        return min((at for at in times if at > after), default=None)

    # --- records beside jobs ------------------------------------------------------------

    def pools(self) -> Mapping[str, PoolState]:
        """Read the state of each pool (see `jobcore.JobStore.pools`)."""
        with self._lock:
            keys = [key for kind, key in self._records if kind == "pool"]
            found = self._read_records("pool", keys, decode_pool)
        return {state.name: state for state in found}

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at."""
        return self._save_record("pool", (state.name,), state.version, encode_pool(state))

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of shares (see `jobcore.JobStore.shares`)."""
        found = self._read_records("share", [(name,) for name in names], decode_share)
        return {usage.share: usage for usage in found}

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Write the usage of shares, each over the version it was read at."""
        return [
            self._save_record("share", (usage.share,), usage.version, encode_share(usage))
            for usage in usages
        ]

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups (see `jobcore.JobStore.tallies`)."""
        return {t.key: t for t in self._read_records("group", keys, decode_tally)}

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """Read the tallies of groups that are to be paused."""
        with self._lock:
            keys = [key for kind, key in self._records if kind == "group"]
            return [t for t in self._read_records("group", keys, decode_tally) if t.pausing]

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at."""
        return self._save_record("group", tuple(tally.key), tally.version, encode_tally(tally))

    def _read_records(
        self, kind: str, keys: Collection[tuple[str, ...]], decode: Callable[..., R]
    ) -> list[R]:
        """Read records; one that cannot be read is reported and left out."""
        with self._lock:
            stored = [
                (key, *self._records[kind, tuple(key)])
                for key in keys
                if (kind, tuple(key)) in self._records
            ]
        found = []
        for key, version, text in stored:
            try:
                record = _record(kind, key, version, text, decode)
            except CorruptRecord as error:
                self._on_corrupt(error)
            else:
                found.append(record)
        return found

    def _save_record(self, kind: str, key: tuple[str, ...], version: int, document: Json) -> bool:
        with self._lock:
            stored = self._records.get((kind, key))
            if version == 0 and stored is not None and not _is_readable(kind, key, *stored):
                stored = None  # a record that cannot be read counts as absent
            if (0 if stored is None else stored[0]) != version:
                return False
            self._records[kind, key] = (version + 1, _text(document))
            return True

    # --- for tests ----------------------------------------------------------------------

    def overwrite_record(self, job_id: str, text: str) -> None:
        """Replace a job's stored record by *text*, as a fault would."""
        with self._lock:
            self._rows[job_id] = replace(self._rows[job_id], record=text)

    def overwrite_side_record(self, kind: str, *key: str, text: str) -> None:
        """Replace a stored pool, share or group record by *text*, as a fault would."""
        with self._lock:
            version = self._records.get((kind, key), (1, ""))[0]
            self._records[kind, key] = (version, text)


def _cursor(text: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        msg = f"cursor: {text!r} is not one that a page gave; start again without a cursor"
        raise ValueError(msg)
    return int(match[1]), match[2]


def _matches(row: _Row, query: JobQuery, after: tuple[int, str] | None) -> bool:
    return (
        (not query.statuses or row.status in query.statuses)
        and query.owner in (None, row.owner)
        and query.group in (None, row.group)
        and query.name in (None, row.name)
        and row.job_id.startswith(query.id_prefix or "")
        and (after is None or row.sort_key < after)
    )


def _record(
    kind: str, key: tuple[str, ...], version: int, text: str, decode: Callable[..., R]
) -> R:
    return readable(kind, "/".join(key), lambda: decode(*key, json.loads(text), version=version))


_DECODERS: Mapping[str, Callable[..., object]] = {
    "pool": decode_pool,
    "share": decode_share,
    "group": decode_tally,
}


def _is_readable(kind: str, key: tuple[str, ...], version: int, text: str) -> bool:
    try:
        _record(kind, key, version, text, _DECODERS[kind])
    except CorruptRecord:
        return False
    return True
