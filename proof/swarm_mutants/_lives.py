"""Bugs in the life of a job: stops and holds, retries, refusals, messages."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import jobcore
from jobcore import (
    HoldRequested,
    LaunchRefused,
    NameTaken,
    ReleaseRequested,
    Status,
    StopRequested,
    TrainingEnded,
)
from jobcore.lifecycle import HoldCode, Stopped, StopRequest
from jobcore.lifecycle.transitions import Go

from ._tools import cells, handlers, monitor, mutant, notify, retries, run, transitions

# --- stops and holds ---------------------------------------------------------------------


@mutant
def stop_is_not_passed_on():
    """The monitor does not ask the trainer to stop."""
    return patch.object(monitor, "stop_training", lambda run, trainer, job_id, name: None)


@mutant
def stop_while_launching_is_stopped_at_once():
    """A stop that meets Launching ends the job, and the name is not reserved."""

    def wrong(job, state, event, now):
        job = replace(job, stop=StopRequest(at=now, by=event.by))
        return handlers._over(job, Stopped(since=now), now, "no training known")

    return cells({(Status.LAUNCHING, StopRequested): Go(wrong, (Status.STOPPED,))})


@mutant
def stopped_when_asked():
    """A stop of a running training ends the job at once."""

    def wrong(job, state, event, now):
        job = replace(job, stop=StopRequest(at=now, by=event.by))
        return handlers._over(job, Stopped(since=now), now, "asked for")

    return cells({(Status.IN_PROGRESS, StopRequested): Go(wrong, (Status.STOPPED,))})


@mutant
def a_release_takes_a_stop_back():
    """A stop request can be taken back."""

    def wrong(job, state, event, now):
        if job.stop is None:
            return "no stop was requested"
        return replace(job, stop=None, state=replace(state, known=state.known))

    return cells({(Status.STOPPING, ReleaseRequested): Go(wrong, (Status.STOPPING,))})


@mutant
def interrupted_is_stopped():
    """A spot interruption counts as a user's stop."""
    end = handlers.end_training

    def wrong(job, state, event, now):
        if event.outcome is Status.STOPPED:
            return handlers._over(job, Stopped(since=now), now, "training stopped")
        return end(job, state, event, now)

    row = transitions.TRANSITIONS[Status.IN_PROGRESS][TrainingEnded]
    return cells({(Status.IN_PROGRESS, TrainingEnded): Go(wrong, (*row.to, Status.STOPPED))})


@mutant
def a_throttled_name_is_used_up():
    """A stop that meets Launching is complete when the launch that reserves the name was throttled."""

    def wrong(job, state, event, now):
        if state.known:
            return "known"
        return handlers._stopped(job, state, now, "no training existed")

    to = (Status.STOPPED, Status.FAILED)
    return cells(
        {
            (Status.STOPPING, LaunchRefused): Go(wrong, to),
            (Status.STOPPING, NameTaken): Go(wrong, to),
        }
    )


@mutant
def a_refusal_from_before_a_stop_counts():
    """A refusal of a launch from before a stop counts as the answer to the stop's own launch."""

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

    return patch.object(run.TickRun, "_again", wrong)


@mutant
def a_hold_loses_the_training():
    """A hold while a training runs is done at once, and forgets the training."""

    def wrong(job, state, event, now):
        return handlers._held(
            job, state.attempt.number + 1, HoldCode.USER, "held", now, notify=False
        )

    return cells({(Status.IN_PROGRESS, HoldRequested): Go(wrong, (Status.HELD,))})


# --- attempts ----------------------------------------------------------------------------


@mutant
def a_refused_launch_uses_an_attempt():
    """A launch that was refused counts the attempt up."""

    def wrong(job, state, event, now):
        return handlers._after_failure(job, event.failure, state.attempt.number + 1, now)

    row = transitions.TRANSITIONS[Status.LAUNCHING][LaunchRefused]
    return cells({(Status.LAUNCHING, LaunchRefused): Go(wrong, row.to)})


@mutant
def a_retry_has_no_end():
    """Budgets are not kept."""

    def wrong(job, failure, *, now):
        decision = retries.retry(job, failure, now=now)
        return retries.TryAgain(None, 1) if isinstance(decision, retries.GiveUp) else decision

    return patch.object(handlers, "retry", wrong)


# --- messages ----------------------------------------------------------------------------


@mutant
def cleared_before_published():
    """The outbox is cleared before the messages are published."""
    notify_tick = jobcore.notify_tick

    def wrong(store, notifier, clock, settings):
        later = []

        class Later:
            publish = staticmethod(later.append)

        report = notify_tick(store, Later, clock, settings)
        for message in later:
            notifier.publish(message)
        return report

    return patch.object(jobcore, "notify_tick", wrong)


@mutant
def no_outbox():
    """An end is saved without the message that it owes."""
    over = handlers._over

    def wrong(job, state, now, note, **changes):
        return replace(over(job, state, now, note, **changes), outbox=job.outbox)

    return patch.object(handlers, "_over", wrong)


@mutant
def a_message_has_a_new_id_each_time():
    """The id of a message depends on when it is sent."""
    message_for = notify.message_for

    def wrong(job, entry):
        message = message_for(job, entry)
        return replace(message, event_id=f"{message.event_id}/{job.version}")

    return patch.object(notify, "message_for", wrong)
