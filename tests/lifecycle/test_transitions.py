"""The table is total, every status that it names is reached, and the details are as written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    Clocks,
    FailureClass,
    HoldRequested,
    Job,
    LaunchRefused,
    MessagePublished,
    NameTaken,
    ReleaseRequested,
    RetryPolicy,
    Status,
    StopRequested,
    TimePassed,
    TrainingMissing,
    TrainingSeen,
    step,
    wake_at,
)
from jobcore.lifecycle import EVENT_TYPES, TRANSITIONS, Go, Ignore, Refuse, Retryable
from jobcore.metrics import Metric

PRODUCT = set(product(Status, EVENT_TYPES))
STOP, HOLD, RELEASE = StopRequested(by="ada"), HoldRequested(by="ada"), ReleaseRequested(by="ada")
SEEN = TrainingSeen(attempt=1, running=False)
RUNS = TrainingSeen(attempt=1, running=True)
FINAL = make_failure(FailureClass.BAD_INPUT, Retryable.NO)
TOO_BIG = make_failure(FailureClass.QUOTA, Retryable.NO)
FULL = make_failure(FailureClass.CAPACITY, Retryable.YES)
MISSING = TrainingMissing(attempt=1)
LATER = T0 + timedelta(days=2)


def missing_cells(table) -> set:
    return PRODUCT - {(status, event) for status, row in table.items() for event in row}


def test_the_table_is_total():
    assert missing_cells(TRANSITIONS) == set()
    assert {(s, e) for s, row in TRANSITIONS.items() for e in row} == PRODUCT
    assert len(PRODUCT) == 108


@pytest.mark.parametrize(("status", "event"), sorted(PRODUCT, key=str))
def test_a_removed_cell_is_noticed(status, event):
    table = {s: dict(row) for s, row in TRANSITIONS.items()}
    del table[status][event]
    assert missing_cells(table) == {(status, event)}


def test_every_reason_is_a_sentence():
    for row in TRANSITIONS.values():
        for cell in row.values():
            if isinstance(cell, Ignore | Refuse):
                assert len(cell.why) > 5


@pytest.mark.parametrize("status", [s for s in Status if s.is_terminal])
def test_a_terminal_status_leads_nowhere_else(status):
    for cell in TRANSITIONS[status].values():
        assert not isinstance(cell, Go) or cell.to == (status,)


def timed(**clocks) -> Job:
    return make_job(clocks=Clocks(**clocks))


def all_jobs() -> list[Job]:
    """Make jobs of every status, in the variants that handlers tell apart."""
    day = timedelta(days=1)
    starts = [
        make_job(),
        timed(wait_at_most=day),
        timed(run_at_most=day),
        timed(finish_by=T0 + day),
        make_job(retry=RetryPolicy(budgets={FailureClass.ALGORITHM: 0})),
    ]
    jobs = []
    for start in starts:
        launching = after(start, decided())
        launched = after(launching, accepted())
        running = after(launched, RUNS)
        stopping = after(running, STOP)
        blind = after(launching, STOP)
        again = (
            [] if start.spec.retry.budgets else [after(running, ended())]  # backs off
        )
        jobs += [start, launching, launched, running, stopping, blind, *again]
        jobs += [after(job, MISSING) for job in (launched, running, stopping)]
        jobs += [after(job, HOLD) for job in (start, launching, launched, running)]
        jobs += [after(launching, NameTaken(attempt=1, reason="a stranger's"))]
        jobs += [after(start, STOP), after(launching, ended(failure=FINAL))]
        jobs += [after(running, ended(outcome=Status.COMPLETED))]
        # A hold's message that is still unsent while the job goes on.
        owing = after(launching, LaunchRefused(attempt=1, failure=TOO_BIG), RELEASE)
        jobs += [owing, after(owing, decided()), after(owing, decided(), accepted())]
        jobs += [after(jobs[-1], RUNS), after(jobs[-1], RUNS, STOP)]
        if start.spec.clocks != Clocks():
            jobs += [
                step(job, TimePassed(), now=LATER).job
                for job in (start, launching, launched, running)
            ]
    return jobs


def all_events(job: Job) -> list:
    n = job.attempt_number
    sent = [MessagePublished(event_id=entry.event_id) for entry in job.outbox]
    return [
        decided(n),
        accepted(n),
        *(LaunchRefused(attempt=n, failure=f) for f in (FULL, FINAL, TOO_BIG)),
        NameTaken(attempt=n, reason="a stranger's"),
        replace(SEEN, attempt=n),
        replace(RUNS, attempt=n),
        replace(RUNS, attempt=n, detail="Downloading"),
        ended(n),
        ended(n, outcome=Status.COMPLETED),
        ended(n, outcome=Status.STOPPED),
        ended(n, failure=FINAL),
        ended(n, failure=TOO_BIG),
        replace(MISSING, attempt=n),
        STOP,
        HOLD,
        RELEASE,
        TimePassed(),
        MessagePublished(event_id="unknown"),
        *sent,
    ]


def test_every_status_that_a_cell_names_is_reached_and_no_other():
    named = {
        (status, event, to)
        for status, row in TRANSITIONS.items()
        for event, cell in row.items()
        if isinstance(cell, Go)
        for to in cell.to
    }
    reached = set()
    for job in all_jobs():
        for event in all_events(job):
            for now in (T0, LATER):
                result = step(job, event, now=now)
                if result.changed:
                    reached.add((job.status, type(event), result.job.status))
                else:
                    assert result.job is job
    assert reached == named


def test_an_event_about_another_attempt_is_stale_everywhere():
    for job in all_jobs():
        for event in all_events(job):
            if getattr(event, "attempt", None) is not None:
                other = replace(event, attempt=event.attempt + 1)
                result = step(job, other, now=T0)
                assert result.job is job
                assert f"attempt {other.attempt}" in result.ignored


def test_naive_time_is_refused():
    with pytest.raises(ValueError, match="now: expected an aware datetime"):
        step(make_job(), TimePassed(), now=T0.replace(tzinfo=None))


def test_a_stranger_event_is_a_programmer_error():
    with pytest.raises(KeyError):
        step(make_job(), object(), now=T0)


def test_a_stop_of_a_doubtful_launch_uses_the_name_up_first():
    job = after(make_job(), decided(), STOP)
    assert (job.status, job.state.known) == (Status.STOPPING, False)
    known = after(job, accepted())
    assert known.state.known
    stopped = after(known, ended(failure=make_failure(FailureClass.STOPPED_BY_USER)))
    assert stopped.status is Status.STOPPED
    refused = after(job, LaunchRefused(attempt=1, failure=FULL))
    assert refused.status is Status.STOPPED


def test_a_missing_training_is_launched_again_under_its_name_but_not_at_once():
    job = after(make_job(), decided(), accepted(), MISSING)
    assert step(job, MISSING, now=T0 + timedelta(seconds=119)).ignored
    again = after(job, MISSING, now=T0 + timedelta(seconds=120))
    assert (again.status, again.training_name) == (Status.LAUNCHING, job.training_name)
    seen = after(job, SEEN)
    assert seen.state.missing_since is None


def test_adoption_out_of_a_hold_holds_again_before_the_next_attempt():
    held = after(make_job(), HOLD)
    adopted = after(held, accepted())
    assert (adopted.status, adopted.hold_next) == (Status.LAUNCHED, True)
    assert after(adopted, ended()).status is Status.HELD


def test_a_hold_is_no_retry_and_charges_nothing():
    job = after(make_job(), decided(), LaunchRefused(attempt=1, failure=TOO_BIG))
    assert (job.status, job.charges) == (Status.HELD, {})
    assert [entry.status for entry in job.outbox] == [Status.HELD]
    assert after(job, RELEASE).attempt_number == 1


def test_release_after_a_strangers_name_takes_the_next_number():
    job = after(make_job(), decided(), NameTaken(attempt=1, reason="a stranger's"), RELEASE)
    assert (job.status, job.attempt_number) == (Status.NEW, 2)


def test_release_ends_a_back_off():
    job = after(make_job(), decided(), accepted(), RUNS, ended())
    assert job.state.not_before > T0
    assert wake_at(job) == job.state.not_before
    assert step(job, decided(2), now=T0).ignored
    assert after(job, RELEASE, decided(2)).status is Status.LAUNCHING


def test_a_job_that_is_over_says_how_to_go_on():
    over = after(make_job(), STOP)
    assert "retry" in step(over, RELEASE, now=T0).refused
    assert step(over, HOLD, now=T0).refused == "the job is over"


LOSS, ACCURACY = (
    (Metric(name="loss", final=0.5),),
    (Metric(name="accuracy", final=0.9),),
)


def running(attempt: int, job: Job | None = None) -> Job:
    seen = TrainingSeen(attempt=attempt, running=True)
    now = T0 + timedelta(days=attempt)
    return after(job or make_job(), decided(attempt), accepted(attempt), seen, now=now)


def test_a_job_has_the_metrics_of_the_attempt_that_completed():
    first = after(running(1), replace(ended(1), metrics=LOSS))
    assert first.status is Status.NEW
    assert first.metrics == LOSS
    completed = replace(ended(2, outcome=Status.COMPLETED), metrics=ACCURACY)
    assert after(running(2, first), completed).metrics == ACCURACY
    # Those of an earlier attempt would be another model's.
    assert after(running(2, first), ended(2, outcome=Status.COMPLETED)).metrics == ()


def test_an_attempt_that_died_early_leaves_the_metrics_of_the_one_before():
    first = after(running(1), replace(ended(1), metrics=LOSS))
    assert after(running(2, first), ended(2)).metrics == LOSS
    assert after(running(2, first), replace(ended(2), metrics=ACCURACY)).metrics == ACCURACY
