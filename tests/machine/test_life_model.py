"""
The life of a job beside a plain model of it: one dict, written from the documents.

`test_step_machine` holds the promises that no history may break; here every field that a step
sets is foretold: times, holds and releases, the three clocks, the outbox, budgets, adoption.
"""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core_strategies import POOLS, T0, failures, make_failure, retry_policies, saved, times
from jobcore import (
    Announce,
    Clocks,
    FailureClass,
    HoldRequested,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    LaunchTraining,
    MessagePublished,
    NameTaken,
    ObserveTraining,
    Placement,
    ReleaseRequested,
    RetryPolicy,
    Spec,
    Status,
    StopRequested,
    StopTraining,
    TimePassed,
    TrainingEnded,
    TrainingMissing,
    TrainingSeen,
    job_id_from_token,
    new_job,
    owed,
    step,
    wake_at,
)
from jobcore.lifecycle import GiveUp, Hold, HoldCode, Retryable, StopCause, Tick, due_at, retry

WAITING = {Status.NEW, Status.HELD}
TRAINS = {Status.LAUNCHING, Status.LAUNCHED, Status.IN_PROGRESS}
OVER = {Status.COMPLETED, Status.FAILED, Status.STOPPED}
# What a state has beside its status; the rest is None.
OF_ATTEMPT = ("pool", "launching_at", "launched_at", "started_at")
OF_STATE = (*OF_ATTEMPT, "not_before", "detail", "missing_since", "known", "cause", "code", "why")


