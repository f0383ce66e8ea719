"""The capacity left while a plan is made: which placement a job can take now, and the obstacle if none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jobcore.lifecycle.model import Placement
from jobcore.lifecycle.records import PoolState, ShareUsage
from jobcore.ports import Usage, Waiting

from .fairness import current_usage
from .limits import Limits
from .pools import EXTERNAL_BELIEVED, LIMIT_BELIEVED, Allowance, allowance, quota_room

__all__ = [
    "Capacity",
    "Choice",
    "Obstacle",
    "Snapshot",
    "WaitCode",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    What a plan is made of.

    Args:
        waiting: the heads of the lanes (see `JobStore.waiting`), in any order.
        usage: slots in use.
        capacity: the trainer's pools and their sizes; None where unknown.
        pools: what has been learned about them.
        shares: what shares were charged lately; empty where there is only one share.
    """

    waiting: Sequence[Waiting]
    usage: Sequence[Usage] = ()
    capacity: Mapping[str, int | None] = field(default_factory=dict)
    pools: Mapping[str, PoolState] = field(default_factory=dict)
    shares: Mapping[str, ShareUsage] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Obstacle:
    code: WaitCode
    sentence: str
    help: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a job can be launched now; a *bet* goes beyond what the pool has been seen to give."""

    placement: Placement
    bet: bool


class Capacity:
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
        self.charged = {
            share: current_usage(usage, now) for share, usage in snapshot.shares.items()
        }
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
        had = self.share_used.get(share, 0) + self.charged.get(share, 0.0)
        return had / self.limits.share_weights.get(share, 1.0)

    def take(self, choice: Choice, share: str) -> None:
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

    def share_obstacle(self, share: str, count: int) -> Obstacle | None:
        limit = self.limits.share_limit(share)
        used = self.share_used.get(share, 0)
        if limit is None or used + count <= limit:
            return None
        return Obstacle(
            WaitCode.SHARE_LIMIT,
            f"share {share!r} uses {used} of the {limit} slots that it may use",
            "wait for a job of this share to end, or raise limits.shares",
        )

    def pool_obstacle(self, placement: Placement) -> Obstacle | None:
        """Say what keeps *placement* from being launched now; None if nothing does."""
        pool, count = placement.pool, placement.count
        if pool not in self.snapshot.capacity:
            known = ", ".join(sorted(self.snapshot.capacity)) or "none"
            return Obstacle(
                WaitCode.POOL_UNKNOWN,
                f"there is no pool {pool!r}; the trainer has: {known}",
                f"add pool {pool!r}, or submit the job to another one",
            )
        used = self.pool_used.get(pool, 0)
        size = self.snapshot.capacity[pool]
        if size is not None and count > size:
            return Obstacle(
                WaitCode.POOL_TOO_SMALL,
                f"the job asks for {count} slots of pool {pool!r}, which has {size}",
                "give the pool more slots, or ask for fewer",
            )
        taken = used + self.kept.get(pool, 0)
        if size is not None and taken + count > size:
            return Obstacle(
                WaitCode.POOL_FULL,
                f"pool {pool!r} has {size} slots, {used} in use",
                "wait for a job in this pool to end, give it more slots, or name a second pool",
            )
        allowed = self.limits.pools.get(pool)
        if allowed is not None and taken + count > allowed:
            return Obstacle(
                WaitCode.POOL_LIMIT,
                f"pool {pool!r} is limited to {allowed} slots, {used} in use",
                "wait for a job in this pool to end, or raise limits.pools",
            )
        return self._quota_obstacle(pool, count, used) or self._learned_obstacle(pool, count)

    def _quota_obstacle(self, pool: str, count: int, used: int) -> Obstacle | None:
        state = self.snapshot.pools.get(pool)
        asked = self.asked[pool]
        room = quota_room(state, used - asked, self.now)
        if room is None or state is None or state.limit_at is None or count <= room - asked:
            return None
        if asked == 0 and self.now - state.limit_at >= LIMIT_BELIEVED:
            return None  # this one asks again for all
        until = state.limit_at + (EXTERNAL_BELIEVED if state.external else LIMIT_BELIEVED)
        return Obstacle(
            WaitCode.QUOTA_FULL,
            f"the quota of pool {pool!r} is {state.limit}: {used} used here, {state.external} by others",
            "wait for a job in this pool to end, or ask for a higher quota",
            until if until > self.now else None,
        )

    def _learned_obstacle(self, pool: str, count: int) -> Obstacle | None:
        may = self.allowance(pool)
        if may.reuse is None or may.bets is None or count <= may.reuse + may.bets or may.oversize:
            return None
        if may.until is not None:
            state = self.snapshot.pools[pool]
            return Obstacle(
                WaitCode.POOL_CLOSED,
                f"pool {pool!r} refused a launch and is tried again later ({state.because})",
                "wait, or name a second pool",
                may.until,
            )
        asked = self.pool_used.get(pool, 0) - self.pool_running.get(pool, 0)
        return Obstacle(
            WaitCode.PROBING,
            f"{asked} slots of pool {pool!r} are asked for and not given yet; more follow when they are",
            "wait, or name a second pool",
        )

    def choose(self, job: Waiting) -> Choice | Obstacle:
        """
        Find where to launch *job*, or the first obstacle.

        The placements are taken in the job's order, but for those in a shortage: they get
        what they still have, and are probed last, the least recently probed one first.
        """
        first: Obstacle | None = None
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
                return Choice(placement, bet=False)
            state = self.snapshot.pools.get(placement.pool)
            if state is None or not state.refusals or state.bet_at is None:
                return Choice(placement, bet=True)
            probes.append((state.bet_at, placement))
        if probes:
            return Choice(min(probes, key=lambda probe: probe[0])[1], bet=True)
        assert first is not None  # placements are never empty
        return first
