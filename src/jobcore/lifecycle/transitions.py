"""
The transition table of a job, and its interpreter.

A job is in one of nine states. Three are terminal (Completed, Failed, Stopped) and never left. Four
are *active* (Launching, Launched, InProgress, Stopping): in them a training exists in the trainer,
or may exist. In New and Held none does.

`TRANSITIONS` is total: it has a cell for every status and every kind of event. A cell is one of:

* ``Go``: run this handler; it leads to one of these statuses.
* ``Ignore``: the fact is late, repeated, or changes nothing, for the reason in the cell.
* ``Refuse``: a person's request is impossible, for the reason in the cell.

Everything that changes a job's state is in this file and in ``handlers``, whose functions the cells
name. `step` is the only interpreter. It is pure: the time is an argument, the result is a new job.

Effects belong to states, not to transitions. `owed`, `due_at` and `wake_at` (in ``effects``) are
functions of the stored state. A process may therefore die between any two instructions: the next
one reads the state and derives the same effects. Repeating an effect is harmless, because it is
keyed by the job and the attempt, which is the training's name.

Five rules guarantee that a job has at most one live training and is never lost.

1. *Intent before effect.* New becomes Launching, and that is saved, before the trainer is called.
2. *Rule A.* The attempt number grows only after that attempt's training was seen terminal, or a
   stranger's training was seen under its name. A training that is not found is launched again under
   the same name, so there cannot be two. A launch that was definitely refused keeps the number.
3. *Rule B.* A stop that meets Launching goes to Stopping with ``known=False``: the name is reserved
   first (create or adopt), then the training is stopped. Otherwise a create request that arrives
   late would start a training that no tick watches.
4. *Stopped* is written only if a stop was requested, and only when the trainer says that the
   training is over. A stop request is never withdrawn.
5. *The outbox is in the same write.* The step that ends a job also records its message, with an id
   that is a function of the event.

Two launch ticks may overlap: for the same attempt, the trainer may refuse one (no capacity) and
accept the other. The job may then be New or Held when ``LaunchAccepted`` arrives for the attempt to
come. The training exists, so the job adopts it and becomes Launched. If the job has been Stopped by
then, the tick stops the training; the reaper does so if that tick dies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from jobcore.checks import refuse, wrong_time

from . import handlers
from .events import (
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
from .handlers import Handler
from .model import Job, Status

__all__ = [
    "TRANSITIONS",
    "Cell",
    "Go",
    "Ignore",
    "Refuse",
    "Step",
    "step",
]


@dataclass(frozen=True, slots=True)
class Go:
    """The event leads to one of the statuses *to*."""

    handler: Handler
    to: tuple[Status, ...]


@dataclass(frozen=True, slots=True)
class Ignore:
    """The event changes nothing, for the reason *why*."""

    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request is impossible, for the reason *why*."""

    why: str


