"""Which waiting jobs to launch where, and why the others wait.

Capacity belongs to the pool, not to the job: a refused launch closes its pool
for a while (`pool_step`), it does not send one job away. Jobs that ask for the
same thing form a *lane*; if the head of a lane fits nowhere, none of it does,
so a plan costs the lanes plus the launches, never the jobs that wait.

`explain` asks the same questions as `plan`, with the same functions, so the
two cannot disagree.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ._failures import Failure, FailureClass, parse_quota
from ._model import Failed, Held, Job, New, Placement, Status
from ._names import hash_fraction

__all__ = [
    "Explanation",
    "Launch",
    "Limits",
    "Plan",
    "PoolState",
    "Snapshot",
    "Usage",
    "WaitCode",
    "Waiting",
    "explain",
    "order_key",
    "plan",
    "pool_step",
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
    """The slots that active jobs of *share* hold in *pool*."""

    pool: str
    share: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """
    What has been learned about a pool.

    Args:
        version: for compare-and-set in the store.
        refusals: capacity refusals since the last success; the back-off doubles with each.
        closed_until: no launch before this.
        limit: the quota, as the last refusal stated it; None while unknown.
        external: slots in use by others, from the same sentence.
        limit_at: when that was said. What others use is believed for two minutes only.
        because: the last refusal, for people.
    """

    name: str
    version: int = 0
    refusals: int = 0
    closed_until: datetime | None = None
    limit: int | None = None
    external: int = 0
    limit_at: datetime | None = None
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What the operator allows.

    Args:
        pools: most slots in use per pool.
        shares: most slots in use per share, over all pools.
        share_default: for shares not named; None for no limit.
        launches_max: launches of one plan, so that a tick ends in time.
        pool_backoff, pool_backoff_max: how long a pool stays closed after a refusal.
    """

    pools: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, int] = field(default_factory=dict)
    share_default: int | None = None
    launches_max: int = 100
    pool_backoff: timedelta = timedelta(seconds=15)
    pool_backoff_max: timedelta = timedelta(minutes=5)

    def share_limit(self, share: str) -> int | None:
        """Give the limit of *share*; None for none."""
        return self.shares.get(share, self.share_default)


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
    """One decision of a plan."""

    job_id: str
    attempt: int
    placement: Placement


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
    return Waiting(
        job_id=job.job_id,
        priority=job.spec.priority,
        share=job.spec.share,
        placements=job.spec.placements,
        submitted_at=job.submitted_at,
        attempt=job.attempt_number,
    )


# What another customer of the same quota uses changes; CAPACITY: a sticky estimate lost 46 % of a pool.
_EXTERNAL_BELIEVED = timedelta(minutes=2)
# Limits get raised: after this long without room, one launch may ask again.
_LIMIT_BELIEVED = timedelta(minutes=15)


class _Room:
    """The room left while a plan is made."""

    def __init__(self, snapshot: Snapshot, limits: Limits, now: datetime) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.now = now
        self.pool_used: dict[str, int] = {}
        self.share_used: dict[str, int] = {}
        for usage in snapshot.usage:
            self.take(usage.pool, usage.share, usage.slots)

    def take(self, pool: str, share: str, slots: int) -> None:
        self.pool_used[pool] = self.pool_used.get(pool, 0) + slots
        self.share_used[share] = self.share_used.get(share, 0) + slots

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
        if size is not None and used + count > size:
            return _Obstacle(
                WaitCode.POOL_FULL,
                f"pool {pool!r} has {size} slots, {used} in use",
                "wait for a job in this pool to end, give it more slots, or name a second pool",
            )
        allowed = self.limits.pools.get(pool)
        if allowed is not None and used + count > allowed:
            return _Obstacle(
                WaitCode.POOL_LIMIT,
                f"pool {pool!r} is limited to {allowed} slots, {used} in use",
                "wait for a job in this pool to end, or raise limits.pools",
            )
        return self._learned_obstacle(pool, count, used)

    def _learned_obstacle(self, pool: str, count: int, used: int) -> _Obstacle | None:
        state = self.snapshot.pools.get(pool)
        if state is None:
            return None
        if state.closed_until is not None and self.now < state.closed_until:
            return _Obstacle(
                WaitCode.POOL_CLOSED,
                f"pool {pool!r} refused a launch and is tried again later ({state.because})",
                "wait, or name a second pool",
                state.closed_until,
            )
        if state.limit is None or state.limit_at is None:
            return None
        age = self.now - state.limit_at
        external = state.external if age < _EXTERNAL_BELIEVED else 0
        if used + external + count > state.limit and (used > 0 or age < _LIMIT_BELIEVED):
            return _Obstacle(
                WaitCode.QUOTA_FULL,
                f"the quota of pool {pool!r} is {state.limit}: {used} used here, {external} by others",
                "wait for a job in this pool to end, or ask for a higher quota",
                None if age >= _EXTERNAL_BELIEVED else state.limit_at + _EXTERNAL_BELIEVED,
            )
        return None

    def choose(self, job: Waiting) -> Placement | _Obstacle:
        """Find the first placement with room, or the first obstacle."""
        first: _Obstacle | None = None
        for placement in job.placements:
            obstacle = self.share_obstacle(job.share, placement.count) or self.pool_obstacle(
                placement
            )
            if obstacle is None:
                return placement
            first = first or obstacle
        assert first is not None  # placements are never empty
        return first


