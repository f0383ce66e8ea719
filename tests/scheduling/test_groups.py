"""The group breaker, rule by rule: what is counted, when it is judged, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, after, make_failure, make_job
from jobcore import FailureClass, HoldRequested, Status
from jobcore.failures import cause_of
from jobcore.lifecycle import HoldCode, PoolState, Retryable
from jobcore.scheduling import (
    count_outcomes,
    evaluate_group,
    groups_to_pause,
    is_held_by_group,
    mark_paused,
)

NOTHING = PoolState(name="*")
BUG = make_failure(FailureClass.ALGORITHM, Retryable.NO, "KeyError: 'lr' at step 3")
OTHER = make_failure(FailureClass.ALGORITHM, Retryable.NO, "ValueError: no")
DAY = timedelta(days=1)
AT = int(T0.timestamp())


def count(state, *failures, group="g", first=5, now=T0):
    return count_outcomes(state, [(group, failure) for failure in failures], first=first, now=now)


def tally(state, group="g"):
    return state.groups.get(group)


def failing(times=1, now=T0):
    return count(NOTHING, *[BUG] * times, now=now)[0]


PAUSING = evaluate_group(failing(5), "g", {})


@given(st.integers(1, 6), st.integers(1, 60))
def test_a_group_is_judged_at_the_first_and_then_at_twice_as_many(first, times):
    state, judged_at = NOTHING, []
    for number in range(1, times + 1):
        state, judged = count(state, BUG, first=first)
        assert judged in ((), ("g",))
        if judged:
            judged_at.append(number)
    expected = [first * 2**n for n in range(7) if first * 2**n <= times]
    assert judged_at == expected
    assert tally(state)["failed"] == times


def test_what_is_noted_of_a_failure():
    assert tally(failing(2)) == {
        "cause": cause_of(BUG),
        "failed": 2,
        "why": "KeyError: 'lr' at step 3",
        "at": AT,
    }


def test_another_cause_begins_anew():
    state, judged = count(failing(4), OTHER, first=5)
    assert (tally(state)["failed"], tally(state)["cause"], judged) == (1, cause_of(OTHER), ())
    state, judged = count(failing(4), BUG, OTHER, first=5)
    assert judged == ("g",), "it had been five alike"


@pytest.mark.parametrize("retryable", [Retryable.YES, Retryable.LIMITED])
def test_what_may_pass_by_itself_is_not_counted(retryable):
    passing = replace(BUG, retryable=retryable)
    assert count(NOTHING, passing, first=1) == (NOTHING, ())
    state, judged = count(NOTHING, passing, BUG, first=1)
    assert (tally(state)["failed"], judged) == (1, ("g",)), "and those after it are"


def test_a_completion_makes_a_group_sound_for_a_day():
    sound, judged = count(failing(4), BUG, None, first=5)
    assert (tally(sound), judged) == ({"sound": True, "at": AT}, ())
    same, _ = count(sound, None, BUG, now=T0 + DAY)
    assert same is sound
    anew, judged = count(sound, BUG, first=1, now=T0 + DAY + timedelta(seconds=1))
    assert (tally(anew)["failed"], judged) == (1, ("g",))


def test_a_completion_of_a_group_that_has_not_failed_is_not_written():
    assert count(NOTHING, None)[0] is NOTHING
    state, judged = count(NOTHING, None, BUG, first=1)
    assert (tally(state)["failed"], judged) == (1, ("g",))


def test_failures_are_forgotten_after_a_day():
    state = failing(4)
    assert tally(count(state, BUG, now=T0 + DAY)[0])["failed"] == 5
    assert tally(count(state, BUG, now=T0 + DAY + timedelta(seconds=1))[0])["failed"] == 1


def test_groups_are_counted_apart():
    ends = [("a", BUG), ("b", BUG), ("a", BUG), ("b", None), ("c", OTHER)]
    state, judged = count_outcomes(NOTHING, ends, first=2, now=T0)
    assert judged == ("a",)
    assert list(state.groups) == ["a", "b", "c"]
    assert [tally(state, g).get("failed") for g in "abc"] == [2, None, 1]


def test_a_judgement():
    state = failing(5)
    assert evaluate_group(state, "another", {}) is state
    assert evaluate_group(state, "g", {Status.IN_PROGRESS: 6}) is state, "more run than have failed"
    verdict = tally(evaluate_group(state, "g", {Status.IN_PROGRESS: 5, Status.NEW: 99}))
    assert verdict == {**tally(state), "pausing": True}
    sound = evaluate_group(state, "g", {Status.COMPLETED: 1})
    assert tally(sound) == {"sound": True, "at": AT}
    assert evaluate_group(sound, "g", {}) is sound
    rest = evaluate_group(count(state, BUG, group="h")[0], "g", {})
    assert set(rest.groups) == {"g", "h"}
    assert set(evaluate_group(rest, "h", {Status.COMPLETED: 1}).groups) == {"g", "h"}


def test_a_pause_is_told_with_its_reason():
    assert groups_to_pause(None) == {}
    assert groups_to_pause(failing(5)) == {}
    assert groups_to_pause(PAUSING) == {
        "g": "the first 5 jobs of group 'g' that ended failed alike, and none completed "
        "(KeyError: 'lr' at step 3); the jobs of the group that wait are held"
    }


def test_after_a_pause_the_group_is_judged_anew():
    state = mark_paused(PAUSING, "g")
    assert tally(state) == {**tally(PAUSING), "pausing": False, "failed": 0}
    assert groups_to_pause(state) == {}
    assert mark_paused(state, "g") is state
    assert mark_paused(state, "another") is state
    both = count(PAUSING, BUG, group="h")[0]
    assert set(mark_paused(both, "g").groups) == {"g", "h"}


def test_what_is_out_of_date_goes_but_for_a_pause_that_is_owed():
    old, _ = count(PAUSING, BUG, group="h")
    later, _ = count(old, BUG, group="i", now=T0 + DAY)
    assert set(later.groups) == {"g", "h", "i"}
    later, _ = count(old, BUG, group="i", now=T0 + DAY + timedelta(seconds=1))
    assert set(later.groups) == {"g", "i"}


def test_of_too_many_groups_the_newest_are_kept():
    state = NOTHING
    for second in (0, 1):
        ends = [(f"{second}-{n:03}", BUG) for n in reversed(range(150))]
        state, _ = count_outcomes(state, ends, first=5, now=T0 + timedelta(seconds=second))
    kept = list(state.groups)
    assert len(kept) == 200
    assert kept == [*(f"0-{n:03}" for n in range(50)), *(f"1-{n:03}" for n in range(150))]


def test_of_groups_of_one_second_the_first_by_name_are_kept():
    ends = [(f"{n:03}", BUG) for n in reversed(range(250))]
    state, _ = count_outcomes(NOTHING, ends, first=5, now=T0)
    assert list(state.groups) == [f"{n:03}" for n in range(200)]


def cause(text, **more):
    return cause_of(replace(BUG, text=text, **more))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at step 3", "at step 41"),
        ("at 0x7fA", "at 0x1"),
        ("in /a/b.py", "in /c.py"),
        ("key 'a'", "key 'bc'"),
        ('key "a"', 'key "bc"'),
        ("x  y", "x y"),
    ],
)
def test_what_varies_does_not_make_another_cause(one, other):
    assert cause(one) == cause(other) != cause(one + " or so")


def test_class_and_rule_make_another_cause():
    assert len(cause("x")) == len(cause("\ud800")) == 12
    kinds = {cause("x"), cause("x", rule="z"), cause("x", failure_class=FailureClass.OOM)}
    assert len(kinds) == 3


def test_only_the_breakers_holds_are_pauses():
    hold = HoldRequested(by="jobcore", code=HoldCode.GROUP)
    assert is_held_by_group(after(make_job(), hold))
    assert not is_held_by_group(after(make_job(), replace(hold, code=HoldCode.USER)))
    assert not is_held_by_group(make_job())
