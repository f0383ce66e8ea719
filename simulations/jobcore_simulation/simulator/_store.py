"""A job store that keeps the jobs themselves: what the simulator needs to be fast."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from itertools import islice

from jobcore import (
    Added,
    Due,
    Job,
    JobQuery,
    Page,
    PoolState,
    Status,
    Tick,
    Usage,
    Waiting,
    due_at,
    evolve,
    spec_hash,
    waiting_of,
)

__all__ = ["ObjectStore"]

_TICKS = (Tick.LAUNCH, Tick.MONITOR, Tick.NOTIFY)


class _Lane:
    """The waiting jobs that ask for the same, in order: their keys, themselves, and who backs off."""

    __slots__ = ("jobs", "keys", "not_before")

    def __init__(self) -> None:
        self.keys: list[tuple[datetime, str]] = []
        self.jobs: list[Waiting] = []
        self.not_before: dict[str, datetime] = {}

    def heads(self, now: datetime, depth: int) -> list[Waiting]:
        if not self.not_before:
            return self.jobs[:depth]
        later = self.not_before
        ready = (job for job in self.jobs if later.get(job.job_id, now) <= now)
        return list(islice(ready, depth))

    def add(self, job: Waiting, not_before: datetime | None) -> None:
        key = (job.submitted_at, job.job_id)
        index = bisect_left(self.keys, key)
        self.keys.insert(index, key)
        self.jobs.insert(index, job)
        if not_before is not None:
            self.not_before[job.job_id] = not_before

    def remove(self, job: Waiting) -> None:
        index = bisect_left(self.keys, (job.submitted_at, job.job_id))
        del self.keys[index], self.jobs[index]
        self.not_before.pop(job.job_id, None)


class ObjectStore:
    """
    A `jobcore.JobStore` on dicts of frozen jobs.

    Nothing is encoded, so it says nothing of what a real store can keep: `jobcore_memory` does.
    A cost is the same as in a real store in kind: a read of the heads of the lanes, of what is
    due, or of usage does not walk the history.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._jobs: dict[str, Job] = {}
        self._due: dict[Tick, dict[str, Due]] = {tick: {} for tick in _TICKS}
        self._lanes: dict[tuple[object, ...], _Lane] = {}
        self._waiting: dict[str, Waiting] = {}
        self._slots: Counter[tuple[str, str]] = Counter()
        self._running: Counter[tuple[str, str]] = Counter()
        self._counts: Counter[Status] = Counter()
        self._pools: dict[str, PoolState] = {}

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Register new jobs, each at most once."""
        said = []
        for job in jobs:
            known = self._jobs.get(job.job_id)
            if known is None:
                self._put(job)
                said.append(Added.CREATED)
            else:
                same = spec_hash(known.spec) == spec_hash(job.spec)
                said.append(Added.DUPLICATE if same else Added.CLASH)
        return said

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Read jobs."""
        jobs = self._jobs
        return {job_id: jobs[job_id] for job_id in job_ids if job_id in jobs}

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """Write each job over the version it was read at."""
        saved: list[Job | None] = []
        for job in jobs:
            known = self._jobs.get(job.job_id)
            if known is None or known.version != job.version:
                saved.append(None)
                continue
            self._take_out(known)
            stored = evolve(job, version=job.version + 1)
            self._put(stored)
            saved.append(stored)
        return saved

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List what a tick has to look at, oldest first."""
        ready = [due for due in self._due[tick].values() if due.at <= before]
        if len(ready) > limit:
            return nsmallest(limit, ready, key=lambda due: (due.at, due.job_id))
        return sorted(ready, key=lambda due: (due.at, due.job_id))

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """List the first *depth* waiting jobs of every lane."""
        return [job for lane in self._lanes.values() for job in lane.heads(now, depth)]

    def usage(self) -> Sequence[Usage]:
        """Count the slots of active jobs by pool and share."""
        return [
            Usage(*key, slots, self._running[key])
            for key, slots in sorted(self._slots.items())
            if slots
        ]

    def find(self, query: JobQuery) -> Page:
        """List jobs, newest submission first."""
        if not 1 <= query.limit <= 1000:
            msg = f"limit: expected 1 to 1,000, got {query.limit}"
            raise ValueError(msg)
        matching = sorted(
            (job for job in self._jobs.values() if _matches(job, query)), key=_age, reverse=True
        )
        if query.cursor is not None:
            ids = [job.job_id for job in matching]
            if query.cursor not in ids:
                msg = f"cursor: {query.cursor!r} is not from a page of this query"
                raise ValueError(msg)
            matching = matching[ids.index(query.cursor) + 1 :]
        page = tuple(matching[: query.limit])
        more = len(matching) > query.limit
        return Page(jobs=page, cursor=page[-1].job_id if more else None)

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs by status, of one group or owner if given."""
        if group is None and owner is None:
            return {status: number for status, number in self._counts.items() if number}
        return Counter(
            job.status
            for job in self._jobs.values()
            if group in (None, job.spec.group) and owner in (None, job.spec.owner)
        )

    def pools(self) -> Mapping[str, PoolState]:
        """Read what has been learned about each pool."""
        return dict(self._pools)

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at."""
        known = self._pools.get(state.name)
        if (known.version if known is not None else 0) != state.version:
            return False
        self._pools[state.name] = evolve(state, version=state.version + 1)
        return True

    def jobs(self) -> Iterable[Job]:
        """Walk all jobs, in the order of their registration."""
        return self._jobs.values()

    # --- indexes --------------------------------------------------------------------------

    def _put(self, job: Job) -> None:
        self._jobs[job.job_id] = job
        status = job.status
        self._counts[status] += 1
        for tick in _TICKS:
            at = due_at(job, tick)
            if at is not None:
                self._due[tick][job.job_id] = Due(job.job_id, at, status, job.attempt_number)
        if status is Status.NEW:
            waiting = waiting_of(job)
            self._waiting[job.job_id] = waiting
            lane = self._lanes.get(waiting.lane)
            if lane is None:
                lane = self._lanes[waiting.lane] = _Lane()
            lane.add(waiting, getattr(job.state, "not_before", None))
        self._count(job, 1)

    def _take_out(self, job: Job) -> None:
        self._counts[job.status] -= 1
        for tick in _TICKS:
            self._due[tick].pop(job.job_id, None)
        waiting = self._waiting.pop(job.job_id, None)
        if waiting is not None:
            lane = self._lanes[waiting.lane]
            lane.remove(waiting)
            if not lane.jobs:
                del self._lanes[waiting.lane]
        self._count(job, -1)

    def _count(self, job: Job, sign: int) -> None:
        current = job.current
        if current is not None:
            key = current.placement.pool, job.spec.share
            self._slots[key] += sign * current.placement.count
            if job.status.runs:
                self._running[key] += sign * current.placement.count


def _age(job: Job) -> tuple[datetime, str]:
    return (job.submitted_at, job.job_id)


def _matches(job: Job, query: JobQuery) -> bool:
    return (
        (not query.statuses or job.status in query.statuses)
        and query.owner in (None, job.spec.owner)
        and query.group in (None, job.spec.group)
        and query.name in (None, job.spec.name)
        and job.job_id.startswith(query.id_prefix or "")
    )
