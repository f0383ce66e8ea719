"""What a step keeps short, what it says, and when the ticks are due: to the character and the instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_strategies import T0, accepted, after, decided, ended, events, make_failure, make_job
from jobcore import (
    Clocks,
    FailureClass,
    HoldRequested,
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
)
from jobcore.lifecycle import EVENT_TYPES, TRANSITIONS, Go, Mark, Refuse, Retryable

MINUTE = timedelta(minutes=1)
RUNS = TrainingSeen(attempt=1, running=True)
STOP, RELEASE, LATE = StopRequested(by="ada"), ReleaseRequested(by="ada"), TimePassed()
FINAL = make_failure(FailureClass.BAD_INPUT, Retryable.NO)
LONG = "x" * 201


def timed(**clocks):
    return make_job(clocks=Clocks(**clocks))


def note(job):
    return job.timeline[-1].note


@given(st.lists(events(st.integers(1, 3)), max_size=12))
def test_a_step_is_a_function_and_says_why_it_changes_nothing(happened):
    job = make_job()
    for event in happened:
        one, other = step(job, event, now=T0), step(job, event, now=T0)
        assert one == other
        assert one.changed == (one.job is not job)
        if not one.changed:
            assert (one.ignored is None) != (one.refused is None)
        cell = TRANSITIONS[job.status][type(event)]
        assert (one.refused is not None) == isinstance(cell, Refuse)
        assert isinstance(cell, Go) or not one.changed
        job = one.job


def test_what_is_refused_is_no_change():
    over = after(make_job(), STOP)
    refused = step(over, RELEASE, now=T0)
    assert (refused.changed, refused.ignored) == (False, None)
    assert all(type(event) in TRANSITIONS[over.status] for event in (STOP, RELEASE))
    assert set(TRANSITIONS[over.status]) == set(EVENT_TYPES)


# --- what is kept short -----------------------------------------------------------------------


def test_texts_of_people_are_cut_at_200_characters():
    held = after(make_job(), HoldRequested(by="x", reason=LONG, notify=True))
    assert (held.state.reason, held.outbox[0].reason) == ("x" * 200, "x" * 200)
    assert len(note(held)) == 200
    assert after(make_job(), HoldRequested(by="x", reason="y" * 200)).state.reason == "y" * 200
    taken = after(make_job(), decided(), NameTaken(attempt=1, reason=LONG))
    assert taken.state.reason == "x" * 200
    for job in (make_job(), after(make_job(), decided())):
        assert after(job, StopRequested(by=LONG)).stop.by == "x" * 200
    stopping = after(timed(finish_by=T0), decided(), LATE)
    assert after(stopping, StopRequested(by=LONG)).stop.by == "x" * 200
    stopped = after(make_job(), StopRequested(by=LONG))
    assert len(stopped.outbox[0].reason) == 200


@pytest.mark.parametrize(("length", "kept"), [(200, 200), (201, 200)])
def test_only_the_last_failures_text_is_kept_whole(length, kept):
    job = make_job(retry=RetryPolicy(budgets={FailureClass.ALGORITHM: 9}))
    text = "a " * (length // 2) + "b" * (length % 2)
    first = after(job, decided(), accepted(), ended(failure=make_failure(text=text)))
    assert first.attempts[0].failure.text == text
    again = after(first, RELEASE, decided(2), accepted(2), ended(2))
    shortened = again.attempts[0].failure.text
    assert shortened == (text if length == 200 else again.attempts[0].failure.headline)
    assert len(shortened) == kept
    assert again.attempts[1].failure.text == "it broke"
    done = after(again, RELEASE, decided(3), accepted(3), ended(3, outcome=Status.COMPLETED))
    assert [a.failure is None for a in done.attempts] == [False, False, True]


def test_a_timeline_keeps_its_first_5_and_its_last_55():
    marks = tuple(Mark(at=T0, status=Status.NEW, attempt=n, note="") for n in range(59))
    job = after(replace(make_job(), timeline=marks), decided())
    assert [m.attempt for m in job.timeline] == [*range(59), 1]
    job = after(job, accepted())
    assert [m.attempt for m in job.timeline] == [0, 1, 2, 3, 4, *range(6, 59), 1, 1]


def test_twenty_ended_attempts_are_kept():
    old = after(make_job(), decided(), accepted(), ended()).attempts[0]
    kept = tuple(replace(old, number=n) for n in range(1, 21))
    job = after(replace(make_job(), attempts=kept[:19]), decided(), accepted(), ended())
    assert len(job.attempts) == 20
    job = after(replace(make_job(), attempts=kept), decided(), accepted(), ended())
    assert [a.number for a in job.attempts] == [*range(2, 21), 1]


# --- what is said ----------------------------------------------------------------------------------


def test_why_it_moved_is_told():
    launching = after(make_job(), decided())
    running = after(launching, accepted(), replace(RUNS, detail="Training"))
    assert [m.note for m in running.timeline] == ["submitted", "pool a", "", "Training"]
    assert note(after(make_job(), accepted())) == "adopted: another tick had launched it"
    assert note(after(make_job(), HoldRequested(by="bob"))) == "user: held by bob"
    held = after(make_job(), HoldRequested(by="bob", reason="why not"))
    assert note(held) == "user: why not"
    assert note(after(held, ReleaseRequested(by="eve"))) == "released by eve"
    assert note(after(running, STOP)) == "asked for by ada"
    assert note(after(running, STOP, ended())) == "stopped by ada; training Failed"
    assert note(after(launching, STOP, LaunchRefused(attempt=1, failure=FINAL))) == (
        "stopped by ada; no training existed"
    )
    assert note(after(make_job(), STOP)) == "stopped by ada; no training existed"
    backs_off = after(running, ended())
    assert note(backs_off) == "algorithm: it broke"
    assert note(after(backs_off, ReleaseRequested(by="eve"))) == "back-off ended by eve"
    assert note(after(running, HoldRequested(by="x"), ended())) == (
        "user: asked for while a training ran"
    )
    gone = after(running, TrainingMissing(attempt=1))
    gone = after(gone, TrainingMissing(attempt=1), now=T0 + 2 * MINUTE)
    assert "launched again under the same name" in note(gone)


def test_why_nothing_changed_is_told():
    def why(job, event, now=T0):
        return step(job, event, now=now).ignored

    launching = after(make_job(), decided())
    launched = after(launching, accepted())
    missing = after(launched, TrainingMissing(attempt=1))
    assert "not for long enough" in why(missing, TrainingMissing(attempt=1))
    assert why(after(launching, STOP), TrainingMissing(attempt=1)) == "not created yet"
    assert why(after(launched, STOP), STOP) == "it is being stopped already"
    assert why(after(launched, STOP), accepted()) == "the training is known already"
    late = LaunchRefused(attempt=1, failure=FINAL)
    assert why(after(launched, STOP), late) == "the training is known; the refusal is late"
    assert why(launched, RELEASE) == "it is not held"
    hold = HoldRequested(by="x")
    assert "already" in why(after(launched, hold), hold)
    assert why(launched, MessagePublished(event_id="x")) == "the message was published already"
    assert why(launched, TrainingSeen(attempt=1, running=False)) == "nothing new"
    assert why(launched, decided(2)) == "about attempt 2; the job is at 1"


# --- messages and times ------------------------------------------------------------------------------


def test_each_hold_has_its_own_message_and_each_end_one():
    told = HoldRequested(by="x", notify=True)
    job = after(make_job(), told, RELEASE, told, STOP)
    prefix = f"{job.job_id}/1"
    assert [entry.event_id for entry in job.outbox] == [
        f"{prefix}/Held/0",
        f"{prefix}/Held/2",
        f"{prefix}/Stopped",
    ]
    assert [entry.status for entry in job.outbox] == [Status.HELD, Status.HELD, Status.STOPPED]
