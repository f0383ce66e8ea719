"""The worlds of a scope: each has a number, and is checked when it gets one.

`_calls` has the effects of port calls on worlds, `_environment` the events that need no call.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import jobcore
from jobcore import Clocks, Job, Placement, RetryPolicy, Spec
from jobcore.lifecycle import Launching, violations

from ._scope import Scope
from ._values import JOB_IDS, LIVE, PAST, POOL, REQUESTS, World, aged, job_key
from ._writes import write_violation

__all__ = ["Worlds"]

_OURS = "PRS"  # live states of a training that this scope created
# `jobcore.lifecycle.violations` reads the whole timeline for these; here `_writes` checks the new lines.
_OF_THE_TIMELINE = ("S6", "S8")


class Worlds:
    """
    The worlds and jobs of a scope, numbered.

    Attributes:
        jobs: the jobs, by number.
        worlds: the worlds, by number.
        bad: by number of a world, whether an invariant is broken in it.
        ids, specs: of the scope's jobs, in the order of `World.jobs`.
        number_of: the position of a job in `World.jobs`, by its id.
        start: the number of the first world.
    """

    compare_and_set = True  # a mutant switches it off

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.jobs: list[Job] = []
        self._job_numbers: dict[tuple[Any, ...], int] = {}
        self._job_violations: list[str] = []  # of jobs as they were handed to the store
        self.worlds: list[World] = []
        self._numbers: dict[World, int] = {}
        self.bad: list[bool] = []
        self._saved: dict[int, int] = {}
        self.specs = tuple(_spec(scope, number) for number in range(scope.jobs))
        self.ids = JOB_IDS[: scope.jobs]
        self.number_of = {job_id: number for number, job_id in enumerate(self.ids)}
        first = tuple(
            self.intern_job(jobcore.new_job(job_id, spec, now=PAST))
            for job_id, spec in zip(self.ids, self.specs, strict=True)
        )
        requests = [scope.people.count(request) for request in REQUESTS]
        self.start = self.intern(
            World(
                jobs=first,
                runs=((0, 1, "X"),) if scope.stranger else (),
                left=(*requests, scope.spots, scope.refusals),
                intended=(0,) * scope.jobs,
            )
        )

    # --- numbers ---

    def intern_job(self, job: Job) -> int:
        """Number a job; jobs that differ in their times alone have the same number."""
        wrong = ""
        for violation in violations(job):
            if violation.code not in _OF_THE_TIMELINE:
                wrong = f"{violation.code}: {violation.said}"
        marks = tuple(replace(mark, note="", at=PAST) for mark in job.timeline)
        job = replace(
            job,
            state=aged(job.state),
            attempts=aged(job.attempts),
            outbox=aged(job.outbox),
            stop=aged(job.stop),
            timeline=marks,
            submitted_at=PAST,
            waiting_since=PAST,
        )
        key = job_key(job)
        number = self._job_numbers.get(key)
        if number is None:
            number = self._job_numbers[key] = len(self.jobs)
            self.jobs.append(job)
            self._job_violations.append(wrong)
        return number

    def intern(self, world: World) -> int:
        """Number a world, and check it when it is new."""
        if world.late:
            world = world._replace(
                late=tuple(sorted(filter(lambda r: self._matters(world, r), world.late)))
            )
        number = self._numbers.get(world)
        if number is None:
            if not world.bad:
                wrong = self._wrong(world)
                if wrong:
                    return self.intern_bad(world, wrong)
            number = self._numbers[world] = len(self.worlds)
            self.worlds.append(world)
            self.bad.append(bool(world.bad))
        return number

    def intern_bad(self, world: World, wrong: str) -> int:
        """Number a world in which an invariant is broken."""
        return self.intern(world._replace(bad=wrong))

    def _matters(self, world: World, request: tuple[Any, ...]) -> bool:
        """Check whether a late request can still change anything."""
        match request:
            case ("save", j, raw):
                return bool(self.jobs[raw].version == self.jobs[world.jobs[j]].version)
            case ("launch", j, n, _):
                return world.run(j, n) == "" or world.run(j, n).islower()
            case (_, j, n):
                return world.run(j, n) in LIVE
            case _:
                raise AssertionError(request)

    def _wrong(self, world: World) -> str:
        """Name the invariant of trainings that is broken in a world; "" if none is."""
        for j in range(self.scope.jobs):
            live = [n for (i, n, letter) in world.runs if i == j and letter in _OURS]
            if len(live) > 1:
                return f"S1: trainings {live} of one job are live at once"
            numbers = [n for (i, n, _) in world.runs if i == j]
            most = self.scope.attempts_max + self.scope.stranger
            if any(n > most for n in numbers):
                return f"S2: training {max(numbers)} was made, of at most {most}"
        live_of_all = sum(letter in _OURS for *_, letter in world.runs)
        if self.scope.jobs > 1 and live_of_all > self.scope.slots:
            return f"S17: more trainings are live than the pool has slots ({self.scope.slots})"
        return ""

    # --- writes ---

    def saved(self, raw: int) -> int:
        """Number the job as it is stored after a save: one version on, with its last line alone."""
        number = self._saved.get(raw)
        if number is None:
            job = self.jobs[raw]
            number = self._saved[raw] = self.intern_job(
                replace(job, version=job.version + 1, timeline=job.timeline[-1:])
            )
        return number

    def write(self, world: World, j: int, raw: int) -> World:
        """Store the job *raw* over the one that is there, and check the write."""
        before, stored = self.jobs[world.jobs[j]], self.saved(raw)
        after = self.jobs[stored]
        wrong = self._job_violations[raw] or write_violation(
            self.scope, world, j, before, self.jobs[raw]
        )
        intended = list(world.intended)
        if isinstance(after.state, Launching):
            intended[j] = max(intended[j], after.state.attempt.number)
        jobs = list(world.jobs)
        jobs[j] = stored
        return world._replace(jobs=tuple(jobs), intended=tuple(intended), bad=wrong)


def _spec(scope: Scope, number: int) -> Spec:
    zero = timedelta(0)
    policy = RetryPolicy(budgets=dict(scope.budgets), backoff=zero, backoff_max=zero)
    hour = timedelta(hours=1) if scope.clocks else None
    return Spec(
        name=f"j{number}",
        owner="ada",
        placements=(Placement(POOL),),
        retry=policy,
        clocks=Clocks(wait_at_most=hour, run_at_most=hour),
    )
