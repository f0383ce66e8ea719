"""Any sequence of facts, in any order and at any time, keeps the promises of the life cycle."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core_strategies import T0, events, failures, retry_policies, saved
from jobcore import (
    Announce,
    Clocks,
    FailureClass,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    LaunchTraining,
    MessagePublished,
    NameTaken,
    Placement,
    ReleaseRequested,
    Spec,
    Status,
    StopRequested,
    TimePassed,
    TrainingEnded,
    TrainingSeen,
    job_id_from_token,
    new_job,
    owed,
    step,
    wake_at,
)
from jobcore.lifecycle import StopCause, Stopping, budget, decode_job, encode_job, violations

UNTIL = st.none() | st.integers(1, 5000).map(lambda s: timedelta(seconds=s))


class Life(RuleBasedStateMachine):
    """One job, driven by everything that can happen to it, beside a small model of the promises."""

    @initialize(
        retry=retry_policies, wait=UNTIL, run=UNTIL, finish=UNTIL, patience=st.integers(0, 25)
    )
    def submit(self, retry, wait, run, finish, patience):
        # Most facts end a job; without this few runs would see more than a handful of states.
        self.patience = patience
        self.changes = 0
        finish_by = None if finish is None else T0 + finish
        clocks = Clocks(wait_at_most=wait, run_at_most=run, finish_by=finish_by)
        spec = Spec(name="n", owner="ada", placements=(Placement("a"),), retry=retry, clocks=clocks)
        self.job = new_job(job_id_from_token("ada", "1"), spec, now=T0)
        self.now = T0
        self.ended: set[int] = set()  # attempts seen terminal
        self.stranger: set[int] = set()  # attempts whose name is somebody else's
        self.stop_asked = False
        self.announced: list[str] = []

    @rule(seconds=st.integers(-600, 3000))
    def time_goes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule()
    def a_clock_runs_out(self):
        self.now = max(self.now, wake_at(self.job) or self.now)
        self.happens(TimePassed())

    @rule(event=events(st.integers(1, 4)))
    def anything(self, event):
        self.happens(event)

    @rule(kind=st.sampled_from([LaunchDecided, LaunchAccepted]))
    def launches(self, kind):
        self.happens(kind(attempt=self.job.attempt_number, placement=Placement("a")))

    @rule(failure=failures)
    def is_refused(self, failure):
        self.happens(LaunchRefused(attempt=self.job.attempt_number, failure=failure))

    @rule()
    def runs(self):
        self.happens(TrainingSeen(attempt=self.job.attempt_number, running=True))

    @rule(failure=failures, outcome=st.sampled_from([Status.FAILED, Status.STOPPED]))
    def ends(self, failure, outcome):
        number = self.job.attempt_number
        self.happens(TrainingEnded(attempt=number, outcome=outcome, failure=failure))

    @rule()
    def is_released(self):
        self.happens(ReleaseRequested(by="ada"))

    @rule()
    def is_published(self):
        for entry in self.job.outbox[:1]:
            self.happens(MessagePublished(event_id=entry.event_id))

    def happens(self, event):
        before = self.job
        result = step(before, event, now=self.now)
        if not result.changed:
            assert result.job is before
            assert result.ignored or result.refused
            return
        job = result.job
        if job.status.is_terminal and self.changes < self.patience:
            return  # the world has not done this yet
        self.changes += 1
        self.check_promises(before, event, job)
        again = step(job, event, now=self.now)
        assert not again.changed, ("twice", event)
        # Two processes that see the same write the same.
        assert step(before, event, now=self.now).job == job
        self.job = saved(job)

    def check_promises(self, before, event, job):
        if isinstance(event, TrainingEnded):
            self.ended.add(event.attempt)
        if isinstance(event, NameTaken):
            self.stranger.add(event.attempt)
        self.stop_asked |= isinstance(event, StopRequested)
        # Terminal is final.
        if before.status.is_terminal:
            assert job.state == before.state
        # Rule A: a number grows by one, and only when the one before is certainly used up.
        elif not job.status.is_terminal and job.attempt_number != before.attempt_number:
            assert job.attempt_number == before.attempt_number + 1
            assert before.attempt_number in self.ended | self.stranger
        # A name that was used up is never used again.
        assert job.current is None or job.current.number not in self.ended
        # A stop is never taken back, and leads to no launch of its own.
        assert before.stop is None or job.stop is not None
        assert not (before.stop and job.status.is_active and not before.status.is_active)
        # A stop that meets Launching is owed the name first, then the stop.
        if before.status is Status.LAUNCHING and isinstance(job.state, Stopping):
            assert not job.state.known
        # Stopped only if a stop was asked for.
        assert job.status is not Status.STOPPED or self.stop_asked
        # Every end is announced once, in the same write.
        fresh = [entry for entry in job.outbox if entry not in before.outbox]
        if job.status.is_terminal and not before.status.is_terminal:
            assert [entry.status for entry in fresh] == [job.status]
        else:
            assert all(entry.status is Status.HELD for entry in fresh)
        self.announced += [entry.event_id for entry in fresh]
        assert len(set(self.announced)) == len(self.announced)
        self.check_charges(before, event, job)

    def check_charges(self, before, event, job):
        if job.charges == before.charges:
            return
        kind = event.failure.failure_class
        used = before.charges.get(kind, 0) + 1
        assert job.charges == {**before.charges, kind: used}
        allowed = budget(job.spec.retry, kind)
        assert allowed is None or used <= allowed

    @invariant()
    def uses_no_name_twice(self):
        if not self.job.status.is_terminal:
            assert self.job.attempt_number not in self.ended

    @invariant()
    def owes_what_the_state_says(self):
        effects = [effect for effect in owed(self.job) if not isinstance(effect, Announce)]
        if not self.job.status.is_active:
            assert effects == []
            assert self.job.current is None
        else:
            assert effects
            assert {effect.name for effect in effects} == {self.job.training_name}
        for effect in effects:
            if isinstance(effect, LaunchTraining):
                assert effect.to_stop == isinstance(self.job.state, Stopping)
        if isinstance(self.job.state, Stopping) and self.job.state.cause is StopCause.USER:
            assert self.job.stop is not None

    @invariant()
    def breaks_no_invariant(self):
        assert list(violations(self.job)) == []

    @invariant()
    def survives_being_stored(self):
        job = replace(self.job, extra={"a newer writer's": [1, None]})
        text = json.dumps(encode_job(job))
        assert decode_job(json.loads(text), job.spec, version=job.version) == job

    @invariant()
    def stays_small(self):
        assert len(self.job.timeline) <= 60
        assert len(self.job.attempts) <= 20
        assert all(kind in FailureClass for kind in self.job.charges)


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestLife = Life.TestCase
