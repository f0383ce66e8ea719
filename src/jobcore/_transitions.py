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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from ._events import (
    Event,
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
from ._evolve import evolve, evolver, maker
from ._failures import Failure, FailureClass, Retryable, Scope
from ._model import (
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
    New,
    OutboxEntry,
    Placement,
    State,
    Status,
    StopCause,
    Stopped,
    Stopping,
    StopRequest,
    make_mark,
)
from ._names import training_name
from ._ports import Tick
from ._retry import GiveUp, Hold, TryAgain, retry

__all__ = [
    "TRANSITIONS",
    "Announce",
    "Cell",
    "Effect",
    "Go",
    "Ignore",
    "LaunchTraining",
    "ObserveTraining",
    "Refuse",
    "Step",
    "StopTraining",
    "due_at",
    "owed",
    "step",
    "wake_at",
]

#: A training that the trainer says it does not have counts as gone after this long;
#: right after a create, a read may not see it yet.
MISSING_BELIEVED_AFTER = timedelta(minutes=2)
#: The trainer enforces run_at_most; the core steps in this long after (SageMaker: 120 s to stop, plus upload).
RUN_AT_MOST_GRACE = timedelta(minutes=5)
#: Texts kept in the record beside the last failure's own: one line each.
REASON_KEPT_CHARS_MAX = 200


# --- cells and steps --------------------------------------------------------------------

# A handler returns the job after the event, or says why the event changes nothing.
Handler = Callable[[Job, Any, Any, datetime], "Job | str"]


@dataclass(frozen=True, slots=True)
class Go:
    """The event leads to one of the statuses *to*."""

    handler: Handler
    to: tuple[Status, ...]


@dataclass(frozen=True, slots=True)
class Ignore:
    """The event changes nothing, because of *why*."""

    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """What was asked for cannot be, because of *why*."""

    why: str


#: One entry of the transition table.
Cell = Go | Ignore | Refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    What became of an event.

    Args:
        job: the job after it; the very same object if nothing changed.
        ignored: why nothing changed: late, repeated, stale.
        refused: why what was asked for cannot be.
    """

    job: Job
    ignored: str | None = None
    refused: str | None = None

    @property
    def changed(self) -> bool:
        """True if the job has to be saved."""
        return self.ignored is None and self.refused is None


# --- small builders ---------------------------------------------------------------------

# A life is made of these, and most of its time is spent in making them (see `_evolve`).
_mark_job = evolver(Job, "state", "timeline")
_clear_job = evolver(Job, "outbox")
_attempt_launched = evolver(Attempt, "launched_at")
_attempt_started = evolver(Attempt, "launched_at", "started_at")
_attempt_ended = evolver(Attempt, "started_at", "ended_at", "outcome", "failure")
_make_step = maker(Step)
_make_attempt = maker(Attempt)
_make_launching = maker(Launching)
_make_launched = maker(Launched)
_make_in_progress = maker(InProgress)
_make_completed = maker(Completed)
_make_entry = maker(OutboxEntry)


def _moved(job: Job, state: State, now: datetime, note: str, **changes: Any) -> Job:
    """Build *job* in *state*, with its line in the timeline."""
    number = _number_of(state, job)
    mark = make_mark(at=now, status=state.status, attempt=number, note=note[:REASON_KEPT_CHARS_MAX])
    timeline = (*job.timeline, mark)
    if len(timeline) > TIMELINE_KEPT_MAX:
        # The beginning tells what was asked, the end what is so; drop from the middle.
        timeline = (*timeline[:5], *timeline[5 - TIMELINE_KEPT_MAX :])
    if changes:
        return evolve(job, state=state, timeline=timeline, **changes)
    return _mark_job(job, state, timeline)


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
    return (*job.outbox, _make_entry(event_id=event_id, status=status, at=now, reason=reason))


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
    job = evolve(job, charges={**job.charges, kind: used + 1})
    if job.hold_next:
        why = "asked for while a training ran"
        return _held(job, next_attempt, HoldCode.USER, why, now, tell=False)
    state = New(since=now, attempt=next_attempt, not_before=decision.not_before, after=failure)
    return _moved(job, state, now, note)


def _clock_run_out(job: Job, now: datetime) -> StopCause | None:
    """Say which of the three clocks has run out in this state, if any."""
    deadline = _deadline(job)
    return deadline[1] if deadline is not None and deadline[0] <= now else None


def has_clocks(job: Job) -> bool:
    """Say whether a clock runs for the job; else time alone takes it nowhere, and `TimePassed` is no news."""
    clocks = job.spec.clocks
    return (
        clocks.wait_at_most is not None
        or clocks.run_at_most is not None
        or clocks.finish_by is not None
    )


def _deadline(job: Job) -> tuple[datetime, StopCause] | None:
    """Find the earliest deadline of this state and the clock it belongs to."""
    if not has_clocks(job):
        return None
    clocks = job.spec.clocks
    deadlines: list[tuple[datetime, StopCause]] = []
    state = job.state
    waits = isinstance(state, (New, Launching, Launched))
    if waits and clocks.wait_at_most is not None:
        deadlines.append((job.waiting_since + clocks.wait_at_most, StopCause.WAIT_AT_MOST))
    if isinstance(state, InProgress) and clocks.run_at_most is not None:
        started = state.attempt.started_at or state.since
        deadlines.append((started + clocks.run_at_most + RUN_AT_MOST_GRACE, StopCause.RUN_AT_MOST))
    if clocks.finish_by is not None and not isinstance(
        state, Stopping | Completed | Failed | Stopped
    ):
        deadlines.append((clocks.finish_by, StopCause.FINISH_BY))
    return min(deadlines, default=None)


# --- handlers: launching ----------------------------------------------------------------


def _launch(job: Job, state: New, event: LaunchDecided, now: datetime) -> Job | str:
    if state.not_before is not None and now < state.not_before:
        return "the job is backing off; the plan was made of an older snapshot"
    attempt = _make_attempt(number=state.attempt, placement=event.placement, launching_at=now)
    return _moved(
        job,
        _make_launching(since=now, attempt=attempt),
        now,
        f"pool {event.placement.pool}",
    )


def _accept(job: Job, state: Launching, event: LaunchAccepted, now: datetime) -> Job:
    attempt = _attempt_launched(state.attempt, now)
    return _moved(job, _make_launched(since=now, attempt=attempt), now, "")


def _adopt(job: Job, state: New | Held, event: LaunchAccepted, now: datetime) -> Job:
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


def _refuse_launch(job: Job, state: Launching, event: LaunchRefused, now: datetime) -> Job:
    return _after_failure(job, event.failure, state.attempt.number, now)


def _name_taken(job: Job, state: Launching, event: NameTaken, now: datetime) -> Job:
    return _held(job, state.attempt.number, HoldCode.NAME_TAKEN, event.reason, now)


def _accept_to_stop(job: Job, state: Stopping, event: LaunchAccepted, now: datetime) -> Job | str:
    if state.known:
        return "the training is known already"
    return evolve(job, state=evolve(state, known=True))


def _nothing_to_stop(
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


# --- handlers: observations -------------------------------------------------------------


def _see(
    job: Job, state: Launching | Launched | InProgress, event: TrainingSeen, now: datetime
) -> Job | str:
    attempt = state.attempt
    if event.running and not isinstance(state, InProgress):
        attempt = _attempt_started(attempt, attempt.launched_at or now, event.started_at or now)
        state = _make_in_progress(since=now, attempt=attempt, detail=event.detail)
        return _moved(job, state, now, event.detail)
    if isinstance(state, Launching):
        attempt = evolve(attempt, launched_at=now)
        return _moved(
            job, Launched(since=now, attempt=attempt, detail=event.detail), now, event.detail
        )
    if event.detail == state.detail and state.missing_since is None:
        return "nothing new"
    return evolve(job, state=evolve(state, detail=event.detail, missing_since=None))


def _see_stopping(job: Job, state: Stopping, event: TrainingSeen, now: datetime) -> Job | str:
    if state.known and state.missing_since is None:
        return "nothing new"
    return evolve(job, state=evolve(state, known=True, missing_since=None))


def _shortened(attempt: Attempt) -> Attempt:
    """Keep one line of an older attempt's failure: the record is written at every transition."""
    if attempt.failure is None or len(attempt.failure.text) <= REASON_KEPT_CHARS_MAX:
        return attempt
    return evolve(attempt, failure=evolve(attempt.failure, text=attempt.failure.headline))


def _end(job: Job, state: Active, event: TrainingEnded, now: datetime) -> Job:
    attempt = _attempt_ended(
        state.attempt,
        event.started_at or state.attempt.started_at,
        event.ended_at or now,
        event.outcome,
        event.failure,
    )
    attempts: tuple[Attempt, ...] = (attempt,)
    if job.attempts:
        attempts = (*map(_shortened, job.attempts), attempt)[-ATTEMPTS_KEPT_MAX:]
    waiting_since = now if attempt.started_at is not None else job.waiting_since
    if event.outcome is Status.COMPLETED:  # most end so: all at once
        return _over(
            job,
            _make_completed(since=now),
            now,
            "",
            attempts=attempts,
            waiting_since=waiting_since,
        )
    job = evolve(job, attempts=attempts, waiting_since=waiting_since)
    assert event.failure is not None  # TrainingEnded checks it
    if isinstance(state, Stopping):
        return _stopped(job, state, now, f"training {event.outcome}")
    return _after_failure(job, event.failure, attempt.number + 1, now)


def _miss(
    job: Job, state: Launched | InProgress | Stopping, event: TrainingMissing, now: datetime
) -> Job | str:
    if isinstance(state, Stopping) and not state.known:
        return "not created yet"
    if state.missing_since is None:
        return evolve(job, state=evolve(state, missing_since=now))
    if now - state.missing_since < MISSING_BELIEVED_AFTER:
        return "missing, not for long enough to believe it"
    if isinstance(state, Stopping):
        # Rule B: use the name up, so that nothing can appear under it later.
        return evolve(job, state=evolve(state, known=False, missing_since=None))
    # Rule A: never seen terminal, so the same name again, which cannot run twice.
    return _moved(
        job,
        Launching(since=now, attempt=state.attempt),
        now,
        "the trainer does not know the training any more; launched again under the same name",
        # One that ran begins to wait anew, else the wait clock would count the time it ran.
        waiting_since=now if isinstance(state, InProgress) else job.waiting_since,
    )


# --- handlers: people and time ----------------------------------------------------------


def _stop_waiting(job: Job, state: New | Held, event: StopRequested, now: datetime) -> Job:
    job = evolve(job, stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]))
    return _over(job, Stopped(since=now), now, f"stopped by {event.by}; no training existed")


