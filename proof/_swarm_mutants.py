"""Seeded bugs of the protocol: each must be found by the swarm, or the swarm proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import jobcore
from jobcore import (
    Failure,
    FailureClass,
    LaunchAccepted,
    LaunchRefused,
    NameTaken,
    ReleaseRequested,
    Status,
    StopRequested,
    TrainingEnded,
    TrainingMissing,
    Unavailable,
    _capacity,
    _planner,
    _ticks,
    _transitions,
)
from jobcore.lifecycle import Retryable, Scope, Stopped, due_at
from jobcore.lifecycle.transitions import Go
from jobcore.ports import LaunchResult
from jobcore_simulation.simulator import _store

Mutant = Callable[[], Any]
MUTANTS: dict[str, Mutant] = {}


def mutant(make: Callable[[], Any]) -> Callable[[], Any]:
    MUTANTS[make.__name__] = make
    return make


_FAILURE = Failure(
    failure_class=FailureClass.UNKNOWN,
    scope=Scope.JOB,
    retryable=Retryable.LIMITED,
    rule="mutant",
    text="no answer",
)


def _ended(number: int) -> TrainingEnded:
    return TrainingEnded(attempt=number, outcome=Status.FAILED, failure=_FAILURE)


@contextmanager
def _cells(changes: Mapping[tuple[Status, type], Any]) -> Iterator[None]:
    """Change cells of the table of transitions."""
    table = {status: dict(row) for status, row in _transitions.TRANSITIONS.items()}
    for (status, event), cell in changes.items():
        table[status][event] = cell
    with patch.object(_transitions, "TRANSITIONS", table):
        yield


@mutant
def no_compare_and_set():
    """The store writes over whatever version is there."""
    save = _store.ObjectStore.save

    def blind(self, jobs):
        return save(self, [replace(j, version=self._jobs[j.job_id].version) for j in jobs])

    return patch.object(_store.ObjectStore, "save", blind)


@mutant
def timeout_is_a_failed_attempt():
    """A launch without an answer counts as an attempt that failed."""
    read = _ticks._read_reply

    def wrong(run, trainer, job, effect, reply):
        if reply.result is LaunchResult.UNCLEAR:
            return [_ended(effect.attempt)]
        return read(run, trainer, job, effect, reply)

    return patch.object(_ticks, "_read_reply", wrong)


@mutant
def timeout_is_a_refusal():
    """A launch without an answer counts as refused for good."""
    read = _ticks._read_reply
    final = replace(_FAILURE, retryable=Retryable.NO)

    def wrong(run, trainer, job, effect, reply):
        if reply.result is LaunchResult.UNCLEAR:
            return [LaunchRefused(attempt=effect.attempt, failure=final)]
        return read(run, trainer, job, effect, reply)

    return patch.object(_ticks, "_read_reply", wrong)


@mutant
def exists_is_a_failed_attempt():
    """A name that is in use counts as an attempt that failed."""
    read = _ticks._read_reply

    def wrong(run, trainer, job, effect, reply):
        if reply.result is LaunchResult.EXISTS:
            return [_ended(effect.attempt)]
        return read(run, trainer, job, effect, reply)

    return patch.object(_ticks, "_read_reply", wrong)


@mutant
def new_attempt_on_not_found():
    """A training that is not found is launched again under the next number."""
    miss = _transitions._miss

    def wrong(job, state, event, now):
        after = miss(job, state, event, now)
        if isinstance(after, jobcore.Job) and after.status is Status.LAUNCHING:
            attempt = replace(after.state.attempt, number=after.state.attempt.number + 1)
            after = replace(
                job, state=replace(after.state, attempt=attempt), timeline=after.timeline
            )
        return after

    changes = {
        (s, TrainingMissing): Go(wrong, _transitions.TRANSITIONS[s][TrainingMissing].to)
        for s in (Status.LAUNCHED, Status.IN_PROGRESS)
    }
    return _cells(changes)


@mutant
def unreadable_is_not_found_at_once():
    """A name that could not be read counts as a training that has failed."""
    observe = _ticks._observe

    def wrong(run, trainer, jobs):
        class Eager:
            stop = trainer.stop

            @staticmethod
            def describe(names):
                found = trainer.describe(names)
                return {name: found.get(name) for name in names}

        observe(run, Eager, jobs)

    return _both(
        patch.object(_ticks, "_observe", wrong),
        patch.object(_transitions, "MISSING_BELIEVED_AFTER", timedelta(0)),
        new_attempt_on_not_found(),
    )


@contextmanager
def _both(*mutants):
    if not mutants:
        yield
        return
    with mutants[0], _both(*mutants[1:]):
        yield


@mutant
def stop_is_not_passed_on():
    """The monitor does not ask the trainer to stop."""
    stop = _ticks._stop

    def wrong(run, trainer, job_id, name):
        job = run.read([job_id]).get(job_id)
        if job is None or job.status is not Status.STOPPING:
            stop(run, trainer, job_id, name)

    return patch.object(_ticks, "_stop", wrong)


@mutant
def stop_while_launching_is_stopped_at_once():
    """A stop that meets Launching ends the job, and nobody uses the name up."""

    def wrong(job, state, event, now):
        job = replace(job, stop=jobcore.lifecycle.StopRequest(at=now, by=event.by))
        return _transitions._over(job, Stopped(since=now), now, "no training known")

    return _cells({(Status.LAUNCHING, StopRequested): Go(wrong, (Status.STOPPED,))})


@mutant
def stopped_when_asked():
    """A stop of a training that runs is over as soon as it was asked for."""

    def wrong(job, state, event, now):
        job = replace(job, stop=jobcore.lifecycle.StopRequest(at=now, by=event.by))
        return _transitions._over(job, Stopped(since=now), now, "asked for")

    return _cells({(Status.IN_PROGRESS, StopRequested): Go(wrong, (Status.STOPPED,))})


@mutant
def a_release_takes_a_stop_back():
    """A stop request can be taken back."""

    def wrong(job, state, event, now):
        if job.stop is None:
            return "nobody had asked for it"
        return replace(job, stop=None, state=replace(state, known=state.known))

    return _cells({(Status.STOPPING, ReleaseRequested): Go(wrong, (Status.STOPPING,))})


@mutant
def interrupted_is_stopped():
    """A spot interruption counts as a user's stop."""
    end = _transitions._end

    def wrong(job, state, event, now):
        if event.outcome is Status.STOPPED:
            return _transitions._over(job, Stopped(since=now), now, "training stopped")
        return end(job, state, event, now)

    row = _transitions.TRANSITIONS[Status.IN_PROGRESS][TrainingEnded]
    return _cells({(Status.IN_PROGRESS, TrainingEnded): Go(wrong, (*row.to, Status.STOPPED))})


