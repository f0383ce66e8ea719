"""The state space of a scope: its actors and worlds, and the successors of states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ._calls import Calls
from ._environment import Environment
from ._expand import Expander
from ._nodes import Actors
from ._paths import programs_of
from ._scope import Scope
from ._states import Layout, States
from ._tables import Column, Table
from ._world import Worlds

__all__ = ["CHUNK", "Space"]

#: The number of states expanded at once: numpy arrays of a few megabytes.
CHUNK = 1 << 19
_NEVER = 1 << 30  # a version that no job reaches


class Space:
    """
    The states of a scope.

    Attributes:
        kinds: the kind of each actor.
        actors: the nodes of each kind.
        tables: the transitions of each kind, and of "happens", the environment.
        lost_at: by kind and place, whether a save lost there was answered ahead of its turn.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.worlds = Worlds(scope)
        self.calls = Calls(self.worlds)
        self.environment = Environment(self.worlds)
        self.layout = Layout(scope)
        self.kinds = self.layout.kinds
        self.actors = {
            kind: Actors(self.calls, programs_of(scope, kind)) for kind in dict.fromkeys(self.kinds)
        }
        self.expander = Expander(self.calls, self.environment, self.actors)
        self.tables = {kind: Table(self.expander.of_actor(kind)) for kind in self.actors}
        self.tables["happens"] = Table(self.expander.of_environment)
        self.answers_ahead = scope.merge and scope.jobs == 1 and self.worlds.compare_and_set
        self.lost_at = {kind: np.zeros(1 << 16, np.bool_) for kind in self.actors}
        self._versions: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # of the job, by world
        # By place: the version over which it is about to save, and its place if that save is lost.
        self._saves_over = {kind: Column(np.int64, []) for kind in self.actors}
        self._place_if_lost = {kind: Column(np.int64, []) for kind in self.actors}

    def start(self) -> States:
        """Return the first state: all actors idle, no fault used."""
        return self.layout.pack(self.worlds.start, [0] * len(self.kinds), self.scope.faults)

    def successors(
        self, states: States
    ) -> Iterator[tuple[States, npt.NDArray[Any], npt.NDArray[Any]]]:
        """Give, for each actor, the states that follow, the index of the one before, the labels."""
        layout = self.layout
        worlds, faults = layout.world(states), layout.faults(states)
        idle = np.zeros(len(states), np.int64)
        for slot, kind in [*enumerate(self.kinds), (-1, "happens")]:
            table = self.tables[kind]
            rows = table.look_up(worlds, idle if slot < 0 else layout.place(states, slot))
            table.mark_faulty(rows[faults > 0])
            source, at, cost = table.transitions(rows, faults)
            if not len(source):
                continue
            places = len(self.actors[kind].places) if slot >= 0 else 0
            layout.check_room(len(self.worlds.worlds), slot, places)
            new = layout.with_world(states[source], table.world.array[at])
            if slot >= 0:
                new = layout.with_place(new, slot, table.node.array[at])
            new -= cost.astype(np.uint64)
            yield layout.sorted_alike(new), source, table.label.array[at]

    # --- saves that are lost ---

    def answered(self, states: States) -> States:
        """
        Answer saves that are lost already: versions only grow, so the answer is known.

        (With one job only: a save of several is not lost as a whole.) Changes *states*; they come
        out unsorted.
        """
        if not self.answers_ahead:
            return states
        self._note_versions()
        now = self._versions[self.layout.world(states)]
        for slot, kind in enumerate(self.kinds):
            places = self.layout.place(states, slot)
            lost = np.flatnonzero(self._saves_over[kind].array[places] < now)
            if lost.size:
                self.lost_at[kind][places[lost]] = True
                after = self._place_if_lost[kind].array[places[lost]]
                states[lost] = self.layout.with_place(states[lost], slot, after)
        return self.layout.sorted_alike(states)

    def if_lost(self, kind: str, number: int, world: int) -> int:
        """Return the node after a save that is lost in *world*; else *number* itself."""
        actors = self.actors[kind]
        place = actors.place(number)
        self._note_versions()
        if self.answers_ahead and self._saves_over[kind].array[place] < self._versions[world]:
            return actors.places[int(self._place_if_lost[kind].array[place])]
        return number

    def _note_versions(self) -> None:
        """Read the versions of new worlds, and the saves of new places."""
        worlds = self.worlds
        if len(worlds.worlds) > len(self._versions):
            more = [worlds.jobs[w.jobs[0]].version for w in worlds.worlds[len(self._versions) :]]
            self._versions = np.concatenate([self._versions, np.array(more, np.int64)])
        for kind, actors in self.actors.items():
            while self._saves_over[kind].size < len(actors.places):
                version, place = self._save_at(actors, actors.places[self._saves_over[kind].size])
                self._saves_over[kind].extend([version])
                self._place_if_lost[kind].extend([place])

    def _save_at(self, actors: Actors, number: int) -> tuple[int, int]:
        """Return the version over which a node saves, and the place of the node if that is lost."""
        node = actors.nodes[number]
        if node.call is not None and node.call[0] == "save":
            lost = actors.child(number, ("saved", ((0, None),)))
            ((after, cost, _), *others) = actors.settled(lost)
            if not others and not cost:
                return self.worlds.jobs[node.call[1][0][1]].version, actors.place(after)
        return _NEVER, 0