def plan(snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
    """
    Decide what to launch: priority, then age, within the limits; what fits nowhere blocks nobody.

    Work-conserving: no job is left waiting that could start, up to *launches_max*.
    """
    room = _Room(snapshot, limits, now)
    launches: list[Launch] = []
    wakes: list[datetime] = []
    # One heap entry per lane, keyed by the lane's oldest job.
    lanes: dict[tuple[str, int, tuple[Placement, ...]], list[Waiting]] = {}
    for job in snapshot.waiting:
        lanes.setdefault(job.lane, []).append(job)
    heads: list[tuple[tuple[int, datetime, str], int, list[Waiting]]] = []
    for number, members in enumerate(lanes.values()):
        members.sort(key=order_key, reverse=True)
        heads.append((order_key(members[-1]), number, members))
    heapq.heapify(heads)
    while heads and len(launches) < limits.launches_max:
        _, number, members = heads[0]
        job = members.pop()
        choice = room.choose(job)
        if isinstance(choice, _Obstacle):
            if choice.until is not None:
                wakes.append(choice.until)
            heapq.heappop(heads)
            continue
        room.take(choice.pool, job.share, choice.count)
        launches.append(Launch(job.job_id, job.attempt, choice))
        if members:
            heapq.heapreplace(heads, (order_key(members[-1]), number, members))
        else:
            heapq.heappop(heads)
    return Plan(tuple(launches), min(wakes, default=None))


def pool_step(
    state: PoolState, *, failure: Failure | None, in_flight: int, now: datetime, limits: Limits
) -> PoolState:
    """
    Learn from one answer of a pool.

    Args:
        failure: None after a launch that the trainer took; else why it was refused or given up.
        in_flight: slots that our active jobs hold in the pool, without the refused one.

    Returns:
        The new state, which is *state* itself if nothing was learned. A batch of refusals
        counts once: while the pool is closed, a further one teaches nothing.
    """
    if failure is None:
        if state.refusals == 0 and state.closed_until is None:
            return state
        return _pool(state, refusals=0, closed_until=None, because="")
    if failure.failure_class is FailureClass.QUOTA:
        quota = parse_quota(failure.text)
        if quota is not None:
            return _pool(
                state,
                limit=quota.limit,
                external=max(0, quota.used - in_flight),
                limit_at=now,
                because=failure.headline,
            )
    elif failure.failure_class not in (FailureClass.CAPACITY, FailureClass.THROTTLE):
        return state
    if state.closed_until is not None and now < state.closed_until:
        return state
    wait = min(limits.pool_backoff * (1 << min(state.refusals, 20)), limits.pool_backoff_max)
    wait *= 0.8 + 0.4 * hash_fraction(state.name, state.version)
    return _pool(
        state,
        refusals=state.refusals + 1,
        closed_until=now + wait,
        because=failure.headline,
    )


def _pool(state: PoolState, **changes: object) -> PoolState:
    values = {name: getattr(state, name) for name in PoolState.__slots__} | changes
    return PoolState(**values)


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
    slots: dict[tuple[str, str], int] = {}
    for job in jobs:
        if job.current is not None:
            placement = job.current.placement
            key = (placement.pool, job.spec.share)
            slots[key] = slots.get(key, 0) + placement.count
    return tuple(Usage(pool, share, count) for (pool, share), count in slots.items())