#: A cell of the table, for a status and a type of event.
Cell = Go | Ignore | Refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    The result of an event.

    Args:
        job: the job after it; the very same object if nothing changed.
        ignored: the reason why a late, repeated or stale event changed nothing; None otherwise.
        refused: the reason why a request is impossible; None otherwise.
    """

    job: Job
    ignored: str | None = None
    refused: str | None = None

    @property
    def changed(self) -> bool:
        """True if the job has to be saved."""
        return self.ignored is None and self.refused is None


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
    ReleaseRequested: Refuse("the job is over; to retry, submit it again"),
    TimePassed: _IS_OVER,
}
#: The table: a cell for every status and every type of event.
TRANSITIONS: Mapping[Status, Mapping[type[Event], Cell]] = MappingProxyType(
    {
        _NEW: {
            LaunchDecided: Go(handlers.begin_launch, (_LAUNCHING,)),
            LaunchAccepted: Go(handlers.adopt_training, (_LAUNCHED,)),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: _NEXT_LAUNCH_ADOPTS,
            TrainingEnded: _NEXT_LAUNCH_ADOPTS,
            TrainingMissing: Ignore("no training is expected"),
            StopRequested: Go(handlers.stop_waiting, (_STOPPED,)),
            HoldRequested: Go(handlers.hold_waiting, (_HELD,)),
            ReleaseRequested: Go(handlers.release_backoff, (_NEW,)),
            TimePassed: Go(handlers.time_waiting, (_FAILED,)),
            MessagePublished: Go(handlers.clear_message, (_NEW,)),
        },
        _LAUNCHING: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Go(handlers.accept_launch, (_LAUNCHED,)),
            LaunchRefused: Go(handlers.refuse_launch, (_NEW, _HELD, _FAILED)),
            NameTaken: Go(handlers.name_taken, (_HELD,)),
            TrainingSeen: Go(handlers.see_training, (_LAUNCHED, _IN_PROGRESS)),
            TrainingEnded: Go(handlers.end_training, _ENDS),
            TrainingMissing: Ignore("not created yet; the launch tick creates it"),
            StopRequested: Go(handlers.stop_active, (_STOPPING,)),
            HoldRequested: Go(handlers.hold_next, (_LAUNCHING,)),
            ReleaseRequested: Go(handlers.release_next, (_LAUNCHING,)),
            TimePassed: Go(handlers.time_active, (_STOPPING,)),
            MessagePublished: Go(handlers.clear_message, (_LAUNCHING,)),
        },
        _LAUNCHED: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Ignore("known already"),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: Go(handlers.see_training, (_LAUNCHED, _IN_PROGRESS)),
            TrainingEnded: Go(handlers.end_training, _ENDS),
            TrainingMissing: Go(handlers.miss_training, (_LAUNCHED, _LAUNCHING)),
            StopRequested: Go(handlers.stop_active, (_STOPPING,)),
            HoldRequested: Go(handlers.hold_next, (_LAUNCHED,)),
            ReleaseRequested: Go(handlers.release_next, (_LAUNCHED,)),
            TimePassed: Go(handlers.time_active, (_STOPPING,)),
            MessagePublished: Go(handlers.clear_message, (_LAUNCHED,)),
        },
        _IN_PROGRESS: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Ignore("known already"),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: Go(handlers.see_training, (_IN_PROGRESS,)),
            TrainingEnded: Go(handlers.end_training, _ENDS),
            TrainingMissing: Go(handlers.miss_training, (_IN_PROGRESS, _LAUNCHING)),
            StopRequested: Go(handlers.stop_active, (_STOPPING,)),
            HoldRequested: Go(handlers.hold_next, (_IN_PROGRESS,)),
            ReleaseRequested: Go(handlers.release_next, (_IN_PROGRESS,)),
            TimePassed: Go(handlers.time_active, (_STOPPING,)),
            MessagePublished: Go(handlers.clear_message, (_IN_PROGRESS,)),
        },
        _STOPPING: {
            LaunchDecided: _DECIDED_ALREADY,
            LaunchAccepted: Go(handlers.accept_to_stop, (_STOPPING,)),
            LaunchRefused: Go(handlers.nothing_to_stop, (_STOPPED, _FAILED)),
            NameTaken: Go(handlers.nothing_to_stop, (_STOPPED, _FAILED)),
            TrainingSeen: Go(handlers.see_stopping, (_STOPPING,)),
            TrainingEnded: Go(handlers.end_training, (_COMPLETED, _STOPPED, _FAILED)),
            TrainingMissing: Go(handlers.miss_training, (_STOPPING,)),
            StopRequested: Go(handlers.stop_again, (_STOPPING,)),
            HoldRequested: Refuse("the job is being stopped"),
            ReleaseRequested: Refuse("the job is being stopped, and a stop is never taken back"),
            TimePassed: Ignore("it is being stopped already"),
            MessagePublished: Go(handlers.clear_message, (_STOPPING,)),
        },
        _HELD: {
            LaunchDecided: Ignore("held; the plan was made of an older snapshot"),
            LaunchAccepted: Go(handlers.adopt_training, (_LAUNCHED,)),
            LaunchRefused: _ANSWERED_ALREADY,
            NameTaken: _ANSWERED_ALREADY,
            TrainingSeen: _NEXT_LAUNCH_ADOPTS,
            TrainingEnded: _NEXT_LAUNCH_ADOPTS,
            TrainingMissing: Ignore("no training is expected"),
            StopRequested: Go(handlers.stop_waiting, (_STOPPED,)),
            HoldRequested: Ignore("it is held already"),
            ReleaseRequested: Go(handlers.release_held, (_NEW,)),
            TimePassed: Go(handlers.time_waiting, (_FAILED,)),
            MessagePublished: Go(handlers.clear_message, (_HELD,)),
        },
        _COMPLETED: {**_OVER_ROW, MessagePublished: Go(handlers.clear_message, (_COMPLETED,))},
        _FAILED: {**_OVER_ROW, MessagePublished: Go(handlers.clear_message, (_FAILED,))},
        _STOPPED: {**_OVER_ROW, MessagePublished: Go(handlers.clear_message, (_STOPPED,))},
    }
)


def step(job: Job, event: Event, *, now: datetime) -> Step:
    """
    Apply one event to a job.

    Args:
        now: the time, aware and in UTC. It may run backwards between calls; only waiting times and
            deadlines depend on it.

    Returns:
        The job after the event, or the reason why it did not change. A late, repeated or stale fact
        is not an error.

    Raises:
        KeyError: *event* is not one of `jobcore.lifecycle.Event`.
        ValueError: *now* is naive, or not in UTC.
    """
    if now.tzinfo is not UTC:
        refuse(now=wrong_time(now))
    state = job.state
    cell = TRANSITIONS[state.status][type(event)]
    number = getattr(event, "attempt", None)
    if number is not None and number != job.attempt_number:
        return Step(job=job, ignored=f"about attempt {number}; the job is at {job.attempt_number}")
    if isinstance(cell, Ignore):
        return Step(job=job, ignored=cell.why)
    if isinstance(cell, Refuse):
        return Step(job=job, refused=cell.why)
    after = cell.handler(job, state, event, now)
    if isinstance(after, str):
        return Step(job=job, ignored=after)
    assert after.state.status in cell.to, (state.status, type(event), after.status)
    return Step(job=after)
