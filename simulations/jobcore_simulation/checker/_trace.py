"""The shortest way to a state, as steps in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ._nodes import IDLE
from ._paths import Step, paths
from ._space import CHUNK, Space
from ._states import States

__all__ = ["trace"]


def trace(space: Space, levels: list[States], world: int) -> tuple[Step, ...]:
    """
    Return the steps to a state in *world*.

    Args:
        levels: all levels of the breadth-first search; the last one has such a state.
    """
    last = levels[-1]
    way = [last[space.layout.world(last) == world][0]]
    for level in reversed(levels[:-1]):
        way.append(_predecessor(space, level, way[-1]))
    return tuple(_Tracer(space).steps(way[::-1]))


def _predecessor(space: Space, level: States, target: np.uint64) -> np.uint64:
    for start in range(0, len(level), CHUNK):
        chunk = level[start : start + CHUNK]
        for states, source, _ in space.successors(chunk):
            hits = np.flatnonzero(space.answered(states) == target)
            if hits.size:
                return np.uint64(chunk[source[hits[0]]])
    msg = "a state without a predecessor"
    raise AssertionError(msg)


class _Tracer:
    """Follows a way with one actor for each slot, by name: "launch 1", "launch 2", "monitor 1"."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.kinds = space.kinds
        self.names = [
            f"{kind} {self.kinds[: i + 1].count(kind)}" for i, kind in enumerate(self.kinds)
        ]

    def steps(self, way: list[np.uint64]) -> Iterator[Step]:
        at = [IDLE] * len(self.kinds)  # nodes
        answered: list[Step] = [()] * len(self.kinds)  # lost saves, answered ahead of their turn
        world = self.space.worlds.start
        for target in way[1:]:
            step, at, world = self._step_to(target, at, world)
            slot = -1 if step[0] == "world" else self.names.index(step[0])
            if slot >= 0:
                yield (step[0], *answered[slot], *step[1:])
                answered[slot] = ()
            else:
                yield step
            for other, number in enumerate(at):
                after = self.space.if_lost(self.kinds[other], number, world)
                if after != number:
                    at[other] = after
                    answered[other] = ("save: conflict",)

    def _step_to(self, target: np.uint64, at: list[int], world: int) -> tuple[Step, list[int], int]:
        """Find the step that leads to a state."""
        layout, actors = self.space.layout, self.space.actors
        rest = np.uint64(layout.fault_bits)
        for step, then, after in self._every_step(at, world):
            places = [actors[kind].place(n) for kind, n in zip(self.kinds, then, strict=True)]
            state = self.space.answered(layout.pack(after, places))[0]
            if state >> rest == target >> rest:
                return step, then, after
        msg = "a state that no step leads to"
        raise AssertionError(msg)

    def _every_step(self, at: list[int], world: int) -> Iterator[tuple[Step, list[int], int]]:
        for what, _, after in self.space.environment.happenings(world):
            yield ("world", what), at, after
        for slot, kind in enumerate(self.kinds):
            if at[slot] != IDLE:
                dead = [*at[:slot], IDLE, *at[slot + 1 :]]
                yield (self.names[slot], "dies"), dead, world
            for number, begin, done in self._starts(kind, at[slot], world):
                yield from self._steps_of(slot, number, begin, done, at)

    def _starts(self, kind: str, number: int, world: int) -> list[tuple[int, int, Step]]:
        """List the nodes from which an actor may go on, with the world and the calls so far."""
        roots = self.space.actors[kind].roots
        if number != IDLE:
            return [(number, world, ())]
        if kind != "user":
            return [(root, world, ()) for root in roots.values()]
        begun = [
            (p, self.space.environment.requested(world, p.removeprefix("ask "))) for p in roots
        ]
        return [(roots[program], then, (program,)) for program, then in begun if then is not None]

    def _steps_of(
        self, slot: int, number: int, world: int, done: Step, at: list[int]
    ) -> Iterator[tuple[Step, list[int], int]]:
        worlds, actors = self.space.worlds, self.space.actors[self.kinds[slot]]
        for node, after, _, calls in paths(actors, number, world, done):
            raised = actors.nodes[node].raised
            end = worlds.intern_bad(worlds.worlds[after], raised) if raised else after
            then = [*at[:slot], IDLE if raised else node, *at[slot + 1 :]]
            yield (self.names[slot], *calls), then, end
