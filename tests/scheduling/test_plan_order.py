"""The launch order, rule by rule: which job first, into which pool, and when to plan again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, accepted, after, decided, ended, make_job
from jobcore import Limits, Placement, Snapshot, StopRequested, TrainingSeen, plan
from jobcore.lifecycle import PoolState, ShareUsage
from jobcore.ports import Usage, Waiting, order_key, usage_of, waiting_of
from jobcore.scheduling import DEFAULT_SCHEDULER, Launch

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


CLOSED = PoolState(name="a", closed_until=T0 + MINUTE, refused_at=T0, refusal="no room")


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
    had = {"x": ShareUsage(share="x", hours=1.0, at=T0)}
    assert order(jobs, shares=had) == [1, 0], "its recent usage counts too"


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


def test_what_a_plan_launches_counts_against_the_quota_at_once():
    said = {"a": PoolState(name="a", limit=4, external=1, limit_at=T0)}
    jobs = [waiting(n) for n in range(5)]
    assert len(planned(jobs, usage=[Usage("a", "x", 1)], pools=said).launches) == 2
    assert len(planned([waiting(0, Placement("a", 3))], pools=said).launches) == 1
    assert len(planned([waiting(0, Placement("a", 4))], pools=said).launches) == 0


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
    had = {"y": ShareUsage(share="y", hours=0.06, at=T0)}
    assert order(list(reversed(jobs)), shares=had) == [1, 0]
    much = {"x": ShareUsage(share="x", hours=1.5, at=T0)}
    assert order(jobs, shares=much, usage=[Usage("b", "y", 1)]) == [1, 0]


def test_of_pools_probed_at_once_the_first_of_the_job_is_next():
    short = PoolState(name="p", refusals=1, growth=3, bet_at=T0 - MINUTE)
    assert choice(pools={"a": short, "b": short}) == ("a", True)


def test_an_allowance_is_of_the_beginning_of_the_plan():
    bets = {"a": PoolState(name="a", growth=12, rounds=4)}
    jobs = [waiting(n, Placement("a", 5)) for n in range(4)]
    assert len(planned(jobs, pools=bets).launches) == 2, "the turn of a large job is over"
    idle = {"a": PoolState(name="a", bets=2, growth=0, rounds=1)}
    assert [launch.bet for launch in planned(jobs, pools=idle).launches] == [True]
