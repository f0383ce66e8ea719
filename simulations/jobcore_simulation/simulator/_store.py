"""A job store that keeps the job objects without encoding them, which is fast."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from heapq import nsmallest
from itertools import islice

from jobcore import Job, Placement, Status
from jobcore.lifecycle import (
    GroupKey,
    GroupTally,
    PoolState,
    ShareUsage,
    Tick,
    due_at,
    spec_hash,
)
from jobcore.ports import Added, Due, JobQuery, Page, Usage, Waiting, waiting_of

__all__ = ["ObjectStore"]

_FREE_HEAD_MAX = 1000  # free places at the head of a lane's list before the rest is moved up


_NEVER = datetime.min.replace(tzinfo=UTC)


class _Lane:
    """
    The waiting jobs of a lane, in order, with their keys and back-offs.

    Jobs mostly leave at the head, so the lists are in use from *head* on: deleting the first
    element would move the whole queue at each launch.
    """

    __slots__ = ("head", "jobs", "keys", "not_before", "placements")

    def __init__(self, placements: tuple[Placement, ...]) -> None:
        self.placements = placements  # kept alive, so that its id is not reused
        self.keys: list[tuple[datetime, str]] = []
        self.jobs: list[Waiting] = []
        self.head = 0
        self.not_before: dict[str, datetime] = {}

    def heads(self, now: datetime, depth: int) -> list[Waiting]:
        if not self.not_before:
            return self.jobs[self.head : self.head + depth]
        later = self.not_before
        jobs = islice(self.jobs, self.head, None)
        return list(islice((job for job in jobs if later.get(job.job_id, now) <= now), depth))

    def add(self, job: Waiting, not_before: datetime | None) -> None:
        key = (job.submitted_at, job.job_id)
        keys, head = self.keys, self.head
        if not keys or keys[-1] < key:
            keys.append(key)
            self.jobs.append(job)
        elif head and key < keys[head]:
            self.head = head = head - 1
            keys[head], self.jobs[head] = key, job
        else:
            index = bisect_left(keys, key, head)
            keys.insert(index, key)
            self.jobs.insert(index, job)
        if not_before is not None:
            self.not_before[job.job_id] = not_before

    def remove(self, job: Waiting) -> None:
        index = bisect_left(self.keys, (job.submitted_at, job.job_id), self.head)
        if index > self.head:
            del self.keys[index], self.jobs[index]
        else:
            self.head += 1
            if self.head > max(_FREE_HEAD_MAX, len(self.keys) // 2):
                del self.keys[: self.head], self.jobs[: self.head]
                self.head = 0
        self.not_before.pop(job.job_id, None)


class ObjectStore:
    """
    A `jobcore.JobStore` on dicts of frozen jobs.

    Nothing is encoded, so it does not test whether a job can be stored; `jobcore_memory` does.
    As in a real store, reads of lane heads, due jobs and usage do not walk the history.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._jobs: dict[str, Job] = {}
        self._due: dict[Tick, dict[str, datetime]] = {tick: {} for tick in Tick}
        self._latest = dict.fromkeys(Tick, _NEVER)  # the latest time at which a job was ever due
        self._lanes: dict[tuple[object, ...], _Lane] = {}
        self._lanes_by_id: dict[
            tuple[str, int, int], _Lane
        ] = {}  # the same lanes, by the id of their placements
        self._waiting: dict[str, tuple[Waiting, _Lane]] = {}
        self._use: dict[tuple[str, str], list[int]] = {}  # slots in use, and running
        self._usage: list[Usage] | None = []  # None: out of date
        self._counts: Counter[Status] = Counter()
        self._pools: dict[str, PoolState] = {}
        self._shares: dict[str, ShareUsage] = {}
        self._tallies: dict[GroupKey, GroupTally] = {}
        self._pausing: dict[GroupKey, None] = {}  # in the order in which they were noted

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Register new jobs, each at most once."""
        said = []
        for job in jobs:
            known = self._jobs.get(job.job_id)
            if known is None:
                self._jobs[job.job_id] = job
                self._index(None, job)
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
            stored = replace(job, version=job.version + 1)
            self._jobs[job.job_id] = stored
            self._index(known, stored)
            saved.append(stored)
        return saved

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List the jobs that are due to a tick, oldest first."""
        ready = [(at, job_id) for job_id, at in self._due[tick].items() if at <= before]
        if len(ready) > limit:
            ready = nsmallest(limit, ready)
        else:
            ready.sort()
        jobs = self._jobs
        return [
            Due(job_id, at, jobs[job_id].status, jobs[job_id].attempt_number)
            for at, job_id in ready
        ]

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """List the first *depth* waiting jobs of every lane."""
        return [job for lane in self._lanes.values() for job in lane.heads(now, depth)]

    def usage(self) -> Sequence[Usage]:
        """Count the slots of active jobs by pool and share."""
        if self._usage is None:
            self._usage = [Usage(*key, *use) for key, use in sorted(self._use.items()) if use[0]]
        return self._usage

    def find(self, query: JobQuery) -> Page:
        """List jobs, newest submission first."""
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
        """Read the pool states."""
        return dict(self._pools)

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at."""
        known = self._pools.get(state.name)
        if (known.version if known is not None else 0) != state.version:
            return False
        self._pools[state.name] = replace(state, version=state.version + 1)
        return True

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """Return the next end of a back-off, or the next deadline of an idle job."""
        if tick is Tick.LAUNCH:
            times: Iterable[datetime] = (
                at for lane in self._lanes.values() for at in lane.not_before.values()
            )
        elif self._latest[tick] <= after:  # a running training is always due, so this is the rule
            return None
        else:
            times = self._due[tick].values()
        return min((at for at in times if at > after), default=None)

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of shares."""
        return {name: self._shares[name] for name in names if name in self._shares}

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Write the usage of shares, each over the version it was read at."""
        saved = []
        for usage in usages:
            known = self._shares.get(usage.share)
            saved.append((known.version if known is not None else 0) == usage.version)
            if saved[-1]:
                self._shares[usage.share] = replace(usage, version=usage.version + 1)
        return saved

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups."""
        return {key: self._tallies[key] for key in keys if key in self._tallies}

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """Read the tallies of groups that are to be paused."""
        return [self._tallies[key] for key in self._pausing]

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at."""
        key = tally.key
        known = self._tallies.get(key)
        if (known.version if known is not None else 0) != tally.version:
            return False
        self._tallies[key] = replace(tally, version=tally.version + 1)
        if tally.pausing:
            self._pausing[key] = None
        else:
            self._pausing.pop(key, None)
        return True

    def forget(self, job_id: str) -> None:
        """Drop a terminal job with an empty outbox; it stays counted."""
        job = self._jobs.pop(job_id)
        assert job.status.is_terminal
        assert not job.outbox

    def jobs(self) -> Iterable[Job]:
        """Walk all jobs, in the order of their registration."""
        return self._jobs.values()

    # --- indexes --------------------------------------------------------------------------

    def _index(self, old: Job | None, new: Job) -> None:
        """Update the indexes for a write of *new* over *old*; only the entries that differ."""
        job_id = new.job_id
        if old is None or old.outbox is not new.outbox:
            self._set_due(job_id, Tick.NOTIFY, due_at(new, Tick.NOTIFY))
        if old is not None:
            if old.state is new.state:
                return
            self._counts[old.state.status] -= 1
        status = new.state.status
        self._counts[status] += 1
        self._set_due(job_id, Tick.LAUNCH, due_at(new, Tick.LAUNCH))
        self._set_due(job_id, Tick.MONITOR, due_at(new, Tick.MONITOR))
        if old is not None and old.state.status is Status.NEW:
            self._leave(*self._waiting.pop(job_id))
        if status is Status.NEW:
            self._queue(new)
        held, holds = _slots(old), _slots(new)
        if held != holds:
            if held is not None:
                self._count(*held, -1)
            if holds is not None:
                self._count(*holds, 1)

    def _set_due(self, job_id: str, tick: Tick, at: datetime | None) -> None:
        due = self._due[tick]
        if at is not None:
            due[job_id] = at
            self._latest[tick] = max(self._latest[tick], at)
        elif job_id in due:
            del due[job_id]

    def _queue(self, job: Job) -> None:
        waiting = waiting_of(job)
        # Most jobs of a lane share one placements object; its id is cheaper than its hash.
        lane_id = (waiting.share, waiting.priority, id(waiting.placements))
        lane = self._lanes_by_id.get(lane_id)
        if lane is None:
            lane = self._lanes.get(waiting.lane)
            if lane is None:
                lane = self._lanes[waiting.lane] = _Lane(waiting.placements)
                self._lanes_by_id[lane_id] = lane
        lane.add(waiting, getattr(job.state, "not_before", None))
        self._waiting[job.job_id] = (waiting, lane)

    def _leave(self, job: Waiting, lane: _Lane) -> None:
        lane.remove(job)
        if lane.head == len(lane.keys):
            del self._lanes[job.lane]
            del self._lanes_by_id[job.share, job.priority, id(lane.placements)]

    def _count(self, pool: str, share: str, count: int, running: int, sign: int) -> None:
        use = self._use.setdefault((pool, share), [0, 0])
        use[0] += sign * count
        use[1] += sign * running
        self._usage = None


def _slots(job: Job | None) -> tuple[str, str, int, int] | None:
    """Return pool, share and number of the slots that *job* holds, and the number that run."""
    current = job.current if job is not None else None
    if job is None or current is None:
        return None
    place = current.placement
    return place.pool, job.spec.share, place.count, place.count if job.state.status.runs else 0


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
