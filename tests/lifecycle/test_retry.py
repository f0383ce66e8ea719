from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, make_failure, make_job
from jobcore import FailureClass, RetryPolicy
from jobcore.lifecycle import (
    DEFAULT_BUDGETS,
    Attempt,
    GiveUp,
    Hold,
    HoldCode,
    Retryable,
    TryAgain,
    budget,
    retry,
)

POOL_CLASSES = {FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.THROTTLE}


def answer(kind, retryable=Retryable.LIMITED, used=0, attempt=1, **policy):
    job = make_job(retry=RetryPolicy(**policy))
    job = replace(job, charges={kind: used}, state=replace(job.state, attempt=attempt))
    return retry(job, make_failure(kind, retryable), now=T0)


def test_every_class_has_a_default():
    assert set(DEFAULT_BUDGETS) == set(FailureClass)


@pytest.mark.parametrize("retryable", [Retryable.YES, Retryable.LIMITED])
@pytest.mark.parametrize("kind", FailureClass)
def test_the_default_budget_is_used_up_and_not_exceeded(kind, retryable):
    allowed = DEFAULT_BUDGETS[kind]
    if allowed is None:
        assert answer(kind, retryable, used=10_000) == TryAgain(None, used=10_001)
        return
    assert isinstance(answer(kind, retryable, used=allowed), GiveUp)
    if allowed:
        assert isinstance(answer(kind, retryable, used=allowed - 1), TryAgain)


@pytest.mark.parametrize("kind", sorted(set(FailureClass) - {FailureClass.QUOTA}))
def test_a_final_failure_is_not_retried_unless_the_job_says_so(kind):
    assert isinstance(answer(kind, Retryable.NO), GiveUp)
    assert isinstance(answer(kind, Retryable.NO, budgets={kind: 1}), TryAgain)
    assert isinstance(answer(kind, Retryable.NO, used=1, budgets={kind: 1}), GiveUp)


def test_a_request_larger_than_the_quota_waits_for_a_human():
    decision = answer(FailureClass.QUOTA, Retryable.NO)
    assert isinstance(decision, Hold)
    assert decision.code is HoldCode.QUOTA


@pytest.mark.parametrize("kind", sorted(POOL_CLASSES))
def test_what_is_the_pools_trouble_is_left_to_the_pool(kind):
    assert answer(kind, Retryable.YES, used=7) == TryAgain(None, used=8)


def test_the_first_interruption_waits_for_nothing():
    assert answer(FailureClass.SPOT_INTERRUPTED) == TryAgain(None, used=1)
    assert answer(FailureClass.SPOT_INTERRUPTED, used=1).not_before > T0


def interrupted_after(minutes, used, **policy):
    job = make_job(retry=RetryPolicy(**policy))
    attempt = Attempt(
        number=3,
        placement=job.spec.placements[0],
        launching_at=T0,
        started_at=T0,
        ended_at=T0 + timedelta(minutes=minutes),
    )
    job = replace(job, attempts=(attempt,), charges={FailureClass.SPOT_INTERRUPTED: used})
    failure = make_failure(FailureClass.SPOT_INTERRUPTED, Retryable.YES)
    return retry(job, failure, now=T0 + timedelta(minutes=minutes))


def test_an_interruption_after_progress_is_free_however_many_there_were():
    """A training of days in a pool that comes and goes each half hour is interrupted a hundred times."""
    assert interrupted_after(10, used=10**6) == TryAgain(None, used=1)


def test_a_budget_of_0_allows_no_retry_after_progress_either():
    budgets = {FailureClass.SPOT_INTERRUPTED: 0}
    assert interrupted_after(10, used=0, budgets=budgets) == GiveUp()


def test_who_is_interrupted_whenever_it_starts_is_given_up():
    assert isinstance(interrupted_after(9, used=19), TryAgain)
    assert isinstance(interrupted_after(9, used=20), GiveUp)


def test_the_jobs_policy_comes_before_the_default():
    policy = RetryPolicy(budgets={FailureClass.OOM: 7})
    assert budget(policy, FailureClass.OOM) == 7
    assert budget(policy, FailureClass.ALGORITHM) == 1


@given(attempt=st.integers(1, 999_999))
def test_the_wait_grows_with_each_retry_and_is_capped(attempt):
    longest = timedelta(seconds=100)
    waits = [
        answer(
            FailureClass.ALGORITHM,
            used=used,
            attempt=attempt,
            budgets={FailureClass.ALGORITHM: 100},
            backoff=timedelta(seconds=1),
            backoff_max=longest,
        ).not_before
        - T0
        for used in range(70)
    ]
    assert timedelta(seconds=0.75) <= waits[0] <= timedelta(seconds=1)
    assert waits == sorted(waits)
    assert len(set(waits[:7])) == 7
    assert longest * 0.75 <= waits[-1] <= longest


def test_jitter_is_a_function_of_job_and_attempt():
    assert answer(FailureClass.OOM) == answer(FailureClass.OOM)
    waits = {answer(FailureClass.OOM, attempt=attempt) for attempt in range(1, 50)}
    assert len(waits) == 49


@given(st.dictionaries(st.sampled_from(FailureClass), st.integers(0, 50)))
def test_what_other_classes_used_up_does_not_matter(charges):
    charges.pop(FailureClass.ALGORITHM, None)
    job = replace(make_job(), charges=charges)
    assert isinstance(retry(job, make_failure(), now=T0), TryAgain)
