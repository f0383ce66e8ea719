"""The life of a job: the table, its one interpreter, and what each state owes the world.

Theory of operation
===================

A job is in one of nine states. Three are terminal (Completed, Failed, Stopped)
and never left. Four are *active* (Launching, Launched, InProgress, Stopping): in
them a training exists in the trainer, or may exist. In New and Held none does.

`TRANSITIONS` is total: for every status and every kind of event it has a cell,
and a cell says one of three things.

* ``Go``: run this handler; it leads to one of these statuses.
* ``Ignore``: the fact is late, repeated, or changes nothing, because of this.
* ``Refuse``: a person asked for something that cannot be, because of this.

Everything that changes a job's state is in this file. `step` is the only
interpreter. It is pure: it gets the time as an argument and returns the new job.

Outputs belong to states, not to transitions. What a job still needs done
(`owed`), when it needs a look (`due_at`) and when time alone changes it
(`wake_at`) are functions of the stored state. A process may therefore die
between any two instructions: the next one reads the state and knows what is
owed. Doing it twice is harmless, because every effect is keyed by the job and
the attempt, which is the training's name.

Five rules carry the promise that a job has at most one live training and is
never lost. They are why the table looks as it does.

1. *Intent before effect.* New becomes Launching, and that is saved, before the
   trainer is asked for anything.
2. *Rule A.* The attempt number grows only after that attempt's training was seen
   terminal, or somebody else's was seen under its name. A training that is
   not found is launched again under the same name, so there cannot be two; a
   launch that was definitely refused leaves the number as it is.
3. *Rule B.* A stop that meets Launching goes to Stopping with ``known=False``: the
   name is used up first (create or adopt), then the training is stopped. Else a
   create request that arrives late would start a training that nobody watches.
4. *Stopped* is written only if a stop was asked for, and only when the trainer
   says that the training is over. A stop request is never taken back.
5. *The outbox is in the same write.* Whatever ends a job also records the message
   owed, with an id that is a function of the event.

Two ticks may overlap. One of them may be refused (no capacity) and the other
accepted, for the same attempt. The job may then be New or Held when
``LaunchAccepted`` arrives for the attempt to come: the training exists, so the
job adopts it and becomes Launched. If it has been Stopped by then, the tick stops
the training, and the reaper does so if that tick dies.
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
    "MISSING_BELIEVED_AFTER",
    "REASON_KEPT_CHARS_MAX",
    "Handler",
    "accept_launch",
    "accept_to_stop",
    "adopt_training",
    "begin_launch",
    "clear_message",
    "end_training",
    "hold_next",
    "hold_waiting",
    "miss_training",
    "name_taken",
    "nothing_to_stop",
    "refuse_launch",
    "release_backoff",
    "release_held",
    "release_next",
    "see_stopping",
    "see_training",
    "stop_active",
    "stop_again",
    "stop_waiting",
    "time_active",
    "time_waiting",
]

#: A training that the trainer says it does not have counts as gone after this long;
#: right after a create, a read may not see it yet.
MISSING_BELIEVED_AFTER = timedelta(minutes=2)


#: Texts kept in the record beside the last failure's own: one line each.
REASON_KEPT_CHARS_MAX = 200


# A handler returns the job after the event, or says why the event changes nothing.
Handler = Callable[[Job, Any, Any, datetime], "Job | str"]


def _moved(job: Job, state: State, now: datetime, note: str, **changes: Any) -> Job:
    """Build *job* in *state*, with its line in the timeline."""
    number = _number_of(state, job)
    mark = Mark(at=now, status=state.status, attempt=number, note=note[:REASON_KEPT_CHARS_MAX])
    timeline = (*job.timeline, mark)
    if len(timeline) > TIMELINE_KEPT_MAX:
        # The beginning tells what was asked, the end what is so; drop from the middle.
        timeline = (*timeline[:5], *timeline[5 - TIMELINE_KEPT_MAX :])
    if changes:
        return replace(job, state=state, timeline=timeline, **changes)
    return replace(job, state=state, timeline=timeline)


def _number_of(state: State, job: Job) -> int:
    attempt: Attempt | int | None = getattr(state, "attempt", None)
    if type(attempt) is Attempt:
        return attempt.number
    return attempt if isinstance(attempt, int) else job.attempt_number


def _announced(job: Job, status: Status, now: datetime, reason: str) -> tuple[OutboxEntry, ...]:
    """Give the outbox with the message for *status*; one id per event, whoever computes it."""
    event_id = f"{job.job_id}/{job.attempt_number}/{status}"
    if not status.is_terminal:  # a job can be held more than once
        event_id += f"/{job.version}"
    reason = reason[:REASON_KEPT_CHARS_MAX]
    return (*job.outbox, OutboxEntry(event_id=event_id, status=status, at=now, reason=reason))


def _over(
    job: Job, state: Completed | Failed | Stopped, now: datetime, note: str, **changes: Any
) -> Job:
    outbox = _announced(job, state.status, now, note)
    return _moved(job, state, now, note, outbox=outbox, hold_next=False, **changes)


def _timed_out(job: Job, cause: StopCause, now: datetime) -> Job:
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
    job: Job, attempt: int, code: HoldCode, reason: str, now: datetime, *, tell: bool = True
) -> Job:
    """Hold the job; a person is told unless a person did it, or was told of another job."""
    reason = reason[:REASON_KEPT_CHARS_MAX]
    state = Held(since=now, attempt=attempt, code=code, reason=reason)
    outbox = _announced(job, Status.HELD, now, reason) if tell else job.outbox
    return _moved(job, state, now, f"{code}: {reason}", outbox=outbox, hold_next=False)


def _after_failure(job: Job, failure: Failure, next_attempt: int, now: datetime) -> Job:
    """Retry, hold or give up: the one place where a failure is answered."""
    decision = retry(job, failure, now=now)
    note = f"{failure.failure_class}: {failure.headline}"
    if isinstance(decision, GiveUp):
        return _over(job, Failed(since=now, failure=failure), now, note)
    if isinstance(decision, Hold):
        return _held(job, next_attempt, decision.code, decision.reason, now)
    assert isinstance(decision, TryAgain)
    kind = failure.failure_class
    used = 0 if decision.anew else job.charges.get(kind, 0)
    job = replace(job, charges={**job.charges, kind: used + 1})
    if job.hold_next:
        why = "asked for while a training ran"
        return _held(job, next_attempt, HoldCode.USER, why, now, tell=False)
    state = New(since=now, attempt=next_attempt, not_before=decision.not_before, after=failure)
    return _moved(job, state, now, note)


def begin_launch(job: Job, state: New, event: LaunchDecided, now: datetime) -> Job | str:
    if state.not_before is not None and now < state.not_before:
        return "the job is backing off; the plan was made of an older snapshot"
    attempt = Attempt(number=state.attempt, placement=event.placement, launching_at=now)
    return _moved(
        job,
        Launching(since=now, attempt=attempt),
        now,
        f"pool {event.placement.pool}",
    )


def accept_launch(job: Job, state: Launching, event: LaunchAccepted, now: datetime) -> Job:
    attempt = replace(state.attempt, launched_at=now)
    return _moved(job, Launched(since=now, attempt=attempt), now, "")


def adopt_training(job: Job, state: New | Held, event: LaunchAccepted, now: datetime) -> Job:
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
    return _after_failure(job, event.failure, state.attempt.number, now)


def name_taken(job: Job, state: Launching, event: NameTaken, now: datetime) -> Job:
    return _held(job, state.attempt.number, HoldCode.NAME_TAKEN, event.reason, now)


def accept_to_stop(job: Job, state: Stopping, event: LaunchAccepted, now: datetime) -> Job | str:
    if state.known:
        return "the training is known already"
    return replace(job, state=replace(state, known=True))


def nothing_to_stop(
    job: Job, state: Stopping, event: LaunchRefused | NameTaken, now: datetime
) -> Job | str:
    if state.known:
        return "the training is known; the refusal is late"
    if isinstance(event, LaunchRefused) and event.failure.failure_class is FailureClass.THROTTLE:
        return "asked too fast, which says nothing of the name; it is asked again"
    return _stopped(job, state, now, "no training existed")


def _stopped(job: Job, state: Stopping, now: datetime, note: str) -> Job:
    """End a job whose training is over and was to be stopped."""
    if state.cause is StopCause.USER:
        by = job.stop.by if job.stop is not None else "?"
        return _over(job, Stopped(since=now), now, f"stopped by {by}; {note}")
    return _timed_out(job, state.cause, now)


def see_training(
    job: Job, state: Launching | Launched | InProgress, event: TrainingSeen, now: datetime
) -> Job | str:
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
    if state.known and state.missing_since is None:
        return "nothing new"
    return replace(job, state=replace(state, known=True, missing_since=None))


def _shortened(attempt: Attempt) -> Attempt:
    """Keep one line of an older attempt's failure: the record is written at every transition."""
    if attempt.failure is None or len(attempt.failure.text) <= REASON_KEPT_CHARS_MAX:
        return attempt
    return replace(attempt, failure=replace(attempt.failure, text=attempt.failure.headline))


