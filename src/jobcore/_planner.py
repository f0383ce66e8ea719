"""Which waiting jobs to launch where, and why the others wait.

Capacity belongs to the pool, not to the job: a refused launch teaches its pool
(`jobcore.pool_step`), it does not send one job away. Jobs that ask for the
same thing form a *lane*; if the head of a lane fits nowhere, none of it does,
so a plan costs the lanes plus the launches, never the jobs that wait.

`explain` asks the same questions as `plan`, with the same functions, so the
two cannot disagree.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from ._capacity import (
    ALL_POOLS,
    EXTERNAL_BELIEVED,
    LIMIT_BELIEVED,
    Allowance,
    PoolFact,
    PoolState,
    allowance,
    pool_step,
    quota_room,
    served,
)
from ._evolve import maker
from ._limits import Limits
from ._model import Failed, Held, Job, New, Placement, Status

__all__ = [
    "DEFAULT_SCHEDULER",
    "Explanation",
    "Launch",
    "Plan",
    "Scheduler",
    "Snapshot",
    "Usage",
    "WaitCode",
    "Waiting",
    "explain",
    "order_key",
    "plan",
    "waiting_of",
]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits, as little of it as a plan needs."""

    job_id: str
    priority: int
    share: str
    placements: tuple[Placement, ...]
    submitted_at: datetime
    attempt: int = 1

    @property
    def lane(self) -> tuple[str, int, tuple[Placement, ...]]:
        """What the job asks for; jobs of one lane are interchangeable to the planner."""
        return (self.share, self.priority, self.placements)


@dataclass(frozen=True, slots=True)
class Usage:
    """The slots that active jobs of *share* hold in *pool*, and how many of them run."""

    pool: str
    share: str
    slots: int
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    What a plan is made of.

    Args:
        waiting: the heads of the lanes (see `JobStore.waiting`), in any order.
        usage: slots in use.
        capacity: the trainer's pools and their sizes; None where unknown.
        pools: what has been learned about them.
    """

    waiting: Sequence[Waiting]
    usage: Sequence[Usage] = ()
    capacity: Mapping[str, int | None] = field(default_factory=dict)
    pools: Mapping[str, PoolState] = field(default_factory=dict)


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


class WaitCode(StrEnum):
    """Why a job is not running, for programs."""

    NEXT = "Next"  # the next plan launches it
    BEHIND = "Behind"  # others go first
    BACKING_OFF = "BackingOff"  # its own not-before time
    POOL_FULL = "PoolFull"
    POOL_CLOSED = "PoolClosed"  # after a refusal
    PROBING = "Probing"  # launches into the pool wait for an answer
    POOL_TOO_SMALL = "PoolTooSmall"
    POOL_UNKNOWN = "PoolUnknown"
    QUOTA_FULL = "QuotaFull"
    POOL_LIMIT = "PoolLimit"
    SHARE_LIMIT = "ShareLimit"
    HELD = "Held"
    LAUNCHING = "Launching"
    RUNNING = "Running"
    STOPPING = "Stopping"
    OVER = "Over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job is where it is: a code, a sentence, and what would help."""

    code: WaitCode
    sentence: str
    help: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Obstacle:
    code: WaitCode
    sentence: str
    help: str
    until: datetime | None = None


def order_key(job: Waiting) -> tuple[int, datetime, str]:
    """Sort by this for launch order: priority, then age, then id (to be total)."""
    return (-job.priority, job.submitted_at, job.job_id)


def waiting_of(job: Job) -> Waiting:
    """Reduce a job to what a plan needs of it."""
    spec = job.spec
    return _make_waiting(
        job_id=job.job_id,
        priority=spec.priority,
        share=spec.share,
        placements=spec.placements,
        submitted_at=job.submitted_at,
        attempt=job.attempt_number,
    )


