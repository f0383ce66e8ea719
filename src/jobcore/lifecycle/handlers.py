"""
The handlers of the transition table: each turns a job and an event into the job after the event.

A handler returns the new job, or the reason why the event changes nothing. Only
`jobcore.lifecycle.step` calls it, after the check that the event is about the job's current attempt.
`jobcore.lifecycle.transitions` has the table and the rules that these functions follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from .clocks import clock_run_out
from .events import (
    HoldRequested,
    LaunchAccepted,
    LaunchDecided,
    LaunchRefused,
    MessagePublished,
    NameTaken,
    ReleaseRequested,
    StopRequested,
    TimePassed,
    TrainingEnded,
    TrainingMissing,
    TrainingSeen,
)
from .failure import Failure, FailureClass, Retryable, Scope
from .model import (
    ATTEMPTS_KEPT_MAX,
    TIMELINE_KEPT_MAX,
    Active,
    Attempt,
    Completed,
    Failed,
    Held,
    HoldCode,
    InProgress,
    Job,
    Launched,
    Launching,
    Mark,
    New,
    OutboxEntry,
    State,
    Status,
    StopCause,
    Stopped,
    Stopping,
    StopRequest,
)
from .retry import GiveUp, Hold, TryAgain, retry

__all__ = [
    "FIRST_MARKS_KEPT", "MISSING_BELIEVED_AFTER", "REASON_KEPT_CHARS_MAX", "Handler", "accept_launch",
    "accept_to_stop", "adopt_training", "begin_launch", "clear_message", "end_training",
    "hold_next", "hold_waiting", "miss_training", "name_taken", "nothing_to_stop",
    "refuse_launch", "release_backoff", "release_held", "release_next", "see_stopping",
    "see_training", "stop_active", "stop_again", "stop_waiting", "time_active", "time_waiting",
]  # fmt: skip

#: A training that the trainer does not know counts as gone after this long. Right after a create, a
#: read may not see it yet (reads of training services are eventually consistent).
MISSING_BELIEVED_AFTER = timedelta(minutes=2)
#: Longest text kept in the record beside the last failure's own: one line.
REASON_KEPT_CHARS_MAX = 200
FIRST_MARKS_KEPT = 5  # of a timeline that is too long

#: Returns the job after the event, or the reason why the event changes nothing.
Handler = Callable[[Job, Any, Any, datetime], "Job | str"]


def _moved(job: Job, state: State, now: datetime, note: str, **changes: Any) -> Job:
    """Build *job* in *state*, with a line in its timeline."""
    number = _number_of(state, job)
    mark = Mark(at=now, status=state.status, attempt=number, note=note[:REASON_KEPT_CHARS_MAX])
    timeline = (*job.timeline, mark)
    if len(timeline) > TIMELINE_KEPT_MAX:
        # Keep how the job began and its recent past; drop from the middle.
        first = FIRST_MARKS_KEPT
        timeline = (*timeline[:first], *timeline[first - TIMELINE_KEPT_MAX :])
    return replace(job, state=state, timeline=timeline, **changes)


def _number_of(state: State, job: Job) -> int:
    attempt: Attempt | int | None = getattr(state, "attempt", None)
    if type(attempt) is Attempt:
        return attempt.number
    return attempt if isinstance(attempt, int) else job.attempt_number


def _announced(job: Job, status: Status, now: datetime, reason: str) -> tuple[OutboxEntry, ...]:
    """Add the message for *status* to the outbox. Its id is a function of the event, so a repetition has the same."""
    event_id = f"{job.job_id}/{job.attempt_number}/{status}"
    if (
        not status.is_terminal
    ):  # a job can be held more than once; the version distinguishes the holds
        event_id += f"/{job.version}"
    reason = reason[:REASON_KEPT_CHARS_MAX]
    return (*job.outbox, OutboxEntry(event_id=event_id, status=status, at=now, reason=reason))


def _over(
    job: Job, state: Completed | Failed | Stopped, now: datetime, note: str, **changes: Any
) -> Job:
    """End the job, and add its message to the outbox."""
    outbox = _announced(job, state.status, now, note)
    return _moved(job, state, now, note, outbox=outbox, hold_next=False, **changes)


def _timed_out(job: Job, cause: StopCause, now: datetime) -> Job:
    """Fail the job because one of its clocks ran out."""
    text = {
        StopCause.WAIT_AT_MOST: f"waited longer than wait_at_most ({job.spec.clocks.wait_at_most})",
        StopCause.RUN_AT_MOST: f"ran longer than run_at_most ({job.spec.clocks.run_at_most})",
        StopCause.FINISH_BY: f"not finished by finish_by ({job.spec.clocks.finish_by})",
    }[cause]
    failure = Failure(
        failure_class=FailureClass.TIMEOUT,
        scope=Scope.JOB,
        retryable=Retryable.NO,
        rule=f"clock {cause}",
        text=text,
    )
    return _over(job, Failed(since=now, failure=failure), now, text)


def _held(
    job: Job, attempt: int, code: HoldCode, reason: str, now: datetime, *, notify: bool = True
) -> Job:
    """Hold the job; with *notify*, its owner is notified."""
    reason = reason[:REASON_KEPT_CHARS_MAX]
    state = Held(since=now, attempt=attempt, code=code, reason=reason)
    outbox = _announced(job, Status.HELD, now, reason) if notify else job.outbox
    return _moved(job, state, now, f"{code}: {reason}", outbox=outbox, hold_next=False)


def _after_failure(job: Job, failure: Failure, next_attempt: int, now: datetime) -> Job:
    """Retry, hold or give up, as `jobcore.lifecycle.retry` decides."""
    decision = retry(job, failure, now=now)
    note = f"{failure.failure_class}: {failure.headline}"
    if isinstance(decision, GiveUp):
        return _over(job, Failed(since=now, failure=failure), now, note)
    if isinstance(decision, Hold):
        return _held(job, next_attempt, decision.code, decision.reason, now)
    assert isinstance(decision, TryAgain)
    if decision.used:
        job = replace(job, charges={**job.charges, failure.failure_class: decision.used})
    if job.hold_next:
        why = "asked for while a training ran"
        return _held(job, next_attempt, HoldCode.USER, why, now, notify=False)
    state = New(since=now, attempt=next_attempt, not_before=decision.not_before, after=failure)
    return _moved(job, state, now, note)


def begin_launch(job: Job, state: New, event: LaunchDecided, now: datetime) -> Job | str:
    """A plan chose the job: record the intent."""
    if state.not_before is not None and now < state.not_before:
        return "the job is backing off; the plan was made of an older snapshot"
    attempt = Attempt(number=state.attempt, placement=event.placement, launching_at=now)
    launching = Launching(since=now, attempt=attempt)
    return _moved(job, launching, now, f"pool {event.placement.pool}")


def accept_launch(job: Job, state: Launching, event: LaunchAccepted, now: datetime) -> Job:
    """The training was created."""
    attempt = replace(state.attempt, launched_at=now)
    return _moved(job, Launched(since=now, attempt=attempt), now, "")


def adopt_training(job: Job, state: New | Held, event: LaunchAccepted, now: datetime) -> Job:
    """The training exists although the job does not expect one: adopt it. A held job is held again after it."""
    attempt = Attempt(
        number=state.attempt, placement=event.placement, launching_at=now, launched_at=now
    )
    held = isinstance(state, Held)
    return _moved(
        job,
        Launched(since=now, attempt=attempt),
        now,
        "adopted: another tick had launched it",
        hold_next=job.hold_next or held,
    )


def refuse_launch(job: Job, state: Launching, event: LaunchRefused, now: datetime) -> Job:
    """The training was not created."""
    return _after_failure(job, event.failure, state.attempt.number, now)


def name_taken(job: Job, state: Launching, event: NameTaken, now: datetime) -> Job:
    """A stranger's training has the name: hold the job until a person decides."""
    return _held(job, state.attempt.number, HoldCode.NAME_TAKEN, event.reason, now)


