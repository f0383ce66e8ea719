"""
Which waiting jobs to launch where.

Capacity belongs to the pool, not to the job: a refused launch is evidence about its pool
(`jobcore.scheduling.learn_pool`); it does not send one job away. Jobs that ask for the same thing
form a *lane*. If the head of a lane fits nowhere, no job of the lane does, so a plan costs the
number of lanes plus the number of launches, not the number of waiting jobs.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from jobcore.lifecycle.model import Placement
from jobcore.lifecycle.records import PoolState
from jobcore.ports import Waiting, order_key

from .learning import PoolFact, learn_pool
from .limits import Limits
from .room import Capacity, Obstacle, Snapshot

__all__ = [
    "DEFAULT_SCHEDULER",
    "Launch",
    "Plan",
    "Scheduler",
    "plan",
]


@dataclass(frozen=True, slots=True)
class Launch:
    """One decision of a plan; a *bet* goes beyond what the pool has been seen to give."""

    job_id: str
    attempt: int
    placement: Placement
    bet: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to launch, in order, and when to plan again for time alone."""

    launches: tuple[Launch, ...]
    wake_at: datetime | None = None


_Rank: TypeAlias = tuple[int, float, int, int, datetime, str]


def _rank(job: Waiting, room: Capacity, highest: int) -> _Rank:
    """
    Sort by this: priority, then the share's load, then age in whole `Limits.aging`, size, age, id.

    Age raises the priority of a job that others have overtaken, but only up to *highest*, the
    highest priority that waits. Among equals in priority the load of the shares decides before age,
    or a share with an old backlog would shut out every other share.
    """
    aging = room.limits.aging
    aged = 0 if aging is None else max(0, (room.now - job.submitted_at) // aging)
    priority = min(job.priority + aged, max(job.priority, highest))
    size = min(placement.count for placement in job.placements)
    return (-priority, room.load(job.share), -aged, size, job.submitted_at, job.job_id)


def plan(snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
    """
    Decide what to launch, within the limits; what fits nowhere blocks nobody.

    The order is priority (which age raises up to the highest that waits), then the share that
    uses least of what it is entitled to, then within a share age in whole `Limits.aging`, then the
    smaller jobs (they fit sooner, and delay the larger ones less than the other way round), then age. Work-conserving: no job is left waiting
    that could start, up to *launches_max*; but where a job that has waited for *aging* does not fit in
    a pool of known size, what becomes free there is kept for it.
    """
    room = Capacity(snapshot, limits, now)
    launches: list[Launch] = []
    wakes: list[datetime] = []
    # One heap entry per lane, ranked as the lane's oldest job.
    lanes: dict[tuple[str, int, tuple[Placement, ...]], list[Waiting]] = {}
    lane: list[Waiting] = []
    for job in snapshot.waiting:
        # A store may well hand out the very same placements again: then there is nothing to hash.
        last = lane[-1] if lane else None
        if (
            last is None
            or job.placements is not last.placements
            or job.share != last.share
            or job.priority != last.priority
        ):
            lane = lanes.setdefault(job.lane, [])
        lane.append(job)
    highest = max((job.priority for job in snapshot.waiting), default=0)
    heads: list[tuple[_Rank, list[Waiting]]] = []
    for members in lanes.values():
        members.sort(key=order_key, reverse=True)
        heads.append((_rank(members[-1], room, highest), members))
    heapq.heapify(heads)
    while heads and len(launches) < limits.launches_max:
        rank, members = heads[0]
        job = members[-1]
        current = _rank(job, room, highest)
        if current > rank:  # a lane of the same share was served meanwhile
            heapq.heapreplace(heads, (current, members))
            continue
        choice = room.choose(job)
        if isinstance(choice, Obstacle):
            if choice.until is not None:
                wakes.append(choice.until)
            if limits.aging is not None and now - job.submitted_at >= limits.aging:
                room.keep(job)
            heapq.heappop(heads)
            continue
        members.pop()
        room.take(choice, job.share)
        launches.append(Launch(job.job_id, job.attempt, choice.placement, choice.bet))
        if members:
            heapq.heapreplace(heads, (_rank(members[-1], room, highest), members))
        else:
            heapq.heappop(heads)
    return Plan(tuple(launches), min(wakes, default=None))


class Scheduler(Protocol):
    """What decides and learns for the ticks; `jobcore.DEFAULT_SCHEDULER` is the core's own."""

    def plan(self, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
        """Decide what to launch (see `jobcore.plan`)."""
        ...

    def learn(
        self,
        state: PoolState,
        facts: Sequence[PoolFact],
        *,
        in_flight: int,
        running: int,
        now: datetime,
        limits: Limits,
    ) -> PoolState:
        """Learn from what trainings of one pool have shown in one pass (see `jobcore.pool_step`)."""
        ...


class _CoreScheduler:
    """The core's own decisions; nothing is kept but what the store keeps."""

    plan = staticmethod(plan)
    learn = staticmethod(learn_pool)


DEFAULT_SCHEDULER: Scheduler = _CoreScheduler()
