"""Which ends of jobs the group breaker counts."""

from __future__ import annotations

import pytest

from core_strategies import accepted, after, decided, ended, make_failure, make_job
from jobcore import FailureClass, RetryPolicy, Status, StopRequested
from jobcore.failures import cause_of
from jobcore.lifecycle import GroupKey, Retryable
from jobcore.scheduling import JobEnd
from jobcore.ticks.group_holds import _end_of

KEY = GroupKey("g", "ada")
RUNNING = (decided(), accepted())


def job_that(*events, **spec):
    return after(make_job(group="g", **spec), *events)


@pytest.mark.parametrize("retryable", Retryable)
def test_only_a_failure_that_no_retry_helps_is_counted(retryable):
    """One that may pass by itself says nothing of the group, even when its budget is used up."""
    failure = make_failure(FailureClass.ALGORITHM, retryable, "KeyError: 'lr'")
    none_left = RetryPolicy(budgets={FailureClass.ALGORITHM: 0})
    job = job_that(*RUNNING, ended(failure=failure), retry=none_left)
    assert job.status is Status.FAILED
    counted = JobEnd(KEY, cause_of(failure), "KeyError: 'lr'")
    assert _end_of(KEY, job) == (counted if retryable is Retryable.NO else None)


def test_a_completion_is_counted_and_a_stop_is_not():
    assert _end_of(KEY, job_that(*RUNNING, ended(outcome=Status.COMPLETED))) == JobEnd(KEY)
    assert _end_of(KEY, job_that(StopRequested(by="ada"))) is None
    assert _end_of(KEY, job_that(*RUNNING)) is None