@mutant
def cleared_before_published():
    """The outbox is cleared first, and published then."""
    notify = _ticks.notify_tick

    def wrong(store, notifier, clock, settings):
        later = []

        class Later:
            publish = staticmethod(later.append)

        report = notify(store, Later, clock, settings)
        for message in later:
            notifier.publish(message)
        return report

    return patch.object(jobcore, "notify_tick", wrong)


@mutant
def no_outbox():
    """An end is written without the message that it owes."""
    over = _transitions._over

    def wrong(job, state, now, note):
        return replace(over(job, state, now, note), outbox=job.outbox)

    return patch.object(_transitions, "_over", wrong)


@mutant
def a_message_has_a_new_id_each_time():
    """The id of a message depends on when it is sent."""
    message_for = _ticks.message_for

    def wrong(job, entry):
        message = message_for(job, entry)
        return replace(message, event_id=f"{message.event_id}/{job.version}")

    return patch.object(_ticks, "message_for", wrong)


@mutant
def effect_before_intent():
    """The training is created before the intent is stored."""
    begin = _ticks._begin

    def wrong(run, launches, jobs):
        trainer = run.settings.scheduler.trainer
        for launch in launches:
            job = jobs.get(launch.job_id)
            if job is not None:
                name = jobcore.lifecycle.training_name(job.job_id, launch.attempt)
                request = jobcore.ports.LaunchRequest(
                    name=name,
                    job_id=job.job_id,
                    attempt=launch.attempt,
                    spec_hash=jobcore.lifecycle.spec_hash(job.spec),
                    placement=launch.placement,
                    args={},
                )
                trainer.launch([request])
        return begin(run, launches, jobs)

    launch_tick = _ticks.launch_tick

    def tick(store, trainer, clock, settings):
        class WithTrainer:
            plan = staticmethod(settings.scheduler.plan)
            learn = staticmethod(settings.scheduler.learn)

        WithTrainer.trainer = trainer
        return launch_tick(store, trainer, clock, replace(settings, scheduler=WithTrainer))

    return _both(patch.object(_ticks, "_begin", wrong), patch.object(jobcore, "launch_tick", tick))


