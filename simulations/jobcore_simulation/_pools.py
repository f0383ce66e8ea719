"""Pools of capacity: their names, their size over time, and the account's quotas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from jobcore.errors import InvalidSetting
from jobcore_config.checks import Check, report_all

from ._checks import COUNT, SECONDS, STEPS, Steps
from ._texts import ACROSS_TRAININGS, over_limit

if TYPE_CHECKING:
    from ._training import Training

__all__ = [
    "Pool",
    "PoolConfig",
    "Shortage",
    "first_allowed",
    "is_accelerated",
    "pool_name",
    "quota_name",
]

MARKETS = ("on-demand", "spot", "plan")
_ACCELERATED_FAMILIES = ("ml.p", "ml.g", "ml.trn", "ml.inf")
_QUOTA_NAMES = {"on-demand": "training job usage", "spot": "spot training job usage"}


class Shortage(StrEnum):
    """The effect of a shortage: the quota allows more instances than there are."""

    WAIT = "wait"  # Pending until instances come, or MaxPendingTimeInSeconds is over
    FAIL = "fail"  # accepted; fails with CapacityError after a while
    REFUSE = "refuse"  # the capacity is the quota: ResourceLimitExceeded at the call


@attrs.frozen(kw_only=True, field_transformer=report_all)
class PoolConfig:
    """
    A pool as it is set up.

    Attributes:
        capacity: existing instances: a number, or steps (seconds since the pool was set up,
            instances), the first of which holds at once. Without it there is no bound.
        period: after this many seconds the steps begin again. Without it the last one stays.
        quota: instances that the account may use at once. Without it there is no bound.
        shortage: how a lack of capacity shows. Without it ``wait`` for accelerated instance types,
            and ``fail`` for others.
        capacity_error_after: seconds from creation to the CapacityError of the shortage ``fail``.
    """

    capacity: int | Steps | None = attrs.field(
        default=None,
        validator=Check(
            "a number of instances, or a list of [seconds, instances]",
            lambda value: COUNT.allows(value) or STEPS.allows(value),
        ),
    )
    period: float | None = attrs.field(default=None, validator=SECONDS)
    quota: int | None = attrs.field(default=None, validator=COUNT)
    shortage: Shortage | None = None
    capacity_error_after: float = attrs.field(default=300.0, validator=SECONDS)

    def __attrs_post_init__(self) -> None:
        """Refuse steps that are out of order, and a period that does not hold them."""
        times = [at for at, _ in self.steps()]
        if times != sorted(set(times)):
            raise InvalidSetting([("capacity", "expected steps in the order of time")])
        if self.period is not None and (not times or self.period <= times[-1]):
            raise InvalidSetting([("period", "expected more than the steps of capacity take")])

    def steps(self) -> Sequence[tuple[float, int]]:
        """Return the capacity as steps; none where it is constant."""
        return self.capacity if isinstance(self.capacity, tuple) else ()


@dataclass(slots=True)
class Pool:
    """A pool as it is now. *used* are instances running; *quota_used* those the account is charged."""

    name: str
    config: PoolConfig
    capacity: int | None
    used: int = 0
    quota_used: int = 0
    next_step: int = 0
    generation: int = 0  # steps of an earlier set-up are void
    queue: dict[str, Training] = field(default_factory=dict)  # waiting, first come first
    running: dict[str, Training] = field(default_factory=dict)  # in the order they got instances

    @property
    def market(self) -> str:
        """The market: on-demand, spot or plan."""
        return self.name.rpartition("/")[2]

    @property
    def shortage(self) -> Shortage:
        """The effect of a shortage in this pool."""
        if self.config.shortage is not None:
            return self.config.shortage
        return Shortage.WAIT if is_accelerated(self.name) else Shortage.FAIL

    def has_room(self, count: int) -> bool:
        """Check whether *count* more instances are there now."""
        return self.capacity is None or self.used + count <= self.capacity

    def has_quota(self, count: int) -> bool:
        """Check whether the account may use *count* more instances."""
        return self.config.quota is None or self.quota_used + count <= self.config.quota


def first_allowed(
    candidates: Sequence[tuple[Pool, int]], *, total: int | None, used: int
) -> tuple[Pool, int]:
    """
    Choose the pool whose quota a training counts against: the first one with room.

    Args:
        candidates: pools and instances, the preferred one first.
        total, used: the quota over all pools, and its use, in instances.

    Raises:
        Refused: ResourceLimitExceeded, with the first pool's numbers.
    """
    for pool, count in candidates:
        if not pool.has_quota(count):
            continue
        if pool.shortage is Shortage.REFUSE and not pool.has_room(count):
            continue
        if total is not None and used + count > total:
            raise over_limit(ACROSS_TRAININGS, total, used, count)
        return pool, count
    pool, count = candidates[0]
    quota = pool.config.quota
    if quota is not None and not pool.has_quota(count):
        raise over_limit(quota_name(pool.name), quota, pool.quota_used, count)
    raise over_limit(quota_name(pool.name), pool.capacity or 0, pool.used, count)


def pool_name(region: str, instance_type: str, market: str) -> str:
    """Name a pool: ``us-east-1/ml.m5.large/on-demand``."""
    return f"{region}/{instance_type}/{market}"


def quota_name(pool: str) -> str:
    """Name the quota that a pool counts against, as AWS does."""
    _, instance_type, market = pool.split("/")
    return f"{instance_type} for {_QUOTA_NAMES.get(market, 'reserved training job usage')}"


def is_accelerated(pool: str) -> bool:
    """Check whether the pool's instances have accelerators (the ml.p, ml.g, ml.trn families ...)."""
    return pool.split("/")[1].startswith(_ACCELERATED_FAMILIES)
