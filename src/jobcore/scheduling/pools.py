"""What a pool of unknown size has taught, and how far it may be asked now.

Nobody tells how many instances a cloud has left; the only probe is a launch, and its
answer comes minutes later. So a pool remembers a *level* (what has been seen to run),
the level *before* the last shortage, and makes small *bets* above it:

- A launch within the level uses a slot that we held and that became free: it goes out at once.
- A launch above it is a bet. A bet that starts raises the level and trebles the next bet, which is
  never larger than what runs (or sixteen): at worst the last round asks for twice what there is.
- A refusal takes the bets down to a few canaries, which go out in rounds of one to five minutes
  however many jobs wait, and the level to what is in flight and not overdue; where more is missing
  than was bet, to what runs (never below).
- A batch of refusals counts once: launches sent before the last one carry no newer news. If it comes
  over several passes, the level may stay too high until a later launch is refused as well.
- A quota sentence tells limit and use in so many words: no guessing, no back-off.

The shape follows from the hazard of recovery, measured on public spot traces: it falls
slowly with the age of a drought (0.2 in the next ten minutes at first, 0.05 after hours),
so listening at the old level pays at first, and sparse probing for as long as it lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobcore.lifecycle.records import PoolState

__all__ = [
    "EXTERNAL_BELIEVED",
    "LATE",
    "LIMIT_BELIEVED",
    "Allowance",
    "allowance",
    "quota_room",
]

# What another customer of the same quota uses changes; a sticky estimate lost 46 % of a pool.
EXTERNAL_BELIEVED = timedelta(minutes=2)
# Limits get raised: after this long without room, one launch may ask again.
LIMIT_BELIEVED = timedelta(minutes=15)
# A level that nothing has confirmed for so long is a memory; up spells last 25-33 min at the median.
_LEVEL_BELIEVED = timedelta(minutes=10)
_MEMORY_HALF_LIFE = timedelta(minutes=30)
#: A launch that does not run after this long counts as refused, to learn from before the error comes.
LATE = timedelta(minutes=5)
# A provider gives up, or gives, within minutes. What is asked for longer may be a job that no
# provider ever answers for, and others must not wait for it.
_UNANSWERED = timedelta(hours=1)
BET_FIRST = 32
_CANARIES_MAX = 32
_OVERSIZE_EVERY = 4


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    How far a pool may be asked now; None is without end.

    Args:
        reuse: slots that were ours and are free.
        bets: slots beyond that.
        oversize: a job larger than *bets* may be the bet, so that large jobs do not wait for ever.
        until: when time alone may allow more.
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
    Say how many more slots of a pool may be asked for.

    Args:
        size: the pool's size, where the trainer tells it; then nothing is guessed until it refuses.
        in_flight, running: slots of ours, launched and of these running.
        waiting: jobs that would go there.
    """
    if size is not None and (state is None or state.refused_at is None):
        if state is not None and state.closed_until is not None and now < state.closed_until:
            return Allowance(0, 0, until=state.closed_until)
        return _UNBOUNDED
    if state is None:
        state = PoolState(name="")
    level, memory = _level_of(state, in_flight, running, now)
    bets = 0 if state.heard else min(state.bets, max(0, in_flight - running))
    reuse = max(0, level + bets - in_flight)
    if state.closed_until is not None and now < state.closed_until:
        return Allowance(reuse, 0, until=state.closed_until)
    growth = BET_FIRST if state.growth is None else max(state.growth, _canaries(waiting))
    target = max(level, math.ceil(memory)) + growth
    more = max(0, target - max(level + bets, in_flight))
    unanswered = in_flight > running and _is_unanswered(state, now)
    if more == 0 and unanswered:
        more = _canaries(waiting)
    # Or large jobs would wait for bets that only small ones can make.
    turn = state.rounds % _OVERSIZE_EVERY == 0 or in_flight <= running or unanswered
    return Allowance(reuse, more, oversize=more > 0 and turn)


def _is_unanswered(state: PoolState, now: datetime) -> bool:
    """Say whether what is asked for has had no answer for so long that it stands in nobody's way."""
    times = [at for at in (state.bet_at, state.refused_at, state.level_at) if at is not None]
    return bool(times) and now - max(times) > _UNANSWERED


def _level_of(state: PoolState, in_flight: int, running: int, now: datetime) -> tuple[int, float]:
    """Give the level that may be reused at once, and the one that is worth listening at."""
    memory = state.fade * state.before
    level = max(state.level, running)
    if level > in_flight and state.level_at is not None:
        age = now - state.level_at - _LEVEL_BELIEVED
        if age > timedelta(0):
            return in_flight, max(memory, level * 0.5 ** (age / _MEMORY_HALF_LIFE))
    return level, memory


def _canaries(waiting: int) -> int:
    """How many launches probe for *waiting* jobs: the best rate grows with the root of the gain."""
    return min(max(round(math.sqrt(waiting) / 8), 1), _CANARIES_MAX)


def quota_room(state: PoolState | None, used: int, now: datetime) -> int | None:
    """
    Say how many more slots the quota allows, as far as is known; None: no bound is known.

    A limit may have been raised: after `LIMIT_BELIEVED` one launch beyond it may ask again.
    """
    if state is None or state.limit is None or state.limit_at is None:
        return None
    age = now - state.limit_at
    external = state.external if age < EXTERNAL_BELIEVED else 0
    return max(0, state.limit - external - used)
