"""
The number of launches that a pool may get now, from its learned state.

Services do not publish their free instances. A launch is the only test, and its result comes minutes
later. So a pool's state (`jobcore.lifecycle.PoolState`) has a *level* (the slots seen to run) and the
level *before* the last shortage, and allows small *bets* (speculative launches) above the level:

- A launch within the level reuses a slot that an earlier job gave back. It is allowed at once.
- A launch above the level is a bet. A bet that starts raises the level and adds twice itself to the
  next bet, which is at most as large as the number that runs (or 16). So the last round of bets asks
  for at most twice the slots that exist.
- A refusal reduces the bets to a few canaries, in rounds of one to five minutes, however many jobs
  wait. It reduces the level to the slots in flight that are not overdue; if more slots are missing
  than were bet, to those that run (never below).
- A batch of refusals counts once: launches sent before the last refusal belong to it. If the
  refusals of a batch come over several ticks, the level may stay too high until a later launch is
  refused as well.
- A quota message states limit and use in numbers; they are used, without a back-off.

The rounds follow from the hazard rate of recovery, measured on public spot traces. It falls slowly
with the age of a shortage: 0.2 in the next ten minutes at first, 0.05 after hours. So probes at the
old level are worth their cost at first, and sparse probes for as long as the shortage lasts.

`jobcore.scheduling.learning` has the rules that update a state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobcore.lifecycle.records import PoolState

__all__ = [
    "BET_FIRST",
    "EXTERNAL_BELIEVED",
    "LATE",
    "LIMIT_BELIEVED",
    "Allowance",
    "allowance",
    "known_quotas",
    "quota_room",
]

#: The use of a quota by other customers counts for this long. It changes without notice; an estimate
#: that was kept for ever lost 46 % of a pool in simulations.
EXTERNAL_BELIEVED = timedelta(minutes=2)
#: A quota limit counts for this long; then one launch tests whether it was raised.
LIMIT_BELIEVED = timedelta(minutes=15)
#: A launch that does not run after this long counts as refused, without waiting for its error.
LATE = timedelta(minutes=5)
#: Bets above the level before the first answer of a pool.
BET_FIRST = 32

#: A level without a confirming start or end for this long decays; the median of up spells in public
#: traces is 25 to 33 minutes.
_LEVEL_BELIEVED = timedelta(minutes=10)
_LEVEL_HALF_LIFE = timedelta(minutes=30)
#: Services grant or fail a launch within minutes. One without an answer for this long may never get
#: one, and must not keep other jobs from the pool.
_UNANSWERED = timedelta(hours=1)
_CANARIES_MAX = 32
_OVERSIZE_EVERY = 4  # rounds of bets


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    The number of slots of a pool that may be requested now; None is without bound.

    Args:
        reuse: slots that earlier jobs gave back.
        bets: slots beyond those, for speculative launches.
        oversize: one job larger than *bets* may be launched as a bet, so that large jobs do not starve.
        until: the time at which time alone may allow more.
    """

    reuse: int | None
    bets: int | None = 0
    oversize: bool = False
    until: datetime | None = None


_UNBOUNDED = Allowance(None, None)


def allowance(
    state: PoolState | None,
    *,
    size: int | None,
    in_flight: int,
    running: int,
    waiting: int,
    now: datetime,
) -> Allowance:
    """
    Return the number of slots of a pool that may be requested now.

    Args:
        size: the pool's size if the trainer knows it; until a refusal it is the only bound.
        in_flight, running: slots held by active jobs, and those of them that run.
        waiting: the number of jobs that name the pool.
    """
    if size is not None and (state is None or state.refused_at is None):
        if state is not None and state.closed_until is not None and now < state.closed_until:
            return Allowance(0, 0, until=state.closed_until)
        return _UNBOUNDED
    if state is None:
        state = PoolState(name="")
    level, memory = _level_of(state, in_flight, running, now)
    bets = 0 if state.queue_granted else min(state.bets, max(0, in_flight - running))
    reuse = max(0, level + bets - in_flight)
    if state.closed_until is not None and now < state.closed_until:
        return Allowance(reuse, 0, until=state.closed_until)
    growth = BET_FIRST if state.growth is None else max(state.growth, _canaries(waiting))
    target = max(level, math.ceil(memory)) + growth
    more = max(0, target - max(level + bets, in_flight))
    unanswered = in_flight > running and _is_unanswered(state, now)
    if more == 0 and unanswered:
        more = _canaries(waiting)
    # Without this a job larger than the bets never fits into them, and starves.
    turn = state.rounds % _OVERSIZE_EVERY == 0 or in_flight <= running or unanswered
    return Allowance(reuse, more, oversize=more > 0 and turn)


def _is_unanswered(state: PoolState, now: datetime) -> bool:
    """Check whether the launches in flight have had no answer for so long that other jobs may go ahead."""
    times = [at for at in (state.bet_at, state.refused_at, state.level_at) if at is not None]
    return bool(times) and now - max(times) > _UNANSWERED


def _level_of(state: PoolState, in_flight: int, running: int, now: datetime) -> tuple[int, float]:
    """Return the level whose slots may be reused at once, and the level up to which probes are worth it."""
    memory = state.fade * state.before
    level = max(state.level, running)
    if level > in_flight and state.level_at is not None:
        age = now - state.level_at - _LEVEL_BELIEVED
        if age > timedelta(0):
            return in_flight, max(memory, level * 0.5 ** (age / _LEVEL_HALF_LIFE))
    return level, memory


def _canaries(waiting: int) -> int:
    """Return the number of bets that probe a shortage: the best number grows with the root of *waiting*."""
    return min(max(round(math.sqrt(waiting) / 8), 1), _CANARIES_MAX)


def quota_room(state: PoolState | None, used: int, now: datetime) -> int | None:
    """
    Return the number of further slots that the quota allows; None if no quota is known.

    After `LIMIT_BELIEVED` the planner lets one launch exceed it, since limits get raised.
    """
    if state is None or state.limit is None or state.limit_at is None:
        return None
    age = now - state.limit_at
    external = state.external if age < EXTERNAL_BELIEVED else 0
    return max(0, state.limit - external - used)


def known_quotas(states: Mapping[str, PoolState], now: datetime) -> dict[str, int]:
    """Return the quota of each pool for which a refusal stated one, for `LIMIT_BELIEVED` after it."""
    return {
        name: state.limit
        for name, state in states.items()
        if state.limit is not None
        and state.limit_at is not None
        and now - state.limit_at < LIMIT_BELIEVED
    }
