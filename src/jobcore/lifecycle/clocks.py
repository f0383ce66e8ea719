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

#: The trainer enforces run_at_most; the core steps in this long after (SageMaker: 120 s to stop, plus upload).
RUN_AT_MOST_GRACE = timedelta(minutes=5)


def clock_run_out(job: Job, now: datetime) -> StopCause | None:
    """Say which of the three clocks has run out in this state, if any."""
    deadline = deadline_of(job)
    return deadline[1] if deadline is not None and deadline[0] <= now else None


def has_clocks(job: Job) -> bool:
    """Say whether a clock runs for the job; else time alone takes it nowhere, and `TimePassed` is no news."""
    clocks = job.spec.clocks
    return (
        clocks.wait_at_most is not None
        or clocks.run_at_most is not None
        or clocks.finish_by is not None
    )


def deadline_of(job: Job) -> tuple[datetime, StopCause] | None:
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