def accept_to_stop(job: Job, state: Stopping, event: LaunchAccepted, now: datetime) -> Job | str:
    """The name is reserved now, so the training can be stopped."""
    if state.known:
        return "the training is known already"
    return replace(job, state=replace(state, known=True))


def nothing_to_stop(
    job: Job, state: Stopping, event: LaunchRefused | NameTaken, now: datetime
) -> Job | str:
    """No training exists and none can appear: the stop is complete."""
    if state.known:
        return "the training is known; the refusal is late"
    if isinstance(event, LaunchRefused) and event.failure.failure_class is FailureClass.THROTTLE:
        return "the request was throttled, which does not reserve the name; it is repeated"
    return _stopped(job, state, now, "no training existed")


def _stopped(job: Job, state: Stopping, now: datetime, note: str) -> Job:
    """End a job whose training was stopped, by a person or by a clock."""
    if state.cause is StopCause.USER:
        by = job.stop.by if job.stop is not None else "?"
        return _over(job, Stopped(since=now), now, f"stopped by {by}; {note}")
    return _timed_out(job, state.cause, now)


def see_training(
    job: Job, state: Launching | Launched | InProgress, event: TrainingSeen, now: datetime
) -> Job | str:
    """The training was observed."""
    attempt = state.attempt
    if event.running and not isinstance(state, InProgress):
        attempt = replace(
            attempt, launched_at=attempt.launched_at or now, started_at=event.started_at or now
        )
        state = InProgress(since=now, attempt=attempt, detail=event.detail)
        return _moved(job, state, now, event.detail)
    if isinstance(state, Launching):
        attempt = replace(attempt, launched_at=now)
        return _moved(
            job, Launched(since=now, attempt=attempt, detail=event.detail), now, event.detail
        )
    if event.detail == state.detail and state.missing_since is None:
        return "nothing new"
    return replace(job, state=replace(state, detail=event.detail, missing_since=None))


