"""The three clocks of a job (`jobcore.Clocks`): the next deadline, and the clock that has run out."""

from __future__ import annotations

from datetime import datetime, timedelta

from .model import (
    Completed,
    Failed,
    InProgress,
    Job,
    Launched,
    Launching,
    New,
    StopCause,
    Stopped,
    Stopping,
)

__all__ = [
    "RUN_AT_MOST_GRACE",
    "clock_run_out",
    "deadline_of",
    "has_clocks",
]

#: The trainer enforces run_at_most. The core stops the training only this long after that, so that
#: the trainer has time for its own stop (SIGTERM, up to two minutes, then the upload of results).
RUN_AT_MOST_GRACE = timedelta(minutes=5)


def clock_run_out(job: Job, now: datetime) -> StopCause | None:
    """Return the clock that has run out in this state; None if none has."""
    deadline = deadline_of(job)
    return deadline[1] if deadline is not None and deadline[0] <= now else None


def has_clocks(job: Job) -> bool:
    """Check whether the job has any clock. Without one `TimePassed` never changes it."""
    clocks = job.spec.clocks
    return (
        clocks.wait_at_most is not None
        or clocks.run_at_most is not None
        or clocks.finish_by is not None
    )


def deadline_of(job: Job) -> tuple[datetime, StopCause] | None:
    """Return the earliest deadline of this state and the clock it belongs to; None if there is none."""
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
