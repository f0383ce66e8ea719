"""Pools of SageMaker: which instances, in which region, bought how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Market", "Pool", "is_accelerated", "pool_named"]

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]{1,32}\.[a-z0-9]{1,32}")
# MaxPendingTimeInSeconds takes effect for the ml.p, ml.g and ml.trn families only (service model).
_ACCELERATED = re.compile(r"ml\.(?:p|g|trn)\d")
PREFERENCES_MAX = 5


class Market(StrEnum):
    """How the instances of a pool are bought."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    PLAN = "plan"  # a training plan: capacity reserved beforehand


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """
    One source of capacity.

    Args:
        name: as job files name it: ``<region>/<instance type>/<market>``, or a short name.
        instance_types: mostly one. With several, SageMaker takes the first that has capacity
            (InstancePreferences), so that one wait covers them all.
        market: on-demand, spot or plan.
        region: None for the deployment's.
        slots: how many instances may run in it; None where that is not known.
        plan: the ARN of the training plan, for the market ``plan``.

    Raises:
        ValueError: the combination is not possible; the message says what to change.
    """

    name: str
    instance_types: tuple[str, ...]
    market: Market = Market.ON_DEMAND
    region: str | None = None
    slots: int | None = None
    plan: str | None = None

    def __post_init__(self) -> None:
        """Refuse what SageMaker would refuse for every job of the pool."""
        _check(bool(self.instance_types), "instance_types: expected at least one")
        _check(len(self.instance_types) <= PREFERENCES_MAX, "instance_types: at most 5")
        for kind in self.instance_types:
            ok = _INSTANCE_TYPE.fullmatch(kind) is not None
            _check(ok, f'instance_types: expected a type such as "ml.g5.2xlarge", got {kind!r}')
        _check(len(set(self.instance_types)) == len(self.instance_types), "instance_types: twice")
        several_on_spot = len(self.instance_types) > 1 and self.market is Market.SPOT
        _check(not several_on_spot, "instance_types: SageMaker takes one type only on spot")
        if self.region is not None:
            ok = _REGION.fullmatch(self.region) is not None
            _check(ok, f'region: expected one such as "us-east-1", got {self.region!r}')
        _check(self.slots is None or self.slots >= 0, "slots: expected 0 or more")
        if self.market is Market.PLAN:
            _check(bool(self.plan), "plan: give the ARN of the training plan")
        else:
            _check(self.plan is None, "plan: only for the market plan")

    @property
    def is_spot(self) -> bool:
        """True where instances may be taken away again."""
        return self.market is Market.SPOT

    @property
    def is_accelerated(self) -> bool:
        """True if an instance type of the pool has accelerators."""
        return any(map(is_accelerated, self.instance_types))


def is_accelerated(instance_type: str) -> bool:
    """Tell whether SageMaker counts an instance type as accelerated (it bounds the pending time of these)."""
    return _ACCELERATED.match(instance_type) is not None


def pool_named(name: str, *, slots: int | None = None, plan: str | None = None) -> Pool:
    """
    Read ``<region>/<instance type>/<market>``; region and market (on-demand) may be left out.

    Raises:
        ValueError: *name* is not of that form.
    """
    parts = name.split("/")
    market = parts.pop() if parts[-1] in set(Market) else Market.ON_DEMAND
    region, kind = ("", "", *parts)[-2:]
    try:
        _check(len(parts) <= 2, f"there is no market {parts[-1]!r}")
        return Pool(
            name=name,
            instance_types=(kind,),
            market=Market(market),
            region=region or None,
            slots=slots,
            plan=plan,
        )
    except ValueError as error:
        wants = 'a name such as "us-east-1/ml.g5.2xlarge/spot" (market: on-demand, spot or plan)'
        msg = f"expected {wants}, or a table with instance_type: {error}"
        raise ValueError(msg) from None


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)
