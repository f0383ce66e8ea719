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

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .clocks import deadline_of
from .model import (
    Completed,
    Failed,
    Held,
    Job,
    Launching,
    New,
    OutboxEntry,
    Placement,
    Stopped,
    Stopping,
)
from .names import training_name

__all__ = [
    "Announce",
    "Effect",
    "LaunchTraining",
    "ObserveTraining",
    "StopTraining",
    "Tick",
    "due_at",
    "owed",
    "wake_at",
]


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


Effect = LaunchTraining | ObserveTraining | StopTraining | Announce


def owed(job: Job) -> tuple[Effect, ...]:
    """
    List what the job's state still owes the world.

    Repeating an effect is harmless: each is keyed by the training's name or the event's id.
    """
    announcements = tuple([Announce(entry) for entry in job.outbox]) if job.outbox else ()
    attempt = job.current
    if attempt is None:
        return announcements
    state, number = job.state, attempt.number
    name = training_name(job.job_id, number)
    if isinstance(state, Launching):
        return (LaunchTraining(name, number, attempt.placement), *announcements)
    if not isinstance(state, Stopping):
        return (ObserveTraining(name, number), *announcements)
    if not state.known:
        return (LaunchTraining(name, number, attempt.placement, to_stop=True), *announcements)
    return (StopTraining(name, number), ObserveTraining(name, number), *announcements)


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
        deadline = deadline_of(job)
        return deadline[0] if deadline is not None else None
    return state.since


_OVER = (Completed, Failed, Stopped)


_IDLE = (New, Held)


def wake_at(job: Job) -> datetime | None:
    """Say when time alone changes what can be done with the job: a back-off's end or a deadline."""
    times = []
    if isinstance(job.state, New) and job.state.not_before is not None:
        times.append(job.state.not_before)
    deadline = deadline_of(job)
    if deadline is not None:
        times.append(deadline[0])
    return min(times, default=None)


class Tick(StrEnum):
    """The three kinds of pass over the jobs; each has an index of the jobs it has to look at."""

    LAUNCH = "launch"
    MONITOR = "monitor"
    NOTIFY = "notify"