@mutant
def launching_is_never_rescued():
    """A launch that was begun by a tick that died is nobody's."""

    def wrong(job, tick):
        return None if tick is jobcore.lifecycle.Tick.LAUNCH else due_at(job, tick)

    return patch.object(_store, "due_at", wrong)


@mutant
def one_poisoned_job_ends_the_tick():
    """What one job makes the adapter raise ends the pass."""
    launch = _ticks._launch

    def wrong(run, trainer, asked):
        class Strict:
            describe = trainer.describe
            stop = trainer.stop

            @staticmethod
            def launch(requests):
                try:
                    return trainer.launch(requests)
                except ValueError as error:
                    raise _Ends from error

        return launch(run, Strict, asked)

    perform = _ticks._perform

    def whole(run, trainer, jobs, **options):
        try:
            perform(run, trainer, jobs, **options)
        except _Ends:
            raise Unavailable("the pass ends") from None

    return _both(patch.object(_ticks, "_launch", wrong), patch.object(_ticks, "_perform", whole))


class _Ends(BaseException):
    pass


@mutant
def blind_compensation():
    """Who is told of a conflict after a launch stops what it has launched."""
    again = _ticks._Pass._again

    def apply(self, stale, events):
        if any(isinstance(event, LaunchAccepted) for event in events):
            self.settings.scheduler.trainer.stop(stale.training_name)
        return again(self, stale, events)

    launch_tick = _ticks.launch_tick

    def tick(store, trainer, clock, settings):
        class WithTrainer:
            plan = staticmethod(settings.scheduler.plan)
            learn = staticmethod(settings.scheduler.learn)

        WithTrainer.trainer = trainer
        return launch_tick(store, trainer, clock, replace(settings, scheduler=WithTrainer))

    return _both(
        patch.object(_ticks._Pass, "_again", apply), patch.object(jobcore, "launch_tick", tick)
    )


@mutant
def a_stranger_is_adopted():
    """Whoever has the name is taken for ours."""
    return patch.object(_ticks, "_is_ours", lambda training, job: training.attempt is not None)


@mutant
def the_reaper_stops_what_runs():
    """The reaper stops trainings of the current attempt, too."""
    reap = _ticks.reap_tick

    def wrong(store, trainer, clock, settings):
        report = reap(store, trainer, clock, settings)
        for training in trainer.running():
            trainer.stop(training.name)
        return report

    return patch.object(jobcore, "reap_tick", wrong)


@mutant
def every_look_is_written():
    """A look that shows nothing new is saved all the same."""
    see = _transitions._see

    def wrong(job, state, event, now):
        after = see(job, state, event, now)
        return replace(job, state=replace(state)) if isinstance(after, str) else after

    row = _transitions.TRANSITIONS[Status.IN_PROGRESS][jobcore.TrainingSeen]
    return _cells({(Status.IN_PROGRESS, jobcore.TrainingSeen): Go(wrong, row.to)})


@mutant
def a_throttled_relaunch_is_lost():
    """A job whose launch was throttled is not in the queue again."""
    waiting_of = _store.ObjectStore.waiting

    def wrong(self, *, now, depth):
        rows = waiting_of(self, now=now, depth=depth)
        return [
            row
            for row in rows
            if (after := self._jobs[row.job_id].state.after) is None
            or after.failure_class is not FailureClass.THROTTLE
        ]

    return patch.object(_store.ObjectStore, "waiting", wrong)


