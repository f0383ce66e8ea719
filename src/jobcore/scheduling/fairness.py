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

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from jobcore.lifecycle.records import PoolState

__all__ = [
    "charge_usage",
    "usage_by_share",
]

_HOUR = timedelta(hours=1)


_SERVED_HALF_LIFE = timedelta(hours=2)


_SERVED_MIN = 0.05


def usage_by_share(state: PoolState | None, now: datetime) -> dict[str, float]:
    """Say how many slot hours each share was given lately, older ones counting less."""
    if state is None or state.served_at is None:
        return {}
    fade = 0.5 ** (max(timedelta(0), now - state.served_at) / _SERVED_HALF_LIFE)
    return {share: hours * fade for share, hours in state.served.items()}


def charge_usage(
    state: PoolState, launched: Mapping[str, int], running: Mapping[str, int], now: datetime
) -> PoolState:
    """
    Add what each share was given: an hour for each slot launched, and the time of what runs.

    Args:
        launched, running: slots by share; those that run are taken to have run since the last time.
    """
    hours = usage_by_share(state, now)
    since = state.served_at or now
    ran = min(max(timedelta(0), now - since), _SERVED_HALF_LIFE) / _HOUR
    for share in {**launched, **running}:
        more = launched.get(share, 0) + running.get(share, 0) * ran
        hours[share] = hours.get(share, 0.0) + more
    kept = {share: round(had, 3) for share, had in hours.items() if had >= _SERVED_MIN}
    return replace(state, served=kept, served_at=now)
