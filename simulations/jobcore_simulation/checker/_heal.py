"""Liveness by healing: from any world, without further faults, rounds of all ticks end every job.

All actors are dead and their local state is gone; late requests are lost. Then launch, monitor,
notify and reap run one after the other, again and again, while trainings go on in one of three
environments: all complete, all fail, or all run for ever unless they are stopped. Within a bound
of rounds the world must come to rest, and then keep the invariants that `Healer.at_rest` checks.
"""

from __future__ import annotations

from jobcore import Job, Status

from ._calls import Calls
from ._nodes import CALLS_MAX, Actors
from ._values import UNAVAILABLE, Reply, World

__all__ = ["ENVIRONMENTS", "Healer", "rounds_max"]

ENVIRONMENTS = ("complete", "fail", "forever")
_ROUND = ("launch", "monitor", "notify", "reap")


def rounds_max(attempts: int) -> int:
    """Bound the rounds until rest: launch, start, end and retry of each attempt, and a stop."""
    return 3 * attempts + 4


class Healer:
    """Heals worlds; the effect of a tick on a world is computed once."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.worlds = calls.worlds
        self.actors = {program: Actors(calls, [program]) for program in _ROUND}
        self._ticked: dict[tuple[str, int], int] = {}
        self._rest: dict[tuple[str, int], tuple[int, str]] = {}

    @property
    def runs(self) -> int:
        """The number of runs of production code."""
        return sum(actors.runs for actors in self.actors.values())

    def heal(self, world: int) -> tuple[int, str, str]:
        """
        Let a world come to rest in every environment.

        Returns:
            The most rounds that it took, the broken invariant ("" for none), and its environment.
        """
        value = self.worlds.worlds[world]
        most = 0
        calm = self.worlds.intern(value._replace(late=())) if value.late else world
        for environment in ENVIRONMENTS:
            rounds, wrong = self._rounds(environment, calm)
            most = max(most, rounds)
            if wrong:
                return most, wrong, environment
        return most, "", ""

    def _rounds(self, environment: str, world: int) -> tuple[int, str]:
        bound = self.worlds.scope.jobs * rounds_max(self.worlds.scope.attempts_max)
        way: list[int] = []
        rounds, wrong = 0, ""
        while True:
            known = self._rest.get((environment, world))
            if known is not None:
                rounds, wrong = known
                break
            way.append(world)
            after = self.round(environment, world)
            if self.worlds.bad[after]:
                wrong = self.worlds.worlds[after].bad
                break
            if after == world:
                wrong = self.at_rest(environment, world)
                self._rest[environment, world] = (0, wrong)
                way.pop()
                break
            if len(way) > 4 * bound:
                wrong = f"L1: not at rest after {len(way)} rounds"
                break
            world = after
        for before in reversed(way):
            rounds += 1
            self._rest[environment, before] = (rounds, wrong)
        if not wrong and rounds > bound:
            wrong = f"L1: at rest only after {rounds} rounds; the bound is {bound}"
        return rounds, wrong

    def round(self, environment: str, world: int) -> int:
        """Run each tick once, then let each training take one step."""
        for program in _ROUND:
            world = self._tick(program, world)
            if self.worlds.bad[world]:
                return world
        value = self.worlds.worlds[world]
        end = {"complete": "C", "fail": "F", "forever": "R"}[environment]
        goes = {"P": "R", "R": end, "S": "T"}
        runs = tuple((j, n, goes.get(letter, letter)) for j, n, letter in value.runs)
        return self.worlds.intern(value._replace(runs=runs))

    def _tick(self, program: str, world: int) -> int:
        found = self._ticked.get((program, world))
        if found is None:
            found = self._ticked[program, world] = self._run(program, world)
        return found

    def _run(self, program: str, world: int) -> int:
        actors = self.actors[program]
        number = actors.roots[program]
        for _ in range(2 * CALLS_MAX):  # with merged nodes a tick may pass a node twice
            node = actors.nodes[number]
            if node.raised:
                return self.worlds.intern(self.worlds.worlds[world]._replace(bad=node.raised))
            if number == 0 or node.call is None:
                return world
            reply: Reply
            method = node.call[0]
            if method == "now":
                reply = ("now", "later")
            elif method in ("due", "waiting", "usage"):
                reply = self.calls.truth(node.call, world)
            else:
                _, _, reply, world = self.calls.outcomes(node.call, world)[0]
                assert reply != UNAVAILABLE
            if self.worlds.bad[world]:
                return world
            number = actors.child(number, reply)
        wrong = f"L2: {program} does not end"
        return self.worlds.intern(self.worlds.worlds[world]._replace(bad=wrong))

    def at_rest(self, environment: str, number: int) -> str:
        """Name the broken invariant of a world in which nothing changes any more; "" if none is."""
        world, scope = self.worlds.worlds[number], self.worlds.scope
        for j in range(scope.jobs):
            if scope.poison == "record" and j == 0:
                continue
            live = [n for i, n, letter in world.runs if i == j and letter in "PRS"]
            job = self.worlds.jobs[world.jobs[j]]
            runs_on = (
                environment == "forever"
                and job.status is Status.IN_PROGRESS
                and job.stop is None
                and live == [job.attempt_number]
            )
            if live and not runs_on:
                return f"L1: training {live[0]} is left running; the job is {job.status}"
            if scope.poison in ("launch", "publish") and j == 0:
                continue
            wrong = self._job_at_rest(world, job, runs_on=runs_on)
            if wrong:
                return wrong
        return ""

    def _job_at_rest(self, world: World, job: Job, *, runs_on: bool) -> str:
        is_full = sum(letter in "PRS" for *_, letter in world.runs) >= self.worlds.scope.slots
        waits = job.status is Status.NEW and is_full and job.stop is None
        held = job.status is Status.HELD and job.stop is None
        if not (job.status.is_terminal or runs_on or held or waits):
            return f"L1: the job stays {job.status}"
        if job.outbox:
            return f"L1: the message {job.outbox[0].status} is never published"
        ends = [i for i in world.published if i.startswith(job.job_id) and i.count("/") == 2]
        if job.status.is_terminal:
            if len(ends) != 1 or not ends[0].endswith(f"/{job.status}"):
                return f"S7: {job.status} is published as {ends}"
        elif ends:
            return f"S8: {ends} was published, and the job is {job.status}"
        return ""