def _stop_active(
    job: Job, state: Launching | Launched | InProgress, event: StopRequested, now: datetime
) -> Job:
    job = evolve(job, stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]))
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


def _stop_again(job: Job, state: Stopping, event: StopRequested, now: datetime) -> Job | str:
    if job.stop is not None:
        return "it is being stopped already"
    # A clock was stopping it; now a person wants it too, and is told Stopped.
    return evolve(
        job,
        stop=StopRequest(at=now, by=event.by[:REASON_KEPT_CHARS_MAX]),
        state=evolve(state, cause=StopCause.USER),
    )


def _hold(job: Job, state: New, event: HoldRequested, now: datetime) -> Job:
    reason = event.reason or f"held by {event.by}"
    return _held(job, state.attempt, event.code, reason, now, tell=event.tell)


def _hold_next(job: Job, state: Active, event: HoldRequested, now: datetime) -> Job | str:
    if job.hold_next:
        return "it will be held before its next attempt already"
    return evolve(job, hold_next=True)


def _release(job: Job, state: Held, event: ReleaseRequested, now: datetime) -> Job:
    # Somebody else's training has the name, so ours can never exist: the next number is safe.
    number = state.attempt + (state.code is HoldCode.NAME_TAKEN)
    return _moved(
        job, New(since=now, attempt=number), now, f"released by {event.by}", waiting_since=now
    )


