"""
What a job's state still owes the world, and when it needs attention.

These are functions of the stored state and not outputs of transitions: a process may die between
any two instructions, and the next one derives the same effects again. Repeating an effect is
harmless, because each is keyed by the training's name or the message's id.
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
