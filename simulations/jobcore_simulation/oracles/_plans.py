"""The launches that a snapshot allows: quotas, sizes, limits and rotation (S17, J2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from jobcore import Limits, Placement, Snapshot
from jobcore.lifecycle import Violation
from jobcore.ports import Waiting
from jobcore.scheduling import Launch, Plan, allowance

__all__ = ["FORGOTTEN_AFTER", "plan_violations"]

#: The recorded external use of a quota counts for this long after it was learned.
FORGOTTEN_AFTER = timedelta(minutes=2)
# A limit may have been raised: after this long one launch may go beyond the recorded one.
_LIMIT_ASKED_AGAIN = timedelta(minutes=15)


def plan_violations(
    snapshot: Snapshot, limits: Limits, plan: Plan, now: datetime
) -> Iterator[Violation]:
    """Find launches of *plan* beyond a limit (S17) or out of rotation (J2)."""
    if not plan.launches:
        return
    waiting = {job.job_id: job for job in snapshot.waiting}
    for launch in plan.launches:
        if launch.bet:
            yield from _rotation_violations(
                snapshot, limits, waiting[launch.job_id], launch, plan, now
            )
    yield from _share_violations(snapshot, limits, waiting, plan)
    yield from _pool_violations(snapshot, limits, plan, now)


def _share_violations(
    snapshot: Snapshot, limits: Limits, waiting: Mapping[str, Waiting], plan: Plan
) -> Iterator[Violation]:
    in_use: Counter[str] = Counter()
    for usage in snapshot.usage:
        in_use[usage.share] += usage.slots
    planned: Counter[str] = Counter()
    for launch in plan.launches:
        planned[waiting[launch.job_id].share] += launch.placement.count
    for share, count in planned.items():
        allowed = limits.share_limit(share)
        if allowed is not None and in_use[share] + count > allowed:
            yield Violation("S17", "", f"share {share} is given {count} beyond its {allowed}")


def _pool_violations(
    snapshot: Snapshot, limits: Limits, plan: Plan, now: datetime
) -> Iterator[Violation]:
    in_use: Counter[str] = Counter()
    for usage in snapshot.usage:
        in_use[usage.pool] += usage.slots
    planned: Counter[str] = Counter()
    launches: Counter[str] = Counter()
    for launch in plan.launches:
        planned[launch.placement.pool] += launch.placement.count
        launches[launch.placement.pool] += 1
    for pool, count in planned.items():
        total = in_use[pool] + count
        for bound in (snapshot.capacity.get(pool), limits.pools.get(pool)):
            if bound is not None and total > bound:
                yield Violation("S17", "", f"{pool}: {total} slots of {bound}")
        state = snapshot.pools.get(pool)
        if state is None or state.limit is None or state.limit_at is None:
            continue
        age = now - state.limit_at
        external = state.external if age < FORGOTTEN_AFTER else 0
        is_probe = launches[pool] == 1 and age >= _LIMIT_ASKED_AGAIN
        if total + external > state.limit and not is_probe:
            detail = f"{in_use[pool]} + {count} slots, external {external}, of {state.limit}"
            yield Violation("S17", "", f"{pool}: {detail}")


def _rotation_violations(
    snapshot: Snapshot, limits: Limits, job: Waiting, launch: Launch, plan: Plan, now: datetime
) -> Iterator[Violation]:
    """
    Check that a speculative launch went to the job's least recently tried pool.

    Pools with another obstacle for the job than the shortage are not compared.
    """
    pool = launch.placement.pool
    chosen = snapshot.pools.get(pool)
    if len(job.placements) < 2 or chosen is None or not chosen.refusals or chosen.bet_at is None:
        return
    planned = {other.placement.pool for other in plan.launches if other.job_id != job.job_id}
    for place in job.placements:
        state = snapshot.pools.get(place.pool)
        if (
            state is not None
            and state.bet_at is not None
            and state.bet_at < chosen.bet_at
            and place.pool not in planned
            and _is_short_only(snapshot, limits, place)
            and _has_allowance(snapshot, place, now)
        ):
            detail = f"last speculative launch {chosen.bet_at}; {place.pool}: {state.bet_at}"
            yield Violation("J2", job.job_id, f"speculative launch in {pool}, {detail}")


def _is_short_only(snapshot: Snapshot, limits: Limits, place: Placement) -> bool:
    """Check whether the pool has neither a quota nor an operator's limit nor a known size."""
    return (
        snapshot.pools[place.pool].limit is None
        and place.pool not in limits.pools
        and snapshot.capacity.get(place.pool, 0) is None
    )


def _has_allowance(snapshot: Snapshot, place: Placement, now: datetime) -> bool:
    slots = [use for use in snapshot.usage if use.pool == place.pool]
    may = allowance(
        snapshot.pools[place.pool],
        size=None,
        in_flight=sum(use.slots for use in slots),
        running=sum(use.running for use in slots),
        waiting=1,
        now=now,
    )
    return may.until is None and place.count <= (may.reuse or 0) + (may.bets or 0)
