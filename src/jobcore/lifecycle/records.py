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
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

__all__ = [
    "ALL_POOLS",
    "PoolState",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """
    What has been learned about a pool. Slots are instances, or local slots.

    Args:
        version: for compare-and-set in the store.
        level: slots seen to run at once since the last shortage.
        level_at: when an end or a start last confirmed the level.
        before: the level before the last shortage; *fade* (1 to 0) is how much it is trusted.
        growth: slots to bet above the level; None before the first answer.
        bets: slots launched as bets and not answered yet.
        bet_at, rounds: when the last bets were made, and how many rounds there were.
        refusals: rounds refused since the last success; the back-off doubles with each.
        refused_at: the last refusal; launches begun before it teach nothing more of it.
        shrunk: whether *before* holds the level from before this shortage.
        overdue: slots launched longer than `LATE` ago that do not run: they have no instances.
        peak, peak_at: most slots in flight, but for those overdue, since the last shortage, and since
            when. If nothing has been refused for a while, they all have had their instances at once;
            what runs is always less by those that start up, and would be a level too low.
        heard: whether a launch that waited has been given instances, so that those which wait
            now will get what becomes free, and a launch of ours into it would be one too many.
        closed_until: no bet before this.
        limit: the quota, as the last refusal stated it; None while unknown.
        external: slots in use by others, from the same sentence.
        limit_at: when that was said. What others use is believed for two minutes only.
        because: the last refusal, for people.
        served, served_at: for the state named `ALL_POOLS` only: slot hours given by share, halved every
            two hours, so that who has had much lately goes last among equals.
        groups: for the state named `ALL_POOLS` only: how jobs of groups have ended (`jobcore.count_ends`).
    """

    TIMES: ClassVar = (
        "level_at", "bet_at", "refused_at", "peak_at", "closed_until", "limit_at", "served_at",
    )  # fmt: skip

    name: str
    version: int = 0
    level: int = 0
    level_at: datetime | None = None
    before: int = 0
    fade: float = 1.0
    growth: int | None = None
    bets: int = 0
    bet_at: datetime | None = None
    rounds: int = 0
    refusals: int = 0
    refused_at: datetime | None = None
    shrunk: bool = False
    overdue: int = 0
    peak: int = 0
    peak_at: datetime | None = None
    heard: bool = False
    closed_until: datetime | None = None
    limit: int | None = None
    external: int = 0
    limit_at: datetime | None = None
    because: str = ""
    served: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    served_at: datetime | None = None


ALL_POOLS = "*"