class Model:
    """What is foretold of a job. Each method answers one event: True if the job has changed."""

    def __init__(self, job):
        self.job = job  # for `retry` alone, which has tests of its own
        self.clocks = job.spec.clocks
        self.attempt = 1
        self.charges, self.outbox, self.ended = {}, [], []
        self.marks, self.marked = 1, 1
        self.waiting_since, self.hold_next, self.stop = T0, False, None
        self.status = Status.NEW
        self.since = T0
        self.clear()

    def clear(self, keep=()):
        for name in OF_STATE:
            if name not in keep:
                setattr(self, name, None)

    def move(self, status, now, keep=(), **more):
        self.clear(keep)
        self.status, self.since = status, now
        self.marks += 1
        self.marked = self.attempt
        for name, value in more.items():
            setattr(self, name, value)
        return True

    def announce(self, status, reason):
        event_id = f"{self.job.job_id}/{self.attempt}/{status}"
        if status is Status.HELD:
            event_id += f"/{self.job.version}"
        self.outbox.append((event_id, status, reason))

    def end(self, status, now, reason=None):
        self.announce(status, reason)
        self.hold_next = False
        self.move(status, now)
        # A job that is over speaks of its last attempt; the one that was to come never was.
        self.attempt = self.ended[-1]["number"] if self.ended else 1
        return True

    def hold(self, now, code, why, *, notify):
        if notify:
            self.announce(Status.HELD, why)
        self.hold_next = False
        return self.move(Status.HELD, now, code=code, why=why)

    def fail(self, failure, now, next_attempt):
        decision = retry(self.job, failure, now=now)
        if isinstance(decision, GiveUp):
            return self.end(Status.FAILED, now, f"{failure.failure_class}: {failure.headline}")
        if isinstance(decision, Hold):
            self.announce(Status.HELD, decision.reason)
            self.attempt, self.hold_next = next_attempt, False
            return self.move(Status.HELD, now, code=decision.code, why=decision.reason)
        if decision.used:
            self.charges[failure.failure_class] = decision.used
        self.attempt = next_attempt
        if self.hold_next:
            return self.hold(now, HoldCode.USER, "asked for while a training ran", notify=False)
        return self.move(Status.NEW, now, not_before=decision.not_before)

    def stopped(self, now):
        return self.end(Status.STOPPED if self.cause is StopCause.USER else Status.FAILED, now)

    # --- one for each kind of event -------------------------------------------------------

    def launch_decided(self, event, now):
        if self.status is not Status.NEW or (self.not_before and now < self.not_before):
            return False
        return self.move(
            Status.LAUNCHING, now, pool=event.placement, launching_at=now, started_at=None
        )

    def launch_accepted(self, event, now):
        if self.status in WAITING:
            self.hold_next |= self.status is Status.HELD
            place = {"pool": event.placement, "launching_at": now, "launched_at": now}
            return self.move(Status.LAUNCHED, now, detail="", **place)
        if self.status is Status.LAUNCHING:
            return self.move(Status.LAUNCHED, now, OF_ATTEMPT, launched_at=now, detail="")
        if self.status is Status.STOPPING and not self.known:
            self.known = True
            return True
        return False

    def launch_refused(self, event, now):
        if self.status is Status.LAUNCHING:
            return self.fail(event.failure, now, self.attempt)
        if self.status is Status.STOPPING and not self.known:
            return self.stopped(now)
        return False

    def name_taken(self, event, now):
        if self.status is Status.LAUNCHING:
            return self.hold(now, HoldCode.NAME_TAKEN, event.reason, notify=True)
        if self.status is Status.STOPPING and not self.known:
            return self.stopped(now)
        return False

    def training_seen(self, event, now):
        if self.status in (Status.LAUNCHING, Status.LAUNCHED) and event.running:
            more = {
                "launched_at": self.launched_at or now,
                "started_at": event.started_at or now,
                "detail": event.detail,
            }
            return self.move(Status.IN_PROGRESS, now, OF_ATTEMPT, **more)
        if self.status is Status.LAUNCHING:
            more = {"launched_at": now, "detail": event.detail}
            return self.move(Status.LAUNCHED, now, OF_ATTEMPT, **more)
        if self.status in (Status.LAUNCHED, Status.IN_PROGRESS):
            if self.detail == event.detail and self.missing_since is None:
                return False
            self.detail, self.missing_since = event.detail, None
            return True
        if self.status is Status.STOPPING and (not self.known or self.missing_since):
            self.known, self.missing_since = True, None
            return True
        return False

    def training_ended(self, event, now):
        if self.status not in TRAINS | {Status.STOPPING}:
            return False
        started = event.started_at or self.started_at
        self.ended.append(
            {
                "number": self.attempt,
                "pool": self.pool,
                "launching_at": self.launching_at,
                "launched_at": self.launched_at,
                "started_at": started,
                "ended_at": event.ended_at or now,
                "outcome": event.outcome,
            }
        )
        if started is not None:
            self.waiting_since = now
        if event.outcome is Status.COMPLETED:
            return self.end(Status.COMPLETED, now, reason="")
        if self.status is Status.STOPPING:
            return self.stopped(now)
        return self.fail(event.failure, now, self.attempt + 1)

    def training_missing(self, event, now):
        if self.status not in (Status.LAUNCHED, Status.IN_PROGRESS, Status.STOPPING):
            return False
        if self.status is Status.STOPPING and not self.known:
            return False
        if self.missing_since is None:
            self.missing_since = now
            return True
        if now - self.missing_since < timedelta(minutes=2):
            return False
        if self.status is Status.STOPPING:
            self.known, self.missing_since = False, None
            return True
        if self.status is Status.IN_PROGRESS:
            self.waiting_since = now
        return self.move(Status.LAUNCHING, now, OF_ATTEMPT)

    def stop_requested(self, event, now):
        if self.status in OVER or (self.status is Status.STOPPING and self.stop):
            return False
        self.stop = (now, event.by[:200])
        if self.status in WAITING:
            return self.end(Status.STOPPED, now)
        if self.status is Status.STOPPING:
            self.cause = StopCause.USER
            return True
        known = self.status is not Status.LAUNCHING
        return self.move(Status.STOPPING, now, OF_ATTEMPT, cause=StopCause.USER, known=known)

    def hold_requested(self, event, now):
        if self.status is Status.NEW:
            why = event.reason or f"held by {event.by}"
            return self.hold(now, event.code, why, notify=event.notify)
        if self.status in TRAINS and not self.hold_next:
            self.hold_next = True
            return True
        return False

    def release_requested(self, event, now):
        if self.status is Status.HELD:
            self.attempt += self.code is HoldCode.NAME_TAKEN
            self.waiting_since = now
            return self.move(Status.NEW, now)
        if self.status is Status.NEW and self.not_before and self.not_before > now:
            return self.move(Status.NEW, now)
        if self.status in TRAINS and self.hold_next:
            self.hold_next = False
            return True
        return False

    def deadlines(self):
        clocks = self.clocks
        if clocks.wait_at_most and self.status in (
            Status.NEW,
            Status.LAUNCHING,
            Status.LAUNCHED,
        ):
            yield self.waiting_since + clocks.wait_at_most, StopCause.WAIT_AT_MOST
        if clocks.run_at_most and self.status is Status.IN_PROGRESS:
            grace = timedelta(minutes=5)
            yield self.started_at + clocks.run_at_most + grace, StopCause.RUN_AT_MOST
        if clocks.finish_by and self.status in WAITING | TRAINS:
            yield clocks.finish_by, StopCause.FINISH_BY

    def time_passed(self, event, now):
        late = sorted(d for d in self.deadlines() if d[0] <= now)
        if not late:
            return False
        if self.status in WAITING:
            return self.end(Status.FAILED, now)
        known = self.status is not Status.LAUNCHING
        return self.move(Status.STOPPING, now, OF_ATTEMPT, cause=late[0][1], known=known)

    def message_published(self, event, now):
        left = [one for one in self.outbox if one[0] != event.event_id]
        changed = len(left) < len(self.outbox)
        self.outbox = left
        return changed


