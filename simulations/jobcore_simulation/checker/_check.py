"""Breadth-first over all interleavings: a state is one number, a level is one sorted array."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ._actors import IDLE, Actors
from ._heal import Healer
from ._replay import Step, paths, programs_of
from ._scope import Scope
from ._world import Worlds

__all__ = ["Checker", "Found", "Report"]

States: TypeAlias = npt.NDArray[np.uint64]

CHUNK = 1 << 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A violation: what is wrong, and the shortest way to it."""

    wrong: str
    steps: tuple[Step, ...] = ()
    environment: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """What was explored, in numbers."""

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


class _Column:
    """A growing array."""

    def __init__(self, kind: type[np.generic], first: list[int]) -> None:
        self.array: npt.NDArray[Any] = np.array(first, kind)
        self.size = len(first)

    def extend(self, values: list[int]) -> None:
        size = self.size + len(values)
        if size > len(self.array):
            grown = np.zeros(max(1024, 2 * size), self.array.dtype)
            grown[: self.size] = self.array[: self.size]
            self.array = grown
        self.array[self.size : size] = values
        self.size = size


class _Table:
    """The transitions of one kind of actor, by (world, node): rows of one long list."""

    def __init__(self, expand: Callable[[int, int], Iterator[tuple[int, int, int, int]]]) -> None:
        self.expand = expand
        self.rows: npt.NDArray[np.int32] = np.zeros((1024, 64), np.int32)
        self.starts = _Column(np.int64, [0, 0])  # row 0: not expanded yet
        self.node, self.world = _Column(np.int32, []), _Column(np.int32, [])
        self.cost, self.label = _Column(np.int8, []), _Column(np.int32, [])
        self.faulty: npt.NDArray[np.bool_] = np.zeros(1024, np.bool_)

    def look(self, worlds: npt.NDArray[Any], nodes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Give the rows of these pairs; what is not known yet is found out."""
        w, n = int(worlds.max()) + 1, int(nodes.max()) + 1
        have = self.rows.shape
        if w > have[0] or n > have[1]:
            shape = (
                max(have[0], 1 << (w - 1).bit_length()),
                max(have[1], 1 << (n - 1).bit_length()),
            )
            grown = np.zeros(shape, np.int32)
            grown[: have[0], : have[1]] = self.rows
            self.rows = grown
        rows = self.rows[worlds, nodes]
        missing = np.flatnonzero(rows == 0)
        if missing.size:
            self._find_out(worlds[missing], nodes[missing])
            rows = self.rows[worlds, nodes]
        found: npt.NDArray[np.int32] = rows
        return found

    def note(self, rows: npt.NDArray[np.int32]) -> None:
        """Note that these rows were met with a fault left."""
        if self.starts.size > len(self.faulty):
            grown = np.zeros(2 * self.starts.size, np.bool_)
            grown[: len(self.faulty)] = self.faulty
            self.faulty = grown
        self.faulty[rows] = True

    def _find_out(self, worlds: npt.NDArray[Any], nodes: npt.NDArray[Any]) -> None:
        width = self.rows.shape[1]
        keys = worlds.astype(np.int64) * width + nodes.astype(np.int64)
        keys.sort()
        keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
        row, end = self.starts.size - 1, self.node.size
        rows: list[int] = []
        starts: list[int] = []
        found: list[tuple[int, int, int, int]] = []
        for key in keys.tolist():
            world, node = divmod(key, width)
            found += self.expand(node, world)
            rows.append(row + len(rows))
            starts.append(end + len(found))
        self.rows.reshape(-1)[keys] = rows
        self.starts.extend(starts)
        if found:
            for column, values in zip(
                (self.node, self.world, self.cost, self.label),
                zip(*found, strict=True),
                strict=True,
            ):
                column.extend(list(values))


#: Where a step leads (node, world): by the faults that it costs, the cells it stands for.
_Best: TypeAlias = dict[tuple[int, int], dict[int, set[str]]]


def _add(best: _Best, node: int, world: int, cost: int, names: set[str]) -> None:
    best.setdefault((node, world), {}).setdefault(cost, set()).update(names)


class Checker:
    """One exploration of one scope."""

    def __init__(self, scope: Scope, *, keep_levels: bool = True) -> None:
        self.scope = scope
        self.worlds = Worlds(scope)
        self.kinds = scope.slot_kinds
        self.actors = {
            kind: Actors(
                self.worlds,
                programs_of(scope, kind),
            )
            for kind in dict.fromkeys(self.kinds)
        }
        self.answers_ahead = scope.merge and scope.jobs == 1 and self.worlds.compare_and_set
        self.healer = Healer(self.worlds)
        self.labels: dict[tuple[str, ...], int] = {}
        self.label_names: list[tuple[str, ...]] = []
        self.tables = {kind: _Table(self._expander(kind)) for kind in self.actors}
        self.tables["happens"] = _Table(self._happens)
        self.versions: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # of the job, by world
        # By place: the version over which it is about to save, and its place if that is lost.
        self.save_of = {kind: _Column(np.int64, []) for kind in self.actors}
        self.conflict_of = {kind: _Column(np.int64, []) for kind in self.actors}
        self.asides: list[tuple[str, int, int, int, tuple[str, ...]]] = []
        self.lost_at = {kind: np.zeros(1 << 16, np.bool_) for kind in self.actors}
        self.label_counts = np.zeros(1 << 12, np.int64)
        self.levels: list[States] = []
        self.keep_levels = keep_levels
        self.checked: npt.NDArray[np.bool_] = np.zeros(1024, np.bool_)  # worlds reached, and healed
        bits = {"launch": 12, "monitor": 11, "reap": 4, "notify": 10, "user": 8, **scope.bits}
        # From the low end: faults left, the actors, the world.
        self.shifts: list[int] = []
        self.fault_bits = max(1, scope.faults.bit_length())
        at = self.fault_bits
        for kind in self.kinds:
            self.shifts.append(at)
            at += bits[kind]
        self.bits = [bits[kind] for kind in self.kinds]
        self.world_shift = at
        self.world_max = 1 << (64 - at)

    # --- transitions ---

    def _label(self, cells: tuple[str, ...]) -> int:
        number = self.labels.get(cells)
        if number is None:
            number = self.labels[cells] = len(self.label_names)
            self.label_names.append(cells)
        return number

    def _happens(self, node: int, world: int) -> Iterator[tuple[int, int, int, int]]:
        if self.worlds.bad[world]:
            return
        for what, cost, after in self.worlds.happenings(world):
            if after != world:
                yield IDLE, after, cost, self._label((f"happens: {what}",))

    def _expander(self, kind: str) -> Callable[[int, int], Iterator[tuple[int, int, int, int]]]:
        actors, worlds = self.actors[kind], self.worlds

        def expand(place: int, world: int) -> Iterator[tuple[int, int, int, int]]:
            node = actors.places[place]
            if worlds.bad[world]:
                return
            best: _Best = {}
            if node != IDLE:
                self._moves(actors, node, world, 0, (), best)
                if actors.nodes[node].call is not None:
                    _add(best, IDLE, world, 1, {f"{self._site(actors, node)}: dies"})
            else:
                for program, root in actors.roots.items():
                    begun: int | None = world
                    if kind == "user":
                        begun = worlds.asked(world, program.removeprefix("ask "))
                    if begun is None:
                        continue
                    for first, cost, cells in actors.settled(root):
                        if first != IDLE:
                            self._moves(actors, first, begun, cost, cells, best)
                        else:
                            _add(best, IDLE, world, cost, set(cells))
            for (after, then), by_cost in best.items():
                cost = min(by_cost)
                changes = (after, then) != (node, world)
                if changes:
                    yield actors.place(after), then, cost, self._label(tuple(sorted(by_cost[cost])))
                for more, names in by_cost.items():
                    if more > cost or not changes:  # leads nowhere else, and counts as a cell
                        self.asides.append((kind, world, place, more, tuple(names)))

        return expand

    @staticmethod
    def _site(actors: Actors, number: int) -> str:
        node = actors.nodes[number]
        assert node.call is not None
        return f"{node.program}: {node.site}: {node.call[0]}"

    def _moves(
        self,
        actors: Actors,
        number: int,
        world: int,
        cost: int,
        cells: tuple[str, ...],
        best: _Best,
    ) -> None:
        node = actors.nodes[number]
        if node.raised or node.call is None:
            bad = self.worlds.intern(self.worlds.worlds[world]._replace(bad=node.raised))
            _add(best, IDLE, bad, cost, {f"{node.program}: raises"})
            return
        site = self._site(actors, number)
        for what, more, reply, then in self.worlds.outcomes(node.call, world):
            for after, yet, further in actors.settled(actors.child(number, reply)):
                raised = actors.nodes[after].raised
                if raised:
                    later = self.worlds.intern(self.worlds.worlds[then]._replace(bad=raised))
                    _add(best, IDLE, later, cost + more + yet, {f"{site}: {what}"})
                    continue
                _add(best, after, then, cost + more + yet, {f"{site}: {what}", *cells, *further})

    # --- levels ---

    def _field(self, states: States, slot: int) -> npt.NDArray[np.int64]:
        mask = np.uint64((1 << self.bits[slot]) - 1)
        return ((states >> np.uint64(self.shifts[slot])) & mask).astype(np.int64)

    def _world_of(self, states: States) -> npt.NDArray[np.int64]:
        return (states >> np.uint64(self.world_shift)).astype(np.int64)

    def successors(
        self, states: States
    ) -> Iterator[tuple[str, States, npt.NDArray[Any], npt.NDArray[Any]]]:
        """Give, for each actor, all states that follow, the index of the one before, and the labels."""
        worlds = self._world_of(states)
        faults = (states & np.uint64((1 << self.fault_bits) - 1)).astype(np.int8)
        zeros = np.zeros(len(states), np.int64)
        for slot, kind in [*enumerate(self.kinds), (-1, "happens")]:
            nodes = zeros if slot < 0 else self._field(states, slot)
            table = self.tables[kind]
            rows = table.look(worlds, nodes)
            table.note(rows[faults > 0])
            starts = table.starts.array
            first = starts[rows]
            counts = starts[rows + 1] - first
            total = int(counts.sum())
            if not total:
                continue
            source = np.repeat(np.arange(len(states)), counts)
            ends = np.cumsum(counts)
            at = np.arange(total) + np.repeat(first - (ends - counts), counts)
            cost = table.cost.array[at]
            may = cost <= faults[source]
            source, at, cost = source[may], at[may], cost[may]
            then = table.world.array[at].astype(np.uint64)
            if len(self.worlds.worlds) > self.world_max:
                msg = f"{self.scope.name}: more worlds than {self.world_max}"
                raise OverflowError(msg)
            old = states[source]
            keep = np.uint64((1 << self.world_shift) - 1)
            if slot >= 0:
                keep &= ~np.uint64(((1 << self.bits[slot]) - 1) << self.shifts[slot])
            new = (old & keep) | (then << np.uint64(self.world_shift))
            if slot >= 0:
                node = table.node.array[at]
                if len(self.actors[kind].places) > 1 << self.bits[slot]:
                    msg = f"{self.scope.name}: more than {1 << self.bits[slot]} nodes of {kind}"
                    raise OverflowError(msg)
                new |= node.astype(np.uint64) << np.uint64(self.shifts[slot])
            new -= cost.astype(np.uint64)
            yield kind, self._sorted_alike(new), source, table.label.array[at]

    def _settle(self, states: States) -> States:
        """
        Let saves that have lost already be answered: versions only grow, so the answer is known.

        (Only one job: a save of several is not lost as a whole.) What is there afterwards is sorted.
        """
        return _unique(self._answered(states))

    def _answered(self, states: States) -> States:
        if not self.answers_ahead:
            return states
        self._note_versions()
        now = self.versions[self._world_of(states)]
        for slot, kind in enumerate(self.kinds):
            places = self._field(states, slot)
            lost = np.flatnonzero(self.save_of[kind].array[places] < now)
            if lost.size:
                self.lost_at[kind][places[lost]] = True
                after = self.conflict_of[kind].array[places[lost]].astype(np.uint64)
                mask = ~np.uint64(((1 << self.bits[slot]) - 1) << self.shifts[slot])
                states[lost] = (states[lost] & mask) | (after << np.uint64(self.shifts[slot]))
        return self._sorted_alike(states)

    def _note_versions(self) -> None:
        worlds = self.worlds
        if len(worlds.worlds) > len(self.versions):
            more = [worlds.jobs[w.jobs[0]].version for w in worlds.worlds[len(self.versions) :]]
            self.versions = np.concatenate([self.versions, np.array(more, np.int64)])
        for kind, actors in self.actors.items():
            while self.save_of[kind].size < len(actors.places):
                number = actors.places[self.save_of[kind].size]
                node = actors.nodes[number]
                version, place = 1 << 30, 0
                if node.call is not None and node.call[0] == "save":
                    lost = actors.child(number, ("saved", ((0, None),)))
                    ((after, cost, _), *others) = actors.settled(lost)
                    if not others and not cost:
                        version = worlds.jobs[node.call[1][0][1]].version
                        place = actors.place(after)
                self.save_of[kind].extend([version])
                self.conflict_of[kind].extend([place])

    def _sorted_alike(self, states: States) -> States:
        """Order actors of one kind by their nodes: they are interchangeable."""
        for kind in ("launch", "monitor", "reap", "notify"):
            slots = [slot for slot, of in enumerate(self.kinds) if of == kind]
            if len(slots) == 2:
                a, b = slots
                x, y = self._field(states, a), self._field(states, b)
                swap = ((x ^ y) * (x > y)).astype(np.uint64)
                states = (
                    states
                    ^ (swap << np.uint64(self.shifts[a]))
                    ^ (swap << np.uint64(self.shifts[b]))
                )
            elif len(slots) > 2:
                msg = f"{len(slots)} actors of kind {kind}; at most two are ordered"
                raise ValueError(msg)
        return states

    def run(
        self,
        *,
        seconds: float = 3600.0,
        states_max: int = 1 << 40,
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """Explore until everything was seen, something is wrong, or a bound is reached."""
        began = time.process_time()
        report = Report(scope=self.scope)
        start = (self.worlds.start << self.world_shift) | self.scope.faults
        frontier: States = np.array([start], np.uint64)
        seen: list[States] = []
        while frontier.size:
            report.states += len(frontier)
            if self.keep_levels:
                self.levels.append(frontier)
            report.found = self._look_at(frontier, report)
            report.seconds = time.process_time() - began
            if progress is not None:
                progress(report)
            if report.found is not None:
                break
            if report.seconds > seconds or report.states > states_max:
                break
            _merge(seen, frontier)
            frontier = self._next(frontier, seen, report)
            report.depth += bool(frontier.size)
        else:
            report.exhausted = True
        report.worlds = int(self.checked.sum())
        report.nodes = sum(len(actors.nodes) for actors in self.actors.values())
        report.runs = sum(actors.runs for actors in self.actors.values()) + self.healer.runs
        for number, names in enumerate(self.label_names):
            for name in names if self.label_counts[number] else ():
                report.cells.add(name)
        for kind, world, place, cost, names in self.asides:
            table = self.tables[kind]
            if cost == 0 or (cost == 1 and table.faulty[table.rows[world, place]]):
                report.cells.update(names)
        for kind, actors in self.actors.items():
            for cost, names in actors.spare:  # at the beginning of ticks, where all faults are left
                report.cells.update(names if cost <= self.scope.faults else ())
            for place in np.flatnonzero(self.lost_at[kind]).tolist():
                report.cells.add(f"{self._site(actors, actors.places[place])}: conflict")
            for program, site, method in actors.probed:
                report.cells.update(
                    f"{program}: {site}: {method}: {x}" for x in ("ok", "unavailable")
                )
        report.seconds = time.process_time() - began
        return report

    def _next(self, frontier: States, seen: list[States], report: Report) -> States:
        parts: list[States] = []
        bits = self.fault_bits
        for start in range(0, len(frontier), CHUNK):
            chunk = frontier[start : start + CHUNK]
            new: list[States] = []
            for _, states, _, labels in self.successors(chunk):
                report.transitions += len(states)
                counts = np.bincount(labels)
                if len(counts) > len(self.label_counts):
                    more = np.zeros(2 * len(counts), np.int64)
                    more[: len(self.label_counts)] = self.label_counts
                    self.label_counts = more
                self.label_counts[: len(counts)] += counts
                new.append(states)
            if new:
                parts.append(
                    _fresh(_best(self._settle(_unique(np.concatenate(new))), bits), seen, bits)
                )
        if not parts:
            return np.zeros(0, np.uint64)
        return parts[0] if len(parts) == 1 else _best(_unique(np.concatenate(parts)), bits)

    # --- what must be so ---

    def _look_at(self, frontier: States, report: Report) -> Found | None:
        worlds = self._world_of(frontier)
        known = len(self.worlds.worlds)
        if known > len(self.checked):
            grown = np.zeros(2 * known, np.bool_)
            grown[: len(self.checked)] = self.checked
            self.checked = grown
        fresh = worlds[~self.checked[worlds]]
        if not fresh.size:
            return None
        fresh = np.unique(fresh)
        self.checked[fresh] = True
        for world in fresh.tolist():
            if self.worlds.bad[world]:
                return self._found(frontier, world, self.worlds.worlds[world].bad, "")
        for world in fresh.tolist():
            rounds, wrong, environment = self.healer.heal(world)
            report.rounds = max(report.rounds, rounds)
            if wrong:
                return self._found(frontier, world, wrong, environment)
        return None

    def _found(self, frontier: States, world: int, wrong: str, environment: str) -> Found:
        if not self.keep_levels:
            return Found(wrong=wrong, environment=environment)
        way = [frontier[self._world_of(frontier) == world][0]]
        for level in reversed(self.levels[:-1]):
            way.append(self._before(level, way[-1]))
        return Found(wrong=wrong, environment=environment, steps=tuple(self._steps(way[::-1])))

    def _before(self, level: States, target: np.uint64) -> np.uint64:
        for start in range(0, len(level), CHUNK):
            chunk = level[start : start + CHUNK]
            for _, states, source, _ in self.successors(chunk):
                hits = np.flatnonzero(self._answered(states) == target)
                if hits.size:
                    before: np.uint64 = chunk[source[hits[0]]]
                    return before
        msg = "a state without a way to it"
        raise AssertionError(msg)

    def _steps(self, way: list[np.uint64]) -> Iterator[Step]:
        """Put a way through the states into words; actors of a kind get a name each."""
        at = [IDLE] * len(self.kinds)  # nodes
        missed: list[Step] = [()] * len(self.kinds)  # saves that were answered ahead of their turn
        world = self.worlds.start
        for target in way[1:]:
            step, at, world = self._step_to(target, at, world)
            slot = -1 if step[0] == "world" else self._names.index(step[0])
            if slot >= 0:
                yield (step[0], *missed[slot], *step[1:])
                missed[slot] = ()
            else:
                yield step
            for other, number in enumerate(at):
                after = self._lost(self.kinds[other], number, world)
                if after != number:
                    at[other] = after
                    missed[other] = ("save: conflict",)

    @property
    def _names(self) -> list[str]:
        return [f"{kind} {self.kinds[: i + 1].count(kind)}" for i, kind in enumerate(self.kinds)]

    def _lost(self, kind: str, number: int, world: int) -> int:
        actors = self.actors[kind]
        place = actors.place(number)
        self._note_versions()
        if self.answers_ahead and self.save_of[kind].array[place] < self.versions[world]:
            return actors.places[int(self.conflict_of[kind].array[place])]
        return number

    def _step_to(self, target: np.uint64, at: list[int], world: int) -> tuple[Step, list[int], int]:
        """Find the step from here to a state."""
        for step, then, after in self._every_step(at, world):
            packed = np.array([after << self.world_shift], np.uint64)
            for slot, number in enumerate(then):
                place = self.actors[self.kinds[slot]].place(number)
                packed |= np.uint64(place << self.shifts[slot])
            rest = np.uint64(self.fault_bits)
            if self._answered(packed)[0] >> rest == target >> rest:
                return step, then, after
        msg = "a way that cannot be gone"
        raise AssertionError(msg)

    def _every_step(self, at: list[int], world: int) -> Iterator[tuple[Step, list[int], int]]:
        for what, _, after in self.worlds.happenings(world):
            yield ("world", what), at, after
        for slot, kind in enumerate(self.kinds):
            actors, name = self.actors[kind], self._names[slot]
            if at[slot] != IDLE:
                yield (name, "dies"), [*at[:slot], IDLE, *at[slot + 1 :]], world
                starts: list[tuple[int, int, Step]] = [(at[slot], world, ())]
            elif kind == "user":
                begun = [(p, self.worlds.asked(world, p[4:])) for p in actors.roots]
                starts = [(actors.roots[p], w, (p,)) for p, w in begun if w is not None]
            else:
                starts = [(root, world, ()) for root in actors.roots.values()]
            for number, begin, said in starts:
                for node, after, _, calls in paths(actors, number, begin, said):
                    bad = actors.nodes[node].raised
                    then = self.worlds.worlds[after]
                    end = self.worlds.intern(then._replace(bad=bad)) if bad else after
                    yield (name, *calls), [*at[:slot], IDLE if bad else node, *at[slot + 1 :]], end


def _unique(states: States) -> States:
    states.sort()
    if not states.size:
        return states
    return states[np.concatenate(([True], states[1:] != states[:-1]))]


def _best(states: States, bits: int) -> States:
    """Of states that differ in the faults left alone, keep the one with most: it can do what they can."""
    if not states.size:
        return states
    rest = states >> np.uint64(bits)
    return states[np.concatenate((rest[1:] != rest[:-1], [True]))]


def _fresh(states: States, seen: list[States], bits: int) -> States:
    """Leave out what was seen, with as many faults left or more; both are sorted."""
    for known in seen:
        at = np.searchsorted(known, states)
        at[at == len(known)] = 0  # the smallest; of the same rest only if it is itself as large
        same = (known[at] >> np.uint64(bits) == states >> np.uint64(bits)) & (known[at] >= states)
        states = states[~same]
    return states


def _merge(seen: list[States], new: States) -> None:
    """Keep few sorted runs, each at least twice as long as the next."""
    while seen and len(seen[-1]) < 2 * len(new):
        new = np.concatenate([seen.pop(), new])
        new.sort(kind="stable")
    seen.append(new)
