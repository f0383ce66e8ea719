"""Every reason why a job is where it is: its code, its facts and its sentence, to the word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    HoldRequested,
    Limits,
    Placement,
    Snapshot,
    Status,
    StopRequested,
    TrainingSeen,
    explain,
    plan,
)
from jobcore.lifecycle import PoolState, Retryable
from jobcore.ports import Usage, Waiting, waiting_of
from jobcore.scheduling import Explanation, WaitCode

MINUTE, TICK = timedelta(minutes=1), timedelta.resolution
RUNS = TrainingSeen(attempt=1, running=True)


def waiting(number=0, *places, share="x", priority=0, age=0):
    return Waiting(
        job_id=make_job(f"w{number}").job_id,
        priority=priority,
        share=share,
        placements=tuple(places) or (Placement("a"),),
        submitted_at=T0 - age * MINUTE,
    )


def planned(jobs, *, now=T0, **snapshot):
    snapshot = {"capacity": {"a": None, "b": None}} | snapshot
    return plan(Snapshot(waiting=jobs, **snapshot), Limits(), now=now)


def why(job=None, *, limits=None, others=(), now=T0, **snapshot):
    world = Snapshot(waiting=others, **{"capacity": {"a": 8}} | snapshot)
    me = job or make_job(placements=(Placement("a", 2),))
    return explain(me, world, limits or Limits(), now=now)


# --- obstacles --------------------------------------------------------------------------------

USED = [Usage("a", "ada", 5, 3), Usage("a", "bob", 2), Usage("b", "ada", 1)]
CLOSED = PoolState(name="a", closed_until=T0 + MINUTE, refused_at=T0, refusal="no room")

WAITS = [
    (
        {"capacity": {"c": 1, "b": None}},
        WaitCode.POOL_UNKNOWN,
        {"pool": "a", "known": ["b", "c"]},
        "there is no pool 'a'; the trainer has: b, c",
    ),
    (
        {"capacity": {}},
        WaitCode.POOL_UNKNOWN,
        {"pool": "a", "known": []},
        "there is no pool 'a'; the trainer has: none",
    ),
    (
        {"capacity": {"a": 1}},
        WaitCode.POOL_TOO_SMALL,
        {"pool": "a", "size": 1, "count": 2},
        "the job asks for 2 slots of pool 'a', which has 1",
    ),
    (
        {"usage": USED},
        WaitCode.POOL_FULL,
        {"pool": "a", "size": 8, "used": 7, "count": 2},
        "pool 'a' has 8 slots, 7 in use",
    ),
    (
        {"usage": USED, "capacity": {"a": 20}, "limits": Limits(pools={"a": 8})},
        WaitCode.POOL_LIMIT,
        {"pool": "a", "limit": 8, "used": 7, "count": 2},
        "pool 'a' is limited to 8 slots, 7 in use",
    ),
    (
        {"usage": USED, "limits": Limits(shares={"ada": 7})},
        WaitCode.SHARE_LIMIT,
        {"share": "ada", "limit": 7, "used": 6, "count": 2},
        "share 'ada' uses 6 of the 7 slots that it may use",
    ),
    (
        {"capacity": {"a": None}, "pools": {"a": CLOSED}},
        WaitCode.POOL_CLOSED,
        {"pool": "a", "refusal": "no room"},
        "pool 'a' refused a launch and is tried again later (no room)",
    ),
    (
        {
            "capacity": {"a": None},
            "usage": [Usage("a", "ada", 5, 3)],
            "pools": {"a": PoolState(name="a", growth=0, rounds=1)},
        },
        WaitCode.PROBING,
        {"pool": "a", "pending": 2},
        "2 slots of pool 'a' are asked for and not given yet; more follow when they are",
    ),
    (
        {
            "capacity": {"a": None},
            "usage": USED,
            "pools": {"a": PoolState(name="a", limit=9, external=1, limit_at=T0)},
        },
        WaitCode.QUOTA_FULL,
        {"pool": "a", "limit": 9, "used": 7, "external": 1, "count": 2},
        "the quota of pool 'a' is 9: 7 used here, 1 by others",
    ),
]


@pytest.mark.parametrize(("world", "code", "facts", "sentence"), WAITS)
def test_an_obstacle_is_told_in_facts_and_in_words(world, code, facts, sentence):
    until = {WaitCode.POOL_CLOSED: T0 + MINUTE, WaitCode.QUOTA_FULL: T0 + 2 * MINUTE}
    told = why(**world)
    assert told == Explanation(code=code, facts=facts, until=until.get(code))
    assert told.sentence == sentence


def test_a_name_with_braces_is_told_as_it_is():
    job = make_job(placements=(Placement("{a}", 2),))
    assert why(job, capacity={"{a}": 1}).sentence.startswith(
        "the job asks for 2 slots of pool '{a}'"
    )


@pytest.mark.parametrize(
    "world",
    [
        {"capacity": {"a": 2}},
        {"usage": [Usage("a", "bob", 6)]},
        {"usage": [Usage("a", "bob", 6)], "limits": Limits(pools={"a": 8})},
        {"usage": [Usage("b", "ada", 6)], "limits": Limits(shares={"ada": 8})},
        {"usage": [Usage("b", "ada", 6)], "limits": Limits(shares={"bob": 1}, share_default=8)},
        {"capacity": {"a": None}, "pools": {"a": replace(CLOSED, closed_until=T0)}},
        {
            "capacity": {"a": None},
            "usage": [Usage("a", "bob", 6)],
            "pools": {"a": PoolState(name="a", limit=9, external=1, limit_at=T0)},
        },
    ],
)
def test_where_it_just_fits_it_is_next(world):
    told = why(**world)
    assert told == Explanation(code=WaitCode.NEXT, facts={"pool": "a", "count": 2})
    assert told.sentence == "the next launch tick starts it in pool 'a'"


def test_a_quota_is_asked_again_by_one_launch_after_fifteen_minutes():
    full = {"a": PoolState(name="a", limit=4, external=0, limit_at=T0)}
    usage = [Usage("a", "x", 4, 4)]
    jobs = [waiting(n) for n in range(3)]
    for minutes, launches in ((14, 0), (15, 1)):
        now = T0 + minutes * MINUTE
        assert len(planned(jobs, usage=usage, pools=full, now=now).launches) == launches
    told = why(capacity={"a": None}, usage=usage, pools=full, now=T0 + 14 * MINUTE)
    assert (told.code, told.until) == (WaitCode.QUOTA_FULL, T0 + 15 * MINUTE)
    with_others = {"a": replace(full["a"], limit=5, external=1)}
    told = why(capacity={"a": None}, usage=usage, pools=with_others)
    assert told.until == T0 + 2 * MINUTE
    told = why(capacity={"a": None}, usage=usage, pools=with_others, now=T0 + 3 * MINUTE)
    assert (told.code, told.until) == (WaitCode.QUOTA_FULL, None), "that time is over"


# --- jobs ahead -------------------------------------------------------------------------------


def test_a_job_that_others_are_before_is_told_how_many():
    others = [waiting(n, share="ada", priority=1) for n in range(1, 4)]
    told = why(others=others, capacity={"a": 2})
    facts = {"ahead": 3, "starting": 2, "at_least": False}
    assert told == Explanation(code=WaitCode.BEHIND, facts=facts)
    assert told.sentence == "3 waiting jobs go first; 2 of them start at the next tick"
    me = make_job(placements=(Placement("a", 2),))
    behind = replace(waiting_of(me), job_id="z", submitted_at=T0 + MINUTE)
    told = why(me, others=[*others, behind], capacity={"a": 2})
    assert told.sentence.startswith("3 waiting jobs")
    smaller = replace(behind, placements=(Placement("a"),))
    told = why(me, others=[*others, smaller], capacity={"a": 2})
    assert told.sentence.startswith("4 waiting jobs"), "the smaller jobs of a share go first"
    stale = replace(waiting_of(me), priority=9)
    assert why(me, others=[*others, stale], capacity={"a": 2}).code is WaitCode.BEHIND


def test_jobs_that_another_share_is_owed_are_ahead_though_they_are_younger():
    """The launch order is the plan's: the share with less comes first."""
    others = [waiting(n, share="bob", age=-n) for n in range(1, 4)]
    used = [Usage("a", "ada", 1, 1)]
    told = why(make_job(), others=others, usage=used, capacity={"a": 2})
    assert told.facts == {"ahead": 1, "starting": 1, "at_least": False}, "then both use one"
    assert why(make_job(), others=others, capacity={"a": 2}).code is WaitCode.NEXT