ANSWERS = {
    LaunchDecided: Model.launch_decided,
    LaunchAccepted: Model.launch_accepted,
    LaunchRefused: Model.launch_refused,
    NameTaken: Model.name_taken,
    TrainingSeen: Model.training_seen,
    TrainingEnded: Model.training_ended,
    TrainingMissing: Model.training_missing,
    StopRequested: Model.stop_requested,
    HoldRequested: Model.hold_requested,
    ReleaseRequested: Model.release_requested,
    TimePassed: Model.time_passed,
    MessagePublished: Model.message_published,
}
placements = st.builds(Placement, st.sampled_from(POOLS), st.integers(1, 3))
maybe_times = st.none() | times
until = st.none() | st.integers(1, 4000).map(lambda s: timedelta(seconds=s))
short = st.text("ab \n", max_size=4)


class Twins:
    """A job and its model, to which the same happens."""

    def begin(self, spec):
        self.job = new_job(job_id_from_token("ada", "1"), spec, now=T0)
        self.model = Model(self.job)
        self.now = T0

    def take(self, event) -> bool:
        after = step(self.job, event, now=self.now)
        # A stale number is never news.
        number = getattr(event, "attempt", self.model.attempt)
        expected = number == self.model.attempt and ANSWERS[type(event)](
            self.model, event, self.now
        )
        assert after.changed == expected, (event, after.ignored, after.refused)
        if after.changed:
            self.job = saved(after.job)
            self.model.job = self.job
        return after.changed

    def check(self):
        self.state_is_as_foretold()
        self.remembers_what_was()
        self.tells_what_is_owed()
        self.is_due_when_it_is()
        self.says_how_it_ended()

    def state_is_as_foretold(self):
        job, model = self.job, self.model
        state = job.state
        assert job.status is model.status
        assert state.since == model.since
        assert job.attempt_number == model.attempt
        assert (job.charges, job.hold_next) == (model.charges, model.hold_next)
        assert job.waiting_since == model.waiting_since
        assert (job.stop and (job.stop.at, job.stop.by)) == model.stop
        for name in ("not_before", "detail", "missing_since", "known", "cause", "code"):
            assert getattr(state, name, None) == getattr(model, name), name
        if job.status is Status.HELD:
            assert state.reason == model.why
        if job.status in WAITING:
            assert not job.hold_next, "it is asked for while a training runs, and holds after it"
        if job.current is not None:
            current = job.current
            assert current.placement == model.pool
            for name in ("launching_at", "launched_at", "started_at"):
                assert getattr(current, name) == getattr(model, name), name
            assert (current.ended_at, current.outcome, current.failure) == (None, None, None)

    def remembers_what_was(self):
        job, model = self.job, self.model
        kept = [
            {
                "number": one.number,
                "pool": one.placement,
                "launching_at": one.launching_at,
                "launched_at": one.launched_at,
                "started_at": one.started_at,
                "ended_at": one.ended_at,
                "outcome": one.outcome,
            }
            for one in job.attempts
        ]
        assert kept == model.ended[-20:]
        assert all(
            (one.failure is None) == (one.outcome is Status.COMPLETED) for one in job.attempts
        )
        assert len(job.timeline) == min(model.marks, 60)
        last = job.timeline[-1]
        assert (last.at, last.status, last.attempt) == (model.since, model.status, model.marked)

    def tells_what_is_owed(self):
        job, model = self.job, self.model
        assert [(one.event_id, one.status) for one in job.outbox] == [
            one[:2] for one in model.outbox
        ]
        for one, (_, _, reason) in zip(job.outbox, model.outbox, strict=True):
            assert reason is None or one.reason == reason
        told = [Announce(entry) for entry in job.outbox]
        name = job.training_name
        expected = []
        to_stop = model.status is Status.STOPPING
        if model.status is Status.LAUNCHING or (to_stop and not model.known):
            expected = [LaunchTraining(name, model.attempt, model.pool, to_stop)]
        elif to_stop:
            expected = [StopTraining(name, model.attempt), ObserveTraining(name, model.attempt)]
        elif model.status in TRAINS:
            expected = [ObserveTraining(name, model.attempt)]
        assert list(owed(job)) == expected + told

    def is_due_when_it_is(self):
        job, model = self.job, self.model
        launch = any(isinstance(effect, LaunchTraining) for effect in owed(job))
        look = any(isinstance(effect, ObserveTraining) for effect in owed(job))
        deadline = min((at for at, _ in model.deadlines()), default=None)
        assert due_at(job, Tick.LAUNCH) == (model.since if launch else None)
        assert due_at(job, Tick.NOTIFY) == (job.outbox[0].at if job.outbox else None)
        waits = deadline if model.status in WAITING else None
        assert due_at(job, Tick.MONITOR) == (model.since if look else waits)
        times = [at for at in (deadline, model.not_before) if at is not None]
        assert wake_at(job) == min(times, default=None)

    def says_how_it_ended(self):
        job = self.job
        if job.status is Status.FAILED:
            clock = job.state.failure.failure_class is FailureClass.TIMEOUT
            if clock and job.state.failure.rule.startswith("clock "):
                assert job.state.failure.rule.removeprefix("clock ") in list(StopCause)
                assert job.outbox == () or job.state.failure.text[:200] == job.outbox[-1].reason
        if job.status is Status.STOPPED:
            assert "stopped by" in job.timeline[-1].note


