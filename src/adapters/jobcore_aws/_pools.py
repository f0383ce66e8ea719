"""Pools of SageMaker: instance types, region and market."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import attrs

from jobcore import Placement, Spec
from jobcore.errors import InvalidSetting
from jobcore.jobfile import is_pool_name
from jobcore_config.checks import Wrong, at_least, each, matching, report_all, sized

__all__ = [
    "POOLS_MAX", "Market", "Pool", "is_accelerated", "pool_from", "pool_named", "resolve_pools",
    "wrong_names",
]  # fmt: skip

POOLS_MAX = 5  # of one job; each is tried by every launch tick. No service sets this limit.

_REGION = matching(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}", 'one such as "us-east-1"')
_INSTANCE_TYPE = matching(r"ml\.[a-z0-9-]{1,32}\.[a-z0-9]{1,32}", 'a type such as "ml.g5.2xlarge"')
_PREFERENCES = sized(1, 5, "instance types")  # InstancePreferences (service model)
# MaxPendingTimeInSeconds takes effect for the ml.p, ml.g and ml.trn families only (service model).
_ACCELERATED = re.compile(r"ml\.(?:p|g|trn)\d")


class Market(StrEnum):
    """The purchase option of a pool's instances."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    PLAN = "plan"  # a training plan: reserved capacity


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Pool:
    """
    One source of capacity.

    Attributes:
        name: the name in job files: ``<region>/<instance type>/<market>``, or a short name.
        instance_types: usually one. With several, SageMaker uses the first that has capacity
            (InstancePreferences), so that one wait covers them all.
        market: how the instances are bought.
        region: where the instances are. Without it, the deployment's region.
        slots: the number of instances that may run in it; None if it is not known.
        plan: the ARN of the training plan, for the market ``plan``.

    Raises:
        InvalidSetting: the combination is not possible; each message says what to change.
    """

    name: str
    instance_types: tuple[str, ...] = attrs.field(validator=[_PREFERENCES, each(_INSTANCE_TYPE)])
    market: Market = Market.ON_DEMAND
    region: str | None = attrs.field(default=None, validator=_REGION)
    slots: int | None = attrs.field(default=None, validator=at_least(0))
    plan: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that SageMaker would refuse for every job of the pool."""
        kinds, is_plan = self.instance_types, self.market is Market.PLAN
        problems = [
            (field, message)
            for wrong, field, message in (
                (len(set(kinds)) < len(kinds), "instance_types", "the same type is there twice"),
                (
                    len(kinds) > 1 and self.is_spot,
                    "instance_types",
                    "SageMaker takes one type only on spot",
                ),
                (is_plan and not self.plan, "plan", "give the ARN of the training plan"),
                (not is_plan and self.plan is not None, "plan", "only for the market plan"),
            )
            if wrong
        ]
        if problems:
            raise InvalidSetting(problems)

    @property
    def is_spot(self) -> bool:
        """True if instances may be interrupted."""
        return self.market is Market.SPOT

    @property
    def is_accelerated(self) -> bool:
        """True if an instance type of the pool has accelerators."""
        return any(map(is_accelerated, self.instance_types))


def is_accelerated(instance_type: str) -> bool:
    """Check whether SageMaker counts an instance type as accelerated (it bounds the pending time of these)."""
    return _ACCELERATED.match(instance_type) is not None


def pool_named(name: str, *, slots: int | None = None, plan: str | None = None) -> Pool:
    """
    Read ``<region>/<instance type>/<market>``; region and market (on-demand) may be left out.

    Raises:
        ValueError: *name* is not of that form, or there can be no such pool.
    """
    *parts, last = name.split("/")
    market = last if last in set(Market) else Market.ON_DEMAND
    parts += [] if last in set(Market) else [last]
    region, kind = ("", "", *parts)[-2:]
    if len(parts) > 2 or not _INSTANCE_TYPE.allows(kind) or (region and not _REGION.allows(region)):
        form = 'a name such as "us-east-1/ml.g5.2xlarge/spot" (market: on-demand, spot or plan)'
        expected = f"{form}, or a table with instance_type"
        raise Wrong(expected, name)
    return Pool(
        name=name,
        instance_types=(kind,),
        market=Market(market),
        region=region or None,
        slots=slots,
        plan=plan,
    )


@attrs.frozen(kw_only=True, field_transformer=report_all)
class _Table:
    """A pool as a table; without instance types they are read from its name."""

    instance_type: str | None = attrs.field(default=None, validator=_INSTANCE_TYPE)
    instance_types: tuple[str, ...] = attrs.field(default=(), validator=each(_INSTANCE_TYPE))
    market: Market = Market.ON_DEMAND
    region: str | None = attrs.field(default=None, validator=_REGION)
    slots: int | None = attrs.field(default=None, validator=at_least(0))
    plan: str | None = None


def pool_from(name: str, entry: Any) -> Pool:
    """
    Make a pool from its entry in the settings: slots, None if they are not known, or a table.

    Raises:
        ValueError: the entry is wrong, or such a pool is not possible.
    """
    if isinstance(entry, Pool):
        return entry
    if entry is None or (isinstance(entry, int) and not isinstance(entry, bool)):
        return pool_named(name, slots=entry)
    if not isinstance(entry, Mapping):
        expected = "a number of slots, null, or a table"
        raise Wrong(expected, entry)
    from jobcore_config.reading import read

    # An empty text stands for a missing field: templates fill settings in.
    table = read(_Table, {key: value for key, value in entry.items() if value != ""})
    kinds = (table.instance_type,) if table.instance_type else table.instance_types
    if not kinds:
        return pool_named(name, slots=table.slots, plan=table.plan)
    return Pool(
        name=name,
        instance_types=kinds,
        market=table.market,
        region=table.region,
        slots=table.slots,
        plan=table.plan,
    )


def wrong_names(
    names: Mapping[str, Sequence[str]], pools: Mapping[str, Pool]
) -> Iterator[tuple[str, str]]:
    """Find the names of several pools that cannot be used: the setting's field and what is wrong."""
    for name, members in names.items():
        unknown = [member for member in members if member not in pools]
        if not is_pool_name(name):
            yield f"pool_names.{name}", "expected a pool's name, such as cpu"
        elif name in pools:
            yield f"pool_names.{name}", "is the name of a pool; choose another one"
        elif unknown:
            known = ", ".join(sorted(pools)) or "none"
            yield (
                f"pool_names.{name}",
                f"there is no pool {unknown[0]!r} in pools; there are: {known}",
            )
        elif len(set(members)) < len(members):
            yield f"pool_names.{name}", "the same pool is there twice"


def resolve_pools(spec: Spec, names: Mapping[str, Sequence[str]]) -> Spec:
    """
    Replace the names in a job's placements by the pools that a deployment has for them.

    Entry points do it before they check and submit a job, so that stored jobs name pools only.
    """
    if not any(place.pool in names for place in spec.placements):
        return spec
    found: dict[str, Placement] = {}  # the first of a pool that is named more than once
    for place in spec.placements:
        for pool in names.get(place.pool, (place.pool,)):
            found.setdefault(pool, replace(place, pool=pool))
    return replace(spec, placements=tuple(found.values()))
