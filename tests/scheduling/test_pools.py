"""What a pool teaches, and how far it may be asked: the policy, rule by rule and as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, make_failure
from jobcore import FailureClass, Limits
from jobcore.lifecycle import PoolState, Quota, Retryable
from jobcore.scheduling import FactKind, PoolFact, known_quotas, learn_pool
from jobcore.scheduling.pools import LIMIT_BELIEVED, allowance, quota_room

FULL = make_failure(FailureClass.CAPACITY, Retryable.YES, "no room")
MINUTE = timedelta(minutes=1)


def quota(limit: int, used: int) -> dict:
    failure = make_failure(FailureClass.QUOTA, Retryable.YES, f"limit {limit}, used {used}")
    return {"failure": failure, "quota": Quota(name="q", limit=limit, used=used, requested=1)}


def fact(kind, count=1, *, launched_at=T0, **more):
    return PoolFact(job_id="j", attempt=1, count=count, launched_at=launched_at, kind=kind, **more)


def learn(state, *facts, in_flight=0, running=0, now=T0):
    return learn_pool(state, facts, in_flight=in_flight, running=running, now=now, limits=Limits())


def may(state, *, size=None, in_flight=0, running=0, waiting=16, now=T0):
    return allowance(
        state, size=size, in_flight=in_flight, running=running, waiting=waiting, now=now
    )


SEEN = PoolState(name="a", level=10, level_at=T0, growth=4)


def test_a_pool_that_tells_its_size_is_not_guessed_at():
    assert may(None, size=4).reuse is None


def test_a_slot_that_was_ours_is_used_again_at_once():
    closed = replace(SEEN, refused_at=T0, closed_until=T0 + MINUTE)
    assert may(closed, in_flight=10, running=10).reuse == 0
    assert may(closed, in_flight=8, running=8).reuse == 2
    assert may(closed, in_flight=8, running=8).bets == 0


def test_bets_that_are_out_do_not_use_up_the_slots_that_were_ours():
    betting = replace(SEEN, bets=4)
    full = may(betting, in_flight=14, running=10)
    assert (full.reuse, full.bets) == (0, 0)
    assert may(betting, in_flight=13, running=9).reuse == 1


def test_a_bet_that_starts_raises_the_level_and_trebles_the_next():
    betting = replace(SEEN, bets=4)
    after = learn(betting, fact(FactKind.STARTED, 4), in_flight=14, running=14)
    assert (after.level, after.bets, after.growth) == (14, 0, 12)


def test_a_start_ends_a_shortage():
    closed = replace(SEEN, refusals=3, refused_at=T0 - MINUTE, closed_until=T0 + MINUTE, before=20)
    after = learn(closed, fact(FactKind.STARTED), in_flight=10, running=10)
    assert (after.refusals, after.closed_until, after.fade) == (0, None, 1.0)
    assert may(after, in_flight=10, running=10).bets >= 10, "back to the level before"


def test_a_start_from_before_the_refusal_is_no_news():
    closed = replace(SEEN, refusals=3, refused_at=T0, closed_until=T0 + MINUTE)
    after = learn(closed, fact(FactKind.STARTED), in_flight=10, running=10, now=T0 + MINUTE / 2)
    assert after.refusals == 3


def test_a_refusal_never_takes_away_what_runs():
    after = learn(SEEN, fact(FactKind.LOST, failure=FULL), in_flight=7, running=7)
    assert (after.level, after.before) == (7, 10)
    assert may(after, in_flight=6, running=6, now=T0).reuse == 1


def test_a_batch_of_refusals_counts_once():
    one = learn(SEEN, fact(FactKind.LOST, failure=FULL), in_flight=5, running=5, now=T0 + MINUTE)
    more = [fact(FactKind.LOST, failure=FULL)] * 9
    again = learn(one, *more, in_flight=4, running=4, now=T0 + MINUTE)
    assert (again.refusals, again.before, again.level) == (1, 10, 5)
    assert again.fade == one.fade


def test_the_wait_of_a_pool_grows_and_is_bounded():
    state, now, waits = PoolState(name="a", growth=0), T0, []
    for version in range(30):
        state = replace(state, version=version, bet_at=now)
        bet = fact(FactKind.LOST, failure=FULL, launched_at=now)
        state = learn(state, bet, now=now + timedelta(seconds=1))
        waits.append(state.closed_until - now)
        now = state.closed_until
    assert timedelta(seconds=48) <= waits[0] <= timedelta(seconds=72)
    assert waits[3] > waits[0]
    assert max(waits) <= timedelta(minutes=6)
    assert min(waits[10:]) >= timedelta(minutes=4)


def test_listening_at_the_old_level_fades_with_every_round():
    state, now, bets = replace(SEEN, level=100, level_at=T0, growth=0), T0, []
    for _ in range(8):
        lost = fact(FactKind.LOST, failure=FULL, launched_at=now)
        state = learn(replace(state, bet_at=now), lost, now=now + MINUTE)
        now = state.closed_until
        bets.append(may(state, now=now, waiting=10_000).bets)
    assert bets[0] > bets[3] > bets[6]
    assert bets[-1] <= 25 + 10


def test_a_store_may_give_a_whole_number_back_as_an_int():
    dry = replace(SEEN, fade=1, before=10)
    assert learn(dry, fact(FactKind.LOST, failure=FULL)).fade == 0.7


def test_a_launch_that_stays_pending_counts_as_refused_before_the_error_comes():
    asked = replace(SEEN, bets=4)
    early = fact(FactKind.PENDING)
    assert learn(asked, early, in_flight=14, running=10, now=T0 + 4 * MINUTE) is asked
    late = learn(asked, early, in_flight=14, running=10, now=T0 + 6 * MINUTE)
    assert (late.growth, late.level, late.refused_at) == (0, 10, T0 + 6 * MINUTE)
    assert late.refusals == 0, "its round is not over"


def test_a_level_that_nothing_confirms_becomes_a_memory():
    idle = replace(SEEN, growth=0)
    assert may(idle, now=T0 + 5 * MINUTE).reuse == 10
    later = may(idle, now=T0 + 70 * MINUTE)
    assert later.reuse == 0
    assert later.bets <= 4


def test_the_canaries_grow_with_the_root_of_what_waits():
    dry = PoolState(name="a", growth=0, refused_at=T0, fade=0.0)
    assert [may(dry, waiting=n).bets for n in (0, 1, 100, 10_000, 10**6)] == [1, 1, 1, 12, 32]


def test_a_quota_sentence_sets_the_limit_and_what_others_use():
    state = learn(PoolState(name="a"), fact(FactKind.REFUSED, **quota(8, 7)), in_flight=5)
    assert (state.limit, state.external, state.closed_until) == (8, 2, None)
    assert quota_room(state, 5, T0) == 1
    over = learn(PoolState(name="a"), fact(FactKind.REFUSED, **quota(8, 3)), in_flight=5)
    assert over.external == 0


def test_what_others_use_is_believed_for_two_minutes_and_a_limit_for_fifteen():
    said = PoolState(name="a", limit=8, external=8, limit_at=T0)
    assert quota_room(said, 0, T0 + MINUTE) == 0
    assert quota_room(said, 0, T0 + 3 * MINUTE) == 8
    assert quota_room(PoolState(name="a"), 0, T0) is None


def test_a_launch_beyond_the_limit_that_is_taken_shows_that_it_was_raised():
    said = PoolState(name="a", limit=8, limit_at=T0, level=8, growth=0)
    taken = fact(FactKind.ACCEPTED)
    assert learn(said, taken, in_flight=8, running=7).limit == 8
    assert learn(said, taken, in_flight=9, running=8).limit is None


def test_launches_that_wait_are_listeners_once_one_of_them_was_heard():
    """Into a slot that becomes free, one that waits is taken; a launch of ours would be one too many."""
    betting = replace(SEEN, bets=2)
    assert may(betting, in_flight=11, running=9).reuse == 1
    late = fact(FactKind.STARTED, launched_at=T0 - 9 * MINUTE)
    after = learn(betting, late, in_flight=12, running=10)
    assert after.queue_granted
    assert may(after, in_flight=11, running=9).reuse == 0


def test_a_quota_without_numbers_closes_the_pool():
    vague = make_failure(FailureClass.QUOTA, Retryable.YES, "too much")
    assert learn(PoolState(name="a"), fact(FactKind.REFUSED, failure=vague)).closed_until > T0


@pytest.mark.parametrize("kind", [FailureClass.ALGORITHM, FailureClass.PERMISSION])
def test_a_jobs_own_failure_teaches_nothing_about_the_pool(kind):
    state = PoolState(name="a")
    assert learn(state, fact(FactKind.REFUSED, failure=make_failure(kind))) is state


def test_every_fourth_round_may_be_a_job_larger_than_the_bet():
    large = [may(replace(SEEN, rounds=n), in_flight=11, running=10).oversize for n in range(8)]
    assert large == [True, False, False, False] * 2
    assert may(replace(SEEN, rounds=1), in_flight=10, running=10).oversize, "nothing is asked for"


kinds = st.sampled_from(list(FactKind))


@given(
    st.lists(
        st.tuples(kinds, st.integers(1, 5), st.integers(0, 40), st.integers(0, 40), st.booleans()),
        max_size=20,
    )
)
def test_whatever_comes_the_state_stays_sound(passes):
    """Never below what runs, never more bets than answers are owed, no wait beyond the bound."""
    state, now = PoolState(name="a"), T0
    for kind, count, running, more, bet in passes:
        now += MINUTE
        failure = FULL if kind in (FactKind.LOST, FactKind.REFUSED) else None
        told = fact(kind, count, launched_at=now - 2 * MINUTE, bet=bet, failure=failure)
        state = learn(state, told, in_flight=running + more, running=running, now=now)
        asked = may(state, in_flight=running + more, running=running, now=now)
        assert 0 <= state.bets <= more
        assert state.level >= (running if kind is FactKind.STARTED else 0)
        assert asked.reuse >= 0
        assert asked.bets >= 0
        assert asked.until is None or asked.until - now <= 6 * MINUTE


def test_a_bet_is_never_above_what_runs():
    """Trebled without end, the last round would ask for three times what there is."""
    state = replace(SEEN, level=40, growth=32, bets=32)
    after = learn(state, fact(FactKind.STARTED, 32), in_flight=72, running=72)
    assert (after.level, after.growth) == (72, 72)
    assert may(after, in_flight=72, running=72).bets == 72


def test_what_starts_up_belongs_to_the_level_once_nothing_was_refused_for_a_while():
    """Of ten slots two are always starting; a level of what runs would lose those two for ever."""
    launched = learn(SEEN, fact(FactKind.ACCEPTED, 2, bet=True), in_flight=12, running=8, now=T0)
    assert (launched.peak, launched.peak_at) == (12, T0)
    soon = learn(launched, fact(FactKind.ENDED), in_flight=11, running=9, now=T0 + 5 * MINUTE)
    assert soon.level == 10, "what was launched may still prove to be late"
    later = learn(launched, fact(FactKind.ENDED), in_flight=11, running=9, now=T0 + 7 * MINUTE)
    assert later.level == 12


def test_a_refused_bet_takes_nothing_from_what_starts_up():
    state = replace(SEEN, bets=1, queue_granted=True)
    late = fact(FactKind.PENDING, 1, launched_at=T0 - 6 * MINUTE)
    after = learn(state, late, in_flight=11, running=7)
    assert (after.level, after.overdue) == (10, 1)
    assert may(after, in_flight=9, running=7).reuse == 1


def test_where_more_than_bets_is_missing_only_what_runs_is_sure():
    late = [fact(FactKind.PENDING, 1, launched_at=T0 - 6 * MINUTE)] * 3
    after = learn(replace(SEEN, bets=1), *late, in_flight=10, running=5)
    assert (after.level, after.overdue, after.before) == (5, 3, 10)


def test_what_was_late_and_runs_or_is_given_up_is_overdue_no_more():
    state = replace(SEEN, overdue=2, refused_at=T0)
    begun = T0 - 6 * MINUTE
    runs = learn(state, fact(FactKind.STARTED, launched_at=begun), in_flight=10, running=9)
    assert runs.overdue == 1
    lost = learn(
        state, fact(FactKind.LOST, launched_at=begun, failure=FULL), in_flight=9, running=8
    )
    assert lost.overdue == 1


def test_a_quota_is_known_for_a_while_after_the_refusal_that_stated_it():
    states = {
        "a": PoolState(name="a", limit=4, limit_at=T0),
        "b": PoolState(name="b", limit=0, limit_at=T0 - LIMIT_BELIEVED),
        "c": PoolState(name="c"),
    }
    assert known_quotas(states, T0) == {"a": 4}
    assert known_quotas(states, T0 + LIMIT_BELIEVED - MINUTE) == {"a": 4}
    assert known_quotas(states, T0 + LIMIT_BELIEVED) == {}
