"""The events of a world besides port calls: changes of trainings, late requests, users' requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ._calls import created_letters
from ._values import OVER, REQUESTS, SPOTS, World
from ._world import Worlds

__all__ = ["Environment"]

#: By letter of a training: its possible events, with the letter after each.
_BECOMES: Mapping[str, Sequence[tuple[str, str]]] = {
    "P": [("starts", "R"), ("fails early", "F")],
    "R": [("completes", "C"), ("fails", "F")],
    "S": [("is stopped", "T"), ("completes", "C"), ("fails", "F")],
}


class Environment:
    """The events of the worlds of a scope."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self._happenings: dict[int, list[tuple[str, int, int]]] = {}

    def happenings(self, number: int) -> list[tuple[str, int, int]]:
        """List the events that a world may have: a name, the faults it costs, the world after it."""
        found = self._happenings.get(number)
        if found is None:
            world = self.worlds.worlds[number]
            found = self._happenings[number] = [
                (name, cost, self.worlds.intern(after)) for name, cost, after in self._happen(world)
            ]
        return found

    def _happen(self, world: World) -> Iterator[tuple[str, int, World]]:
        for j, n, letter in world.runs:
            yield from self._training_events(world, j, n, letter)
        for request in world.late:
            yield from self._arrivals(world, request)

    def _training_events(
        self, world: World, j: int, n: int, letter: str
    ) -> Iterator[tuple[str, int, World]]:
        scope = self.worlds.scope
        for what, after in _BECOMES.get(letter, ()):
            if after != "F" or scope.fails:
                yield f"training {n} {what}", 0, world.with_run(j, n, after)
        if letter == "R" and world.left[SPOTS]:
            lost = world.with_run(j, n, "I").with_one_less(SPOTS)
            yield f"training {n} is interrupted", 0, lost
        if letter in "PR" and scope.elsewhere:
            yield f"training {n} is stopped elsewhere", 1, world.with_run(j, n, "T")
        if (scope.vanish and letter in "PRS") or (scope.deletes and letter in OVER):
            gone = world.with_run(j, n, "g" if letter in "PRS" else letter.lower())
            yield f"training {n} vanishes", 1, gone

    def _arrivals(self, world: World, request: tuple[Any, ...]) -> Iterator[tuple[str, int, World]]:
        others = list(world.late)
        others.remove(request)
        world = world._replace(late=tuple(others))
        name = f"the late {request[0]} arrives"
        match request:
            case ("save", j, raw):
                yield name, 0, self.worlds.write(world, j, raw)
            case ("launch", j, n, to_stop):
                for letter in created_letters(self.worlds.scope, to_stop=to_stop):
                    yield name, 0, world.with_run(j, n, letter)
            case (_, j, n):
                yield name, 0, world.with_run(j, n, "S")

    def requested(self, number: int, request: str) -> int | None:
        """Return the world in which the user has begun a request; None if none of these are left."""
        world = self.worlds.worlds[number]
        position = REQUESTS[request]
        if not world.left[position]:
            return None
        return self.worlds.intern(world.with_one_less(position))
