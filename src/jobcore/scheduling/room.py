"""The capacity left while a plan is made: the placement that a job can have now, or its obstacle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jobcore.lifecycle.model import Json, Placement
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
    The input of a plan.

    Args:
        waiting: the first jobs of every lane (see `JobStore.waiting`), in any order.
        depth: the most jobs of a lane in *waiting*: a lane with so many may have more in the store;
            None: *waiting* has all.
        usage: slots in use.
        capacity: the trainer's pools and their sizes in slots; None where the size is unknown.
        pools: the learned state of pools.
        shares: the recent usage of shares; empty if there is only one share.
    """

    waiting: Sequence[Waiting]
    depth: int | None = None
    usage: Sequence[Usage] = ()
    capacity: Mapping[str, int | None] = field(default_factory=dict)
    pools: Mapping[str, PoolState] = field(default_factory=dict)
    shares: Mapping[str, ShareUsage] = field(default_factory=dict)


class WaitCode(StrEnum):
    """The reason for a job's present status; `jobcore.scheduling.Explanation` lists the facts of each."""

    NEXT = "Next"  # the next plan launches it
    BEHIND = "Behind"  # it would fit, but jobs before it in the launch order get the slots
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
    """The reason why a job cannot be launched now, and the time that removes it, if that is known."""

    code: WaitCode
    facts: Mapping[str, Json]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A placement that can be launched now; a *bet* is a speculative launch."""

    placement: Placement
    bet: bool


class Capacity:
    """
    Slots in use and requested, by pool and share, while a plan is made.

    Args:
        snapshot: the state before the first launch of the plan.
    """

    def __init__(self, snapshot: Snapshot, limits: Limits, now: datetime) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.now = now
        self._pool_used: dict[str, int] = {}
        self._pool_running: dict[str, int] = {}
        self._share_used: dict[str, int] = {}
        self._allowances: dict[str, Allowance] = {}
        self._requested: Counter[str] = Counter()  # slots by pool, by launches of this plan
        self._reserved: dict[str, int] = {}  # slots by pool, for one aged job that does not fit yet
        for usage in snapshot.usage:
            self._add_usage(usage.pool, usage.share, usage.slots)
            running = self._pool_running.get(usage.pool, 0) + usage.running
            self._pool_running[usage.pool] = running
        self._recent_usage = {
            share: current_usage(usage, now) for share, usage in snapshot.shares.items()
        }
        self._waiting = _waiting_by_pool(snapshot.waiting)

    def _add_usage(self, pool: str, share: str, slots: int) -> None:
        self._pool_used[pool] = self._pool_used.get(pool, 0) + slots
        self._share_used[share] = self._share_used.get(share, 0) + slots

    def load(self, share: str) -> float:
        """Return the present and recent usage of *share*, divided by its weight."""
        usage = self._share_used.get(share, 0) + self._recent_usage.get(share, 0.0)
        return usage / self.limits.share_weights.get(share, 1.0)

    def allocate(self, choice: Choice, share: str) -> None:
        """Count the slots of *choice* as used."""
        pool, count = choice.placement.pool, choice.placement.count
        allowed = self._allowance(pool)  # from the usage before this launch
        self._add_usage(pool, share, count)
        self._requested[pool] += count
        if allowed.reuse is None or allowed.bets is None:
            return
        beyond = max(0, count - allowed.reuse)
        self._allowances[pool] = Allowance(
            max(0, allowed.reuse - count), max(0, allowed.bets - beyond), until=allowed.until
        )

    def reserve_for(self, job: Waiting) -> None:
        """
        Reserve slots for *job* in the first full pool that is large enough for it.

        A pool has one reservation at most: a second job would keep slots idle that it cannot get
        before the first one has its own.
        """
        for placement in job.placements:
            pool, count = placement.pool, placement.count
            known = (self.snapshot.capacity.get(pool), self.limits.pools.get(pool))
            size = min((bound for bound in known if bound is not None), default=0)
            is_full = count <= size < self._pool_used.get(pool, 0) + self._reserved_in(pool) + count
            if is_full and self._share_obstacle(job.share, count) is None:
                self._reserved.setdefault(pool, count)
                return

    def choose(self, job: Waiting) -> Choice | Obstacle:
        """
        Choose a placement for *job*, or return the obstacle of its first placement.

        The placements are tried in the job's order. Those that would be a bet on a pool in a
        shortage come last, the least recently probed one first.
        """
        first: Obstacle | None = None
        probes: list[tuple[datetime, Placement]] = []
        for placement in job.placements:
            obstacle = self._share_obstacle(job.share, placement.count) or self._pool_obstacle(
                placement
            )
            if obstacle is not None:
                first = first or obstacle
                continue
            allowed = self._allowance(placement.pool)
            if allowed.reuse is None or placement.count <= allowed.reuse:
                return Choice(placement, bet=False)
            state = self.snapshot.pools.get(placement.pool)
            if state is None or not state.refusals or state.bet_at is None:
                return Choice(placement, bet=True)
            probes.append((state.bet_at, placement))
        if probes:
            return Choice(min(probes, key=lambda probe: probe[0])[1], bet=True)
        assert first is not None  # a job has at least one placement
        return first

    def _reserved_in(self, pool: str) -> int:
        return self._reserved.get(pool, 0)

    def _allowance(self, pool: str) -> Allowance:
        """Return the number of slots of *pool* that may be requested now."""
        found = self._allowances.get(pool)
        if found is None:
            found = self._allowances[pool] = allowance(
                self.snapshot.pools.get(pool),
                size=self.snapshot.capacity[pool],
                in_flight=self._pool_used.get(pool, 0),
                running=self._pool_running.get(pool, 0),
                waiting=self._waiting[pool],
                now=self.now,
            )
        return found

    # --- obstacles ----------------------------------------------------------------------

    def _share_obstacle(self, share: str, count: int) -> Obstacle | None:
        limit = self.limits.share_limit(share)
        used = self._share_used.get(share, 0)
        if limit is None or used + count <= limit:
            return None
        facts: dict[str, Json] = {"share": share, "used": used, "limit": limit, "count": count}
        return Obstacle(WaitCode.SHARE_LIMIT, facts)

    def _pool_obstacle(self, placement: Placement) -> Obstacle | None:
        pool, count = placement.pool, placement.count
        if pool not in self.snapshot.capacity:
            known = sorted(self.snapshot.capacity)
            return Obstacle(WaitCode.POOL_UNKNOWN, {"pool": pool, "known": [*known]})
        size = self.snapshot.capacity[pool]
        limit = self.limits.pools.get(pool)
        used = self._pool_used.get(pool, 0)
        taken = used + self._reserved_in(pool)
        if size is not None and count > size:
            return Obstacle(WaitCode.POOL_TOO_SMALL, {"pool": pool, "size": size, "count": count})
        if size is not None and taken + count > size:
            facts: dict[str, Json] = {"pool": pool, "size": size, "used": used, "count": count}
            return Obstacle(WaitCode.POOL_FULL, facts)
        if limit is not None and taken + count > limit:
            facts = {"pool": pool, "limit": limit, "used": used, "count": count}
            return Obstacle(WaitCode.POOL_LIMIT, facts)
        return self._quota_obstacle(pool, count, used) or self._learned_obstacle(pool, count)

    def _quota_obstacle(self, pool: str, count: int, used: int) -> Obstacle | None:
        state = self.snapshot.pools.get(pool)
        requested = self._requested[pool]
        room = quota_room(state, used - requested, self.now)
        if room is None or state is None or state.limit_at is None or count <= room - requested:
            return None
        if requested == 0 and self.now - state.limit_at >= LIMIT_BELIEVED:
            return None  # this one launch tests whether the quota was raised
        until = state.limit_at + (EXTERNAL_BELIEVED if state.external else LIMIT_BELIEVED)
        facts: dict[str, Json] = {
            "pool": pool,
            "limit": state.limit,
            "used": used,
            "external": state.external,
            "count": count,
        }
        return Obstacle(WaitCode.QUOTA_FULL, facts, until if until > self.now else None)

    def _learned_obstacle(self, pool: str, count: int) -> Obstacle | None:
        allowed = self._allowance(pool)
        if (
            allowed.reuse is None
            or allowed.bets is None
            or count <= allowed.reuse + allowed.bets
            or allowed.oversize
        ):
            return None
        if allowed.until is not None:
            refusal = self.snapshot.pools[pool].refusal
            return Obstacle(WaitCode.POOL_CLOSED, {"pool": pool, "refusal": refusal}, allowed.until)
        pending = self._pool_used.get(pool, 0) - self._pool_running.get(pool, 0)
        return Obstacle(WaitCode.PROBING, {"pool": pool, "pending": pending})


def _waiting_by_pool(waiting: Sequence[Waiting]) -> Counter[str]:
    """Count the jobs that could be launched into each pool."""
    # Stores give the jobs of a lane the same tuple object of placements: count by identity first.
    alike = Counter(id(job.placements) for job in waiting)
    by_pool: Counter[str] = Counter()
    for job in waiting:
        for placement in job.placements if (times := alike.pop(id(job.placements), 0)) else ():
            by_pool[placement.pool] += times
    return by_pool
