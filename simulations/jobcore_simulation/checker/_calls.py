"""The outcomes of a port call: every reply that a tick may get, with the effect on the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import jobcore
from jobcore import Status

from ._scope import Scope
from ._values import LIVE, REFUSALS, UNAVAILABLE, Call, Outcome, Reply, World
from ._world import Worlds

__all__ = ["Calls", "created_letters"]


class Calls:
    """The outcomes of port calls in the worlds of a scope."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self.scope = worlds.scope
        self._known: dict[tuple[Call, int], list[Outcome]] = {}
        self._methods: Mapping[str, Callable[..., Iterator[Outcome]]] = {
            "get": self._get,
            "save": self._save,
            "launch": self._launch,
            "describe": self._describe,
            "stop": self._stop,
            "running": self._running,
            "publish": self._publish,
            "due": self._due,
            "waiting": self._waiting,
            "usage": self._usage,
        }

    def outcomes(self, call: Call, number: int) -> list[Outcome]:
        """List the outcomes of *call*: first the one without a fault, then faults and chances."""
        key = (call, number)
        found = self._known.get(key)
        if found is None:
            world = self.worlds.worlds[number]
            found = self._known[key] = list(self._methods[call[0]](world, number, *call[1:]))
        return found

    # --- the store ---

    def _get(self, world: World, number: int, wanted: tuple[int, ...]) -> Iterator[Outcome]:
        if self.scope.poison == "record" and 0 in wanted:
            yield "corrupt", 0, ("corrupt", 0), number
            return
        yield "ok", 0, ("jobs", tuple((j, world.jobs[j]) for j in wanted)), number
        yield "unavailable", 1, UNAVAILABLE, number

    def _save(
        self, world: World, number: int, wanted: tuple[tuple[int, int], ...]
    ) -> Iterator[Outcome]:
        after = world
        reply: list[tuple[int, int | None]] = []
        for j, raw in wanted:
            stored = self.worlds.jobs[world.jobs[j]]
            if self.worlds.compare_and_set and stored.version != self.worlds.jobs[raw].version:
                reply.append((j, None))
                continue
            reply.append((j, self.worlds.saved(raw)))
            after = self.worlds.write(after, j, raw)
            if after.bad:
                break
        applied = self.worlds.intern(after)
        yield "ok" if after is not world else "conflict", 0, ("saved", tuple(reply)), applied
        yield "not applied", 1, UNAVAILABLE, number
        if after is world:
            return
        yield "reply lost", 1, UNAVAILABLE, applied
        yield "conflict with itself", 1, ("saved", tuple((j, None) for j, _ in wanted)), applied
        if self.scope.late:
            late = world.with_late(*(("save", j, raw) for j, raw in wanted))
            yield "late", 1, UNAVAILABLE, self.worlds.intern(late)

    # --- the trainer ---

    def _launch(
        self, world: World, number: int, wanted: tuple[tuple[int, int, bool, bool], ...]
    ) -> Iterator[Outcome]:
        """
        Create trainings.

        Args:
            wanted: of each request the job, the attempt, whether the training is to be stopped at
                once, and whether the tick knows of a stop request.
        """
        if len(wanted) != 1:
            msg = "launches are made one by one in every scope"
            raise AssertionError(msg)
        j, n, to_stop, stop_known = wanted[0]
        if self.scope.poison == "launch" and j == 0:
            yield "raises", 0, ("raises",), number
            return
        wrong = ""
        if n > world.intended[j]:
            wrong = f"S6: training {n} is requested without a stored intent"
        elif stop_known and not to_stop:
            wrong = "S10: a training is requested although a stop is known"
        if wrong:
            yield "ok", 0, ("launched", "accepted"), self.worlds.intern_bad(world, wrong)
            return
        run = world.run(j, n)
        if run and not run.islower():
            yield from self._launch_of_a_used_name(world, number, to_stop=to_stop)
        else:
            yield from self._launch_of_a_free_name(world, number, j, n, to_stop=to_stop)

    def _launch_of_a_used_name(
        self, world: World, number: int, *, to_stop: bool
    ) -> Iterator[Outcome]:
        yield "exists", 0, ("launched", "exists"), number
        yield "unclear", 1, ("launched", "unclear"), number
        # A service checks its rate limit before the name, so it may throttle a launch under a used
        # name. With ``to_stop`` adapters then read the training and answer that it exists.
        if world.left[REFUSALS] and not to_stop and "throttle" in self.scope.refused_for:
            refused = self.worlds.intern(world.with_one_less(REFUSALS))
            yield "refused: throttle", 0, ("launched", "throttle"), refused

    def _launch_of_a_free_name(
        self, world: World, number: int, j: int, n: int, *, to_stop: bool
    ) -> Iterator[Outcome]:
        intern = self.worlds.intern
        for letter in created_letters(self.scope, to_stop=to_stop):
            created = intern(world.with_run(j, n, letter))
            yield "accepted", 0, ("launched", "accepted"), created
            yield "reply lost", 1, ("launched", "unclear"), created
            yield "exists already", 1, ("launched", "exists"), created
        yield "unclear", 1, ("launched", "unclear"), number
        if self.scope.late:
            late = intern(world.with_late(("launch", j, n, to_stop)))
            yield "late", 1, ("launched", "unclear"), late
        if world.left[REFUSALS]:
            for why in self.scope.refused_for:
                refused = intern(world.with_one_less(REFUSALS))
                yield f"refused: {why}", 0, ("launched", why), refused

    def _describe(
        self, world: World, number: int, wanted: tuple[tuple[int, int], ...]
    ) -> Iterator[Outcome]:
        seen = tuple((j, n, world.run(j, n)) for j, n in wanted)
        seen = tuple((j, n, "" if letter.islower() else letter) for j, n, letter in seen)
        yield "ok", 0, ("seen", seen), number
        yield "unavailable", 1, UNAVAILABLE, number
        yield "not read", 1, ("seen", ()), number
        if any(letter for *_, letter in seen):
            yield "not seen yet", 1, ("seen", tuple((j, n, "") for j, n, _ in seen)), number

    def _stop(self, world: World, number: int, j: int, n: int) -> Iterator[Outcome]:
        run = world.run(j, n)
        if run not in LIVE:
            yield "over already", 0, ("done",), number
            yield "not applied", 1, UNAVAILABLE, number
            return
        job = self.worlds.jobs[world.jobs[j]]
        wanted = (
            job.stop is not None
            or job.status is Status.STOPPING
            or job.status.is_terminal
            or n < job.attempt_number
        )
        if run == "X" or not wanted:
            whose = "a stranger's" if run == "X" else "a healthy"
            wrong = f"S14: {whose} training is stopped; the job is {job.status}"
            yield "ok", 0, ("done",), self.worlds.intern_bad(world, wrong)
            return
        stopped = self.worlds.intern(world.with_run(j, n, "S"))
        yield "ok", 0, ("done",), stopped
        yield "not applied", 1, UNAVAILABLE, number
        yield "reply lost", 1, UNAVAILABLE, stopped
        if self.scope.late and run != "S":
            late = world.with_late(("stop", j, n))
            yield "late", 1, UNAVAILABLE, self.worlds.intern(late)

    def _running(self, world: World, number: int) -> Iterator[Outcome]:
        # The reaper reads names alone, so every listed training may be listed as running.
        live = tuple((j, n, "X" if x == "X" else "R") for j, n, x in world.runs if x in LIVE)
        yield "ok", 0, ("running", live), number
        yield "unavailable", 1, UNAVAILABLE, number
        if live:
            yield "lags: empty", 1, ("running", ()), number
        known = tuple((j, n, "X" if x == "X" else "R") for j, n, x in world.runs if x.isupper())
        if known != live:
            yield "lags: over", 1, ("running", known), number

    # --- the notifier ---

    def _publish(self, world: World, number: int, j: int, event_id: str) -> Iterator[Outcome]:
        if self.scope.poison == "publish" and j == 0:
            yield "raises", 0, ("raises",), number
            return
        owed = {entry.event_id for entry in self.worlds.jobs[world.jobs[j]].outbox}
        if event_id not in owed and event_id not in world.published:
            event = event_id.split("/", 1)[1]
            wrong = f"S8: {event} is published, and no outbox ever had it"
            yield "ok", 0, ("done",), self.worlds.intern_bad(world, wrong)
            return
        published = tuple(sorted({*world.published, event_id}))
        taken = self.worlds.intern(world._replace(published=published))
        yield "ok", 0, ("done",), taken
        yield "not taken", 1, UNAVAILABLE, number
        yield "reply lost", 1, UNAVAILABLE, taken

    # --- the indexes of the store ---

    def _due(self, world: World, number: int, tick: str) -> Iterator[Outcome]:
        yield "ok", 0, self.truth(("due", tick), number), number
        yield "unavailable", 1, UNAVAILABLE, number
        yield "lags: empty", 1, ("rows", ()), number

    def _waiting(self, world: World, number: int) -> Iterator[Outcome]:
        yield "ok", 0, self.truth(("waiting",), number), number
        yield "unavailable", 1, UNAVAILABLE, number
        every = tuple((j, self.worlds.jobs[job].attempt_number) for j, job in enumerate(world.jobs))
        yield "lags: all", 1, ("rows", every), number

    def _usage(self, world: World, number: int) -> Iterator[Outcome]:
        yield "ok", 0, self.truth(("usage",), number), number
        yield "unavailable", 1, UNAVAILABLE, number

    def truth(self, call: Call, number: int) -> Reply:
        """Answer the read of an index that does not lag."""
        world = self.worlds.worlds[number]
        jobs = [self.worlds.jobs[job] for job in world.jobs]
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


def created_letters(scope: Scope, *, to_stop: bool) -> str:
    """Return the states that a created training may have at first."""
    if not to_stop:
        return "P"
    return "TP" if scope.to_stop_runs else "T"
