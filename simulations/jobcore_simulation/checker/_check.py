"""Breadth-first over all interleavings: a state is one number, a level is one sorted array."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ._expand import site_of
from ._heal import Healer
from ._paths import Step
from ._scope import Scope
from ._space import CHUNK, Space
from ._states import States, fresh, merge, most_faults, unique
from ._tables import grown
from ._trace import trace

__all__ = ["Checker", "Found", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A violation, and the shortest trace to it; *environment*: that of the healing in which it was found."""

    wrong: str
    steps: tuple[Step, ...] = ()
    environment: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """
    The figures of an exploration.

    Attributes:
        depth: the number of the last level that had states.
        worlds, nodes: the numbers of those reached.
        runs: the number of runs of production code.
        rounds: the most rounds that a world took to heal.
        seconds: CPU seconds.
        exhausted: whether every state was reached.
        found: the first violation; None if there was none.
        cells: the cells (call site and outcome) that were reached.
    """

    scope: Scope
    states: int = 0
    transitions: int = 0
    depth: int = 0
    worlds: int = 0
    nodes: int = 0
    runs: int = 0
    rounds: int = 0
    seconds: float = 0.0
    exhausted: bool = False
    found: Found | None = None
    cells: set[str] = field(default_factory=set)


class Checker:
    """
    One exploration of one scope.

    Args:
        keep_levels: whether the states of all levels are kept, so that a violation can be traced.
    """

    def __init__(self, scope: Scope, *, keep_levels: bool = True) -> None:
        self.scope = scope
        self.space = Space(scope)
        self.worlds, self.actors = self.space.worlds, self.space.actors
        self.healer = Healer(self.space.calls)
        self.keep_levels = keep_levels
        self.levels: list[States] = []
        #: By number of a world, whether it was reached, checked and healed.
        self.checked: npt.NDArray[np.bool_] = np.zeros(1024, np.bool_)
        self._seen: list[States] = []
        self._label_counts: npt.NDArray[np.int64] = np.zeros(1 << 12, np.int64)

    def run(
        self,
        *,
        seconds: float = 3600.0,
        states_max: int = 1 << 40,
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """
        Explore until every state was reached, an invariant is broken, or a bound is reached.

        Args:
            seconds: a bound, in CPU seconds.
            states_max: a bound on the number of states.
            progress: called after each level.
        """
        began = time.process_time()
        report = Report(scope=self.scope)
        frontier = self.space.start()
        while frontier.size:
            report.states += len(frontier)
            if self.keep_levels:
                self.levels.append(frontier)
            report.found = self._check_worlds(frontier, report)
            report.seconds = time.process_time() - began
            if progress is not None:
                progress(report)
            if report.found is not None:
                break
            if report.seconds > seconds or report.states > states_max:
                break
            merge(self._seen, frontier)
            frontier = self._next_level(frontier, report)
            report.depth += bool(frontier.size)
        else:
            report.exhausted = True
        report.worlds = int(self.checked.sum())
        report.nodes = sum(len(actors.nodes) for actors in self.actors.values())
        report.runs = sum(actors.runs for actors in self.actors.values()) + self.healer.runs
        report.cells = self._cells()
        report.seconds = time.process_time() - began
        return report

    def _next_level(self, frontier: States, report: Report) -> States:
        """Return the new states that follow a level."""
        bits = self.space.layout.fault_bits
        parts: list[States] = []
        for start in range(0, len(frontier), CHUNK):
            new: list[States] = []
            for states, _, labels in self.space.successors(frontier[start : start + CHUNK]):
                report.transitions += len(states)
                self._count(labels)
                new.append(states)
            if new:
                after = unique(self.space.answered(unique(np.concatenate(new))))
                parts.append(fresh(most_faults(after, bits), self._seen, bits))
        if not parts:
            return np.zeros(0, np.uint64)
        return parts[0] if len(parts) == 1 else most_faults(unique(np.concatenate(parts)), bits)

    def _count(self, labels: npt.NDArray[np.int32]) -> None:
        counts = np.bincount(labels)
        if len(counts) > len(self._label_counts):
            self._label_counts = grown(self._label_counts, 2 * len(counts))
        self._label_counts[: len(counts)] += counts

    # --- worlds ---

    def _check_worlds(self, frontier: States, report: Report) -> Found | None:
        """Check the worlds of a level that are new, and let each of them heal."""
        reached = self.space.layout.world(frontier)
        known = len(self.worlds.worlds)
        if known > len(self.checked):
            self.checked = grown(self.checked, 2 * known)
        new = reached[~self.checked[reached]]
        if not new.size:
            return None
        new = np.unique(new)
        self.checked[new] = True
        for world in new.tolist():
            if self.worlds.bad[world]:
                return self._found(world, self.worlds.worlds[world].bad)
        for world in new.tolist():
            rounds, wrong, environment = self.healer.heal(world)
            report.rounds = max(report.rounds, rounds)
            if wrong:
                return self._found(world, wrong, environment)
        return None

    def _found(self, world: int, wrong: str, environment: str = "") -> Found:
        steps = trace(self.space, self.levels, world) if self.keep_levels else ()
        return Found(wrong=wrong, environment=environment, steps=steps)

    # --- cells ---

    def _cells(self) -> set[str]:
        """Collect the cells that were reached."""
        cells: set[str] = set()
        expander = self.space.expander
        for number, names in enumerate(expander.label_names):
            if self._label_counts[number]:
                cells.update(names)
        for step in expander.spare:
            table = self.space.tables[step.kind]
            row = table.rows[step.world, step.place]
            if step.cost == 0 or (step.cost == 1 and table.faulty[row]):
                cells.update(step.cells)
        for kind, actors in self.actors.items():
            for cost, names in actors.spare:  # at the beginning of ticks, where all faults are left
                if cost <= self.scope.faults:
                    cells.update(names)
            for place in np.flatnonzero(self.space.lost_at[kind]).tolist():
                cells.add(f"{site_of(actors, actors.places[place])}: conflict")
            for program, site, method in actors.probed:
                call = f"{program}: {site}: {method}"
                cells.update(f"{call}: {outcome}" for outcome in ("ok", "unavailable"))
        return cells
