"""
The effects that a job's state still requires, and the times at which ticks must look at the job.

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
    Held,
    Job,
    Launching,
    New,
    OutboxEntry,
    Placement,
    Stopping,
)
from .names import training_name

__all__ = [
    "Announce", "Effect", "LaunchTraining", "ObserveTraining", "StopTraining", "Tick", "due_at",
    "owed", "wake_at",
]  # fmt: skip


class Tick(StrEnum):
    """The kinds of tick for which a store has an index of the jobs that are due."""

    LAUNCH = "launch"
    MONITOR = "monitor"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class LaunchTraining:
    """
    Create the training *name*, or adopt it.

    Args:
        to_stop: only reserve the name, because the job is being stopped.
    """

    name: str
    attempt: int
    placement: Placement
    to_stop: bool = False


@dataclass(frozen=True, slots=True)
class ObserveTraining:
    """Describe the training *name*."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StopTraining:
    """Request that the trainer stops the training *name*."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish the message of *entry*."""

    entry: OutboxEntry


#: The kinds of effects that a job's state may require.
Effect = LaunchTraining | ObserveTraining | StopTraining | Announce


def owed(job: Job) -> tuple[Effect, ...]:
    """
    List the effects that the job's state still requires.

    Repeating an effect is harmless: each is keyed by the training's name or the event's id.
    """
    announcements = tuple(Announce(entry) for entry in job.outbox)
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
    Return the time from which *tick* has work with the job; None if it has none.

    Stores index this, so that the cost of a tick follows the work that is due and not the history.
    """
    if tick is Tick.NOTIFY:
        return job.outbox[0].at if job.outbox else None
    state = job.state
    is_launch_owed = isinstance(state, Launching) or (
        isinstance(state, Stopping) and not state.known
    )
    if tick is Tick.LAUNCH:
        return state.since if is_launch_owed else None
    if is_launch_owed or state.status.is_terminal:
        return None
    if isinstance(state, New | Held):
        deadline = deadline_of(job)
        return deadline[0] if deadline is not None else None
    return state.since


def wake_at(job: Job) -> datetime | None:
    """
    Return the time at which time alone changes what can be done with the job.

    That is the end of a back-off or a deadline; None if there is neither.
    """
    times = []
    if isinstance(job.state, New) and job.state.not_before is not None:
        times.append(job.state.not_before)
    deadline = deadline_of(job)
    if deadline is not None:
        times.append(deadline[0])
    return min(times, default=None)
