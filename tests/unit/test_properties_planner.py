"""Every reason why a job waits, to the word; and who goes first, where, and when to plan again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from jobcore.ports import Usage, Waiting, order_key, usage_of, waiting_of
from jobcore.scheduling import DEFAULT_SCHEDULER, Explanation, Launch, WaitCode

MINUTE, HOUR, TICK = timedelta(minutes=1), timedelta(hours=1), timedelta.resolution
RUNS = TrainingSeen(attempt=1, running=True)


def waiting(number=0, *places, share="x", priority=0, age=0, attempt=1):
    return Waiting(
        job_id=make_job(str(number)).job_id,
        priority=priority,
        share=share,
        placements=tuple(places) or (Placement("a"),),
        submitted_at=T0 - age * MINUTE,
        attempt=attempt,
    )


def planned(jobs, *, now=T0, limits=None, **snapshot):
    snapshot = {"capacity": {"a": None, "b": None}} | snapshot
    return plan(Snapshot(waiting=jobs, **snapshot), limits or Limits(), now=now)


def order(jobs, **options):
    """Tell the jobs that are launched, by their place in *jobs*."""
    ids = [job.job_id for job in jobs]
    return [ids.index(launch.job_id) for launch in planned(jobs, **options).launches]


def why(job=None, *, capacity=None, usage=(), pools=None, limits=None, others=(), now=T0):
    snapshot = Snapshot(
        waiting=others,
        usage=usage,
        capacity={"a": 8} if capacity is None else capacity,
        pools=pools or {},
    )
    return explain(
        job or make_job(placements=(Placement("a", 2),)), snapshot, limits or Limits(), now=now
    )


# --- why a job waits --------------------------------------------------------------------------

USED = [Usage("a", "ada", 5, 3), Usage("a", "bob", 2), Usage("b", "ada", 1)]
CLOSED = PoolState(name="a", closed_until=T0 + MINUTE, refused_at=T0, because="no room")
ROOM = "wait for a job in this pool to end, "

WAITS = [
    (
        {"capacity": {"c": 1, "b": None}},
        WaitCode.POOL_UNKNOWN,
        "there is no pool 'a'; the trainer has: b, c",
        "add pool 'a', or submit the job to another one",
    ),
    (
        {"capacity": {}},
        WaitCode.POOL_UNKNOWN,
        "there is no pool 'a'; the trainer has: none",
        "add pool 'a', or submit the job to another one",
    ),
    (
        {"capacity": {"a": 1}},
        WaitCode.POOL_TOO_SMALL,
        "the job asks for 2 slots of pool 'a', which has 1",
        "give the pool more slots, or ask for fewer",
    ),
    (
        {"usage": USED},
        WaitCode.POOL_FULL,
        "pool 'a' has 8 slots, 7 in use",
        ROOM + "give it more slots, or name a second pool",
    ),
    (
        {"usage": USED, "capacity": {"a": 20}, "limits": Limits(pools={"a": 8})},
        WaitCode.POOL_LIMIT,
        "pool 'a' is limited to 8 slots, 7 in use",
        ROOM + "or raise limits.pools",
    ),
    (
        {"usage": USED, "limits": Limits(shares={"ada": 7})},
        WaitCode.SHARE_LIMIT,
        "share 'ada' uses 6 of the 7 slots that it may use",
        "wait for a job of this share to end, or raise limits.shares",
    ),
    (
        {"capacity": {"a": None}, "pools": {"a": CLOSED}},
        WaitCode.POOL_CLOSED,
        "pool 'a' refused a launch and is tried again later (no room)",
        "wait, or name a second pool",
    ),
    (
        {
            "capacity": {"a": None},
            "usage": [Usage("a", "ada", 5, 3)],
            "pools": {"a": PoolState(name="a", growth=0, rounds=1)},
        },
        WaitCode.PROBING,
        "2 slots of pool 'a' are asked for and not given yet; more follow when they are",
        "wait, or name a second pool",
    ),
    (
        {
            "capacity": {"a": None},
            "usage": USED,
            "pools": {"a": PoolState(name="a", limit=9, external=1, limit_at=T0)},
        },
        WaitCode.QUOTA_FULL,
        "the quota of pool 'a' is 9: 7 used here, 1 by others",
        ROOM + "or ask for a higher quota",
    ),
]


@pytest.mark.parametrize(("world", "code", "sentence", "helps"), WAITS)
def test_an_obstacle_is_told_in_words(world, code, sentence, helps):
    until = {WaitCode.POOL_CLOSED: T0 + MINUTE, WaitCode.QUOTA_FULL: T0 + 2 * MINUTE}
    expected = Explanation(code=code, sentence=sentence, help=helps, until=until.get(code))
    assert why(**world) == expected


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
    assert why(**world) == Explanation(
        code=WaitCode.NEXT,
        sentence="the next launch tick starts it in pool 'a'",
        help="see that the manager runs: jobcore run",
    )


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


def test_what_a_plan_launches_counts_against_the_quota_at_once():
    said = {"a": PoolState(name="a", limit=4, external=1, limit_at=T0)}
    jobs = [waiting(n) for n in range(5)]
    assert len(planned(jobs, usage=[Usage("a", "x", 1)], pools=said).launches) == 2
    assert len(planned([waiting(0, Placement("a", 3))], pools=said).launches) == 1
    assert len(planned([waiting(0, Placement("a", 4))], pools=said).launches) == 0


def test_a_job_that_others_are_before_is_told_how_many():
    others = [waiting(n, share="ada", priority=1) for n in range(1, 4)]
    told = why(others=others, capacity={"a": 2})
    assert told == Explanation(
        code=WaitCode.BEHIND,
        sentence="3 waiting jobs go first; 2 of them start at the next tick",
        help="wait, or submit with a higher priority",
    )
    behind = replace(waiting_of(make_job("z")), submitted_at=T0 + MINUTE)
    told = why(others=[*others, behind], capacity={"a": 2})
    assert told.sentence.startswith("3 waiting jobs")
    me = make_job(placements=(Placement("a", 2),))
    stale = replace(waiting_of(me), priority=9)
    assert why(me, others=[*others, stale], capacity={"a": 2}).code is WaitCode.BEHIND


def test_a_job_that_backs_off_is_told_until_when_and_why():
    failure = make_failure(FailureClass.OOM, text="out of memory")
    job = after(make_job(), decided(), accepted(), ended(failure=failure))
    at = job.state.not_before
    told = why(job)
    assert (told.code, told.until) == (WaitCode.BACKING_OFF, at)
    assert told.sentence == f"attempt 2 waits until {at:%H:%M:%S} UTC after: out of memory"
    assert told.help == "wait, or release the job to try at once"
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
            "stopped because somebody asked for it",
        ),
    ]
    for job, code, sentence in said:
        assert why(job) == Explanation(code=code, sentence=sentence)
    assert why(after(running, ended(failure=failure))) == Explanation(
        code=WaitCode.OVER,
        sentence="failed as timeout: too long",
        help="read the logs, mend the cause, then retry",
    )
    assert why(after(new, HoldRequested(by="ada", reason="not now"))) == Explanation(
        code=WaitCode.HELD,
        sentence="held (user): not now",
        help="release it when the cause is gone",
    )


# --- who goes first ---------------------------------------------------------------------------


def test_priority_then_age_then_id():
    """Among jobs of one share and one size."""
    jobs = [waiting(0, age=1), waiting(1, priority=1), waiting(2, age=5), waiting(3, age=1)]
    same_age = sorted((0, 3), key=lambda n: jobs[n].job_id)
    assert order(jobs) == [1, 2, *same_age]
    assert sorted(jobs, key=order_key) == [jobs[n] for n in order(jobs)]


def test_a_job_goes_up_by_one_for_each_time_that_it_has_waited():
    limits = Limits(aging=10 * MINUTE)
    jobs = [waiting(0, priority=2), waiting(1, age=20), waiting(2, age=29, share="y")]
    usage = [Usage("b", "y", 2)]
    assert order(jobs, limits=limits, usage=usage) == [1, 0, 2], "alike; then the share, the age"
    young = [waiting(0, priority=2), waiting(1, age=19)]
    assert order(young, limits=limits) == [0, 1]
    strict = [waiting(0, priority=1), waiting(1, age=10**6)]
    assert order(strict, limits=Limits(aging=None)) == [0, 1]
    early = [waiting(0, age=-100), waiting(1, priority=-1)]
    assert order(early, limits=limits) == [0, 1], "a clock that is behind takes nothing away"


def test_among_equals_the_share_that_has_least_of_what_it_is_entitled_to():
    jobs = [waiting(0, share="x", age=9), waiting(1, share="y")]
    assert order(jobs) == [0, 1]
    assert order(jobs, usage=[Usage("b", "x", 1)]) == [1, 0]
    weights = Limits(share_weights={"x": 3.0})
    usage = [Usage("b", "x", 2), Usage("a", "y", 1)]
    assert order(jobs, usage=usage) == [1, 0]
    assert order(jobs, usage=usage, limits=weights) == [0, 1]
    had = {"*": PoolState(name="*", served={"x": 1.0}, served_at=T0)}
    assert order(jobs, pools=had) == [1, 0], "what it was given lately counts too"


def test_what_is_launched_counts_for_its_share_at_once():
    jobs = [waiting(n, share="x", age=9 - n) for n in range(3)]
    jobs += [waiting(n, share="y", age=1) for n in range(3, 5)]
    assert [jobs[n].share for n in order(jobs)] == ["x", "y", "x", "y", "x"]
    wide = [waiting(n, Placement("a", 3), share="x", age=9 - n) for n in range(2)]
    wide += [waiting(n, share="y", age=1) for n in range(2, 6)]
    shares = [wide[n].share for n in order(wide)]
    assert shares == ["y", "x", "y", "y", "y", "x"], (
        "in slots; where it is alike, the smaller first"
    )


def test_no_more_than_may_be_launched_at_once():
    jobs = [waiting(n) for n in range(4)]
    assert len(order(jobs, limits=Limits(launches_max=3))) == 3
    assert order(jobs, limits=Limits(launches_max=0)) == []


def test_the_smaller_jobs_of_a_share_go_first_and_of_a_size_the_older():
    jobs = [waiting(0, Placement("a", 2), age=9), waiting(1), waiting(2, Placement("a", 3), age=99)]
    assert order([*jobs, waiting(3, age=1)]) == [3, 1, 0, 2]
    either = waiting(0, Placement("a", 3), Placement("b"), age=9)
    assert order([either, waiting(1, Placement("a", 2))]) == [0, 1], "as small as it may be"
    ahead = replace(jobs[2], priority=1)
    assert order([*jobs[:2], ahead]) == [2, 1, 0]
    least = [replace(jobs[0], share="y"), *jobs[1:]]
    assert order(least, usage=[Usage("b", "x", 1)])[0] == 0, "the share comes before the size"


def test_a_job_that_does_not_fit_blocks_nobody():
    jobs = [waiting(0, Placement("a", 5), age=9), waiting(1, age=5), waiting(2, Placement("b"))]
    assert order(jobs, capacity={"a": 4, "b": 1}) == [1, 2]
    lane = [waiting(n, Placement("a", 2), age=9 - n) for n in range(3)]
    small = waiting(3, priority=-1)
    assert order([*lane, small], capacity={"a": 5}) == [0, 1, 3]


@pytest.mark.parametrize("bound", ["capacity", "limits.pools"])
def test_what_becomes_free_is_kept_for_a_job_that_has_aged(bound):
    """Until it has, and where it never fits, it blocks nobody."""

    def launched(jobs, *, slots=6, size=4, **limits):
        options = {"capacity": {"a": size, "b": 1}}
        if bound == "limits.pools":
            options["capacity"] = {"a": None, "b": 1}
            limits["pools"] = {"a": size}
            options["pools"] = {"a": PoolState(name="a", level=9, level_at=T0)}
        options["usage"] = [Usage("a", "z", slots, slots)]
        return order(jobs, limits=Limits(**{"aging": 10 * MINUTE} | limits), **options)

    aged = waiting(0, Placement("a", 3), age=10)
    young = replace(aged, submitted_at=aged.submitted_at + TICK)
    jobs = [waiting(1), waiting(2, Placement("b"))]
    assert launched([aged, *jobs], slots=2) == [2], "in its pool alone"
    assert launched([young, *jobs], slots=2) == [1, 2]
    assert launched([aged, *jobs], slots=2, aging=None) == [1, 2]
    assert launched([aged, *jobs], slots=0) == [0, 1, 2], "it fits, and there is room for one more"
    assert launched([aged, *jobs], slots=4, size=9) == [0, 1, 2]
    assert launched([aged, *jobs], slots=5, size=7) == [2], "all that is left"
    assert launched([aged, *jobs], slots=1, size=2) == [1, 2], "it is larger than the pool"
    assert launched([aged, *jobs], slots=2, shares={"x": 2}) == [1, 2], "its share has no room"
    second = [waiting(3, Placement("a", 4), age=10), *jobs]
    assert launched([aged, *second], slots=5, size=9) == [0, 3], "kept for the next that has aged"
    ahead = [replace(job, priority=2) for job in jobs]
    assert launched([aged, *ahead], slots=2) == [1, 2], "who goes first is not kept out"


# --- where it goes ------------------------------------------------------------------------------

BOTH = (Placement("a"), Placement("b", 2))


def choice(**options):
    (launch,) = planned([waiting(0, *BOTH, attempt=4)], **options).launches
    assert (launch.job_id, launch.attempt) == (waiting(0).job_id, 4)
    return launch.placement.pool, launch.bet


def test_the_first_placement_with_room_is_taken():
    assert choice(capacity={"a": 1, "b": 2}) == ("a", False)
    assert choice(capacity={"a": 0, "b": 2}) == ("b", False)
    assert choice() == ("a", True), "its size is not known"
    level = {"a": PoolState(name="a", level=1, level_at=T0)}
    assert choice(pools=level) == ("a", False), "it has been seen to run one"
    assert choice(pools={"a": CLOSED}) == ("b", True)


def test_pools_in_a_shortage_are_probed_last_the_least_recently_probed_one_first():
    def short(minutes):
        return PoolState(name="p", refusals=1, growth=3, bet_at=T0 - minutes * MINUTE)

    assert choice(pools={"a": short(5)}) == ("b", True)
    assert choice(pools={"a": short(5), "b": short(9)}) == ("b", True)
    assert choice(pools={"a": short(9), "b": short(5)}) == ("a", True)
    assert choice(pools={"a": replace(short(5), bet_at=None), "b": short(9)}) == ("a", True)
    assert choice(pools={"a": replace(short(5), refusals=0), "b": short(9)}) == ("a", True)
    held = replace(short(5), level=1, level_at=T0)
    assert choice(pools={"a": held}) == ("a", False), "it gets what it still has"


def test_reuse_first_and_bets_beyond_it_as_far_as_they_go():
    level = {"a": PoolState(name="a", level=2, level_at=T0, growth=3, rounds=1)}
    running = [Usage("a", "x", 1, 0)]
    jobs = [waiting(n) for n in range(9)]
    bets = [launch.bet for launch in planned(jobs, pools=level, usage=running).launches]
    assert bets == [False, True, True, True]
    wide = [waiting(0, Placement("a", 2)), waiting(1, Placement("a", 2), age=-1)]
    last = [*wide, waiting(2, priority=-1)]
    bets = [launch.bet for launch in planned(last, pools=level, usage=running).launches]
    assert bets == [True, True], "half of the first is reuse"
    first = [*wide, waiting(2, age=-2)]
    bets = [launch.bet for launch in planned(first, pools=level, usage=running).launches]
    assert bets == [False, True], "the smaller goes first and is reuse; one bet is left over"


def test_each_launch_uses_up_one_slot_of_what_is_allowed():
    level = {"a": PoolState(name="a", level=2, level_at=T0, growth=3, rounds=1)}
    jobs = [waiting(n) for n in range(9)]
    bets = [launch.bet for launch in planned(jobs, pools=level).launches]
    assert bets == [False, False, True, True, True]
    closed = {"a": replace(CLOSED, level=1, level_at=T0)}
    after_one = planned(jobs, pools=closed)
    assert (len(after_one.launches), after_one.wake_at) == (1, T0 + MINUTE)


def test_a_share_that_uses_nothing_may_use_all_of_its_limit():
    assert why(limits=Limits(share_default=2)).code is WaitCode.NEXT
    told = why(limits=Limits(share_default=1))
    assert told.code is WaitCode.SHARE_LIMIT
    assert told.sentence == "share 'ada' uses 0 of the 1 slots that it may use"


def test_one_job_larger_than_the_bet_may_be_it():
    dry = {"a": PoolState(name="a", growth=1, rounds=4)}
    jobs = [waiting(n, Placement("a", 5)) for n in range(3)]
    assert len(planned(jobs, pools=dry).launches) == 1
    busy = [Usage("a", "x", 1)]
    assert len(planned(jobs, pools={"a": replace(dry["a"], rounds=5)}, usage=busy).launches) == 0


def test_canaries_are_for_those_who_could_go_there():
    dry = {"a": PoolState(name="a", growth=0, rounds=1)}
    place = (Placement("a"),)
    crowd = [replace(waiting(n), placements=place) for n in range(600)]
    assert len(planned(crowd, pools=dry).launches) == 3
    others = [waiting(n, Placement("b")) for n in range(600, 1200)]
    launched = planned([*crowd[:10], *others], pools=dry, limits=Limits(launches_max=10**4))
    assert sum(launch.placement.pool == "a" for launch in launched.launches) == 1
    apart = [waiting(n, Placement("a"), Placement("b")) for n in range(600)]
    launched = planned(apart, pools=dry, capacity={"a": None, "b": 0}).launches
    assert len(launched) == 3


# --- when to plan again -------------------------------------------------------------------------


def test_a_plan_is_made_again_when_the_first_of_its_pools_opens():
    pools = {
        name: replace(CLOSED, name=name, closed_until=T0 + minutes * MINUTE)
        for name, minutes in (("a", 5), ("b", 3))
    }
    jobs = [waiting(0, Placement("a")), waiting(1, Placement("b"))]
    assert planned(jobs, pools=pools).wake_at == T0 + 3 * MINUTE
    assert planned(jobs[:1], pools=pools).wake_at == T0 + 5 * MINUTE
    assert planned([waiting(0)], capacity={"a": 0}).wake_at is None
    assert planned([waiting(0)]).wake_at is None
    quota = {"a": PoolState(name="a", limit=0, limit_at=T0)}
    assert planned([waiting(0)], pools=quota).wake_at == T0 + 15 * MINUTE


def test_what_is_launched_and_what_waits_are_reduced_alike():
    job = after(make_job(priority=3, share="s"), decided(), accepted(), ended())
    assert waiting_of(job) == Waiting(
        job_id=job.job_id,
        priority=3,
        share="s",
        placements=(Placement("a"),),
        submitted_at=T0,
        attempt=2,
    )
    assert waiting_of(job).lane == ("s", 3, (Placement("a"),))
    assert Launch("x", 1, Placement("a")).bet is False
    assert DEFAULT_SCHEDULER.plan is plan


def test_usage_is_counted_by_pool_and_share():
    wide = make_job("1", placements=(Placement("a", 3),))
    jobs = [
        after(wide, replace(decided(), placement=Placement("a", 3)), RUNS),
        after(make_job("2"), decided(), accepted()),
        after(make_job("3", share="y"), decided()),
        after(make_job("4"), replace(decided(), placement=Placement("b")), RUNS),
        make_job("5"),
        after(make_job("6"), StopRequested(by="ada")),
    ]
    assert sorted(usage_of(jobs), key=str) == [
        Usage("a", "ada", 4, running=3),
        Usage("a", "y", 1, running=0),
        Usage("b", "ada", 1, running=1),
    ]


# --- what mutants were left of the above ----------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("xy"), st.integers(0, 9)), max_size=9))
def test_whether_jobs_share_one_list_of_placements_does_not_matter(asks):
    place = (Placement("a"),)
    jobs = [
        replace(waiting(n, share=share, priority=priority, age=age), placements=place)
        for n, (priority, share, age) in enumerate(asks)
    ]
    apart = [replace(job, placements=(Placement("a"),)) for job in jobs]
    for limits in (Limits(), Limits(aging=MINUTE)):
        assert planned(jobs, limits=limits) == planned(apart, limits=limits)
    assert len(planned(jobs).launches) == len(jobs)


def test_the_oldest_of_a_lane_goes_for_it():
    lane = [waiting(0, age=9), waiting(1, age=8), waiting(2, age=1)]
    other = [waiting(3, Placement("b"), age=5)]
    assert order([*lane, *other]) == [0, 1, 3, 2]
    assert order([*lane[1:], *other, lane[0]]) == [3, 0, 2, 1]


def test_a_share_without_a_weight_or_a_use_counts_as_one_of_weight_one_that_uses_nothing():
    jobs = [waiting(0, share="x", age=9), waiting(1, share="y")]
    usage = [Usage("b", "x", 1), Usage("b", "y", 1)]
    weights = Limits(share_weights={"x": 1.0})
    assert order(jobs, usage=usage, limits=weights) == [0, 1]
    older = [jobs[0], replace(jobs[1], submitted_at=T0 - HOUR)]
    assert order(older, usage=usage, limits=weights) == [1, 0]
    had = {"*": PoolState(name="*", served={"y": 0.06}, served_at=T0)}
    assert order(list(reversed(jobs)), pools=had) == [1, 0]
    much = {"*": PoolState(name="*", served={"x": 1.5}, served_at=T0)}
    assert order(jobs, pools=much, usage=[Usage("b", "y", 1)]) == [1, 0]


def test_the_first_placements_obstacle_is_told():
    job = make_job(placements=(Placement("a", 2), Placement("b")))
    assert why(job, capacity={"a": 1, "b": 0}).code is WaitCode.POOL_TOO_SMALL
    assert "pool 'a'" in why(job, capacity={"a": 1}).sentence


def test_of_pools_probed_at_once_the_first_of_the_job_is_next():
    short = PoolState(name="p", refusals=1, growth=3, bet_at=T0 - MINUTE)
    assert choice(pools={"a": short, "b": short}) == ("a", True)


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


def test_an_allowance_is_of_the_beginning_of_the_plan():
    bets = {"a": PoolState(name="a", growth=12, rounds=4)}
    jobs = [waiting(n, Placement("a", 5)) for n in range(4)]
    assert len(planned(jobs, pools=bets).launches) == 2, "the turn of a large job is over"
    idle = {"a": PoolState(name="a", bets=2, growth=0, rounds=1)}
    assert [launch.bet for launch in planned(jobs, pools=idle).launches] == [True]
