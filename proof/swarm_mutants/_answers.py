"""Bugs about the trainer's answers: launches, observations, and whose a training is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import jobcore
from jobcore import LaunchAccepted, LaunchRefused, Status, TrainingMissing, Unavailable
from jobcore.lifecycle import LaunchTraining, Retryable, training_name
from jobcore.lifecycle.transitions import Go
from jobcore.ports import LaunchResult

from ._tools import (
    FAILURE,
    both,
    cells,
    handlers,
    launch,
    monitor,
    mutant,
    reap,
    run,
    training_ended,
    transitions,
)


@mutant
def timeout_is_a_failed_attempt():
    """A launch without an answer counts as an attempt that failed."""
    facts = launch._facts

    def wrong(run, trainer, job, effect, reply):
        if reply.result is LaunchResult.UNCLEAR:
            return [training_ended(effect.attempt)]
        return facts(run, trainer, job, effect, reply)

    return patch.object(launch, "_facts", wrong)


@mutant
def timeout_is_a_refusal():
    """A launch without an answer counts as refused for good."""
    facts = launch._facts
    final = replace(FAILURE, retryable=Retryable.NO)

    def wrong(run, trainer, job, effect, reply):
        if reply.result is LaunchResult.UNCLEAR:
            return [LaunchRefused(attempt=effect.attempt, failure=final)]
        return facts(run, trainer, job, effect, reply)

    return patch.object(launch, "_facts", wrong)


@mutant
def exists_is_a_failed_attempt():
    """A name that is in use counts as an attempt that failed."""
    facts = launch._facts

    def wrong(run, trainer, job, effect, reply):
        if reply.result is LaunchResult.EXISTS:
            return [training_ended(effect.attempt)]
        return facts(run, trainer, job, effect, reply)

    return patch.object(launch, "_facts", wrong)


@mutant
def effect_before_intent():
    """The training is created before the intent is stored."""
    launch_all = launch._launch_all

    def wrong(run, trainer, planned, observations):
        for choice, job in planned:
            name = training_name(job.job_id, choice.attempt)
            effect = LaunchTraining(name, choice.attempt, choice.placement)
            with suppress(ValueError):  # a request that the trainer cannot read
                trainer.launch([launch._request_for(job, effect)])
        return launch_all(run, trainer, planned, observations)

    return patch.object(launch, "_launch_all", wrong)


@mutant
def blind_compensation():
    """A launch tick whose save of an acceptance is lost stops the training that it has launched."""
    commit, again = launch._commit_outcomes, run.TickRun._again
    trainers = []

    def remember(run, trainer, *rest, **options):
        trainers[:] = [trainer]
        commit(run, trainer, *rest, **options)

    def wrong(self, stale, events):
        if trainers and any(isinstance(event, LaunchAccepted) for event in events):
            trainers[0].stop(stale.training_name)
        return again(self, stale, events)

    return both(
        patch.object(launch, "_commit_outcomes", remember),
        patch.object(run.TickRun, "_again", wrong),
    )


@mutant
def one_poisoned_job_ends_the_tick():
    """A launch at which the trainer raises ends the tick."""
    request, launch_tick = launch._request, jobcore.launch_tick

    def strict(run, trainer, owing):
        class Strict:
            describe = trainer.describe
            stop = trainer.stop

            @staticmethod
            def launch(requests):
                try:
                    return trainer.launch(requests)
                except ValueError as error:
                    raise _Ends from error

        return request(run, Strict, owing)

    def tick(*ports):
        try:
            return launch_tick(*ports)
        except _Ends:
            raise Unavailable("the tick ends") from None

    return both(
        patch.object(launch, "_request", strict), patch.object(jobcore, "launch_tick", tick)
    )


class _Ends(BaseException):
    pass


@mutant
def a_stranger_is_adopted():
    """A training under the job's name is adopted, whoever made it."""

    def wrong(training, job):
        return training.attempt is not None

    return both(*(patch.object(module, "is_ours", wrong) for module in (launch, monitor, reap)))


@mutant
def new_attempt_on_not_found():
    """A training that is not found is launched again under the next number."""
    miss = handlers.miss_training

    def wrong(job, state, event, now):
        after = miss(job, state, event, now)
        if isinstance(after, jobcore.Job) and after.status is Status.LAUNCHING:
            attempt = replace(after.state.attempt, number=after.state.attempt.number + 1)
            after = replace(
                job, state=replace(after.state, attempt=attempt), timeline=after.timeline
            )
        return after

    changes = {
        (status, TrainingMissing): Go(wrong, transitions.TRANSITIONS[status][TrainingMissing].to)
        for status in (Status.LAUNCHED, Status.IN_PROGRESS)
    }
    return cells(changes)


@mutant
def unreadable_is_not_found_at_once():
    """A name that could not be read counts as a training that is gone."""
    observe = monitor._monitor

    def wrong(run, trainer, jobs):
        class Eager:
            stop = trainer.stop

            @staticmethod
            def describe(names):
                found = trainer.describe(names)
                return {name: found.get(name) for name in names}

        observe(run, Eager, jobs)

    return both(
        patch.object(monitor, "_monitor", wrong),
        patch.object(handlers, "MISSING_BELIEVED_AFTER", timedelta(0)),
        new_attempt_on_not_found(),
    )


@mutant
def every_look_is_written():
    """An observation that shows nothing new is saved."""
    see = handlers.see_training

    def wrong(job, state, event, now):
        after = see(job, state, event, now)
        return replace(job, state=replace(state)) if isinstance(after, str) else after

    row = transitions.TRANSITIONS[Status.IN_PROGRESS][jobcore.TrainingSeen]
    return cells({(Status.IN_PROGRESS, jobcore.TrainingSeen): Go(wrong, row.to)})


@mutant
def the_reaper_stops_what_runs():
    """The reaper stops trainings of the current attempt, too."""
    reap_tick = jobcore.reap_tick

    def wrong(store, trainer, clock, settings):
        report = reap_tick(store, trainer, clock, settings)
        for training in trainer.running():
            trainer.stop(training.name)
        return report

    return patch.object(jobcore, "reap_tick", wrong)