def see_stopping(job: Job, state: Stopping, event: TrainingSeen, now: datetime) -> Job | str:
    """The training was observed while it is being stopped."""
    if state.known and state.missing_since is None:
        return "nothing new"
    return replace(job, state=replace(state, known=True, missing_since=None))


def _shortened(attempt: Attempt) -> Attempt:
    """Keep one line of an older attempt's failure: the whole record is written at every transition."""
    if attempt.failure is None or len(attempt.failure.text) <= REASON_KEPT_CHARS_MAX:
        return attempt
    return replace(attempt, failure=replace(attempt.failure, text=attempt.failure.headline))


def end_training(job: Job, state: Active, event: TrainingEnded, now: datetime) -> Job:
    """The training is over: complete, or answer the failure."""
    attempt = replace(
        state.attempt,
        started_at=event.started_at or state.attempt.started_at,
        ended_at=event.ended_at or now,
        outcome=event.outcome,
        failure=event.failure,
    )
    attempts: tuple[Attempt, ...] = (attempt,)
    if job.attempts:
        attempts = (*map(_shortened, job.attempts), attempt)[-ATTEMPTS_KEPT_MAX:]
    waiting_since = now if attempt.started_at is not None else job.waiting_since
    if event.outcome is Status.COMPLETED:
        state_after = Completed(since=now)
        changes = {"attempts": attempts, "waiting_since": waiting_since, "metrics": event.metrics}
        return _over(job, state_after, now, "", **changes)
    # An attempt that died early has none: those of an earlier one still tell how far the job came.
    metrics = event.metrics or job.metrics
    job = replace(job, attempts=attempts, waiting_since=waiting_since, metrics=metrics)
    assert event.failure is not None  # TrainingEnded checks it
    if isinstance(state, Stopping):
        return _stopped(job, state, now, f"training {event.outcome}")
    return _after_failure(job, event.failure, attempt.number + 1, now)