def test_of_a_lane_that_was_cut_at_the_depth_it_says_at_least():
    lane = [waiting(n, share="ada", age=500 - n) for n in range(150)]
    one_slot = {"others": lane[:100], "capacity": {"a": 1}}
    told = why(make_job(), **one_slot, depth=100)
    assert told.facts == {"ahead": 100, "starting": 1, "at_least": True}
    assert told.sentence.startswith("at least 100 waiting jobs go first; 1 of them start")
    assert not why(make_job(), **one_slot, depth=101).facts["at_least"]
    assert not why(make_job(), **one_slot).facts["at_least"], "the snapshot has all of them"
    last = replace(waiting_of(make_job()), submitted_at=lane[99].submitted_at)
    me = replace(make_job(), submitted_at=last.submitted_at)
    told = why(me, others=[*lane[:99], last], capacity={"a": 1}, depth=100)
    assert told.facts == {"ahead": 99, "starting": 1, "at_least": False}, "it is in the snapshot"


def test_the_most_launches_of_a_tick_keep_a_job_waiting_as_well():
    others = [waiting(n, share="ada", age=n) for n in range(1, 6)]
    told = why(make_job(), others=others, limits=Limits(launches_max=2))
    assert told.facts == {"ahead": 5, "starting": 2, "at_least": False}
    assert why(make_job(), others=others, limits=Limits(launches_max=6)).code is WaitCode.NEXT