def _release_backoff(job: Job, state: New, event: ReleaseRequested, now: datetime) -> Job | str:
    if state.not_before is None or state.not_before <= now:
        return "it is not held and does not back off"
    return _moved(
        job,
        evolve(state, since=now, not_before=None),
        now,
        f"back-off ended by {event.by}",
    )


def _release_next(job: Job, state: Active, event: ReleaseRequested, now: datetime) -> Job | str:
    if not job.hold_next:
        return "it is not held"
    return evolve(job, hold_next=False)


def _time_waiting(job: Job, state: New | Held, event: TimePassed, now: datetime) -> Job | str:
    cause = _clock_run_out(job, now)
    return "no clock has run out" if cause is None else _timed_out(job, cause, now)


def _time_active(
    job: Job, state: Launching | Launched | InProgress, event: TimePassed, now: datetime
) -> Job | str:
    cause = _clock_run_out(job, now)
    if cause is None:
        return "no clock has run out"
    return _stopping(job, state, cause, now, f"clock {cause} ran out")


def _published(job: Job, state: State, event: MessagePublished, now: datetime) -> Job | str:
    left = tuple([entry for entry in job.outbox if entry.event_id != event.event_id])
    if len(left) == len(job.outbox):
        return "the message was published already"
    return _clear_job(job, left)


