"""Reading `jobcore.Limits`, with checks of its fields."""

from __future__ import annotations

from datetime import timedelta

from jobcore import Limits

from .checks import above, at_least, each
from .reading import CHECKS, read

__all__ = ["read_limits"]

_NO_TIME = timedelta(0)
CHECKS[Limits] = {
    "pools": each(at_least(0)),
    "shares": each(at_least(0)),
    "share_default": at_least(0),
    "share_weights": each(above(0)),  # usage is divided by it
    "aging": above(_NO_TIME),  # waiting time is divided by it
    "group_breaker": at_least(0),
    "launches_max": at_least(1),
    "pool_backoff": at_least(_NO_TIME),
    "pool_backoff_max": at_least(_NO_TIME),
}


def read_limits(data: object) -> Limits:
    """
    Read the planner's limits.

    Raises:
        InvalidSetting: with every problem.
    """
    return read(Limits, data)