class LifeAsTold(Twins, RuleBasedStateMachine):
    @initialize(
        retry=retry_policies, wait=until, run=until, finish=until, patience=st.integers(0, 20)
    )
    def submit(self, retry, wait, run, finish, patience):
        clocks = Clocks(
            wait_at_most=wait, run_at_most=run, finish_by=None if finish is None else T0 + finish
        )
        spec = Spec(name="n", owner="ada", placements=(Placement("a"),), retry=retry, clocks=clocks)
        self.begin(spec)
        self.patience = patience

    def happens(self, event):
        after = step(self.job, event, now=self.now)
        if after.changed and after.job.status.is_terminal and self.patience > 0:
            self.patience -= 1  # most facts end a job: let it live for a while
            return
        self.take(event)

    @rule(seconds=st.integers(-60, 900))
    def time_goes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(nearly=st.booleans())
    def a_clock_runs_out(self, nearly):
        at = wake_at(self.job)
        if at is not None:
            self.now = max(self.now, at - timedelta(microseconds=nearly))
        self.happens(TimePassed())

    @rule(place=placements, accepted=st.booleans(), off=st.sampled_from([0, 0, 0, 1]))
    def launch(self, place, accepted, off):
        kind = LaunchAccepted if accepted else LaunchDecided
        self.happens(kind(attempt=self.job.attempt_number + off, placement=place))

    @rule(failure=failures)
    def refused(self, failure):
        self.happens(LaunchRefused(attempt=self.job.attempt_number, failure=failure))

    @rule(reason=short)
    def taken(self, reason):
        self.happens(NameTaken(attempt=self.job.attempt_number, reason=reason))

    @rule(running=st.booleans(), detail=st.sampled_from(["", "x"]), at=maybe_times)
    def seen(self, running, detail, at):
        number = self.job.attempt_number
        self.happens(TrainingSeen(attempt=number, running=running, detail=detail, started_at=at))

    @rule(
        failure=failures,
        outcome=st.sampled_from([Status.FAILED, Status.STOPPED, Status.COMPLETED]),
        at=maybe_times,
        to=maybe_times,
        off=st.sampled_from([0, 0, 0, -1]),
    )
    def over(self, failure, outcome, at, to, off):
        number = self.job.attempt_number + off or 2  # there is no attempt 0
        failure = None if outcome is Status.COMPLETED else failure
        self.happens(
            TrainingEnded(
                attempt=number, outcome=outcome, failure=failure, started_at=at, ended_at=to
            )
        )

    @rule(seconds=st.sampled_from([0, 119, 120]))
    def missing(self, seconds):
        if self.model.missing_since is not None:
            self.now = max(self.now, self.model.missing_since + timedelta(seconds=seconds))
        self.happens(TrainingMissing(attempt=self.job.attempt_number))

    @rule(by=short)
    def stop(self, by):
        self.happens(StopRequested(by=by))

    @rule(by=short, reason=short, code=st.sampled_from(HoldCode), notify=st.booleans())
    def hold(self, by, reason, code, notify):
        self.happens(HoldRequested(by=by, reason=reason, code=code, notify=notify))

    @rule(by=short)
    def release(self, by):
        self.happens(ReleaseRequested(by=by))

    @rule(known=st.booleans())
    def published(self, known):
        ids = [one[0] for one in self.model.outbox] if known else ["another"]
        for event_id in ids[-1:]:
            self.happens(MessagePublished(event_id=event_id))

    @invariant()
    def is_as_foretold(self):
        self.check()


