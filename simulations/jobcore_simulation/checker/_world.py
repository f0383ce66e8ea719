"""The world that the actors share, what may become of each port call in it, and what must be so.

A world is a value: the stored jobs, the trainings, the requests still under way, and what the
environment may still do. Every reply and every effect of a port call is one of `Worlds.outcomes`,
everything that happens by itself one of `Worlds.happenings`.

Time is abstracted. A stored time means "in the past" and reads `PAST`; a tick's clock says
`LATER`, so every lease, back-off and grace period is over whenever it matters: safety must not
rest on time. That is more than can happen in any real run. (Where less time has gone by, the
ticks do nothing that they would do later, or another tick would not do as well; scopes with
`Scope.time` let a clock say "just now" too.) For the same reason the timeline keeps its last line
only: nothing reads the others, and every new line is checked when it is written. Versions are kept
as they are: compare-and-set is what is under test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import jobcore
from jobcore import Clocks, FailureClass, Job, Placement, RetryPolicy, Spec, Status
from jobcore.lifecycle import TRANSITIONS, Go, Launching, Stopping, violations

from ._scope import Scope

__all__ = [
    "JOB_IDS",
    "JUST_NOW",
    "LATER",
    "PAST",
    "UNAVAILABLE",
    "Call",
    "Outcome",
    "Reply",
    "World",
    "Worlds",
]

PAST = datetime(2026, 1, 1, tzinfo=UTC)
JUST_NOW = PAST + timedelta(seconds=1)
LATER = PAST + timedelta(days=1)

JOB_IDS = tuple(jobcore.job_id_from_token("checker", str(number)) for number in range(3))
POOL = "cpu"

Call: TypeAlias = tuple[Any, ...]
Reply: TypeAlias = tuple[Any, ...]
#: What may become of a call: its name, the faults it costs, the reply, the world after it.
Outcome: TypeAlias = tuple[str, int, Reply, int]

UNAVAILABLE: Reply = ("unavailable",)

_LIVE = frozenset("PRSX")  # pending, running, stopping; X is a stranger's
_OVER = frozenset(
    "CFIT"
)  # completed, failed, interrupted, stopped; in small letters: gone, and the name is free
#: The legal changes of status, of the table as it was shipped.
EDGES = frozenset(
    (source, target)
    for source, row in TRANSITIONS.items()
    for cell in row.values()
    if isinstance(cell, Go)
    for target in cell.to
)
_STOPS, _HOLDS, _RELEASES, _SPOTS, _REFUSALS = range(5)
ASKS = {"stop": _STOPS, "hold": _HOLDS, "release": _RELEASES}


class World(NamedTuple):
    """
    Everything but what the actors know.

    Args:
        jobs: the stored jobs, as numbers of `Worlds.jobs`.
        runs: (job, attempt, letter) of each training name that was used.
        late: requests that may still take effect.
        told: ids of the messages that were taken.
        left: what people and environment may still do.
        intended: by job, the highest attempt that was ever stored as Launching.
        bad: what must not have happened, and has.
    """

    jobs: tuple[int, ...]
    runs: tuple[tuple[int, int, str], ...] = ()
    late: tuple[tuple[Any, ...], ...] = ()
    told: tuple[str, ...] = ()
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
        """Give the world in which that training is so."""
        others = [run for run in self.runs if run[:2] != (job, attempt)]
        return self._replace(runs=tuple(sorted([*others, (job, attempt, letter)])))


@cache
def _aged_value(value: Any) -> Any:
    changes = {}
    for field in fields(value):
        old = getattr(value, field.name)
        new = _aged(old)
        if new is not old:
            changes[field.name] = new
    return replace(value, **changes) if changes else value


def _aged(value: Any) -> Any:
    if isinstance(value, datetime):
        return PAST
    if isinstance(value, tuple):
        return tuple(_aged(item) for item in value)
    if is_dataclass(value) and not isinstance(value, Spec):
        aged: Any = _aged_value(value)  # type: ignore[arg-type]
        return aged
    return value


def _key(job: Job) -> tuple[Any, ...]:
    charges = tuple(sorted(job.charges.items()))
    return (
        job.job_id, job.version, job.state, charges, job.attempts, job.outbox, job.stop,
        job.hold_next, job.timeline,
    )  # fmt: skip


class Worlds:
    """The worlds of a scope, each with a number, and what can happen in each."""

    compare_and_set = True  # a mutant takes it away

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.jobs: list[Job] = []
        self._job_numbers: dict[tuple[Any, ...], int] = {}
        self.faults_of: list[str] = []  # of a job as it was handed to the store: what is wrong
        self.worlds: list[World] = []
        self._numbers: dict[World, int] = {}
        self.bad: list[bool] = []
        self._outcomes: dict[tuple[Call, int], list[Outcome]] = {}
        self._happenings: dict[int, list[tuple[str, int, int]]] = {}
        self._saved: dict[int, int] = {}
        self.specs = tuple(self._spec(number) for number in range(scope.jobs))
        self.ids = JOB_IDS[: scope.jobs]
        self.number_of = {job_id: number for number, job_id in enumerate(self.ids)}
        first = tuple(
            self.intern_job(jobcore.new_job(job_id, spec, now=PAST))
            for job_id, spec in zip(self.ids, self.specs, strict=True)
        )
        asks = [scope.people.count(ask) for ask in ASKS]
        self.start = self.intern(
            World(
                jobs=first,
                runs=((0, 1, "X"),) if scope.stranger else (),
                left=(*asks, scope.spots, scope.refusals),
                intended=(0,) * scope.jobs,
            )
        )

    def _spec(self, number: int) -> Spec:
        zero = timedelta(0)
        policy = RetryPolicy(budgets=dict(self.scope.budgets), backoff=zero, backoff_max=zero)
        hour = timedelta(hours=1) if self.scope.clocks else None
        return Spec(
            name=f"j{number}",
            owner="ada",
            placements=(Placement(POOL),),
            retry=policy,
            clocks=Clocks(wait_at_most=hour, run_at_most=hour),
        )

    # --- numbers ---

    def intern_job(self, job: Job) -> int:
        """Number a job; equal ones have the same, whenever they were written."""
        wrong = ""
        for violation in violations(job):
            if violation.code not in ("S6", "S8"):  # those read the whole timeline; see `_written`
                wrong = f"{violation.code}: {violation.said}"
        marks = tuple(replace(mark, note="", at=PAST) for mark in job.timeline)
        job = replace(
            job,
            state=_aged(job.state),
            attempts=_aged(job.attempts),
            outbox=_aged(job.outbox),
            stop=_aged(job.stop),
            timeline=marks,
            submitted_at=PAST,
            waiting_since=PAST,
        )
        key = _key(job)
        number = self._job_numbers.get(key)
        if number is None:
            number = self._job_numbers[key] = len(self.jobs)
            self.jobs.append(job)
            self.faults_of.append(wrong)
        return number

    def intern(self, world: World) -> int:
        """Number a world, and look whether it may be."""
        if world.late:
            world = world._replace(
                late=tuple(sorted(filter(lambda r: self._matters(world, r), world.late)))
            )
        number = self._numbers.get(world)
        if number is None:
            if not world.bad:
                wrong = self._wrong(world)
                if wrong:
                    return self.intern(world._replace(bad=wrong))
            number = self._numbers[world] = len(self.worlds)
            self.worlds.append(world)
            self.bad.append(bool(world.bad))
        return number

    def _matters(self, world: World, request: tuple[Any, ...]) -> bool:
        """Tell whether a late request can still change anything."""
        match request:
            case ("save", j, raw):
                return bool(self.jobs[raw].version == self.jobs[world.jobs[j]].version)
            case ("launch", j, n, _):
                return world.run(j, n) == "" or world.run(j, n).islower()
            case (_, j, n):
                return world.run(j, n) in _LIVE
            case _:
                raise AssertionError(request)

    def _wrong(self, world: World) -> str:
        for j in range(self.scope.jobs):
            live = [n for (i, n, letter) in world.runs if i == j and letter in "PRS"]
            if len(live) > 1:
                return f"S1: trainings {live} of one job are live at once"
            numbers = [n for (i, n, _) in world.runs if i == j]
            most = self.scope.attempts_max + self.scope.stranger
            if any(n > most for n in numbers):
                return f"S2: training {max(numbers)} was made, of at most {most}"
        if (
            self.scope.jobs > 1
            and sum(letter in "PRS" for *_, letter in world.runs) > self.scope.slots
        ):
            return f"S17: more trainings are live than the pool has slots ({self.scope.slots})"
        return ""

    def _broken(self, world: World, what: str) -> int:
        return self.intern(world._replace(bad=what))

    # --- writes ---

    def saved(self, raw: int) -> int:
        """Number the job as it is stored after a save: a version on, with the last line of its timeline."""
        number = self._saved.get(raw)
        if number is None:
            job = self.jobs[raw]
            number = self._saved[raw] = self.intern_job(
                replace(job, version=job.version + 1, timeline=job.timeline[-1:])
            )
        return number

    def write(self, world: World, j: int, raw: int) -> World:
        """Store a job over the one that is there, and check what that does."""
        before, stored = self.jobs[world.jobs[j]], self.saved(raw)
        after = self.jobs[stored]
        wrong = self.faults_of[raw] or self._written(world, j, before, self.jobs[raw])
        intended = list(world.intended)
        if isinstance(after.state, Launching):
            intended[j] = max(intended[j], after.state.attempt.number)
        jobs = list(world.jobs)
        jobs[j] = stored
        return world._replace(jobs=tuple(jobs), intended=tuple(intended), bad=wrong)

    def _written(self, world: World, j: int, before: Job, after: Job) -> str:
        """Say what must not have been written, if it was."""
        old, new = before.status, after.status
        if old.is_terminal and before.state != after.state:
            return f"S3: {old} became {new}"
        marks = after.timeline
        if marks[0].status is not old or any(
            (a.status, b.status) not in EDGES for a, b in pairwise(marks)
        ):
            return f"S4: {old} became {new} by way of {[str(mark.status) for mark in marks]}"
        if replace(after, version=before.version, timeline=before.timeline) == before:
            return f"S11: a write of {new} that changes nothing"
        if before.stop is not None and after.stop != before.stop:
            return "S9: a stop was taken back"
        if before.stop is not None and new.is_active and not old.is_active:
            return f"S10: {old} became {new} although a stop was asked for"
        if new is Status.STOPPED and after.stop is None:
            return "S13: Stopped, and nobody asked for that"
        n, m = before.attempt_number, after.attempt_number
        run = world.run(j, n)
        if new.is_terminal and m < n:
            m = n  # an attempt that was to come and never did
        if m != n and (m != n + 1 or run.upper() not in {"X", *_OVER}):
            return f"Rule A: attempt {n} became {m} while training {n} is {run or 'unused'}"
        if m > self.scope.attempts_max + self.scope.stranger:
            return f"S2: attempt {m} of at most {self.scope.attempts_max}"
        if new is Status.COMPLETED and old is not new and run.upper() != "C":
            return f"S5: Completed, and training {n} is {run or 'unused'}"
        if old is Status.LAUNCHING and new in (Status.NEW, Status.HELD, Status.FAILED):
            refused = world.left[_REFUSALS] < self.scope.refusals
            if run.upper() not in {"X", *_OVER} and not refused:
                return f"S5: {new} because of a refusal or an end that never was"
        if new is Status.FAILED and old is not new and not self._may_fail(world, j):
            return "S5: Failed, and nothing has"
        known = old in (Status.LAUNCHED, Status.IN_PROGRESS) or (
            isinstance(before.state, Stopping) and before.state.known
        )
        if known and run in _LIVE and not new.is_active:
            return f"S12: {new} was written while training {n} is {run}"
        if (
            new.is_active
            and run == "X"
            and new is not Status.LAUNCHING
            and not self._by_name(after)
        ):
            return "S15: a stranger's training was adopted"
        return self._messages(world, before, after) or self._charges(after)

    def _may_fail(self, world: World, j: int) -> bool:
        refused = world.left[_REFUSALS] < self.scope.refusals
        ended = any(letter.upper() in "FIT" for i, _, letter in world.runs if i == j)
        return refused or ended or self.scope.clocks or self.scope.stranger

    @staticmethod
    def _by_name(job: Job) -> bool:
        return isinstance(job.state, Stopping) and not job.state.known

    def _messages(self, world: World, before: Job, after: Job) -> str:
        owed = {entry.event_id for entry in after.outbox}
        for entry in before.outbox:
            if entry.event_id not in owed and entry.event_id not in world.told:
                return f"S7: the message {entry.status} was cleared before it was told"
        if after.status.is_terminal and not before.status.is_terminal:
            ids = {f"{after.job_id}/{b.attempt_number}/{after.status}" for b in (before, after)}
            ends = [entry.event_id for entry in after.outbox if entry.status.is_terminal]
            if len(ends) != 1 or ends[0] not in ids:
                return f"S7: {after.status} does not owe the one message of its event"
        fresh = [e for e in after.outbox if e not in before.outbox]
        seen = {mark.status for mark in after.timeline}
        if any(entry.status not in seen for entry in fresh):
            return "S8: a message is owed of what never was"
        return ""

    def _charges(self, job: Job) -> str:
        for kind in (FailureClass.ALGORITHM, FailureClass.SPOT_INTERRUPTED):
            failed = sum(
                a.failure is not None and a.failure.failure_class is kind for a in job.attempts
            )
            charged = job.charges.get(kind, 0)
            if not failed - 1 <= charged <= failed:
                return f"S16: {failed} attempts failed with {kind}, and {charged} were charged"
        return ""

    # --- port calls ---

    def outcomes(self, call: Call, number: int) -> list[Outcome]:
        """List what may become of *call*: the first is what should, the others are faults and chances."""
        key = (call, number)
        found = self._outcomes.get(key)
        if found is None:
            method = getattr(self, f"_do_{call[0]}")
            found = self._outcomes[key] = list(method(self.worlds[number], number, *call[1:]))
        return found

    def _do_get(self, world: World, number: int, wanted: tuple[int, ...]) -> Iterator[Outcome]:
        if self.scope.poison == "record" and 0 in wanted:
            yield "corrupt", 0, ("corrupt", 0), number
            return
        yield "ok", 0, ("jobs", tuple((j, world.jobs[j]) for j in wanted)), number
        yield "unavailable", 1, UNAVAILABLE, number

    def _do_save(
        self, world: World, number: int, wanted: tuple[tuple[int, int], ...]
    ) -> Iterator[Outcome]:
        after = world
        reply: list[tuple[int, int | None]] = []
        for j, raw in wanted:
            stored = self.jobs[world.jobs[j]]
            if self.compare_and_set and stored.version != self.jobs[raw].version:
                reply.append((j, None))
                continue
            reply.append((j, self.saved(raw)))
            after = self.write(after, j, raw)
            if after.bad:
                break
        applied = self.intern(after)
        yield "ok" if after is not world else "conflict", 0, ("saved", tuple(reply)), applied
        yield "not applied", 1, UNAVAILABLE, number
        if after is world:
            return
        yield "reply lost", 1, UNAVAILABLE, applied
        yield "conflict with itself", 1, ("saved", tuple((j, None) for j, _ in wanted)), applied
        if self.scope.late:
            late = (*world.late, *(("save", j, raw) for j, raw in wanted))
            yield "late", 1, UNAVAILABLE, self.intern(world._replace(late=late))

    def _do_launch(
        self, world: World, number: int, wanted: tuple[tuple[int, int, bool, bool], ...]
    ) -> Iterator[Outcome]:
        if len(wanted) > 1:
            msg = "launches are made one by one in every scope"
            raise AssertionError(msg)
        ((j, n, to_stop, stop_known),) = wanted
        if self.scope.poison == "launch" and j == 0:
            yield "raises", 0, ("raises",), number
            return
        if n > world.intended[j]:
            yield (
                "ok",
                0,
                ("launched", "accepted"),
                self._broken(world, f"S6: training {n} is asked for without a stored intent"),
            )
            return
        if stop_known and not to_stop:
            yield (
                "ok",
                0,
                ("launched", "accepted"),
                self._broken(world, "S10: a training is asked for although a stop is known"),
            )
            return
        run = world.run(j, n)
        left = world.left[_REFUSALS]
        refused = world._replace(left=(*world.left[:_REFUSALS], left - 1)) if left else world
        if run and not run.islower():
            yield "exists", 0, ("launched", "exists"), number
            yield "unclear", 1, ("launched", "unclear"), number
            # Rates are checked before names are; where a stop depends on it, adapters look.
            if left and not to_stop and "throttle" in self.scope.refused_for:
                yield "refused: throttle", 0, ("launched", "throttle"), self.intern(refused)
            return
        for letter in self._made(to_stop=to_stop):
            made = self.intern(world.with_run(j, n, letter))
            yield "accepted", 0, ("launched", "accepted"), made
            yield "reply lost", 1, ("launched", "unclear"), made
            yield "exists already", 1, ("launched", "exists"), made
        yield "unclear", 1, ("launched", "unclear"), number
        if self.scope.late:
            late = (*world.late, ("launch", j, n, to_stop))
            yield "late", 1, ("launched", "unclear"), self.intern(world._replace(late=late))
        if left:
            for why in self.scope.refused_for:
                yield f"refused: {why}", 0, ("launched", why), self.intern(refused)

    def _made(self, *, to_stop: bool) -> str:
        if not to_stop:
            return "P"
        return "TP" if self.scope.to_stop_runs else "T"

    def _do_describe(
        self, world: World, number: int, wanted: tuple[tuple[int, int], ...]
    ) -> Iterator[Outcome]:
        seen = tuple((j, n, world.run(j, n)) for j, n in wanted)
        seen = tuple((j, n, "" if letter.islower() else letter) for j, n, letter in seen)
        yield "ok", 0, ("seen", seen), number
        yield "unavailable", 1, UNAVAILABLE, number
        yield "not read", 1, ("seen", ()), number
        if any(letter for *_, letter in seen):
            yield "not seen yet", 1, ("seen", tuple((j, n, "") for j, n, _ in seen)), number

    def _do_stop(self, world: World, number: int, j: int, n: int) -> Iterator[Outcome]:
        run = world.run(j, n)
        if run not in _LIVE:
            yield "over already", 0, ("done",), number
            yield "not applied", 1, UNAVAILABLE, number
            return
        job = self.jobs[world.jobs[j]]
        wanted = (
            job.stop is not None
            or job.status is Status.STOPPING
            or job.status.is_terminal
            or n < job.attempt_number
        )
        if run == "X" or not wanted:
            whose = "a stranger's" if run == "X" else "a healthy"
            yield (
                "ok",
                0,
                ("done",),
                self._broken(world, f"S14: {whose} training is stopped; the job is {job.status}"),
            )
            return
        stopped = self.intern(world.with_run(j, n, "S"))
        yield "ok", 0, ("done",), stopped
        yield "not applied", 1, UNAVAILABLE, number
        yield "reply lost", 1, UNAVAILABLE, stopped
        if self.scope.late and run != "S":
            late = (*world.late, ("stop", j, n))
            yield "late", 1, UNAVAILABLE, self.intern(world._replace(late=late))

    def _do_running(self, world: World, number: int) -> Iterator[Outcome]:
        # The reaper goes by names alone: what is listed, is listed as running.
        live = tuple((j, n, "X" if x == "X" else "R") for j, n, x in world.runs if x in _LIVE)
        yield "ok", 0, ("running", live), number
        yield "unavailable", 1, UNAVAILABLE, number
        if live:
            yield "lags: empty", 1, ("running", ()), number
        known = tuple((j, n, "X" if x == "X" else "R") for j, n, x in world.runs if x.isupper())
        if known != live:
            yield "lags: over", 1, ("running", known), number

    def _do_publish(self, world: World, number: int, j: int, event_id: str) -> Iterator[Outcome]:
        if self.scope.poison == "publish" and j == 0:
            yield "raises", 0, ("raises",), number
            return
        owed = {entry.event_id for entry in self.jobs[world.jobs[j]].outbox}
        if event_id not in owed and event_id not in world.told:
            yield (
                "ok",
                0,
                ("done",),
                self._broken(
                    world, f"S8: {event_id.split('/', 1)[1]} is told, and the store never said so"
                ),
            )
            return
        told = tuple(sorted({*world.told, event_id}))
        taken = self.intern(world._replace(told=told))
        yield "ok", 0, ("done",), taken
        yield "not taken", 1, UNAVAILABLE, number
        yield "reply lost", 1, UNAVAILABLE, taken

    def _do_due(self, world: World, number: int, tick: str) -> Iterator[Outcome]:
        yield "ok", 0, self.truth(("due", tick), number), number
        yield "unavailable", 1, UNAVAILABLE, number
        yield "lags: empty", 1, ("rows", ()), number

    def _do_waiting(self, world: World, number: int) -> Iterator[Outcome]:
        yield "ok", 0, self.truth(("waiting",), number), number
        yield "unavailable", 1, UNAVAILABLE, number
        every = tuple((j, self.jobs[job].attempt_number) for j, job in enumerate(world.jobs))
        yield "lags: all", 1, ("rows", every), number

    def _do_usage(self, world: World, number: int) -> Iterator[Outcome]:
        yield "ok", 0, self.truth(("usage",), number), number
        yield "unavailable", 1, UNAVAILABLE, number

    def truth(self, call: Call, number: int) -> Reply:
        """Answer a read of an index as things are."""
        world = self.worlds[number]
        jobs = [self.jobs[job] for job in world.jobs]
        match call:
            case ("due", tick):
                kind = jobcore.lifecycle.Tick(tick)
                due = [
                    j
                    for j, job in enumerate(jobs)
                    if jobcore.lifecycle.due_at(job, kind) is not None
                ]
                return ("rows", tuple(due))
            case ("waiting",):
                new = [(j, b.attempt_number) for j, b in enumerate(jobs) if b.status is Status.NEW]
                return ("rows", tuple(new))
            case ("usage",):
                held = [job for job in jobs if job.current is not None]
                return ("usage", len(held), sum(job.status.runs for job in held))
            case _:
                raise AssertionError(call)

    # --- what happens by itself ---

    def happenings(self, number: int) -> list[tuple[str, int, int]]:
        """List what may happen to a world by itself: a name, the faults it costs, the world after it."""
        found = self._happenings.get(number)
        if found is None:
            found = self._happenings[number] = list(self._happen(self.worlds[number]))
        return found

    def _happen(self, world: World) -> Iterator[tuple[str, int, int]]:
        scope = self.scope
        for j, n, letter in world.runs:
            becomes: Sequence[tuple[str, str, int]] = {
                "P": [("starts", "R", 0), ("fails early", "F", 0)],
                "R": [("completes", "C", 0), ("fails", "F", 0)],
                "S": [("is stopped", "T", 0), ("completes", "C", 0), ("fails", "F", 0)],
            }.get(letter, ())
            for what, after, cost in becomes:
                if after != "F" or scope.fails:
                    yield f"training {n} {what}", cost, self.intern(world.with_run(j, n, after))
            if letter == "R" and world.left[_SPOTS]:
                left = list(world.left)
                left[_SPOTS] -= 1
                lost = world.with_run(j, n, "I")._replace(left=tuple(left))
                yield f"training {n} is interrupted", 0, self.intern(lost)
            if letter in "PR" and scope.elsewhere:
                gone = world.with_run(j, n, "T")
                yield f"training {n} is stopped elsewhere", 1, self.intern(gone)
            if (scope.vanish and letter in "PRS") or (scope.deletes and letter in _OVER):
                gone = world.with_run(j, n, "g" if letter in "PRS" else letter.lower())
                yield f"training {n} vanishes", 1, self.intern(gone)
        for request in world.late:
            yield from self._lands(world, request)

    def _lands(self, world: World, request: tuple[Any, ...]) -> Iterator[tuple[str, int, int]]:
        others = list(world.late)
        others.remove(request)
        world = world._replace(late=tuple(others))
        name = f"the late {request[0]} arrives"
        match request:
            case ("save", j, raw):
                yield name, 0, self.intern(self.write(world, j, raw))
            case ("launch", j, n, to_stop):
                for letter in self._made(to_stop=to_stop):
                    yield name, 0, self.intern(world.with_run(j, n, letter))
            case (_, j, n):
                yield name, 0, self.intern(world.with_run(j, n, "S"))

    def asked(self, number: int, what: str) -> int | None:
        """Give the world in which the user has begun to ask; None if that was asked often enough."""
        world = self.worlds[number]
        index = ASKS[what]
        if not world.left[index]:
            return None
        left = list(world.left)
        left[index] -= 1
        return self.intern(world._replace(left=tuple(left)))