@mutant
def reuse_and_bets_have_a_room_each():
    """What a plan has asked for is forgotten when the quota is asked about next."""
    obstacle = _planner._Room._quota_obstacle

    def wrong(self, pool, count, used):
        asked, self.asked = self.asked, type(self.asked)()
        try:
            return obstacle(self, pool, count, used - asked[pool])
        finally:
            self.asked = asked

    return patch.object(_planner._Room, "_quota_obstacle", wrong)


@mutant
def what_others_use_is_remembered():
    """What others used of a quota is believed for ever, and nobody asks again."""
    ever = timedelta(days=36500)
    return _both(
        patch.object(_capacity, "EXTERNAL_BELIEVED", ever),
        patch.object(_planner, "EXTERNAL_BELIEVED", ever),
        patch.object(_planner, "LIMIT_BELIEVED", ever),
    )


@mutant
def bets_stay_in_the_first_pool():
    """Of the pools in a shortage, the first of the list has every bet."""
    choose = _planner._Room.choose

    def wrong(self, job):
        choice = choose(self, job)
        if isinstance(choice, _planner._Choice) and choice.bet:
            for place in job.placements:
                if self.pool_obstacle(place) is None and not self.share_obstacle(
                    job.share, place.count
                ):
                    return replace(choice, placement=place)
        return choice

    return patch.object(_planner._Room, "choose", wrong)


@mutant
def a_refused_launch_uses_an_attempt():
    """A launch that was refused counts the attempt up."""

    def wrong(job, state, event, now):
        return _transitions._after_failure(job, event.failure, state.attempt.number + 1, now)

    row = _transitions.TRANSITIONS[Status.LAUNCHING][LaunchRefused]
    return _cells({(Status.LAUNCHING, LaunchRefused): Go(wrong, row.to)})


@mutant
def a_throttled_name_is_used_up():
    """A stop that meets Launching is over when the launch that uses the name up was throttled."""

    def wrong(job, state, event, now):
        if state.known:
            return "known"
        return _transitions._stopped(job, state, now, "no training existed")

    to = (Status.STOPPED, Status.FAILED)
    return _cells(
        {
            (Status.STOPPING, LaunchRefused): Go(wrong, to),
            (Status.STOPPING, NameTaken): Go(wrong, to),
        }
    )


@mutant
def one_shot_of_what_is_not_answered():
    """What is asked for and never answered closes a pool for ever."""
    return patch.object(_capacity, "_is_unanswered", lambda state, now: False)


@mutant
def what_cannot_be_read_has_room():
    """Jobs that cannot be read keep their place in the plan."""

    def wrong(run, snapshot):
        decided = run.settings.scheduler.plan(snapshot, run.settings.limits, now=run.now)
        return decided, run.read([launch.job_id for launch in decided.launches])

    return patch.object(_ticks, "_decide", wrong)


@mutant
def a_retry_has_no_end():
    """Budgets are not kept."""
    return patch.object(_transitions, "retry", _retry_always)


def _retry_always(job, failure, *, now):
    decision = jobcore.lifecycle.retry(job, failure, now=now)
    if isinstance(decision, jobcore.lifecycle.GiveUp):
        return jobcore.lifecycle.TryAgain(None)
    return decision


@mutant
def a_hold_loses_the_training():
    """A hold while a training runs is done at once, and forgets the training."""

    def wrong(job, state, event, now):
        return _transitions._held(
            job, state.attempt.number + 1, jobcore.lifecycle.HoldCode.USER, "held", now, tell=False
        )

    return _cells({(Status.IN_PROGRESS, jobcore.HoldRequested): Go(wrong, (Status.HELD,))})


@mutant
def a_refusal_from_before_a_stop_counts():
    """What answered a launch of before a stop is taken for the answer to the stop's own."""

    def wrong(self, stale, events):
        for _ in range(5):
            fresh = self.read([stale.job_id]).get(stale.job_id)
            if fresh is None:
                return stale
            moved, cause = self._stepped(fresh, events)
            if cause is None:
                return fresh
            (saved,) = self.store.save([moved])
            if saved is not None:
                return saved
        return stale

    return patch.object(_ticks._Pass, "_again", wrong)
