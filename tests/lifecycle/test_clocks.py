"""The three clocks of a job: from when each counts, which comes first, and what is said when one runs out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    Clocks,
    FailureClass,
    HoldRequested,
    Status,
    StopRequested,
    TimePassed,
    TrainingMissing,
    TrainingSeen,
    step,
    wake_at,
)
from jobcore.lifecycle import (
    Retryable,
    Tick,
    due_at,
)

MICRO, MINUTE, HOUR = timedelta.resolution, timedelta(minutes=1), timedelta(hours=1)
RUNS = TrainingSeen(attempt=1, running=True)
MISSING = TrainingMissing(attempt=1)
STOP, LATE = StopRequested(by="ada"), TimePassed()
FINAL = make_failure(FailureClass.BAD_INPUT, Retryable.NO)


def timed(**clocks):
    return make_job(clocks=Clocks(**clocks))


def note(job):
    return job.timeline[-1].note


def test_a_clock_that_runs_out_makes_the_job_failed_and_not_stopped():
    job = after(timed(run_at_most=timedelta(hours=1)), decided(), accepted(), RUNS)
    assert step(job, TimePassed(), now=T0 + timedelta(hours=1)).ignored
    job = after(job, TimePassed(), now=T0 + timedelta(hours=1, minutes=5))
    assert job.status is Status.STOPPING
    over = after(job, ended())
    assert (over.status, over.state.failure.failure_class) == (Status.FAILED, FailureClass.TIMEOUT)
    asked = after(job, STOP, ended())
    assert asked.status is Status.STOPPED


def test_the_wait_clock_counts_anew_after_a_run_that_got_lost():
    job = after(timed(wait_at_most=timedelta(hours=1)), decided(), accepted(), RUNS, MISSING)
    later = T0 + timedelta(days=1)
    job = after(job, MISSING, now=later)
    assert job.status is Status.LAUNCHING
    assert step(job, TimePassed(), now=later + timedelta(minutes=59)).ignored
    assert step(job, TimePassed(), now=later + timedelta(minutes=60)).changed


@pytest.mark.parametrize(
    ("clocks", "said"),
    [
        ({"wait_at_most": HOUR}, "waited longer than wait_at_most (1:00:00)"),
        ({"finish_by": T0}, "not finished by finish_by (2026-01-01 00:00:00+00:00)"),
    ],
)
def test_a_clock_that_ends_a_job_is_told(clocks, said):
    job = after(timed(**clocks), LATE, now=T0 + HOUR)
    failure = job.state.failure
    (clock,) = clocks
    assert (failure.text, failure.rule) == (said, f"clock {clock}")
    assert (failure.failure_class, failure.retryable) == (FailureClass.TIMEOUT, Retryable.NO)
    assert (job.outbox[0].reason, note(job), failure.scope) == (said, said, "job")


def test_a_clock_that_stops_a_training_is_told():
    job = after(timed(run_at_most=HOUR), decided(), accepted(), RUNS)
    job = after(job, LATE, now=T0 + HOUR + 5 * MINUTE)
    assert note(job) == "clock run_at_most ran out"
    assert note(after(job, ended())) == "ran longer than run_at_most (1:00:00)"


@pytest.mark.parametrize("running", [True, False])
def test_the_run_clock_counts_from_what_the_trainer_says(running):
    job = after(timed(run_at_most=HOUR), decided(), accepted())
    if not running:
        assert wake_at(job) is None
        return
    job = after(job, replace(RUNS, started_at=T0 - 10 * MINUTE))
    at = T0 + HOUR - 5 * MINUTE
    assert wake_at(job) == at
    assert not step(job, LATE, now=at - MICRO).changed
    assert step(job, LATE, now=at).changed
    blind = replace(job, state=replace(job.state, attempt=replace(job.current, started_at=None)))
    assert wake_at(blind) == T0 + HOUR + 5 * MINUTE, "or since it was seen to run"


def test_the_first_of_the_clocks_counts():
    both = timed(wait_at_most=HOUR, finish_by=T0 + MINUTE)
    assert wake_at(both) == due_at(both, Tick.MONITOR) == T0 + MINUTE
    later = timed(wait_at_most=MINUTE, finish_by=T0 + HOUR)
    assert after(later, LATE, now=T0 + HOUR).state.failure.rule == "clock wait_at_most"
    held = after(later, HoldRequested(by="ada"))
    assert wake_at(held) == due_at(held, Tick.MONITOR) == T0 + HOUR, "a hold does not wait"
    launched = after(later, decided(), accepted())
    assert wake_at(launched) == T0 + MINUTE
    running = after(launched, RUNS)
    assert wake_at(running) == T0 + HOUR
    for over in (after(running, STOP), after(running, ended(outcome=Status.COMPLETED))):
        assert wake_at(over) is None
    for over in (after(running, ended(failure=FINAL)), after(later, STOP)):
        assert wake_at(over) is None
