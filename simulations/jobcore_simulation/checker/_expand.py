"""The transitions of one actor, and of the environment, in one world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

from ._calls import Calls
from ._environment import Environment
from ._nodes import IDLE, Actors
from ._tables import Transition

__all__ = ["Expander", "SpareStep", "site_of"]

#: By (node, world) after a step: by the faults that it costs, the cells that it stands for.
_Found: TypeAlias = dict[tuple[int, int], dict[int, set[str]]]


class SpareStep(NamedTuple):
    """A step that adds no state, and counts as reached cells."""

    kind: str
    world: int
    place: int
    cost: int
    cells: tuple[str, ...]


class Expander:
    """
    Computes transitions, and labels each with the cells that it stands for.

    Attributes:
        label_names: the cells of each label, by its number.
        spare: steps that add no state: they change nothing, or a cheaper step has the same result.
    """

    def __init__(
        self, calls: Calls, environment: Environment, actors: Mapping[str, Actors]
    ) -> None:
        self.calls = calls
        self.worlds = calls.worlds
        self.environment = environment
        self.actors = actors
        self.label_names: list[tuple[str, ...]] = []
        self.spare: list[SpareStep] = []
        self._labels: dict[tuple[str, ...], int] = {}

    def of_actor(self, kind: str) -> Callable[[int, int], Iterator[Transition]]:
        """Return the function that lists the transitions of an actor at (place, world)."""
        return partial(self._expand, kind)

    def of_environment(self, node: int, world: int) -> Iterator[Transition]:
        """List the events of a world."""
        if self.worlds.bad[world]:
            return
        for what, cost, after in self.environment.happenings(world):
            if after != world:
                yield IDLE, after, cost, self._label((f"happens: {what}",))

    def _label(self, cells: tuple[str, ...]) -> int:
        number = self._labels.get(cells)
        if number is None:
            number = self._labels[cells] = len(self.label_names)
            self.label_names.append(cells)
        return number

    def _expand(self, kind: str, place: int, world: int) -> Iterator[Transition]:
        if self.worlds.bad[world]:
            return
        actors = self.actors[kind]
        node = actors.places[place]
        found: _Found = {}
        if node == IDLE:
            self._begin(actors, kind, world, found)
        else:
            self._go_on(actors, node, world, 0, (), found)
            if actors.nodes[node].call is not None:
                _add(found, IDLE, world, 1, {f"{site_of(actors, node)}: dies"})
        for (after, then), by_cost in found.items():
            cost = min(by_cost)
            changes = (after, then) != (node, world)
            if changes:
                label = self._label(tuple(sorted(by_cost[cost])))
                yield actors.place(after), then, cost, label
            for more, cells in by_cost.items():
                if more > cost or not changes:
                    self.spare.append(SpareStep(kind, world, place, more, tuple(cells)))

    def _begin(self, actors: Actors, kind: str, world: int, found: _Found) -> None:
        for program, root in actors.roots.items():
            begun: int | None = world
            if kind == "user":
                begun = self.environment.requested(world, program.removeprefix("ask "))
            if begun is None:
                continue
            for first, cost, cells in actors.settled(root):
                if first != IDLE:
                    self._go_on(actors, first, begun, cost, cells, found)
                else:
                    _add(found, IDLE, world, cost, set(cells))

    def _go_on(
        self,
        actors: Actors,
        number: int,
        world: int,
        cost: int,
        cells: tuple[str, ...],
        found: _Found,
    ) -> None:
        """Answer the call of a node with each of its outcomes."""
        node = actors.nodes[number]
        if node.raised or node.call is None:
            bad = self.worlds.intern_bad(self.worlds.worlds[world], node.raised)
            _add(found, IDLE, bad, cost, {f"{node.program}: raises"})
            return
        site = site_of(actors, number)
        for what, more, reply, then in self.calls.outcomes(node.call, world):
            for after, yet, further in actors.settled(actors.child(number, reply)):
                raised = actors.nodes[after].raised
                if raised:
                    later = self.worlds.intern_bad(self.worlds.worlds[then], raised)
                    _add(found, IDLE, later, cost + more + yet, {f"{site}: {what}"})
                    continue
                reached = {f"{site}: {what}", *cells, *further}
                _add(found, after, then, cost + more + yet, reached)


def site_of(actors: Actors, number: int) -> str:
    """Name the place in the code at which a node waits: program, functions and method."""
    node = actors.nodes[number]
    assert node.call is not None
    return f"{node.program}: {node.site}: {node.call[0]}"


def _add(found: _Found, node: int, world: int, cost: int, cells: set[str]) -> None:
    found.setdefault((node, world), {}).setdefault(cost, set()).update(cells)
