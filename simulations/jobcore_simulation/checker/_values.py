"""Worlds as values, and the times, ids and letters that they are made of.

Time is abstracted. A stored time means "in the past" and reads `PAST`; a tick's clock says
`LATER`, so every lease, back-off and grace period is over whenever it matters: safety must not
rest on time. That allows more than any real run. (With less time gone by, a tick does only a part
of this, or leaves it to another tick; in scopes with `Scope.time` a clock may also say
`JUST_NOW`.) For the same reason a stored timeline keeps its last line only: no tick reads the
others, and each new line is checked when it is written. Versions are kept as they are, since
compare-and-set is under test.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import jobcore
from jobcore import Job, Spec

__all__ = [
    "HOLDS",
    "JOB_IDS",
    "JUST_NOW",
    "LATER",
    "LIVE",
    "OVER",
    "PAST",
    "POOL",
    "REFUSALS",
    "RELEASES",
    "REQUESTS",
    "SPOTS",
    "STOPS",
    "UNAVAILABLE",
    "Call",
    "Outcome",
    "Reply",
    "World",
    "aged",
    "job_key",
]

PAST = datetime(2026, 1, 1, tzinfo=UTC)
JUST_NOW = PAST + timedelta(seconds=1)
LATER = PAST + timedelta(days=1)

JOB_IDS = tuple(jobcore.job_id_from_token("checker", str(number)) for number in range(3))
POOL = "cpu"

Call: TypeAlias = tuple[Any, ...]
Reply: TypeAlias = tuple[Any, ...]
#: One way in which a call may go: its name, the faults it costs, the reply, the world after it.
Outcome: TypeAlias = tuple[str, int, Reply, int]

UNAVAILABLE: Reply = ("unavailable",)

#: States of a training that is not terminal: pending, running, stopping; X is a stranger's.
LIVE = frozenset("PRSX")
#: Terminal states: completed, failed, interrupted, stopped. In small letters the training is gone
#: and its name is free.
OVER = frozenset("CFIT")

#: Positions in `World.left`.
STOPS, HOLDS, RELEASES, SPOTS, REFUSALS = range(5)
#: The requests of a user, by position.
REQUESTS = {"stop": STOPS, "hold": HOLDS, "release": RELEASES}


class World(NamedTuple):
    """
    Everything but the local state of the actors.

    Args:
        jobs: the stored jobs, as numbers of `Worlds.jobs`.
        runs: (job, attempt, letter) of each training name that was used.
        late: requests that may still take effect.
        published: ids of the messages that the notifier took.
        left: the remaining acts of users and environment, by position: stops, holds, releases,
            spot interruptions, refused launches.
        intended: by job, the highest attempt that was ever stored as Launching.
        bad: the invariant that was broken on the way here; "" if none.
    """

    jobs: tuple[int, ...]
    runs: tuple[tuple[int, int, str], ...] = ()
    late: tuple[tuple[Any, ...], ...] = ()
    published: tuple[str, ...] = ()
    left: tuple[int, ...] = (0, 0, 0, 0, 0)
    intended: tuple[int, ...] = ()
    bad: str = ""

    def run(self, job: int, attempt: int) -> str:
        """The letter of a training; "" if its name was never used."""
        for j, n, letter in self.runs:
            if j == job and n == attempt:
                return letter
        return ""

    def with_run(self, job: int, attempt: int, letter: str) -> World:
        """Return the world with that training in the state *letter*."""
        others = [run for run in self.runs if run[:2] != (job, attempt)]
        return self._replace(runs=tuple(sorted([*others, (job, attempt, letter)])))

    def with_one_less(self, position: int) -> World:
        """Return the world in which users or environment may act once less."""
        left = list(self.left)
        left[position] -= 1
        return self._replace(left=tuple(left))

    def with_late(self, *requests: tuple[Any, ...]) -> World:
        """Return the world in which these requests may still take effect."""
        return self._replace(late=(*self.late, *requests))


@cache
def _aged_record(value: Any) -> Any:
    changes = {}
    for field in fields(value):
        old = getattr(value, field.name)
        new = aged(old)
        if new is not old:
            changes[field.name] = new
    return replace(value, **changes) if changes else value


def aged(value: Any) -> Any:
    """Replace every time in a value by `PAST`."""
    if isinstance(value, datetime):
        return PAST
    if isinstance(value, tuple):
        return tuple(aged(item) for item in value)
    if is_dataclass(value) and not isinstance(value, Spec):
        result: Any = _aged_record(value)  # type: ignore[arg-type]
        return result
    return value


def job_key(job: Job) -> tuple[Any, ...]:
    """Return everything by which two jobs of one scope can differ."""
    charges = tuple(sorted(job.charges.items()))
    return (
        job.job_id, job.version, job.state, charges, job.attempts, job.outbox, job.stop,
        job.hold_next, job.timeline,
    )  # fmt: skip