# --- the table --------------------------------------------------------------------------

_NEW, _LAUNCHING, _LAUNCHED = Status.NEW, Status.LAUNCHING, Status.LAUNCHED
_IN_PROGRESS, _STOPPING, _HELD = Status.IN_PROGRESS, Status.STOPPING, Status.HELD
_COMPLETED, _FAILED, _STOPPED = Status.COMPLETED, Status.FAILED, Status.STOPPED

_ENDS = (_COMPLETED, _FAILED, _NEW, _HELD)

_DECIDED_ALREADY = Ignore("decided already; the plan was made of an older snapshot")
_ANSWERED_ALREADY = Ignore("another tick had the answer already")
_NEXT_LAUNCH_ADOPTS = Ignore("the next launch of this attempt finds the training and adopts it")
_IS_OVER = Ignore("the job is over")

_OVER_ROW: Mapping[type[Event], Cell] = {
    LaunchDecided: _IS_OVER,
    LaunchAccepted: _IS_OVER,
    LaunchRefused: _IS_OVER,
    NameTaken: _IS_OVER,
    TrainingSeen: _IS_OVER,
    TrainingEnded: _IS_OVER,
    TrainingMissing: _IS_OVER,
    StopRequested: _IS_OVER,
    HoldRequested: Refuse("the job is over"),
    ReleaseRequested: Refuse("the job is over; retry submits it again"),
    TimePassed: _IS_OVER,
}

