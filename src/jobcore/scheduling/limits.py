"""The operator's limits on plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from jobcore.checks import (
    if_given,
    refuse_setting,
    wrong_duration,
    wrong_in,
    wrong_number,
    wrong_whole,
)
from jobcore.errors import Problem
from jobcore.lifecycle.model import Spec

__all__ = [
    "Limits",
    "limit_problems",
]

_AGING_MIN = timedelta(seconds=1)
#: Back-offs are doubled up to 22 times; a longer one could end after the last date of datetime.
_BACKOFF_MAX = timedelta(days=7)
_WEIGHT_MIN, _WEIGHT_MAX = 1e-6, 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The operator's limits on plans.

    Args:
        pools: most slots in use per pool, 0 or more; a pool that is not named has no limit.
        shares: most slots in use per share, 0 or more, over all pools.
        share_default: for shares that are not named; None for no limit.
        share_weights: the weight of a share in fair share, 0.000001 to 1,000,000; a share that is
            not named has weight 1.
        aging: the waiting time that raises a job by one priority, so that no job starves; 1 s or
            more; None for strict priorities.
        group_breaker: the number of consecutive failures of one cause that pause a group without a
            completed job (see `jobcore.scheduling.evaluate_group`); 0 for never.
        launches_max: the most launches of one plan, so that a tick ends in time; 0 launches nothing.
        pool_backoff, pool_backoff_max: after a refusal a pool gets no speculative launch for at
            least *pool_backoff*. Rounds of probes are four times *pool_backoff* apart, twice as much
            after each refused round, and at most *pool_backoff_max*. Each is at most 7 days.

    Raises:
        InvalidSetting: a limit cannot work; all that cannot are named.
    """

    pools: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, int] = field(default_factory=dict)
    share_default: int | None = None
    share_weights: Mapping[str, float] = field(default_factory=dict)
    aging: timedelta | None = timedelta(hours=6)
    group_breaker: int = 5
    launches_max: int = 100
    pool_backoff: timedelta = timedelta(seconds=15)
    pool_backoff_max: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        """Refuse limits that cannot work."""
        no_time = timedelta(0)
        refuse_setting(
            **wrong_in("pools", self.pools, _wrong_slots),
            **wrong_in("shares", self.shares, _wrong_slots),
            share_default=if_given(_wrong_slots, self.share_default),
            **wrong_in("share_weights", self.share_weights, _wrong_weight),
            aging=if_given(wrong_duration, self.aging, _AGING_MIN),
            group_breaker=wrong_whole(self.group_breaker, 0),
            launches_max=wrong_whole(self.launches_max, 0),
            pool_backoff=wrong_duration(self.pool_backoff, no_time, _BACKOFF_MAX),
            pool_backoff_max=wrong_duration(self.pool_backoff_max, no_time, _BACKOFF_MAX),
        )

    def share_limit(self, share: str) -> int | None:
        """Return the limit of *share*; None for none."""
        return self.shares.get(share, self.share_default)


def limit_problems(spec: Spec, limits: Limits) -> Iterator[Problem]:
    """
    Find the counts of a job that are above a limit, so that no plan can ever have them.

    A limit of 0 is not counted: it closes a pool or a share for a while.
    """
    for place in spec.placements:
        limit = limits.pools.get(place.pool)
        if limit and place.count > limit:
            message = (
                f"pool {place.pool!r} is limited to {limit} slots, got a count of {place.count}"
            )
            yield Problem("pools", message)
    most = max(place.count for place in spec.placements)
    share_limit = limits.share_limit(spec.share)
    if share_limit and most > share_limit:
        message = f"share {spec.share!r} may use {share_limit} slots at once, got a count of {most}"
        yield Problem("share", message)


def _wrong_slots(value: object) -> str | None:
    return wrong_whole(value, 0)


def _wrong_weight(value: object) -> str | None:
    return wrong_number(value, _WEIGHT_MIN, _WEIGHT_MAX)
