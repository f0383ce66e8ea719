"""What a job's state owes, when each tick is due for it, and when time alone gives it work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core_strategies import T0, accepted, after, decided, ended, make_failure, make_job
from jobcore import (
    Clocks,
    FailureClass,
    LaunchRefused,
    LaunchTraining,
    MessagePublished,
    ObserveTraining,
    ReleaseRequested,
    StopRequested,
    StopTraining,
    TrainingSeen,
    owed,
    step,
    wake_at,
)
from jobcore.lifecycle import (
    Retryable,
    Tick,
    due_at,
)

LATER = T0 + timedelta(days=2)
MICRO, HOUR = timedelta.resolution, timedelta(hours=1)
RUNS = TrainingSeen(attempt=1, running=True)
STOP, RELEASE = StopRequested(by="ada"), ReleaseRequested(by="ada")
TOO_BIG = make_failure(FailureClass.QUOTA, Retryable.NO)


def timed(**clocks):
    return make_job(clocks=Clocks(**clocks))


def test_what_the_states_owe():
    launching = after(make_job(), decided())
    name = launching.training_name
    launch = LaunchTraining(name, 1, launching.spec.placements[0])
    observe = ObserveTraining(name, 1)
    assert owed(make_job()) == ()
    assert owed(launching) == (launch,)
    assert owed(after(launching, accepted())) == (observe,)
    assert owed(after(launching, accepted(), STOP)) == (StopTraining(name, 1), observe)
    assert owed(after(launching, STOP)) == (replace(launch, to_stop=True),)


def test_each_tick_is_due_when_the_state_owes_it_something():
    new = make_job()
    launching = after(new, decided())
    launched = after(launching, accepted())
    over = after(new, STOP)
    assert [due_at(new, t) for t in Tick] == [None, None, None]
    assert [due_at(launching, t) for t in Tick] == [T0, None, None]
    assert [due_at(launched, t) for t in Tick] == [None, T0, None]
    assert [due_at(after(launching, STOP), t) for t in Tick] == [T0, None, None]
    assert [due_at(over, t) for t in Tick] == [None, None, T0]
    sent = after(over, MessagePublished(event_id=over.outbox[0].event_id))
    assert [due_at(sent, t) for t in Tick] == [None, None, None]
    bounded = timed(finish_by=LATER)
    assert due_at(bounded, Tick.MONITOR) == wake_at(bounded) == LATER
    assert wake_at(new) is None


def test_the_notifier_is_due_for_the_oldest_message():
    held = after(make_job(), decided(), LaunchRefused(attempt=1, failure=TOO_BIG))
    job = after(held, STOP, now=T0 + HOUR)
    assert due_at(job, Tick.NOTIFY) == T0
    assert [effect.entry.at for effect in owed(job)] == [T0, T0 + HOUR]
    sent = after(job, MessagePublished(event_id=job.outbox[0].event_id))
    assert due_at(sent, Tick.NOTIFY) == T0 + HOUR


def test_a_message_is_owed_whatever_else_is():
    held = after(make_job(), decided(), LaunchRefused(attempt=1, failure=TOO_BIG), RELEASE)
    launching = after(held, decided())
    launched = after(launching, accepted())
    for job in (held, launching, launched, after(launched, STOP), after(launching, STOP)):
        assert owed(job)[-1].entry is job.outbox[0]


def test_a_back_off_ends_to_the_instant():
    job = after(make_job(), decided(), accepted(), RUNS, ended())
    at = job.state.not_before
    assert not step(job, decided(2), now=at - MICRO).changed
    assert step(job, decided(2), now=at).changed
    assert step(job, RELEASE, now=at - MICRO).changed
    assert not step(job, RELEASE, now=at).changed
    assert not step(make_job(), RELEASE, now=T0).changed
    released = after(job, RELEASE, now=T0 + MICRO)
    assert (released.state.since, released.state.not_before) == (T0 + MICRO, None)
    assert released.state.after == job.state.after
    soon = replace(job, spec=replace(job.spec, clocks=Clocks(finish_by=at + HOUR)))
    assert wake_at(soon) == at
    early = replace(job, spec=replace(job.spec, clocks=Clocks(finish_by=at - MICRO)))
    assert wake_at(early) == at - MICRO
