from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timedelta

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_job
from jobcore import (
    Clocks,
    Failure,
    FailureClass,
    Placement,
    RetryPolicy,
    Spec,
    Status,
    StopRequested,
    TrainingEnded,
    new_job,
)
from jobcore.lifecycle import Retryable, Scope
from jobcore.lifecycle.codec import digest

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Placement(""), "pool: expected"),
        (lambda: Placement("a", 0), "count: expected at least 1, got 0"),
        (lambda: RetryPolicy(budgets={FailureClass.OOM: -1}), "retry.oom: expected 0 or more"),
        (lambda: RetryPolicy(backoff=timedelta(-1)), "retry.backoff: expected 0 or more"),
        (lambda: RetryPolicy(backoff_max=timedelta(0)), "retry.backoff_max"),
        (lambda: Clocks(wait_at_most=timedelta(0)), "wait_at_most: expected more than 0"),
        (lambda: Clocks(run_at_most=timedelta(-1)), "run_at_most: expected more than 0"),
        (lambda: Clocks(finish_by=NAIVE), "finish_by: expected an aware datetime"),
        (lambda: Spec(name="", owner="o", placements=(Placement("a"),)), "name: expected"),
        (lambda: Spec(name="n", owner="", placements=(Placement("a"),)), "owner: expected"),
        (lambda: Spec(name="n", owner="o", placements=()), "at least one pool"),
        (lambda: new_job("../../etc", make_job().spec, now=T0), "is not a job id"),
        (lambda: new_job("0" * 26, make_job().spec, now=NAIVE), "submitted_at"),
        (lambda: TrainingEnded(attempt=1, outcome=Status.NEW), "is not the end"),
        (lambda: TrainingEnded(attempt=1, outcome=Status.FAILED), "needs its reason"),
    ],
)
def test_what_is_invalid_cannot_be_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_values_are_frozen():
    job = make_job()
    with pytest.raises(FrozenInstanceError):
        job.version = 1


def test_the_share_is_the_owner_unless_given():
    assert make_job().spec.share == "ada"
    assert make_job(share="vision").spec.share == "vision"


def test_every_status_is_terminal_or_active_or_waiting():
    terminal = {s for s in Status if s.is_terminal}
    active = {s for s in Status if s.is_active}
    assert terminal == {Status.COMPLETED, Status.FAILED, Status.STOPPED}
    assert set(Status) - terminal - active == {Status.NEW, Status.HELD}
    assert not terminal & active


def test_the_attempt_that_a_job_speaks_of():
    new = make_job()
    running = after(new, decided(), accepted())
    again = after(running, ended())
    assert (new.attempt_number, new.current) == (1, None)
    assert (running.attempt_number, running.current.number) == (1, 1)
    assert (again.attempt_number, again.training_name[-2:]) == (2, "-2")
    done = after(running, ended(outcome=Status.COMPLETED))
    assert (done.attempt_number, done.current) == (1, None)
    assert after(new, StopRequested(by="ada")).attempt_number == 1


def test_the_timeline_keeps_its_beginning_and_its_end():
    job = make_job(retry=RetryPolicy(budgets={FailureClass.ALGORITHM: 1000}))
    for number in range(1, 60):
        later = T0 + timedelta(days=number)
        job = after(job, decided(number), accepted(number), ended(number), now=later)
    assert len(job.timeline) == 60
    assert job.timeline[0].note == "submitted"
    assert job.timeline[-1].attempt == 60
    assert [attempt.number for attempt in job.attempts] == list(range(40, 60))


def test_a_headline_is_one_line_of_at_most_200_characters():
    failure = Failure(
        failure_class=FailureClass.UNKNOWN,
        scope=Scope.JOB,
        retryable=Retryable.NO,
        rule="r",
        text="a\n  b " + "x" * 500,
    )
    assert failure.headline.startswith("a b xxx")
    assert len(failure.headline) == 200
    assert replace(failure, text="short").headline == "short"


def test_a_digest_does_not_depend_on_the_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