def end_training(job: Job, state: Active, event: TrainingEnded, now: datetime) -> Job:
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
    if event.outcome is Status.COMPLETED:  # most end so: all at once
        return _over(
            job,
            Completed(since=now),
            now,
            "",
            attempts=attempts,
            waiting_since=waiting_since,
        )
    job = replace(job, attempts=attempts, waiting_since=waiting_since)
    assert event.failure is not None  # TrainingEnded checks it
    if isinstance(state, Stopping):
        return _stopped(job, state, now, f"training {event.outcome}")
    return _after_failure(job, event.failure, attempt.number + 1, now)


def miss_training(
    job: Job, state: Launched | InProgress | Stopping, event: TrainingMissing, now: datetime
) -> Job | str:
    if isinstance(state, Stopping) and not state.known:
        return "not created yet"
    if state.missing_since is None:
        return replace(job, state=replace(state, missing_since=now))
    if now - state.missing_since < MISSING_BELIEVED_AFTER:
        return "missing, not for long enough to believe it"
    if isinstance(state, Stopping):
        # Rule B: use the name up, so that nothing can appear under it later.
        return replace(job, state=replace(state, known=False, missing_since=None))
    # Rule A: never seen terminal, so the same name again, which cannot run twice.
    return _moved(
        job,
        Launching(since=now, attempt=state.attempt),
        now,
        "the trainer does not know the training any more; launched again under the same name",
        # One that ran begins to wait anew, else the wait clock would count the time it ran.
        waiting_since=now if isinstance(state, InProgress) else job.waiting_since,
    )