#: The transition table: for every status and every type of event, a `Cell`.
TRANSITIONS: Mapping[Status, Mapping[type[Event], Cell]] = MappingProxyType(
    {
        _NEW: {
            LaunchDecided: Go(_launch, (_LAUNCHING,)),
            LaunchAccepted: Go(_adopt, (_LAUNCHED,)),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: _NEXT_LAUNCH_ADOPTS,
            TrainingEnded: _NEXT_LAUNCH_ADOPTS,
            TrainingMissing: Ignore("no training is expected"),
            StopRequested: Go(_stop_waiting, (_STOPPED,)),
            HoldRequested: Go(_hold, (_HELD,)),
            ReleaseRequested: Go(_release_backoff, (_NEW,)),
            TimePassed: Go(_time_waiting, (_FAILED,)),
            MessagePublished: Go(_published, (_NEW,)),
        },
        _LAUNCHING: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Go(_accept, (_LAUNCHED,)),
            LaunchRefused: Go(_refuse_launch, (_NEW, _HELD, _FAILED)),
            NameTaken: Go(_name_taken, (_HELD,)),
            TrainingSeen: Go(_see, (_LAUNCHED, _IN_PROGRESS)),
            TrainingEnded: Go(_end, _ENDS),
            TrainingMissing: Ignore("not created yet; the launch tick creates it"),
            StopRequested: Go(_stop_active, (_STOPPING,)),
            HoldRequested: Go(_hold_next, (_LAUNCHING,)),
            ReleaseRequested: Go(_release_next, (_LAUNCHING,)),
            TimePassed: Go(_time_active, (_STOPPING,)),
            MessagePublished: Go(_published, (_LAUNCHING,)),
        },
        _LAUNCHED: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Ignore("known already"),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: Go(_see, (_LAUNCHED, _IN_PROGRESS)),
            TrainingEnded: Go(_end, _ENDS),
            TrainingMissing: Go(_miss, (_LAUNCHED, _LAUNCHING)),
            StopRequested: Go(_stop_active, (_STOPPING,)),
            HoldRequested: Go(_hold_next, (_LAUNCHED,)),
            ReleaseRequested: Go(_release_next, (_LAUNCHED,)),
            TimePassed: Go(_time_active, (_STOPPING,)),
            MessagePublished: Go(_published, (_LAUNCHED,)),
        },
        _IN_PROGRESS: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Ignore("known already"),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: Go(_see, (_IN_PROGRESS,)),
            TrainingEnded: Go(_end, _ENDS),
            TrainingMissing: Go(_miss, (_IN_PROGRESS, _LAUNCHING)),
            StopRequested: Go(_stop_active, (_STOPPING,)),
            HoldRequested: Go(_hold_next, (_IN_PROGRESS,)),
            ReleaseRequested: Go(_release_next, (_IN_PROGRESS,)),
            TimePassed: Go(_time_active, (_STOPPING,)),
            MessagePublished: Go(_published, (_IN_PROGRESS,)),
        },
        _STOPPING: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Go(_accept_to_stop, (_STOPPING,)),
            LaunchRefused: Go(_nothing_to_stop, (_STOPPED, _FAILED)),
            NameTaken: Go(_nothing_to_stop, (_STOPPED, _FAILED)),
            TrainingSeen: Go(_see_stopping, (_STOPPING,)),
            TrainingEnded: Go(_end, (_COMPLETED, _STOPPED, _FAILED)),
            TrainingMissing: Go(_miss, (_STOPPING,)),
            StopRequested: Go(_stop_again, (_STOPPING,)),
            HoldRequested: Refuse("the job is being stopped"),
            ReleaseRequested: Refuse("the job is being stopped, and a stop is never taken back"),
            TimePassed: Ignore("it is being stopped already"),
            MessagePublished: Go(_published, (_STOPPING,)),
        },
        _HELD: {
            LaunchDecided: Ignore("held; the plan was made of an older snapshot"),
            LaunchAccepted: Go(_adopt, (_LAUNCHED,)),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: _NEXT_LAUNCH_ADOPTS,
            TrainingEnded: _NEXT_LAUNCH_ADOPTS,
            TrainingMissing: Ignore("no training is expected"),
            StopRequested: Go(_stop_waiting, (_STOPPED,)),
            HoldRequested: Ignore("it is held already"),
            ReleaseRequested: Go(_release, (_NEW,)),
            TimePassed: Go(_time_waiting, (_FAILED,)),
            MessagePublished: Go(_published, (_HELD,)),
        },
        _COMPLETED: {**_OVER_ROW, MessagePublished: Go(_published, (_COMPLETED,))},
        _FAILED: {**_OVER_ROW, MessagePublished: Go(_published, (_FAILED,))},
        _STOPPED: {**_OVER_ROW, MessagePublished: Go(_published, (_STOPPED,))},
    }
)


