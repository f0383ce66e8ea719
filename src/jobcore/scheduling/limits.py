"""What the operator allows the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

__all__ = [
    "Limits",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What the operator allows.

    Args:
        pools: most slots in use per pool.
        shares: most slots in use per share, over all pools.
        share_default: for shares not named; None for no limit.
        share_weights: how much a share is entitled to, against 1 for those not named.
        aging: a job goes up by one priority for each such time that it has waited, so that
            nobody starves; None for strict priorities.
        group_breaker: so many failures of one cause, and no completed job, pause a group
            (see `jobcore.count_ends`); 0 for never.
        launches_max: launches of one plan, so that a tick ends in time.
        pool_backoff, pool_backoff_max: how long a pool is not asked for more after a refusal:
            at least the first; rounds of probes are four times that apart, twice as much after
            each refused one, and at most the second.
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

    def share_limit(self, share: str) -> int | None:
        """Give the limit of *share*; None for none."""
        return self.shares.get(share, self.share_default)
