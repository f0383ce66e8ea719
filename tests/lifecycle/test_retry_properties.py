"""How often and how soon: budgets that are apart, waits that double, are bounded and can be added."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, failures, make_failure, make_job, retry_policies
from jobcore import Clocks, FailureClass, InvalidJob, RetryPolicy, parse_job
from jobcore.lifecycle import (
    DEFAULT_BUDGETS,
    GiveUp,
    Hold,
    Retryable,
    Scope,
    Tick,
    TryAgain,
    budget,
    due_at,
    retry,
)

SECOND = timedelta(seconds=1)
NO_BOUND = {FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.THROTTLE}


def used(job, kind, times):
    return replace(job, charges={kind: times})


def test_the_budgets_that_a_job_has_unless_it_says_otherwise():
    """People plan with these; a change of one changes what becomes of jobs that are under way."""
    assert {kind.value: count for kind, count in DEFAULT_BUDGETS.items()} == {
        "capacity": None,
        "quota": None,
        "throttle": None,
        "spot_interrupted": 20,
        "service_internal": 3,
        "data_access": 2,
        "permission": 2,
        "algorithm": 1,
        "oom": 1,
        "unknown": 1,
        "bad_input": 1,
        "timeout": 0,
        "stopped_by_user": 0,
    }
    assert (RetryPolicy().backoff, RetryPolicy().backoff_max) == (30 * SECOND, 3600 * SECOND)


@given(failures, retry_policies, st.integers(0, 30))
def test_a_budget_bounds_the_retries_of_its_class_alone(failure, policy, times):
    kind = failure.failure_class
    job = make_job(retry=policy)
    decision = retry(used(job, kind, times), failure, now=T0)
    allowed = budget(policy, kind)
    asked_for = kind in policy.budgets
    if failure.retryable is Retryable.NO and kind is FailureClass.QUOTA:
        assert isinstance(decision, Hold)
    elif failure.scope is Scope.ACCOUNT and kind not in NO_BOUND:
        assert isinstance(decision, TryAgain), "no job is to blame for the account"
        assert decision.used == times, "and none is charged"
    elif failure.retryable is Retryable.NO and not asked_for:
        assert decision == GiveUp()
    else:
        assert isinstance(decision, TryAgain) == (allowed is None or times < allowed)
    others = dict.fromkeys(set(FailureClass) - {kind}, 10**6)
    crowded = replace(job, charges={**others, kind: times})
    assert retry(crowded, failure, now=T0) == decision


@pytest.mark.parametrize("kind", sorted(set(FailureClass) - NO_BOUND))
def test_the_wait_doubles_with_each_retry_of_the_class(kind):
    policy = RetryPolicy(budgets={kind: 100}, backoff=SECOND, backoff_max=timedelta(days=3650))
    job = make_job(retry=policy)
    waits = [retry(used(job, kind, n), make_failure(kind), now=T0).not_before for n in range(20)]
    spot = kind is FailureClass.SPOT_INTERRUPTED
    assert (waits[0] is None) == spot, "the first interruption waits for nothing"
    for doublings, at in enumerate(waits[spot : 18 + spot]):
        longest = 2**doublings * SECOND
        assert 0.75 * longest <= at - T0 <= longest


def test_the_jitter_takes_up_to_a_quarter_and_all_of_it():
    policy = RetryPolicy(budgets={FailureClass.OOM: 1}, backoff=100 * SECOND)
    waits = []
    for n in range(1, 200):
        job = make_job(retry=policy)
        job = replace(job, state=replace(job.state, attempt=n))
        waits.append(retry(job, make_failure(FailureClass.OOM), now=T0).not_before - T0)
    assert 75 * SECOND <= min(waits) < 77 * SECOND
    assert 98 * SECOND < max(waits) <= 100 * SECOND


@given(
    st.sampled_from(sorted(set(FailureClass) - NO_BOUND)),
    st.integers(0, 10**6),
    st.timedeltas(timedelta(0), timedelta(days=3_650)),
)
def test_any_wait_that_a_policy_may_name_is_a_time(kind, times, backoff):
    """Else the job's next failure could never be answered."""
    policy = RetryPolicy(budgets={kind: 10**7}, backoff=backoff, backoff_max=timedelta(days=3_650))
    decision = retry(used(make_job(retry=policy), kind, times), make_failure(kind), now=T0)
    at = decision.not_before
    assert at is None or at - T0 <= timedelta(days=3_650)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Clocks(wait_at_most=timedelta(days=3_651)),
        lambda: Clocks(run_at_most=timedelta.max),
        lambda: RetryPolicy(backoff_max=timedelta(days=3_651)),
    ],
)
def test_a_time_beyond_the_calendar_is_refused(make):
    with pytest.raises(ValueError, match=r"expected at most 3650 days"):
        make()


@pytest.mark.parametrize("field", ["wait_at_most", "run_at_most"])
def test_a_job_file_may_not_wait_beyond_the_calendar(field):
    with pytest.raises(InvalidJob) as caught:
        parse_job({"script": "a.py", "clocks": {field: "9999999d"}}, owner="ada")
    assert [problem.field for problem in caught.value.problems] == [f"clocks.{field}"]
    spec = parse_job({"script": "a.py", "clocks": {field: "3650d"}}, owner="ada")
    job = replace(make_job(), spec=spec, submitted_at=datetime(2026, 1, 1, tzinfo=UTC))
    for tick in Tick:
        due_at(job, tick)


@pytest.mark.parametrize(
    ("longest", "told"),
    [
        ("3651d", "expected at most 3650 days, got 3651 days"),
        ("10000d", "expected at most 3650 days, got 10000 days"),
        ("10001d", 'expected a duration such as "90s", "1h30m" or "2d", got \'10001d\''),
        ("9999999d", 'expected a duration such as "90s", "1h30m" or "2d", got \'9999999d\''),
    ],
)
def test_a_job_file_may_not_back_off_beyond_the_calendar(longest, told):
    """No duration is longer than 10,000 days, and no back-off longer than 3,650."""
    document = {"script": "a.py", "retry": {"backoff": "1s", "backoff_max": longest}}
    with pytest.raises(InvalidJob) as caught:
        parse_job(document, owner="ada")
    assert str(caught.value) == f"retry.backoff_max: {told}"
    document["retry"]["backoff_max"] = "3650d"
    assert parse_job(document, owner="ada").retry.backoff_max == timedelta(days=3_650)