_make_waiting = maker(Waiting)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Where a job can be launched now; a *bet* goes beyond what the pool has been seen to give."""

    placement: Placement
    bet: bool


class _Room:
    """The room left while a plan is made."""

    def __init__(self, snapshot: Snapshot, limits: Limits, now: datetime) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.now = now
        self.pool_used: dict[str, int] = {}
        self.pool_running: dict[str, int] = {}
        self.share_used: dict[str, int] = {}
        self.allowed: dict[str, Allowance] = {}
        self.asked: Counter[str] = Counter()  # slots, by pool, since the plan began
        self.kept: dict[str, int] = {}  # slots, by pool, that are kept for a job that has aged
        for usage in snapshot.usage:
            self._use(usage.pool, usage.share, usage.slots)
            self.pool_running[usage.pool] = self.pool_running.get(usage.pool, 0) + usage.running
        self.served = served(snapshot.pools.get(ALL_POOLS), now)
        alike = Counter(id(job.placements) for job in snapshot.waiting)
        self.waiting: Counter[str] = Counter()
        for job in snapshot.waiting:
            for placement in job.placements if (times := alike.pop(id(job.placements), 0)) else ():
                self.waiting[placement.pool] += times

    def _use(self, pool: str, share: str, slots: int) -> None:
        self.pool_used[pool] = self.pool_used.get(pool, 0) + slots
        self.share_used[share] = self.share_used.get(share, 0) + slots

    def load(self, share: str) -> float:
        """Give what *share* uses of all pools, and was given lately, against what it is entitled to."""
        had = self.share_used.get(share, 0) + self.served.get(share, 0.0)
        return had / self.limits.share_weights.get(share, 1.0)

    def take(self, choice: _Choice, share: str) -> None:
        """Launch there."""
        pool, count = choice.placement.pool, choice.placement.count
        may = self.allowance(pool)  # of the usage before this launch
        self._use(pool, share, count)
        self.asked[pool] += count
        if may.reuse is None or may.bets is None:
            return
        beyond = max(0, count - may.reuse)
        self.allowed[pool] = Allowance(
            max(0, may.reuse - count), max(0, may.bets - beyond), until=may.until
        )

    def keep(self, job: Waiting) -> None:
        """Keep what becomes free in the first full pool that is large enough for *job*; one job a pool."""
        for placement in job.placements:
            pool, count = placement.pool, placement.count
            known = (self.snapshot.capacity.get(pool), self.limits.pools.get(pool))
            size = min((bound for bound in known if bound is not None), default=0)
            full = count <= size < self.pool_used.get(pool, 0) + self.kept.get(pool, 0) + count
            if full and self.share_obstacle(job.share, count) is None:
                self.kept.setdefault(pool, count)
                return

    def allowance(self, pool: str) -> Allowance:
        """Say how much more of *pool* may be asked for."""
        found = self.allowed.get(pool)
        if found is None:
            found = self.allowed[pool] = allowance(
                self.snapshot.pools.get(pool),
                size=self.snapshot.capacity[pool],
                in_flight=self.pool_used.get(pool, 0),
                running=self.pool_running.get(pool, 0),
                waiting=self.waiting[pool],
                now=self.now,
            )
        return found

    def share_obstacle(self, share: str, count: int) -> _Obstacle | None:
        limit = self.limits.share_limit(share)
        used = self.share_used.get(share, 0)
        if limit is None or used + count <= limit:
            return None
        return _Obstacle(
            WaitCode.SHARE_LIMIT,
            f"share {share!r} uses {used} of the {limit} slots that it may use",
            "wait for a job of this share to end, or raise limits.shares",
        )

    def pool_obstacle(self, placement: Placement) -> _Obstacle | None:
        """Say what keeps *placement* from being launched now; None if nothing does."""
        pool, count = placement.pool, placement.count
        if pool not in self.snapshot.capacity:
            known = ", ".join(sorted(self.snapshot.capacity)) or "none"
            return _Obstacle(
                WaitCode.POOL_UNKNOWN,
                f"there is no pool {pool!r}; the trainer has: {known}",
                f"add pool {pool!r}, or submit the job to another one",
            )
        used = self.pool_used.get(pool, 0)
        size = self.snapshot.capacity[pool]
        if size is not None and count > size:
            return _Obstacle(
                WaitCode.POOL_TOO_SMALL,
                f"the job asks for {count} slots of pool {pool!r}, which has {size}",
                "give the pool more slots, or ask for fewer",
            )
        taken = used + self.kept.get(pool, 0)
        if size is not None and taken + count > size:
            return _Obstacle(
                WaitCode.POOL_FULL,
                f"pool {pool!r} has {size} slots, {used} in use",
                "wait for a job in this pool to end, give it more slots, or name a second pool",
            )
        allowed = self.limits.pools.get(pool)
        if allowed is not None and taken + count > allowed:
            return _Obstacle(
                WaitCode.POOL_LIMIT,
                f"pool {pool!r} is limited to {allowed} slots, {used} in use",
                "wait for a job in this pool to end, or raise limits.pools",
            )
        return self._quota_obstacle(pool, count, used) or self._learned_obstacle(pool, count)

    def _quota_obstacle(self, pool: str, count: int, used: int) -> _Obstacle | None:
        state = self.snapshot.pools.get(pool)
        asked = self.asked[pool]
        room = quota_room(state, used - asked, self.now)
        if room is None or state is None or state.limit_at is None or count <= room - asked:
            return None
        if asked == 0 and self.now - state.limit_at >= LIMIT_BELIEVED:
            return None  # this one asks again for all
        until = state.limit_at + (EXTERNAL_BELIEVED if state.external else LIMIT_BELIEVED)
        return _Obstacle(
            WaitCode.QUOTA_FULL,
            f"the quota of pool {pool!r} is {state.limit}: {used} used here, {state.external} by others",
            "wait for a job in this pool to end, or ask for a higher quota",
            until if until > self.now else None,
        )

    def _learned_obstacle(self, pool: str, count: int) -> _Obstacle | None:
        may = self.allowance(pool)
        if may.reuse is None or may.bets is None or count <= may.reuse + may.bets or may.oversize:
            return None
        if may.until is not None:
            state = self.snapshot.pools[pool]
            return _Obstacle(
                WaitCode.POOL_CLOSED,
                f"pool {pool!r} refused a launch and is tried again later ({state.because})",
                "wait, or name a second pool",
                may.until,
            )
        asked = self.pool_used.get(pool, 0) - self.pool_running.get(pool, 0)
        return _Obstacle(
            WaitCode.PROBING,
            f"{asked} slots of pool {pool!r} are asked for and not given yet; more follow when they are",
            "wait, or name a second pool",
        )

    def choose(self, job: Waiting) -> _Choice | _Obstacle:
        """
        Find where to launch *job*, or the first obstacle.

        The placements are taken in the job's order, but for those in a shortage: they get
        what they still have, and are probed last, the least recently probed one first.
        """
        first: _Obstacle | None = None
        probes: list[tuple[datetime, Placement]] = []
        for placement in job.placements:
            obstacle = self.share_obstacle(job.share, placement.count) or self.pool_obstacle(
                placement
            )
            if obstacle is not None:
                first = first or obstacle
                continue
            may = self.allowance(placement.pool)
            if may.reuse is None or placement.count <= may.reuse:
                return _Choice(placement, bet=False)
            state = self.snapshot.pools.get(placement.pool)
            if state is None or not state.refusals or state.bet_at is None:
                return _Choice(placement, bet=True)
            probes.append((state.bet_at, placement))
        if probes:
            return _Choice(min(probes, key=lambda probe: probe[0])[1], bet=True)
        assert first is not None  # placements are never empty
        return first


_Rank: TypeAlias = tuple[int, float, int, datetime, str]


def _rank(job: Waiting, room: _Room) -> _Rank:
    """Sort by this: priority with age, then the share that has least, then size, then age, then id."""
    priority = job.priority
    aging = room.limits.aging
    if aging is not None:
        priority += max(0, (room.now - job.submitted_at) // aging)
    size = min(placement.count for placement in job.placements)
    return (-priority, room.load(job.share), size, job.submitted_at, job.job_id)


def plan(snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
    """
    Decide what to launch, within the limits; what fits nowhere blocks nobody.

    The order is priority (raised by age), then the share that uses least of what it is
    entitled to, then within a share the smaller jobs (they fit sooner, and delay the larger
    ones less than those would delay them), then age. Work-conserving: no job is left waiting
    that could start, up to *launches_max*; but where a job that has waited for *aging* does not fit in
    a pool of known size, what becomes free there is kept for it.
    """
    room = _Room(snapshot, limits, now)
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
    heads: list[tuple[_Rank, list[Waiting]]] = []
    for members in lanes.values():
        members.sort(key=order_key, reverse=True)
        heads.append((_rank(members[-1], room), members))
    heapq.heapify(heads)
    while heads and len(launches) < limits.launches_max:
        rank, members = heads[0]
        job = members[-1]
        current = _rank(job, room)
        if current > rank:  # a lane of the same share was served meanwhile
            heapq.heapreplace(heads, (current, members))
            continue
        choice = room.choose(job)
        if isinstance(choice, _Obstacle):
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
            heapq.heapreplace(heads, (_rank(members[-1], room), members))
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
    learn = staticmethod(pool_step)


#: The scheduler of the core: `plan`, and `pool_step` to learn.
DEFAULT_SCHEDULER: Scheduler = _CoreScheduler()


def explain(job: Job, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Explanation:
    """
    Say why *job* is where it is, and what would help.

    Agrees with `plan` for the same arguments: a job that this calls ``Next`` is
    in the plan, and a job in the plan is called ``Next``.
    """
    state = job.state
    if not isinstance(state, New):
        return _explain_status(job)
    if state.not_before is not None and now < state.not_before:
        why = f" after: {state.after.headline}" if state.after else ""
        return Explanation(
            code=WaitCode.BACKING_OFF,
            sentence=f"attempt {state.attempt} waits until {state.not_before:%H:%M:%S %Z}{why}",
            help="wait, or release the job to try at once",
            until=state.not_before,
        )
    me = waiting_of(job)
    others = [w for w in snapshot.waiting if w.job_id != job.job_id]
    decided = plan(
        Snapshot(
            waiting=[*others, me],
            usage=snapshot.usage,
            capacity=snapshot.capacity,
            pools=snapshot.pools,
        ),
        limits,
        now=now,
    )
    for launch in decided.launches:
        if launch.job_id == job.job_id:
            return Explanation(
                code=WaitCode.NEXT,
                sentence=f"the next launch tick starts it in pool {launch.placement.pool!r}",
                help="see that the manager runs: jobcore run",
            )
    return _explain_waiting(me, snapshot, limits, decided, now)


def _explain_waiting(
    me: Waiting, snapshot: Snapshot, limits: Limits, decided: Plan, now: datetime
) -> Explanation:
    obstacle = _Room(snapshot, limits, now).choose(me)
    if isinstance(obstacle, _Obstacle):
        return Explanation(
            code=obstacle.code,
            sentence=obstacle.sentence,
            help=obstacle.help,
            until=obstacle.until,
        )
    ahead = sum(1 for w in snapshot.waiting if order_key(w) < order_key(me))
    return Explanation(
        code=WaitCode.BEHIND,
        sentence=(
            f"{ahead} waiting jobs go first; {len(decided.launches)} of them start at the next tick"
        ),
        help="wait, or submit with a higher priority",
    )


def _explain_status(job: Job) -> Explanation:
    state = job.state
    if isinstance(state, Held):
        return Explanation(
            code=WaitCode.HELD,
            sentence=f"held ({state.code}): {state.reason}",
            help="release it when the cause is gone",
        )
    if isinstance(state, Failed):
        failure = state.failure
        return Explanation(
            code=WaitCode.OVER,
            sentence=f"failed as {failure.failure_class}: {failure.headline}",
            help="read the logs, mend the cause, then retry",
        )
    sentences = {
        Status.LAUNCHING: (WaitCode.LAUNCHING, "the trainer is being asked to start it"),
        Status.LAUNCHED: (WaitCode.LAUNCHING, "the trainer has it and has not started it yet"),
        Status.IN_PROGRESS: (WaitCode.RUNNING, "the training runs"),
        Status.STOPPING: (WaitCode.STOPPING, "a stop was asked for; the training is ending"),
        Status.COMPLETED: (WaitCode.OVER, "the training completed"),
        Status.STOPPED: (WaitCode.OVER, "stopped because somebody asked for it"),
    }
    code, sentence = sentences[job.status]
    return Explanation(code=code, sentence=sentence)


def usage_of(jobs: Iterable[Job]) -> tuple[Usage, ...]:
    """Count the slots that active *jobs* hold, by pool and share."""
    slots: Counter[tuple[str, str]] = Counter()
    running: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        if job.current is not None:
            placement = job.current.placement
            slots[placement.pool, job.spec.share] += placement.count
            if job.status.runs:
                running[placement.pool, job.spec.share] += placement.count
    return tuple(Usage(*key, count, running[key]) for key, count in slots.items())