def miss_training(
    job: Job, state: Launched | InProgress | Stopping, event: TrainingMissing, now: datetime
) -> Job | str:
    """The trainer does not find the training."""
    if isinstance(state, Stopping) and not state.known:
        return "not created yet"
    if state.missing_since is None:
        return replace(job, state=replace(state, missing_since=now))
    if now - state.missing_since < MISSING_BELIEVED_AFTER:
        return "missing, but not for long enough to count as gone"
    if isinstance(state, Stopping):
        # Rule B: reserve the name, so that no training can appear under it later.
        return replace(job, state=replace(state, known=False, missing_since=None))
    # Rule A: the training was never seen terminal. The same name again cannot run twice.
    return _moved(
        job,
        Launching(since=now, attempt=state.attempt),
        now,
        "the trainer does not know the training any more; launched again under the same name",
        # Without this the wait clock would count the time for which the training ran.
        waiting_since=now if isinstance(state, InProgress) else job.waiting_since,
    )


def stop_waiting(job: Job, state: New | Held, event: StopRequested, now: datetime) -> Job:
    """No training exists: the job is over at once."""
    job = replace(job, stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]))
    return _over(job, Stopped(since=now), now, f"stopped by {event.by}; no training existed")


def stop_active(
    job: Job, state: Launching | Launched | InProgress, event: StopRequested, now: datetime
) -> Job:
    """A training exists, or may: stop it first."""
    job = replace(job, stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]))
    return _stopping(job, state, StopCause.USER, now, f"asked for by {event.by}")


def _stopping(
    job: Job,
    state: Launching | Launched | InProgress,
    cause: StopCause,
    now: datetime,
    note: str,
) -> Job:
    known = not isinstance(state, Launching)
    stopping = Stopping(since=now, attempt=state.attempt, cause=cause, known=known)
    return _moved(job, stopping, now, note)


def stop_again(job: Job, state: Stopping, event: StopRequested, now: datetime) -> Job | str:
    """A clock was stopping the training; the person's request makes the outcome Stopped."""
    if job.stop is not None:
        return "it is being stopped already"
    return replace(
        job,
        stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]),
        state=replace(state, cause=StopCause.USER),
    )


def hold_waiting(job: Job, state: New, event: HoldRequested, now: datetime) -> Job:
    """Hold a job that waits."""
    reason = event.reason or f"held by {event.by}"
    return _held(job, state.attempt, event.code, reason, now, notify=event.notify)


def hold_next(job: Job, state: Active, event: HoldRequested, now: datetime) -> Job | str:
    """Record a hold for the time after this attempt; the training continues."""
    if job.hold_next:
        return "it will be held before its next attempt already"
    return replace(job, hold_next=True)


def release_held(job: Job, state: Held, event: ReleaseRequested, now: datetime) -> Job:
    """Release a held job: it waits for capacity again."""
    # A stranger's training has the name, so the job has no training: the next number is safe.
    number = state.attempt + (state.code is HoldCode.NAME_TAKEN)
    return _moved(
        job, New(since=now, attempt=number), now, f"released by {event.by}", waiting_since=now
    )


def release_backoff(job: Job, state: New, event: ReleaseRequested, now: datetime) -> Job | str:
    """End the back-off."""
    if state.not_before is None or state.not_before <= now:
        return "it is not held and does not back off"
    return _moved(
        job,
        replace(state, since=now, not_before=None),
        now,
        f"back-off ended by {event.by}",
    )


def release_next(job: Job, state: Active, event: ReleaseRequested, now: datetime) -> Job | str:
    """Withdraw a hold that has not begun yet."""
    if not job.hold_next:
        return "it is not held"
    return replace(job, hold_next=False)


def time_waiting(job: Job, state: New | Held, event: TimePassed, now: datetime) -> Job | str:
    """A clock ran out while no training existed: fail."""
    cause = clock_run_out(job, now)
    return "no clock has run out" if cause is None else _timed_out(job, cause, now)


def time_active(
    job: Job, state: Launching | Launched | InProgress, event: TimePassed, now: datetime
) -> Job | str:
    """A clock ran out while a training exists, or may: stop it first."""
    cause = clock_run_out(job, now)
    if cause is None:
        return "no clock has run out"
    return _stopping(job, state, cause, now, f"clock {cause} ran out")


def clear_message(job: Job, state: State, event: MessagePublished, now: datetime) -> Job | str:
    """The message was published."""
    left = tuple(entry for entry in job.outbox if entry.event_id != event.event_id)
    if len(left) == len(job.outbox):
        return "the message was published already"
    return replace(job, outbox=left)