def test_jobs_after_the_head_of_its_lane_and_before_itself_are_ahead():
    lane = [waiting(n, share="ada", age=9 - n) for n in (1, 2)]
    either = waiting(3, Placement("a"), Placement("b"), share="ada", age=1)
    told = why(make_job(), others=[*lane, either], capacity={"a": 1, "b": 1})
    assert told.facts == {"ahead": 3, "starting": 2, "at_least": False}


def test_jobs_that_wait_for_other_pools_are_not_ahead():
    others = [
        waiting(1, priority=1),
        waiting(2, priority=1),
        waiting(3, Placement("b"), priority=1),
    ]
    told = why(make_job(), others=others, capacity={"a": 1, "b": 0})
    assert told.facts == {"ahead": 2, "starting": 1, "at_least": False}


def test_slots_that_are_reserved_for_a_job_that_has_aged_are_not_called_used():
    aged = waiting(1, Placement("a", 4), age=7 * 60)
    told = why(make_job(), others=[aged], usage=[Usage("a", "z", 1)], capacity={"a": 4})
    assert told.facts == {"ahead": 1, "starting": 0, "at_least": False}


# --- states -----------------------------------------------------------------------------------


def test_a_job_that_backs_off_is_told_until_when_and_why():
    failure = make_failure(FailureClass.OOM, text="out of memory")
    job = after(make_job(), decided(), accepted(), ended(failure=failure))
    at = job.state.not_before
    told = why(job)
    assert (told.code, told.until) == (WaitCode.BACKING_OFF, at)
    assert told.sentence == f"attempt 2 waits until {at:%H:%M:%S} UTC after: out of memory"
    assert told.facts == {"attempt": 2, "after": "out of memory"}
    assert why(job, now=at - TICK).code is WaitCode.BACKING_OFF
    assert why(job, now=at).code is WaitCode.NEXT
    bare = replace(job, state=replace(job.state, after=None))
    assert why(bare).sentence.endswith("UTC")


def test_what_does_not_wait_is_explained_by_its_status():
    new = make_job()
    launching = after(new, decided())
    running = after(launching, RUNS)
    failure = make_failure(FailureClass.TIMEOUT, Retryable.NO, "too\nlong")
    said = [
        (launching, WaitCode.LAUNCHING, "the trainer is being asked to start it"),
        (
            after(launching, accepted()),
            WaitCode.LAUNCHING,
            "the trainer has it and has not started it yet",
        ),
        (running, WaitCode.RUNNING, "the training runs"),
        (
            after(running, StopRequested(by="ada")),
            WaitCode.STOPPING,
            "a stop was asked for; the training is ending",
        ),
        (
            after(running, ended(outcome=Status.COMPLETED)),
            WaitCode.OVER,
            "the training completed",
        ),
        (
            after(new, StopRequested(by="ada")),
            WaitCode.OVER,
            "stopped as requested",
        ),
    ]
    for job, code, sentence in said:
        told = why(job)
        assert told == Explanation(code=code, facts={"status": str(job.status)})
        assert told.sentence == sentence
    told = why(after(running, ended(failure=failure)))
    facts = {"status": "Failed", "class": "timeout", "headline": "too long", "rule": "a rule"}
    assert told == Explanation(code=WaitCode.OVER, facts=facts)
    assert told.sentence == "failed as timeout: too long"
    told = why(after(new, HoldRequested(by="ada", reason="not now")))
    facts = {"status": "Held", "hold": "user", "reason": "not now"}
    assert told == Explanation(code=WaitCode.HELD, facts=facts)
    assert told.sentence == "held (user): not now"


def test_a_share_that_uses_nothing_may_use_all_of_its_limit():
    assert why(limits=Limits(share_default=2)).code is WaitCode.NEXT
    told = why(limits=Limits(share_default=1))
    assert told.code is WaitCode.SHARE_LIMIT
    assert told.sentence == "share 'ada' uses 0 of the 1 slots that it may use"


def test_the_first_placements_obstacle_is_told():
    job = make_job(placements=(Placement("a", 2), Placement("b")))
    assert why(job, capacity={"a": 1, "b": 0}).code is WaitCode.POOL_TOO_SMALL
    assert "pool 'a'" in why(job, capacity={"a": 1}).sentence


def test_a_snapshot_that_holds_the_job_itself_counts_it_not():
    me = make_job(placements=(Placement("a", 2),))
    others = [waiting(5, share="ada", priority=1), waiting_of(me)]
    told = why(me, others=others, capacity={"a": 2})
    assert told.sentence.startswith("1 waiting jobs go first; 1 of them")


def test_a_time_that_has_come_is_no_time_to_wait_for():
    said = {"a": PoolState(name="a", limit=5, external=1, limit_at=T0)}
    usage = [Usage("a", "x", 5)]
    told = why(capacity={"a": None}, usage=usage, pools=said, now=T0 + 2 * MINUTE)
    assert (told.code, told.until) == (WaitCode.QUOTA_FULL, None)
