"""Liveness by healing: from any world, no more faults, and fair rounds of all ticks.

All actors are dead (whatever they were at is forgotten), requests under way are lost, and then
launch, monitor, notify and reap run one after the other, again and again, while trainings go on in
one of three environments: all complete, all fail, or all run for ever unless they are stopped.
It must come to rest within a bound of rounds, and rest well.
"""

from __future__ import annotations

from jobcore import Status

from ._actors import CALLS_MAX, Actors
from ._world import UNAVAILABLE, Reply, Worlds

__all__ = ["ENVIRONMENTS", "Healer", "rounds_max"]

ENVIRONMENTS = ("complete", "fail", "forever")
_ROUND = ("launch", "monitor", "notify", "reap")


def rounds_max(attempts: int) -> int:
    """Bound the rounds until all is at rest: launch, start, end and retry of each attempt, and a stop."""
    return 3 * attempts + 4


class Healer:
    """Heals worlds; what a tick makes of a world is worked out once."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self.actors = {program: Actors(worlds, [program]) for program in _ROUND}
        self._ticked: dict[tuple[str, int], int] = {}
        self._rest: dict[tuple[str, int], tuple[int, str]] = {}

    @property
    def runs(self) -> int:
        """How often real code was run."""
        return sum(actors.runs for actors in self.actors.values())

    def heal(self, world: int) -> tuple[int, str, str]:
        """
        Let a world come to rest in every environment.

        Returns:
            The most rounds that it took, what is wrong ("" for nothing), and where.
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
        """Run each tick once, and let trainings go one step further."""
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
        for _ in range(2 * CALLS_MAX):  # a tick whose calls are merged may come by again
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
                reply = self.worlds.truth(node.call, world)
            else:
                _, _, reply, world = self.worlds.outcomes(node.call, world)[0]
                assert reply != UNAVAILABLE
            if self.worlds.bad[world]:
                return world
            number = actors.child(number, reply)
        wrong = f"L2: {program} does not end"
        return self.worlds.intern(self.worlds.worlds[world]._replace(bad=wrong))

    def at_rest(self, environment: str, number: int) -> str:
        """Say what is wrong with a world in which nothing moves any more."""
        world = self.worlds.worlds[number]
        live = {(j, n): letter for j, n, letter in world.runs if letter in "PRS"}
        full = len(live) >= self.worlds.scope.slots
        for j, stored in enumerate(world.jobs):
            job = self.worlds.jobs[stored]
            mine = [n for i, n in live if i == j]
            if self.worlds.scope.poison == "record" and j == 0:
                continue
            runs_on = (
                environment == "forever"
                and job.status is Status.IN_PROGRESS
                and job.stop is None
                and mine == [job.attempt_number]
            )
            if mine and not runs_on:
                return f"L1: training {mine[0]} is left alone; the job is {job.status}"
            if self.worlds.scope.poison in ("launch", "publish") and j == 0:
                continue
            waits = job.status is Status.NEW and full and job.stop is None
            held = job.status is Status.HELD and job.stop is None
            if not (job.status.is_terminal or runs_on or held or waits):
                return f"L1: the job stays {job.status}"
            if job.outbox:
                return f"L1: the message {job.outbox[0].status} is never told"
            told = [i for i in world.told if i.startswith(job.job_id) and i.count("/") == 2]
            if job.status.is_terminal:
                if len(told) != 1 or not told[0].endswith(f"/{job.status}"):
                    return f"S7: {job.status} is told as {told}"
            elif told:
                return f"S8: {told} was told, and the job is {job.status}"
        return ""
