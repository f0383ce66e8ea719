"""
Plans: the waiting jobs to launch now, with their pools.

A refused launch is evidence about its pool (`jobcore.scheduling.learn_pool`), not about its job.
Jobs with the same share, priority and placements form a *lane*. If the head of a lane fits nowhere,
no job of the lane does, so the cost of a plan grows with the number of lanes and of launches, not
with the number of waiting jobs.

`Walk` makes the decisions, for `plan` and for `explain`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from jobcore.lifecycle.model import Placement
from jobcore.lifecycle.records import PoolState
from jobcore.ports import Waiting, order_key

from .learning import PoolFact, learn_pool
from .limits import Limits
from .room import Capacity, Choice, Obstacle, Snapshot

__all__ = [
    "DEFAULT_SCHEDULER",
    "Decision",
    "Launch",
    "Plan",
    "Scheduler",
    "Walk",
    "plan",
]


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a plan; a *bet* is speculative: it goes beyond the pool's level."""

    job_id: str
    attempt: int
    placement: Placement
    bet: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The launches, in order, and the time at which time alone makes another plan possible."""

    launches: tuple[Launch, ...]
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The head of a lane, and its placement or its obstacle, which blocks the whole lane."""

    job: Waiting
    outcome: Choice | Obstacle


_Rank: TypeAlias = tuple[int, float, int, int, datetime, str]


class Walk:
    """
    The decisions about the waiting jobs, in launch order and without `Limits.launches_max`.

    The order is priority (raised by age, up to the highest of the waiting jobs), then the share
    with the least usage for its weight, then within a share age in whole `Limits.aging`, then size
    (smaller jobs fit sooner, and delay larger ones less than the reverse), then age.

    A job that fits nowhere blocks no other job, with one exception: if a job that has waited for
    `Limits.aging` does not fit into a pool of known size, the slots that become free there are
    reserved for it.
    """

    def __init__(self, snapshot: Snapshot, limits: Limits, now: datetime) -> None:
        self._room = Capacity(snapshot, limits, now)
        self._limits = limits
        self._now = now
        self._highest = max((job.priority for job in snapshot.waiting), default=0)
        self._lanes = _lanes(snapshot.waiting)

    def rank(self, job: Waiting) -> _Rank:
        """
        Return the sort key of the launch order, with the loads of the shares as they are now.

        It is priority, share load, age in whole `Limits.aging` (older first), size, age, id. Age
        raises the priority of a job up to the highest of the waiting jobs. Within a priority the
        loads of the shares come before age; otherwise a share with an old backlog would starve
        every other share.
        """
        aging = self._limits.aging
        aged = 0 if aging is None else max(0, (self._now - job.submitted_at) // aging)
        priority = min(job.priority + aged, max(job.priority, self._highest))
        size = min(placement.count for placement in job.placements)
        return (-priority, self._room.load(job.share), -aged, size, job.submitted_at, job.job_id)

    def decisions(self) -> Iterator[Decision]:
        """
        Yield the decision about the head of the first lane, count its slots as used, and repeat.

        Call it once only: it empties the lanes.
        """
        # One heap entry per lane, with the rank of the lane's head: the last of its list.
        heads = [(self.rank(lane[-1]), lane) for lane in self._lanes]
        heapq.heapify(heads)
        while heads:
            rank, lane = heads[0]
            job = lane[-1]
            current = self.rank(job)
            if current > rank:  # the share's load grew when another lane of it was launched
                heapq.heapreplace(heads, (current, lane))
                continue
            outcome = self._room.choose(job)
            yield Decision(job, outcome)  # `rank` still has the loads from before this launch
            if isinstance(outcome, Choice):
                self._room.allocate(outcome, job.share)
                lane.pop()
            else:
                if self._has_aged(job):
                    self._room.reserve_for(job)
                lane.clear()  # no other job of the lane fits either
            if lane:
                heapq.heapreplace(heads, (self.rank(lane[-1]), lane))
            else:
                heapq.heappop(heads)

    def _has_aged(self, job: Waiting) -> bool:
        aging = self._limits.aging
        return aging is not None and self._now - job.submitted_at >= aging


def _lanes(waiting: Sequence[Waiting]) -> list[list[Waiting]]:
    """Group jobs by lane; each lane in reverse launch order, so that its head is popped from the end."""
    lanes: dict[tuple[str, int, tuple[Placement, ...]], list[Waiting]] = {}
    lane: list[Waiting] = []
    for job in waiting:
        # Stores list a lane's jobs together, with one tuple of placements; comparing with the last
        # lane saves hashing the tuple.
        last = lane[-1] if lane else None
        if (
            last is None
            or job.placements is not last.placements
            or job.share != last.share
            or job.priority != last.priority
        ):
            lane = lanes.setdefault(job.lane, [])
        lane.append(job)
    for members in lanes.values():
        members.sort(key=order_key, reverse=True)
    return list(lanes.values())


def plan(snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
    """
    Decide which waiting jobs to launch, within the limits (`Walk` has the order).

    Work-conserving: apart from reservations and `Limits.launches_max`, no job is left waiting that
    could start.
    """
    launches: list[Launch] = []
    wakes: list[datetime] = []
    for decision in Walk(snapshot, limits, now).decisions():
        if len(launches) >= limits.launches_max:
            break
        job, outcome = decision.job, decision.outcome
        if isinstance(outcome, Choice):
            launches.append(Launch(job.job_id, job.attempt, outcome.placement, outcome.bet))
        elif outcome.until is not None:
            wakes.append(outcome.until)
    return Plan(tuple(launches), min(wakes, default=None))


class Scheduler(Protocol):
    """The planning and learning of the ticks; `jobcore.scheduling.DEFAULT_SCHEDULER` is the core's own."""

    def plan(self, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
        """Plan launches (see `jobcore.plan`)."""
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
        """Learn about one pool from one tick's facts (see `jobcore.scheduling.learn_pool`)."""
        ...


class _CoreScheduler:
    """`plan` and `learn_pool`; stateless."""

    plan = staticmethod(plan)
    learn = staticmethod(learn_pool)


#: The scheduler of the core: `plan` and `learn_pool`.
DEFAULT_SCHEDULER: Scheduler = _CoreScheduler()
