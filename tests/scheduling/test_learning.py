"""The rules of a pool of unknown size that hold whatever the numbers are, and the numbers that are told."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core_strategies import T0, make_failure
from jobcore import FailureClass, Limits
from jobcore.lifecycle import PoolState, Quota, Retryable
from jobcore.scheduling import (
    LATE,
    Allowance,
    FactKind,
    PoolFact,
    allowance,
    learn_pool,
    quota_room,
)

MINUTE, SECOND, TICK = timedelta(minutes=1), timedelta(seconds=1), timedelta.resolution
FULL = make_failure(FailureClass.CAPACITY, Retryable.YES, "no room")
SPOT = make_failure(FailureClass.SPOT_INTERRUPTED, Retryable.YES, "taken back")
VAGUE = make_failure(FailureClass.QUOTA, Retryable.YES, "too many")
BUG = make_failure(FailureClass.ALGORITHM, Retryable.NO, "KeyError")
POOL = PoolState(name="a", level=10, level_at=T0, growth=4)


def quota(limit, used):
    """Make a refusal that states the quota; `fact` reads the numbers as a tick would."""
    text = f"the limit is {limit}, in use are {used}"
    return make_failure(FailureClass.QUOTA, Retryable.YES, text)


def fact(kind, count=1, *, launched_at=T0, failure=None, **more):
    said = failure is not None and re.fullmatch(
        r"the limit is (\d+), in use are (\d+)", failure.text
    )
    if said and failure.failure_class is FailureClass.QUOTA:
        limit, used = map(int, said.groups())
        more["quota"] = Quota(name="q", limit=limit, used=used, requested=1)
    return PoolFact(
        job_id="j",
        attempt=1,
        count=count,
        launched_at=launched_at,
        kind=kind,
        failure=failure,
        **more,
    )


def learn(state, *facts, in_flight=0, running=0, now=T0, **limits):
    return learn_pool(
        state, facts, in_flight=in_flight, running=running, now=now, limits=Limits(**limits)
    )


def may(state, *, size=None, in_flight=0, running=0, waiting=16, now=T0):
    return allowance(
        state, size=size, in_flight=in_flight, running=running, waiting=waiting, now=now
    )


# --- strategies -----------------------------------------------------------------------------

ago = st.integers(0, 40).map(lambda m: T0 - m * MINUTE)
states = st.builds(
    PoolState,
    name=st.just("a"),
    version=st.integers(0, 3),
    level=st.integers(0, 20),
    level_at=st.none() | ago,
    before=st.integers(0, 20),
    fade=st.sampled_from([1.0, 0.7, 0.49]),
    growth=st.none() | st.integers(0, 9),
    bets=st.integers(0, 9),
    bet_at=st.none() | ago,
    rounds=st.integers(0, 9),
    refusals=st.integers(0, 9),
    refused_at=st.none() | ago,
    shrunk=st.booleans(),
    overdue=st.integers(0, 9),
    peak=st.integers(0, 25),
    peak_at=st.none() | ago,
    queue_granted=st.booleans(),
    closed_until=st.none() | st.integers(-9, 9).map(lambda m: T0 + m * MINUTE),
    limit=st.none() | st.integers(0, 30),
    external=st.integers(0, 9),
    limit_at=st.none() | ago,
)


def kinds(failures):
    good = [FactKind.ACCEPTED, FactKind.STARTED, FactKind.PENDING, FactKind.ENDED]
    plain = st.builds(
        fact,
        st.sampled_from(good),
        st.integers(1, 4),
        launched_at=ago,
        bet=st.booleans(),
        over=st.booleans(),
    )
    bad = st.builds(
        fact,
        st.sampled_from([FactKind.REFUSED, FactKind.LOST]),
        st.integers(1, 4),
        launched_at=ago,
        failure=st.sampled_from(failures),
    )
    return st.lists(plain | bad, max_size=5)


in_use = st.tuples(st.integers(0, 20), st.integers(0, 20))


@given(states, kinds([FULL, SPOT, VAGUE, BUG, quota(9, 12)]), in_use)
def test_what_is_learned_is_sound(state, facts, use):
    running, more = use
    after = learn(state, *facts, in_flight=running + more, running=running)
    assert 0 <= after.bets <= more
    assert 0 <= after.overdue <= more
    assert after.level >= min(state.level, running), "never below what runs"
    over = sum(f.count for f in facts if f.kind is FactKind.STARTED and f.over)
    assert after.level <= max(state.level, running + over, state.peak), "nor above what was seen"
    assert after.growth in {None, state.growth} or after.growth <= max(16, after.level)
    if any(f.kind is FactKind.STARTED for f in facts) and after.refused_at == state.refused_at:
        assert after.level >= running
    assert 0 < after.fade <= 1
    assert after.refusals in {0, 1, state.refusals, state.refusals + 1}, "a batch counts once"
    assert (after.version, after.name) == (state.version, "a")
    assert (
        after.closed_until is None
        or after.closed_until == state.closed_until
        or (T0 < after.closed_until <= T0 + 1.2 * Limits().pool_backoff_max)
    )
    if after == state:
        assert after is state, "or the store would write what it has"


@given(states, in_use)
def test_no_news_is_no_change(state, use):
    running, more = use
    state = replace(state, bets=min(state.bets, more), level=max(state.level, running))
    state = replace(state, overdue=min(state.overdue, more), peak=0)
    assert learn(state, in_flight=running + more, running=running) is state
    own = [fact(FactKind.REFUSED, failure=BUG), fact(FactKind.LOST, failure=BUG)]
    assert learn(state, *own, in_flight=running + more, running=running) is state


@given(states, kinds([FULL]), in_use, st.randoms(use_true_random=False))
def test_facts_of_one_pass_may_come_in_any_order(state, facts, use, random):
    running, more = use
    shuffled = list(facts)
    random.shuffle(shuffled)
    one = learn(state, *facts, in_flight=running + more, running=running)
    assert learn(state, *shuffled, in_flight=running + more, running=running) == one


@given(states, st.integers(1, 9), in_use)
def test_a_batch_of_launches_refused_at_once_is_one(state, times, use):
    running, more = use
    refused = fact(FactKind.REFUSED, failure=FULL)
    one = learn(state, refused, in_flight=running + more, running=running)
    many = learn(state, *[refused] * times, in_flight=running + more, running=running)
    assert many == one


@given(states, st.integers(1, 9), in_use, st.booleans())
def test_a_batch_of_refusals_is_one(state, times, use, late):
    """One round, whatever its size, and one level, unless it says that more is missing than was bet."""
    running, more = use
    # Nothing else raises the level in this pass.
    state = replace(state, peak=0, level=max(state.level, running))
    lost = fact(FactKind.LOST, failure=FULL)
    overdue = state.overdue if late else 0

    def refused(count):
        before = replace(state, overdue=overdue + count * late)
        return learn(before, *[lost] * count, in_flight=running + more, running=running)

    def all_bets(count):
        return count + min(overdue, more) <= state.bets

    one, many = refused(1), refused(times)
    assert one.overdue == many.overdue == min(overdue, more)
    differ = {"bets"}  # what is lost is none any more
    if all_bets(1) and not all_bets(times):
        assert many.level <= one.level
        differ |= {"level", "before", "shrunk", "fade"}
    assert many == replace(one, **{name: getattr(many, name) for name in differ})
    late = learn(one, *[lost] * times, in_flight=running + more, running=running, now=T0)
    if one.refusals > state.refusals:
        assert (late.refusals, late.closed_until) == (one.refusals, one.closed_until)


@given(st.integers(1, 9), st.integers(0, 20), st.integers(0, 20))
def test_refusals_that_come_one_by_one_are_one_round_and_a_launch_after_them_tells_the_level(
    bets, running, starting
):
    """Ten bets and all that starts up are refused: in one pass that is seen at once, else by one more."""
    level = running + starting
    state = replace(POOL, level=level, bets=bets, bet_at=T0)
    lost = fact(FactKind.LOST, failure=FULL)
    at_once = learn(state, *[lost] * (bets + starting), in_flight=running, running=running)
    in_turn = state
    for left in reversed(range(bets + starting)):
        in_turn = learn(in_turn, lost, in_flight=running + left, running=running)
        assert running <= in_turn.level <= level
        asked = may(in_turn, in_flight=running + left, running=running)
        assert asked.reuse <= max(0, starting - left), "no more than was lost of the level"
        assert asked.bets == 0, "it is closed"
    assert (in_turn.refusals, in_turn.closed_until) == (at_once.refusals, at_once.closed_until)
    again = fact(FactKind.LOST, failure=FULL, launched_at=T0 + TICK)
    told = learn(in_turn, again, in_flight=running, running=running)
    assert told.level == at_once.level == running
    assert told.refusals == 1, "still"


@given(states, in_use, st.integers(0, 10**6), st.none() | st.integers(0, 50))
def test_what_is_allowed_is_sound(state, use, waiting, size):
    running, more = use
    asked = may(state, size=size, in_flight=running + more, running=running, waiting=waiting)
    closed = state.closed_until is not None and state.closed_until > T0
    assert (asked.until == state.closed_until) if closed else asked.until is None
    if size is not None and state.refused_at is None:
        assert asked == (
            Allowance(0, 0, until=state.closed_until) if closed else Allowance(None, None)
        )
        return
    assert asked.reuse >= 0
    assert asked.bets >= 0
    if closed:
        assert (asked.bets, asked.oversize) == (0, False)
    assert asked.bets > 0 or not asked.oversize
    # What is asked for is never more than what is in use, the level, and the bets together.
    assert asked.reuse <= max(state.level, running) + state.bets
    # A level that nothing confirms is believed as far as it is used.
    state = replace(state, level_at=T0)
    asked = may(state, size=size, in_flight=running + more, running=running, waiting=waiting)
    fresh = may(state, size=size, in_flight=0, running=0, waiting=waiting)
    assert fresh.reuse >= asked.reuse - running, "slots in use are not free"


def test_what_is_allowed_of_a_pool_that_nothing_is_known_of():
    assert may(None) == Allowance(0, 32, oversize=True) == may(PoolState(name=""))
    assert may(None, in_flight=5) == Allowance(0, 27, oversize=True)
    assert may(None, in_flight=5, running=4).oversize, "every fourth round, the first one too"
    assert may(None, in_flight=99) == Allowance(0, 0)
    assert may(None, size=0) == Allowance(None, None)
    assert (Allowance(1).bets, Allowance(1).oversize, Allowance(1).until) == (0, False, None)


def test_a_pool_opens_at_its_time():
    closed = replace(POOL, closed_until=T0 + MINUTE)
    for size in (None, 50):
        assert may(closed, size=size, now=T0 + MINUTE - TICK).until == T0 + MINUTE
        assert may(closed, size=size, now=T0 + MINUTE).until is None
    refused = replace(closed, refused_at=T0)
    assert may(refused, size=50).reuse == 10, "a size is believed until the pool refuses"


def test_an_unconfirmed_level_fades_after_ten_minutes_with_a_half_life_of_thirty():
    level = PoolState(name="a", level=6400, level_at=T0, growth=0)
    for halvings, left in enumerate((6400, 3200, 1600)):
        later = T0 + (10 + 30 * halvings) * MINUTE + TICK
        assert may(level, now=later, waiting=0).bets == left + 1
    level = replace(level, level=64)
    assert may(level, now=T0 + 10 * MINUTE).reuse == 64
    assert may(level, now=T0 + 10 * MINUTE + TICK).reuse == 0
    for halvings, left in enumerate((64, 32, 16)):
        later = T0 + (10 + 30 * halvings) * MINUTE + TICK
        assert may(level, now=later, waiting=0).bets == left + 1
    used = may(level, in_flight=64, running=64, now=T0 + 600 * MINUTE)
    assert used.reuse == 0
    partly = may(level, in_flight=60, running=60, now=T0 + 600 * MINUTE)
    assert (partly.reuse, partly.bets) == (0, 1), "what runs is no memory"
    assert may(replace(level, level_at=None), now=T0 + 600 * MINUTE).reuse == 64


def test_listening_is_at_the_old_level_as_far_as_it_is_trusted():
    dry = PoolState(name="a", before=20, fade=0.49, growth=0)
    assert may(dry, waiting=0).bets == 10 + 1
    assert may(dry, in_flight=4, running=4, waiting=0).bets == 10 + 1 - 4
    assert may(replace(dry, growth=7), waiting=0).bets == 17
    assert may(replace(dry, level=15), waiting=0) == Allowance(15, 1, oversize=True)


def test_bets_that_are_answered_are_no_slots():
    assert may(replace(POOL, bets=3), in_flight=10, running=10).reuse == 0
    assert may(replace(POOL, bets=3, queue_granted=True), in_flight=10, running=10).reuse == 0
    assert may(replace(POOL, bets=3, queue_granted=True), in_flight=8, running=8).reuse == 2
    assert may(replace(POOL, bets=3), in_flight=12, running=9) == Allowance(1, 1, oversize=True)
    old = replace(POOL, bets=2)
    assert may(old, in_flight=12, running=10, now=T0 + 600 * MINUTE).reuse == 0


def test_an_end_or_a_start_confirms_the_level():
    later = T0 + 9 * MINUTE
    for kind in (FactKind.ENDED, FactKind.STARTED):
        assert learn(POOL, fact(kind), in_flight=9, running=9, now=later).level_at == later
    same = learn(POOL, fact(FactKind.PENDING, launched_at=later), in_flight=9, running=9, now=later)
    assert same is POOL
    empty = replace(POOL, level=0)
    assert learn(empty, fact(FactKind.ENDED), now=later).level_at == T0, "there is none"
    more = learn(POOL, in_flight=11, running=11, now=later)
    assert (more.level, more.level_at) == (11, later)


def test_what_ran_between_two_looks_counts_to_the_level():
    over = fact(FactKind.STARTED, 3, over=True)
    after = learn(replace(POOL, bets=5), over, in_flight=15, running=10)
    assert (after.level, after.bets, after.growth) == (13, 2, 4 + 2 * 3)
    for growth, most in ((9, 15), (10, 16), (11, 16)):
        betting = replace(POOL, bets=5, growth=growth)
        after = learn(betting, over, in_flight=15, running=10)
        assert after.growth == most, "at most sixteen while less than that runs"
    many = fact(FactKind.STARTED, 13, over=True)
    assert learn(replace(POOL, bets=13), many, in_flight=23, running=10).growth == 23, (
        "or the level"
    )
    assert learn(POOL, fact(FactKind.ENDED, 3, over=True), in_flight=10, running=10).level == 10
    first = learn(PoolState(name="a"), fact(FactKind.STARTED), in_flight=1, running=1)
    assert (first.level, first.growth) == (1, 16), "34, but at most sixteen"


def test_what_was_in_flight_is_level_once_nothing_was_refused_for_six_minutes():
    asked = replace(POOL, bets=3, peak=13, peak_at=T0)
    proved = T0 + LATE + MINUTE + TICK
    assert learn(asked, in_flight=13, running=9, now=proved - TICK) is asked
    after = learn(asked, in_flight=13, running=9, now=proved)
    assert (after.level, after.level_at, after.bets) == (13, proved, 0)
    assert (after.growth, after.refusals) == (4, 0), "only a start ends a shortage, or trebles"
    assert learn(after, in_flight=9, running=9, now=proved) is after
    for minutes, level in ((0, 13), (1, 10)):
        refused = replace(asked, refused_at=T0 + minutes * MINUTE)
        assert learn(refused, in_flight=13, running=9, now=proved).level == level
    lost = fact(FactKind.LOST, failure=FULL)
    short = learn(asked, lost, in_flight=12, running=9, now=T0 + MINUTE)
    assert (short.peak, short.peak_at) == (0, None)


def test_a_start_after_the_refusal_ends_the_shortage_and_so_does_one_that_waited_long():
    dry = replace(
        POOL, before=20, fade=0.49, refusals=3, refused_at=T0, shrunk=True, refusal="no room"
    )
    now = T0 + MINUTE
    started = fact(FactKind.STARTED, launched_at=T0 + TICK)
    after = learn(dry, started, in_flight=10, running=10, now=now)
    assert (after.refusals, after.shrunk, after.refusal, after.fade) == (0, False, "", 1.0)
    old = fact(FactKind.STARTED, launched_at=T0)
    assert learn(dry, old, in_flight=10, running=10, now=now).refusals == 3
    waited = learn(dry, old, in_flight=10, running=10, now=T0 + LATE + TICK)
    assert (waited.refusals, waited.queue_granted) == (0, True)
    on_time = learn(dry, old, in_flight=10, running=10, now=T0 + LATE)
    assert (on_time.refusals, on_time.queue_granted) == (3, False)
    assert not after.queue_granted
    done = fact(FactKind.ENDED, launched_at=T0 - 9 * MINUTE)
    assert not learn(dry, done, in_flight=10, running=10, now=now).queue_granted
    forgotten = replace(dry, before=0)
    assert learn(forgotten, started, in_flight=10, running=10, now=now).fade == 0.49
    gone = fact(FactKind.STARTED, launched_at=T0, over=True)
    assert not learn(dry, gone, in_flight=10, running=10, now=T0 + LATE + TICK).queue_granted


def test_a_shortage_is_remembered_by_the_level_before_it():
    lost = fact(FactKind.LOST, failure=FULL)
    deep = learn(POOL, lost, in_flight=9, running=8)
    assert (deep.before, deep.level, deep.shrunk, deep.bets) == (10, 8, True, 1)
    assert (deep.growth, deep.refused_at) == (0, T0)
    slight = learn(POOL, lost, in_flight=9, running=9)
    assert (slight.before, slight.level, slight.shrunk) == (9, 9, False)
    again = fact(FactKind.LOST, failure=FULL, launched_at=T0 + TICK)
    further = learn(deep, again, in_flight=2, running=2)
    assert (further.before, further.level) == (10, 2), "of this shortage, not of its rest"
    nothing = learn(replace(POOL, level=0, before=5), lost)
    assert nothing.before == 5


def test_launches_from_before_the_last_refusal_are_no_news():
    dry = replace(POOL, refused_at=T0, before=20)
    for kind, failure in ((FactKind.LOST, FULL), (FactKind.PENDING, None)):
        old = fact(kind, launched_at=T0, failure=failure)
        after = learn(dry, old, in_flight=5, running=5, now=T0 + LATE + TICK)
        assert (after.level, after.refused_at) == (10, T0)
        assert after.growth == (0 if failure else 4), "its round is refused all the same"
        new = fact(kind, launched_at=T0 + TICK, failure=failure)
        after = learn(dry, new, in_flight=5, running=5, now=T0 + LATE + 2 * TICK)
        assert after.level == 5
    on_time = fact(FactKind.PENDING, launched_at=T0 + TICK)
    assert learn(dry, on_time, in_flight=10, running=10, now=T0 + LATE + TICK) is dry


@pytest.mark.parametrize(("failure", "short"), [(FULL, True), (SPOT, True), (VAGUE, True), (quota(9, 9), False), (BUG, False)])  # fmt: skip
@pytest.mark.parametrize("kind", [FactKind.REFUSED, FactKind.LOST])
def test_what_is_a_shortage(kind, failure, short):
    after = learn(POOL, fact(kind, failure=failure), in_flight=9, running=8)
    assert (after.closed_until is not None) == short
    # What was refused at once never was in flight: what is in flight keeps its instances. Of a
    # launch that is lost and was no bet, it is not known what else has none: what runs is left.
    held = 9 if kind is FactKind.REFUSED else 8
    assert (after.level, after.refusals) == ((held, 1) if short else (10, 0))
    if short:
        assert after.refusal == failure.text


def test_each_kind_of_fact_teaches_its_own():
    done = fact(FactKind.ENDED, launched_at=T0 - 9 * MINUTE)
    after = learn(POOL, done, in_flight=9, running=9)
    assert (after.level, after.refused_at) == (10, None), "an old end is no late start"
    unsure = replace(POOL, growth=None)
    assert learn(unsure, fact(FactKind.STARTED), in_flight=10, running=10).growth is None
    both = [fact(FactKind.LOST, failure=FULL), fact(FactKind.LOST, failure=SPOT)]
    assert learn(POOL, *both, in_flight=9, running=9).refusal == "taken back", "the last one"
    mixed = replace(quota(9, 9), failure_class=FailureClass.CAPACITY)
    assert learn(POOL, fact(FactKind.LOST, failure=mixed)).limit is None
    dry = replace(POOL, shrunk=True, before=99, refused_at=T0 - MINUTE)
    again = [fact(FactKind.STARTED), fact(FactKind.LOST, failure=FULL)]
    assert learn(dry, *again, in_flight=2, running=2).before == 10, "another shortage"


def test_a_failure_that_is_not_told_teaches_nothing():
    assert learn(POOL, fact(FactKind.LOST), in_flight=10, running=10) is POOL


@pytest.mark.parametrize("refusals", range(9))
def test_rounds_of_probes_are_twice_as_far_apart_after_each_refusal(refusals):
    spread = set()
    for version in range(200):
        bet = PoolState(name="a", version=version, refusals=refusals, bet_at=T0, growth=0, fade=0.7)
        after = learn(bet, fact(FactKind.LOST, failure=FULL), now=T0)
        assert (after.refusals, after.fade) == (refusals + 1, pytest.approx(0.49))
        spread.add((after.closed_until - T0) / SECOND)
    middle = min(15 * 4 * 2**refusals, 300)
    assert 0.8 * middle <= min(spread) < 0.82 * middle
    assert 1.18 * middle < max(spread) <= 1.2 * middle


def test_a_pool_is_not_asked_for_a_while_after_a_refusal_without_bets():
    waits = {
        (learn(replace(POOL, version=v), fact(FactKind.LOST, failure=FULL)).closed_until - T0)
        / SECOND
        for v in range(200)
    }
    assert 7.5 <= min(waits) < 7.8
    assert 22.2 < max(waits) <= 22.5
    late = replace(POOL, bet_at=T0 - 60 * MINUTE)
    assert learn(late, fact(FactKind.LOST, failure=FULL)).closed_until > T0


def test_in_a_round_that_is_closed_nothing_more_is_counted():
    closed = replace(POOL, closed_until=T0 + MINUTE, refusals=2, fade=0.7)
    lost = fact(FactKind.LOST, failure=FULL)
    after = learn(closed, lost, in_flight=9, running=8, now=T0 + MINUTE - TICK)
    assert (after.refusals, after.fade, after.closed_until) == (2, 1.0, T0 + MINUTE)
    after = learn(closed, lost, in_flight=9, running=8, now=T0 + MINUTE)
    assert after.refusals == 3


def test_a_bet_is_noted_and_what_was_within_the_level_is_not():
    bets = [fact(FactKind.ACCEPTED, 2, bet=True), fact(FactKind.ACCEPTED, 3, bet=True)]
    after = learn(POOL, *bets, in_flight=15, running=10, now=T0 + MINUTE)
    assert (after.bets, after.bet_at, after.rounds) == (5, T0 + MINUTE, 1)
    assert (after.peak, after.peak_at) == (15, T0 + MINUTE)
    within = learn(POOL, fact(FactKind.ACCEPTED, 2), in_flight=10, running=8)
    assert within == replace(POOL, peak=10, peak_at=T0), "most in flight since the last shortage"
    again = fact(FactKind.ACCEPTED, 2)
    assert learn(within, again, in_flight=10, running=8, now=T0 + MINUTE) is within
    less = learn(replace(POOL, overdue=1), again, in_flight=10, running=8)
    assert (less.peak, less.overdue) == (9, 1), "what is overdue has no instances"
    assert learn(POOL, fact(FactKind.ENDED, 2, bet=True), in_flight=10, running=10).rounds == 0


# --- quotas -----------------------------------------------------------------------------------


def test_a_quota_is_what_the_last_sentence_says():
    said = [fact(FactKind.REFUSED, failure=quota(9, 12)), fact(FactKind.LOST, failure=quota(8, 6))]
    after = learn(POOL, *said, in_flight=5, running=5, now=T0 + MINUTE)
    assert (after.limit, after.external, after.limit_at) == (8, 1, T0 + MINUTE)
    assert after.refusal == quota(8, 6).headline
    raised = learn(after, fact(FactKind.ACCEPTED), in_flight=9, running=5, now=T0 + MINUTE)
    assert (raised.limit, raised.external, raised.limit_at) == (None, 0, None)
    assert learn(after, in_flight=9, running=5, now=T0 + MINUTE).limit == 8, "nothing was taken"


@example(9, 3, 1, 119)
@example(9, 3, 1, 120)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 1200))
def test_the_room_of_a_quota(limit, external, used, seconds):
    said = PoolState(name="a", limit=limit, external=external, limit_at=T0)
    others = external if seconds < 120 else 0
    now = T0 + seconds * SECOND
    assert quota_room(said, used, now) == max(0, limit - others - used)
    for unknown in (None, replace(said, limit=None), replace(said, limit_at=None)):
        assert quota_room(unknown, used, now) is None
