"""The group breaker, rule by rule: what is counted, when it is evaluated, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, after, make_job
from jobcore import HoldRequested, Status
from jobcore.lifecycle import GroupKey, GroupTally, HoldCode
from jobcore.scheduling import (
    JobEnd,
    count_end,
    evaluate_group,
    is_evaluation_due,
    is_held_by_breaker,
    mark_paused,
    pause_reason,
)

KEY = GroupKey("g", "ada")
BUG = JobEnd(KEY, "bug", "KeyError: 'lr' at step 3")
OTHER = JobEnd(KEY, "other", "ValueError: no")
COMPLETED = JobEnd(KEY)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def count(tally, *ends, first=5, now=T0):
    """Count ends; give the tally and the numbers of failures at which an evaluation was due."""
    due = []
    for end in ends:
        counted = count_end(tally, end, now=now)
        if counted is not None and counted is not tally and is_evaluation_due(counted, first=first):
            due.append(counted.failed)
        tally = counted
    return tally, due


def failing(times=1, now=T0):
    return count(None, *[BUG] * times, now=now)[0]


PAUSING = evaluate_group(failing(5), {})


@given(st.integers(1, 6), st.integers(1, 60))
def test_a_group_is_evaluated_at_the_first_and_then_at_twice_as_many(first, times):
    tally, due = count(None, *[BUG] * times, first=first)
    assert due == [first * 2**n for n in range(7) if first * 2**n <= times]
    assert tally.failed == times


def test_what_is_noted_of_a_failure():
    assert failing(2) == GroupTally(
        group="g", owner="ada", at=T0, failed=2, cause="bug", reason="KeyError: 'lr' at step 3"
    )
    assert failing(2).key == KEY


def test_another_cause_begins_anew():
    tally, due = count(failing(4), OTHER)
    assert (tally.failed, tally.cause, tally.reason, due) == (1, "other", "ValueError: no", [])
    _, due = count(failing(4), BUG, OTHER)
    assert due == [5], "it had been five alike"


def test_a_completion_makes_a_group_sound_for_a_day():
    sound, due = count(failing(4), BUG, COMPLETED)
    assert sound == GroupTally(group="g", owner="ada", at=T0, sound=True)
    assert due == [5]
    same, _ = count(sound, COMPLETED, BUG, now=T0 + DAY)
    assert same is sound
    anew, due = count(sound, BUG, first=1, now=T0 + DAY + SECOND)
    assert (anew.failed, anew.sound, due) == (1, False, [1])


def test_a_completion_of_a_group_that_has_not_failed_is_not_written():
    assert count(None, COMPLETED)[0] is None
    tally, due = count(None, COMPLETED, BUG, first=1)
    assert (tally.failed, due) == (1, [1])


def test_failures_are_forgotten_after_a_day():
    assert count(failing(4), BUG, now=T0 + DAY)[0].failed == 5
    later, _ = count(failing(4), BUG, now=T0 + DAY + SECOND)
    assert (later.failed, later.at) == (1, T0 + DAY + SECOND)
    assert count(PAUSING, BUG, now=T0 + DAY + SECOND)[0].pausing is False
    assert count(PAUSING, COMPLETED, now=T0 + DAY + SECOND)[0] is PAUSING


def test_a_tally_keeps_the_version_that_it_was_read_at():
    read = replace(failing(4), version=7)
    for end in (BUG, OTHER, COMPLETED):
        assert count(read, end)[0].version == 7
    assert count(read, BUG, now=T0 + DAY + SECOND)[0].version == 7
    assert evaluate_group(read, {}).version == mark_paused(read).version == 7


def test_an_evaluation():
    tally = failing(5)
    assert evaluate_group(tally, {Status.IN_PROGRESS: 6}) is tally, "more run than have failed"
    verdict = evaluate_group(tally, {Status.IN_PROGRESS: 5, Status.NEW: 99})
    assert verdict == replace(tally, pausing=True)
    sound = evaluate_group(tally, {Status.COMPLETED: 1})
    assert sound == GroupTally(group="g", owner="ada", at=T0, sound=True)
    assert evaluate_group(sound, {}) is sound


def test_a_pause_is_told_with_its_reason():
    assert failing(5).pausing is False
    assert PAUSING.pausing is True
    assert pause_reason(PAUSING) == (
        "the first 5 jobs of group 'g' that ended failed alike, and none completed "
        "(KeyError: 'lr' at step 3); the jobs of the group that wait are held"
    )


def test_after_a_pause_the_group_is_evaluated_anew():
    tally = mark_paused(PAUSING)
    assert tally == replace(PAUSING, pausing=False, failed=0)
    _, due = count(tally, *[BUG] * 5)
    assert due == [5]


@pytest.mark.parametrize("code", HoldCode)
def test_only_the_breakers_holds_are_pauses(code):
    held = after(make_job(), HoldRequested(by="jobcore", code=code))
    assert is_held_by_breaker(held) is (code is HoldCode.GROUP)
    assert not is_held_by_breaker(make_job())