LifeAsTold.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
TestLifeAsTold = LifeAsTold.TestCase


# --- every fact in every situation ------------------------------------------------------------------

MICRO, MINUTE, HOUR = timedelta.resolution, timedelta(minutes=1), timedelta(hours=1)
FULL = make_failure(FailureClass.CAPACITY, Retryable.YES)
FINAL = make_failure(FailureClass.BAD_INPUT, Retryable.NO)
TOO_BIG = make_failure(FailureClass.QUOTA, Retryable.NO)
BUG = make_failure(FailureClass.ALGORITHM)


def facts(n):
    """List what can happen to a job at attempt *n*, each in the variants that matter."""
    place = Placement("b", 2)
    early = T0 - MINUTE
    yield LaunchDecided(attempt=n, placement=place)
    yield LaunchAccepted(attempt=n, placement=place)
    for failure in (FULL, FINAL, TOO_BIG):
        yield LaunchRefused(attempt=n, failure=failure)
    yield NameTaken(attempt=n, reason="a stranger's")
    for running in (True, False):
        for detail, at in (("", None), ("x", early)):
            yield TrainingSeen(attempt=n, running=running, detail=detail, started_at=at)
    for failure, at, to in ((BUG, None, None), (FINAL, early, T0), (TOO_BIG, None, T0)):
        more = {"failure": failure, "started_at": at, "ended_at": to}
        yield TrainingEnded(attempt=n, outcome=Status.FAILED, **more)
    yield TrainingEnded(attempt=n, outcome=Status.STOPPED, failure=BUG)
    yield TrainingEnded(attempt=n, outcome=Status.COMPLETED, started_at=early)
    yield TrainingMissing(attempt=n)
    yield StopRequested(by="ada")
    yield HoldRequested(by="ada")
    yield HoldRequested(by="jobcore", reason="why", code=HoldCode.GROUP, notify=True)
    yield ReleaseRequested(by="ada")
    yield TimePassed()
    yield MessagePublished(event_id="another")


def situation(twins):
    """Reduce a job to what tells its situation from another."""
    job = twins.job
    state, current = job.state, job.current
    fields = [getattr(state, name, None) for name in ("known", "cause", "code")]
    flags = [getattr(state, name, None) is None for name in ("missing_since", "not_before")]
    begun = None if current is None else (current.launched_at is None, current.started_at is None)
    return (
        job.status, min(job.attempt_number, 3), *fields, *flags, begun, job.hold_next,
        job.stop is None, len(job.outbox) > 0, bool(job.attempts),
    )  # fmt: skip


@pytest.mark.parametrize(
    "clocks",
    [
        Clocks(),
        Clocks(wait_at_most=HOUR, run_at_most=2 * HOUR),
        Clocks(finish_by=T0 + HOUR, run_at_most=MINUTE),
    ],
)
def test_every_fact_in_every_situation_is_as_foretold(clocks):
    retry = RetryPolicy(budgets={FailureClass.ALGORITHM: 2}, backoff=MINUTE)
    first = Twins()
    first.begin(
        Spec(name="n", owner="ada", placements=(Placement("a"),), retry=retry, clocks=clocks)
    )
    seen, todo = {situation(first)}, [first]
    while todo:
        before = todo.pop(0)
        sent = [MessagePublished(event_id=e.event_id) for e in before.job.outbox]
        alarm = wake_at(before.job)
        soon = before.now + MINUTE
        times = {soon, soon + 2 * MINUTE} | ({alarm, alarm - MICRO} if alarm else set())
        for event in (*facts(before.job.attempt_number), *sent):
            for now in sorted(at for at in times if at >= before.now):
                after = copy.copy(before)
                after.model = copy.copy(before.model)
                for name in ("charges", "outbox", "ended"):
                    setattr(after.model, name, copy.copy(getattr(before.model, name)))
                after.now = now
                if not after.take(event):
                    continue
                after.check()
                if situation(after) not in seen:
                    seen.add(situation(after))
                    todo.append(after)
    assert {one[0] for one in seen} == set(Status)
    assert len(seen) > 100