# --- the interpreter --------------------------------------------------------------------


def step(job: Job, event: Event, *, now: datetime) -> Step:
    """
    Apply one event to a job.

    Args:
        now: the time, aware. It may run backwards between calls; nothing is decided
            by it but waiting times and deadlines.

    Returns:
        The job after the event, or why it did not change. A late, repeated or stale
        fact is a value, never an error.

    Raises:
        KeyError: *event* is not one of `jobcore.Event`.
        ValueError: *now* is naive.
    """
    if now.tzinfo is None:
        msg = "now: expected an aware datetime (UTC), got a naive one"
        raise ValueError(msg)
    state = job.state
    cell = TRANSITIONS[state.status][type(event)]
    number = getattr(event, "attempt", None)
    if number is not None and number != job.attempt_number:
        return Step(job=job, ignored=f"about attempt {number}; the job is at {job.attempt_number}")
    if isinstance(cell, Ignore):
        return _make_step(job=job, ignored=cell.why)
    if isinstance(cell, Refuse):
        return Step(job=job, refused=cell.why)
    after = cell.handler(job, state, event, now)
    if isinstance(after, str):
        return _make_step(job=job, ignored=after)
    assert after.state.status in cell.to, (state.status, type(event), after.status)
    return _make_step(job=after)


# --- what a state owes ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LaunchTraining:
    """Create the training *name*, or adopt it. With *to_stop*, only to use the name up."""

    name: str
    attempt: int
    placement: Placement
    to_stop: bool = False


@dataclass(frozen=True, slots=True)
class ObserveTraining:
    """Look how the training *name* is."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StopTraining:
    """Ask the trainer to stop *name*."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish the message of *entry*."""

    entry: OutboxEntry


#: Something that a job in its state still needs done; see `owed`.
Effect = LaunchTraining | ObserveTraining | StopTraining | Announce


def owed(job: Job) -> tuple[Effect, ...]:
    """
    List what the job's state still owes the world.

    Repeating an effect is harmless: each is keyed by the training's name or the event's id.
    """
    announcements = tuple([_make_announce(entry) for entry in job.outbox]) if job.outbox else ()
    attempt = job.current
    if attempt is None:
        return announcements
    state, number = job.state, attempt.number
    name = training_name(job.job_id, number)
    if isinstance(state, Launching):
        return (_make_launch(name, number, attempt.placement), *announcements)
    if not isinstance(state, Stopping):
        return (_make_observe(name, number), *announcements)
    if not state.known:
        return (_make_launch(name, number, attempt.placement, to_stop=True), *announcements)
    return (StopTraining(name, number), _make_observe(name, number), *announcements)


_make_announce = maker(Announce)
_make_launch = maker(LaunchTraining)
_make_observe = maker(ObserveTraining)


def due_at(job: Job, tick: Tick) -> datetime | None:
    """
    Say from when on *tick* has something to do for the job; None for nothing.

    Stores index this, so that a tick's cost follows the work due and not the history.
    """
    if tick is Tick.NOTIFY:
        return job.outbox[0].at if job.outbox else None
    state = job.state
    to_launch = not state.known if isinstance(state, Stopping) else isinstance(state, Launching)
    if tick is Tick.LAUNCH:
        return state.since if to_launch else None
    if to_launch or isinstance(state, _OVER):
        return None
    if isinstance(state, _IDLE):
        deadline = _deadline(job)
        return deadline[0] if deadline is not None else None
    return state.since


_OVER = (Completed, Failed, Stopped)
_IDLE = (New, Held)


def wake_at(job: Job) -> datetime | None:
    """Say when time alone changes what can be done with the job: a back-off's end or a deadline."""
    times = []
    if isinstance(job.state, New) and job.state.not_before is not None:
        times.append(job.state.not_before)
    deadline = _deadline(job)
    if deadline is not None:
        times.append(deadline[0])
    return min(times, default=None)
