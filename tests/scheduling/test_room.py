"""The capacity left while a plan is made: choices, obstacles with their facts, loads and reservations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core_strategies import T0, make_job
from jobcore import Limits, Placement
from jobcore.lifecycle import PoolState, ShareUsage
from jobcore.ports import Usage, waiting_of
from jobcore.scheduling import Snapshot, WaitCode
from jobcore.scheduling.room import Capacity, Choice

MINUTE = timedelta(minutes=1)


def job(*placements, **spec):
    places = tuple(Placement(pool, count) for pool, count in placements)
    return waiting_of(make_job(placements=places, **spec))


def capacity(*, waiting=(), limits=None, **facts):
    facts = {"capacity": {"a": 4, "b": None}, **facts}
    return Capacity(Snapshot(waiting=waiting, **facts), limits or Limits(), T0)


def in_use(pool="a", slots=1, running=None, share="ada"):
    running = slots if running is None else running
    return Usage(pool=pool, share=share, slots=slots, running=running)


def test_the_first_placement_with_room_is_chosen():
    room = capacity(usage=[in_use(slots=3)])
    assert room.choose(job(("a", 1))) == Choice(Placement("a", 1), bet=False)
    # A pool that does not tell its size is a bet as long as nothing is known of it.
    assert room.choose(job(("a", 2), ("b", 2))) == Choice(Placement("b", 2), bet=True)


def test_what_is_allocated_is_used():
    room = capacity()
    for left in (4, 3, 2, 1):
        assert room.choose(job(("a", left))) == Choice(Placement("a", left), bet=False)
        room.allocate(Choice(Placement("a", 1), bet=False), "ada")
    full = room.choose(job(("a", 1)))
    assert (full.code, full.facts["used"], full.until) == (WaitCode.POOL_FULL, 4, None)


@pytest.mark.parametrize(
    ("placement", "limits", "code", "facts"),
    [
        (("c", 1), {}, WaitCode.POOL_UNKNOWN, {"pool": "c", "known": ["a", "b"]}),
        (("a", 5), {}, WaitCode.POOL_TOO_SMALL, {"pool": "a", "size": 4, "count": 5}),
        (("a", 4), {}, WaitCode.POOL_FULL, {"pool": "a", "size": 4, "used": 1, "count": 4}),
        (
            ("a", 2),
            {"pools": {"a": 2}},
            WaitCode.POOL_LIMIT,
            {"pool": "a", "limit": 2, "used": 1, "count": 2},
        ),
        (
            ("a", 2),
            {"shares": {"ada": 2}},
            WaitCode.SHARE_LIMIT,
            {"share": "ada", "used": 1, "limit": 2, "count": 2},
        ),
    ],
)
def test_an_obstacle_has_the_facts_of_it(placement, limits, code, facts):
    obstacle = capacity(usage=[in_use()], limits=Limits(**limits)).choose(job(placement))
    assert (obstacle.code, obstacle.facts, obstacle.until) == (code, facts, None)


def test_the_obstacle_of_the_first_placement_is_given():
    assert capacity().choose(job(("c", 1), ("a", 5))).code is WaitCode.POOL_UNKNOWN


def test_a_quota_leaves_what_others_do_not_use_until_it_is_believed_no_more():
    quota = PoolState(name="b", limit=4, external=2, limit_at=T0)
    room = capacity(pools={"b": quota})
    assert isinstance(room.choose(job(("b", 2))), Choice)
    obstacle = room.choose(job(("b", 3)))
    assert (obstacle.code, obstacle.until) == (WaitCode.QUOTA_FULL, T0 + 2 * MINUTE)
    assert obstacle.facts == {"pool": "b", "limit": 4, "used": 0, "external": 2, "count": 3}


def test_a_pool_that_closed_opens_at_its_time():
    closed = PoolState(
        name="b", closed_until=T0 + MINUTE, refused_at=T0, refusals=1, refusal="no capacity"
    )
    obstacle = capacity(pools={"b": closed}).choose(job(("b", 1)))
    assert (obstacle.code, obstacle.until) == (WaitCode.POOL_CLOSED, T0 + MINUTE)
    assert obstacle.facts == {"pool": "b", "refusal": "no capacity"}


def test_a_load_is_the_usage_now_and_lately_by_weight():
    limits = Limits(share_weights={"bob": 2.0})
    lately = ShareUsage(share="ada", hours=3.0, at=T0)
    room = capacity(
        usage=[in_use(slots=2), in_use(slots=2, share="bob")],
        shares={"ada": lately},
        limits=limits,
    )
    assert (room.load("ada"), room.load("bob"), room.load("eve")) == (5.0, 1.0, 0.0)
    room.allocate(Choice(Placement("a", 1), bet=False), "eve")
    assert room.load("eve") == 1.0


def test_reserved_slots_are_for_no_other_job_and_a_pool_has_one_reservation():
    room = capacity(usage=[in_use(slots=2)])
    room.reserve_for(job(("a", 3)))
    room.reserve_for(job(("a", 4)))
    obstacle = room.choose(job(("a", 1)))
    assert (obstacle.code, obstacle.facts["used"]) == (WaitCode.POOL_FULL, 2)


@pytest.mark.parametrize("placement", [("a", 2), ("a", 5), ("b", 3)])
def test_what_fits_or_never_fits_or_has_no_known_size_reserves_nothing(placement):
    room = capacity(usage=[in_use(slots=2)])
    room.reserve_for(job(placement))
    assert isinstance(room.choose(job(("a", 2))), Choice)
