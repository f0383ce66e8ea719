"""What an operator may allow the planner: each limit that cannot work is refused by its name."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from core_strategies import make_job
from jobcore import InvalidSetting, Limits, Placement
from jobcore.errors import Problem
from jobcore.scheduling import limit_problems

WRONG = [
    ({"pools": {"cpu": "2"}}, "pools.cpu", "expected a whole number of 0 or more, got a string ('2')"),
    ({"pools": {"cpu": -1}}, "pools.cpu", "expected 0 or more, got -1"),
    ({"pools": {"cpu": True}}, "pools.cpu", "expected a whole number of 0 or more, got true or false (True)"),
    ({"pools": {"cpu": None}}, "pools.cpu", "expected a whole number of 0 or more, got None"),
    ({"pools": {3: 1}}, "pools.3", "expected a name, got 3"),
    ({"pools": {"": 1}}, "pools.", "expected a name, got nothing"),
    ({"pools": ["cpu"]}, "pools", "expected a table, got a list (['cpu'])"),
    ({"shares": {"ada": -1}}, "shares.ada", "expected 0 or more, got -1"),
    ({"shares": {"ada": 1.5}}, "shares.ada", "expected a whole number of 0 or more, got 1.5"),
    ({"share_default": -1}, "share_default", "expected 0 or more, got -1"),
    ({"share_weights": {"ada": 0}}, "share_weights.ada", "expected 0.000001 to 1,000,000, got 0"),
    ({"share_weights": {"ada": -1.0}}, "share_weights.ada", "expected 0.000001 to 1,000,000, got -1.0"),
    ({"share_weights": {"ada": math.nan}}, "share_weights.ada", "expected 0.000001 to 1,000,000, got nan"),
    ({"share_weights": {"ada": math.inf}}, "share_weights.ada", "expected 0.000001 to 1,000,000, got inf"),
    ({"share_weights": {"ada": 10**400}}, "share_weights.ada", None),
    ({"share_weights": {"ada": True}}, "share_weights.ada", "expected a number from 0.000001 to 1,000,000, got true or false (True)"),
    ({"aging": timedelta(0)}, "aging", "expected at least 1 second, got 0 seconds"),
    ({"aging": timedelta(hours=-1)}, "aging", "expected at least 1 second, got -1 hour"),
    ({"aging": 3600}, "aging", "expected a duration, got 3600"),
    ({"group_breaker": -1}, "group_breaker", "expected 0 or more, got -1"),
    ({"group_breaker": True}, "group_breaker", None),
    ({"launches_max": -5}, "launches_max", "expected 0 or more, got -5"),
    ({"launches_max": None}, "launches_max", None),
    ({"pool_backoff": timedelta(seconds=-1)}, "pool_backoff", "expected 0 or more, got -1 second"),
    ({"pool_backoff": timedelta(days=300)}, "pool_backoff", "expected at most 7 days, got 300 days"),  # doubled 22 times, it has no date
    ({"pool_backoff_max": timedelta(seconds=-1)}, "pool_backoff_max", None),
    ({"pool_backoff_max": "5m"}, "pool_backoff_max", None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "field", "said"), WRONG)
def test_a_limit_that_cannot_work_is_refused_by_its_name(fields, field, said):
    with pytest.raises(InvalidSetting) as caught:
        Limits(**fields)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert problem.message.startswith("expected ")
    assert said is None or problem == Problem(field, said)


def test_every_limit_that_is_wrong_is_named_at_once():
    with pytest.raises(ValueError, match="launches_max") as caught:
        Limits(pools={"a": -1, "b": "x"}, launches_max=-1, aging=timedelta(0))
    assert isinstance(caught.value, InvalidSetting)
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"pools.a", "pools.b", "launches_max", "aging"}


def test_the_bounds_are_allowed():
    second = timedelta(seconds=1)
    limits = Limits(
        pools={"cpu": 0},
        shares={"ada": 0},
        share_default=0,
        share_weights={"ada": 1e-6, "bob": 1_000_000, "eve": 2},
        aging=second,
        group_breaker=0,
        launches_max=0,
        pool_backoff=timedelta(0),
        pool_backoff_max=timedelta(0),
    )
    assert limits.share_limit("ada") == limits.share_limit("zoe") == 0
    assert Limits(aging=None, share_default=None).aging is None


def test_the_limits_that_an_operator_has_without_setting_any():
    limits = Limits()
    assert (limits.pools, limits.shares, limits.share_weights) == ({}, {}, {})
    assert (limits.share_default, limits.aging) == (None, timedelta(hours=6))
    assert (limits.group_breaker, limits.launches_max) == (5, 100)
    assert (limits.pool_backoff.seconds, limits.pool_backoff_max.seconds) == (15, 300)
    assert limits.share_limit("x") is None
    some = Limits(shares={"x": 0}, share_default=3)
    assert (some.share_limit("x"), some.share_limit("y")) == (0, 3)


@pytest.mark.parametrize(
    ("limits", "count", "problem"),
    [
        (Limits(pools={"a": 2}), 3, ("pools", "pool 'a' is limited to 2 slots, got a count of 3")),
        (Limits(pools={"a": 2}), 2, None),
        (Limits(pools={"b": 2}), 3, None),
        (Limits(pools={"a": 0}), 3, None),
        (Limits(share_default=2), 3, ("share", "share 'ada' may use 2 slots at once, got a count of 3")),
        (Limits(shares={"ada": 4}, share_default=2), 4, None),
        (Limits(share_default=0), 3, None),
    ],
)  # fmt: skip
def test_a_count_that_no_plan_can_have_is_a_problem(limits, count, problem):
    """A limit of 0 closes a pool or a share for a while; such a job waits."""
    spec = make_job(placements=(Placement("a", count),)).spec
    assert list(limit_problems(spec, limits)) == ([] if problem is None else [problem])