def stop_waiting(job: Job, state: New | Held, event: StopRequested, now: datetime) -> Job:
    job = replace(job, stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]))
    return _over(job, Stopped(since=now), now, f"stopped by {event.by}; no training existed")


def stop_active(
    job: Job, state: Launching | Launched | InProgress, event: StopRequested, now: datetime
) -> Job:
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
    if job.stop is not None:
        return "it is being stopped already"
    # A clock was stopping it; now a person wants it too, and is told Stopped.
    return replace(
        job,
        stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]),
        state=replace(state, cause=StopCause.USER),
    )


def hold_waiting(job: Job, state: New, event: HoldRequested, now: datetime) -> Job:
    reason = event.reason or f"held by {event.by}"
    return _held(job, state.attempt, event.code, reason, now, tell=event.tell)


def hold_next(job: Job, state: Active, event: HoldRequested, now: datetime) -> Job | str:
    if job.hold_next:
        return "it will be held before its next attempt already"
    return replace(job, hold_next=True)


def release_held(job: Job, state: Held, event: ReleaseRequested, now: datetime) -> Job:
    # Somebody else's training has the name, so ours can never exist: the next number is safe.
    number = state.attempt + (state.code is HoldCode.NAME_TAKEN)
    return _moved(
        job, New(since=now, attempt=number), now, f"released by {event.by}", waiting_since=now
    )


def release_backoff(job: Job, state: New, event: ReleaseRequested, now: datetime) -> Job | str:
    if state.not_before is None or state.not_before <= now:
        return "it is not held and does not back off"
    return _moved(
        job,
        replace(state, since=now, not_before=None),
        now,
        f"back-off ended by {event.by}",
    )


def release_next(job: Job, state: Active, event: ReleaseRequested, now: datetime) -> Job | str:
    if not job.hold_next:
        return "it is not held"
    return replace(job, hold_next=False)


def time_waiting(job: Job, state: New | Held, event: TimePassed, now: datetime) -> Job | str:
    cause = clock_run_out(job, now)
    return "no clock has run out" if cause is None else _timed_out(job, cause, now)


def time_active(
    job: Job, state: Launching | Launched | InProgress, event: TimePassed, now: datetime
) -> Job | str:
    cause = clock_run_out(job, now)
    if cause is None:
        return "no clock has run out"
    return _stopping(job, state, cause, now, f"clock {cause} ran out")


def clear_message(job: Job, state: State, event: MessagePublished, now: datetime) -> Job | str:
    left = tuple([entry for entry in job.outbox if entry.event_id != event.event_id])
    if len(left) == len(job.outbox):
        return "the message was published already"
    return replace(job, outbox=left)
