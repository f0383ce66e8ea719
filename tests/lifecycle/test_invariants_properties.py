"""Each invariant finds what breaks it, as often as it is broken, and nothing in what is nearly so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    Clocks,
    FailureClass,
    HoldRequested,
    ReleaseRequested,
    RetryPolicy,
    Status,
    StopRequested,
    TimePassed,
    TrainingSeen,
)
from jobcore.lifecycle import Failed, Mark, New, violations

RUNS_1 = TrainingSeen(attempt=1, running=True)
OFTEN = RetryPolicy(budgets={FailureClass.ALGORITHM: 1000})
RELEASE, STOP = ReleaseRequested(by="ada"), StopRequested(by="ada")

NEW = make_job(retry=OFTEN)
RUNS = after(NEW, decided(), accepted(), RUNS_1)
AGAIN = after(RUNS, ended(), RELEASE)
RUNS_AGAIN = after(AGAIN, decided(2), accepted(2), TrainingSeen(attempt=2, running=True))
DONE = after(RUNS_AGAIN, ended(2, outcome=Status.COMPLETED))
FAILED = after(RUNS, ended(failure=make_failure(FailureClass.TIMEOUT)))
HELD_ONCE = after(NEW, HoldRequested(by="x", notify=True), RELEASE, decided(), accepted(), RUNS_1)
LATE = after(make_job(clocks=Clocks(run_at_most=timedelta(hours=1))), decided(), accepted(), RUNS_1)
LATE = after(LATE, TimePassed(), now=T0 + timedelta(days=1))


def long_life(attempts):
    job = NEW
    for number in range(1, attempts + 1):
        now = T0 + timedelta(days=number)
        seen = TrainingSeen(attempt=number, running=True)
        job = after(job, decided(number), accepted(number), seen, ended(number), now=now)
    return job


LONG = long_life(30)
ENTRY = DONE.outbox[0]
FIRST, SECOND = DONE.attempts


def codes(job):
    return sorted(one.code for one in violations(job))


def marked(job, *marks):
    return replace(job, timeline=(*job.timeline, *marks))


def mark(status, attempt=1):
    return Mark(at=T0, status=status, attempt=attempt)


@pytest.mark.parametrize(
    "job",
    [NEW, RUNS, AGAIN, RUNS_AGAIN, DONE, FAILED, HELD_ONCE, LATE, LONG, long_life(14),
     long_life(20), after(RUNS, STOP), after(NEW, STOP), after(LATE, STOP, ended()),
     replace(RUNS, outbox=HELD_ONCE.outbox, timeline=HELD_ONCE.timeline),
     replace(NEW, state=Failed(since=T0, failure=make_failure()),
             timeline=(*NEW.timeline, mark(Status.FAILED)))],
)  # fmt: skip
def test_a_sound_job_breaks_nothing(job):
    assert codes(job) == []


MANY = tuple(replace(FIRST, number=n) for n in range(1, 21))

BROKEN = {
    # S2: numbers grow, and none is beyond the one that the state speaks of
    "the current attempt has ended": (replace(RUNS, attempts=(FIRST,)), ["S2"]),
    "two have one number": (replace(DONE, attempts=(FIRST, FIRST, SECOND)), ["S2"]),
    "they go down": (
        replace(RUNS_AGAIN, attempts=(replace(FIRST, number=2), FIRST)),
        ["S2"],
    ),
    "one is beyond": (
        replace(AGAIN, attempts=(FIRST, SECOND, replace(SECOND, number=3)), timeline=DONE.timeline),
        ["S2", "S4", "S6"],
    ),
    # S3, S4: the timeline
    "it goes on after its end": (
        marked(DONE, mark(Status.NEW, 2), mark(Status.COMPLETED, 2)),
        ["S3", "S4"],
    ),
    "it ends twice": (
        marked(DONE, mark(Status.FAILED, 2), mark(Status.COMPLETED, 2)),
        ["S3", "S3"],
    ),
    "it ends as another": (marked(RUNS, mark(Status.LAUNCHING)), ["S4"]),
    "the attempt goes down": (
        replace(RUNS_AGAIN, timeline=(*RUNS_AGAIN.timeline[:-1], mark(Status.IN_PROGRESS, 1))),
        ["S4"],
    ),
    "two edges that are none": (
        replace(RUNS, timeline=(NEW.timeline[0], mark(Status.IN_PROGRESS)) * 2),
        ["S4", "S4"],
    ),
    "no timeline": (replace(NEW, timeline=()), ["S4"]),
    # S5
    "completed by an attempt that failed": (replace(DONE, attempts=(FIRST,)), ["S5"]),
    "completed by none": (replace(DONE, attempts=()), ["S5"]),
    "completed by the last but one": (
        replace(DONE, attempts=(replace(SECOND, number=1), replace(FIRST, number=2))),
        ["S5"],
    ),
    "failed, and it completed": (
        replace(FAILED, attempts=(replace(SECOND, number=1),)),
        ["S5"],
    ),
    # S6
    "only the waiting is told": (
        replace(DONE, attempts=(FIRST, SECOND), timeline=DONE.timeline[-1:]),
        ["S6"],
    ),
    "an attempt that only waited": (
        replace(NEW, state=New(since=T0, attempt=2), attempts=(FIRST,)),
        ["S6"],
    ),
    "an attempt that nobody meant": (
        replace(DONE, attempts=(*MANY[:2], replace(SECOND, number=3))),
        ["S6"],
    ),
    # S7, S8
    "a message twice": (replace(DONE, outbox=(ENTRY, ENTRY)), ["S7"]),
    "a message of another job": (replace(DONE, outbox=(replace(ENTRY, event_id="x"),)), ["S7"]),
    "a message of what never was": (
        replace(NEW, outbox=(replace(ENTRY, status=Status.HELD),)),
        ["S8"],
    ),
    "a message of another end": (
        replace(DONE, outbox=(replace(ENTRY, status=Status.FAILED),)),
        ["S8", "S8"],
    ),
    "a message of an end that was not the last": (
        replace(marked(RUNS, mark(Status.COMPLETED), mark(Status.IN_PROGRESS)), outbox=(ENTRY,)),
        ["S3", "S8"],
    ),
    # S13
    "stopped, and nobody asked": (replace(after(NEW, STOP), stop=None), ["S13"]),
    "stopping, and nobody asked": (replace(after(RUNS, STOP), stop=None), ["S13"]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_each_break_is_found_once(what):
    job, expected = BROKEN[what]
    assert codes(job) == expected
    assert all(one.job_id == job.job_id and one.said for one in violations(job))


@pytest.mark.parametrize(
    ("attempts", "marks", "found"),
    [(19, 59, True), (20, 59, False), (19, 60, False), (20, 60, False)],
)
def test_an_intent_that_is_not_kept_any_more_is_not_missed(attempts, marks, found):
    job = replace(
        NEW,
        state=New(since=T0, attempt=30),
        attempts=MANY[:attempts],
        timeline=(mark(Status.NEW, 30),) * marks,
    )
    assert ("S6" in codes(job)) == found


@pytest.mark.parametrize(
    ("marks", "odd", "found"),
    [(60, 4, True), (60, 5, False), (60, 6, True), (59, 4, True), (59, 5, True), (59, 6, True)],
)
def test_a_long_timeline_has_one_gap_and_only_after_its_first_five_marks(marks, odd, found):
    timeline = [mark(Status.NEW)] * marks
    timeline[odd] = mark(Status.IN_PROGRESS)  # New never becomes InProgress
    assert codes(replace(NEW, timeline=tuple(timeline))) == ["S4"] * found
