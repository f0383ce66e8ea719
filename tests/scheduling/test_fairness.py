"""Recent usage of shares: slot hours that lose half their weight each two hours."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0
from jobcore.lifecycle import ShareUsage
from jobcore.scheduling import charge_usage, current_usage

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def usage(share, hours, version=0, at=T0):
    return ShareUsage(share=share, hours=hours, at=at, version=version)


X1 = {"x": usage("x", 1.0)}


def hours_of(charged):
    return {record.share: record.hours for record in charged}


def test_usage_halves_every_two_hours():
    assert current_usage(None, T0) == 0.0
    x = usage("x", 8.0)
    assert current_usage(x, T0) == 8.0
    assert current_usage(x, T0 + 4 * HOUR) == pytest.approx(2.0)
    assert current_usage(x, T0 - 4 * HOUR) == 8.0, "a clock went back"


def test_a_launch_is_charged_an_hour_for_each_slot_and_running_slots_their_time():
    (first,) = charge_usage({}, {"x": 1}, {}, T0)
    assert first == usage("x", 1.0)
    known = {"x": first, "y": usage("y", 0.0)}
    later = hours_of(charge_usage(known, {}, {"x": 1, "y": 4}, T0 + 30 * MINUTE))
    assert later["x"] == pytest.approx(0.5**0.25 + 0.5, abs=0.001)
    assert later["y"] == pytest.approx(2.0)


def test_charges_are_added_to_what_is_left_of_the_earlier_ones():
    known = {"x": usage("x", 8.0, version=3), "y": usage("y", 1.0)}
    charged = charge_usage(known, {"y": 3, "z": 2}, {}, T0 + 2 * HOUR)
    assert charged == [
        usage("y", 3.5, at=T0 + 2 * HOUR),
        usage("z", 2.0, at=T0 + 2 * HOUR),
    ], "x neither launches nor runs: its record is not written"
    (again,) = charge_usage(known, {"x": 1}, {}, T0 + 3 * HOUR)
    assert (again.hours, again.version) == (3.828, 3), "to three digits; over the version read"


@pytest.mark.parametrize(
    ("minutes", "hours"), [(15, 1.0), (30, 2.0), (120, 8.0), (121, 8.0), (10**6, 8.0)]
)
def test_running_slots_are_charged_for_two_hours_at_most(minutes, hours):
    """A share that nothing charged for longer was not looked at: that it ran all the time is a guess."""
    known = {"y": usage("y", 0.0)}
    (charged,) = charge_usage(known, {}, {"y": 4}, T0 + minutes * MINUTE)
    assert charged.hours == pytest.approx(hours)
    (charged,) = charge_usage(known, {"y": 2}, {"y": 4}, T0 + minutes * MINUTE)
    assert charged.hours == pytest.approx(2 + hours)


def test_what_runs_in_a_share_that_was_never_charged_is_not_known_to_have_run_before():
    (charged,) = charge_usage({}, {}, {"y": 5}, T0)
    assert charged == usage("y", 0.0), "from now on it is"
    charged = charge_usage(X1, {"x": 1}, {"x": 5}, T0 - MINUTE)
    assert hours_of(charged) == {"x": 2.0}, "a clock went back"


def test_a_share_that_launches_nothing_is_charged_every_quarter_of_an_hour():
    assert charge_usage(X1, {}, {"x": 4}, T0 + 14 * MINUTE) == []
    assert len(charge_usage(X1, {}, {"x": 4}, T0 + 15 * MINUTE)) == 1
    assert len(charge_usage(X1, {"x": 1}, {"x": 4}, T0 + MINUTE)) == 1


@given(st.floats(0, 1000), st.integers(0, 9), st.integers(0, 9), st.integers(0, 10**5))
def test_a_charge_is_never_negative_and_never_more_than_was_used(hours, launched, running, minutes):
    known = {"x": usage("x", hours)}
    for record in charge_usage(known, {"x": launched}, {"x": running}, T0 + minutes * MINUTE):
        used = launched + running * min(minutes / 60, 2)
        assert 0 <= record.hours <= hours + used + 0.001
