"""Many seeds, one after the other, and their figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from jobcore import Status
from jobcore.lifecycle import TRANSITIONS, Go, Violation

from ._case import Case, adapters_of, run_case
from ._draw import CELLS
from ._result import Result

__all__ = ["Tally", "run_seeds"]

# About one seed in ten thousand reaches it: two launches race, and a hold comes between the replies.
_RARE = frozenset({(Status.HELD, Status.LAUNCHED)})
_TWICE_EVERY = 256  # every 256th seed runs twice; both runs must have the same digest


@dataclass(slots=True)
class Tally:
    """The figures of many runs."""

    seeds: int = 0
    calls: int = 0
    faults: int = 0
    seconds: float = 0.0
    digest: int = 0
    calls_max: int = 0
    slowest: tuple[int, int] = (0, 0)  # most rounds, and the seed that took them
    rounds: Counter[int] = field(default_factory=Counter)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    edges: Counter[tuple[Status, Status]] = field(default_factory=Counter)
    ends: Counter[Status] = field(default_factory=Counter)
    adapters: Counter[str] = field(default_factory=Counter)
    bad: list[Result] = field(default_factory=list)

    def note(self, result: Result, adapters: str) -> None:
        """Add a seed."""
        self.seeds += 1
        self.calls += result.calls
        self.faults += len(result.struck)
        self.seconds += result.seconds
        self.digest ^= hash((result.seed, result.digest))  # ints hash alike in every process
        self.calls_max = max(self.calls_max, result.calls_max)
        self.rounds[result.rounds] += 1
        self.slowest = max(self.slowest, (result.rounds, result.seed))
        self.cells.update(result.cells)
        self.edges.update(result.edges)
        self.ends.update(result.ends)
        self.adapters[adapters] += 1
        if result.found:
            self.bad.append(result)

    def add(self, other: Tally) -> None:
        """Add the seeds of another process."""
        self.seeds += other.seeds
        self.calls += other.calls
        self.faults += other.faults
        self.seconds += other.seconds
        self.digest ^= other.digest
        self.calls_max = max(self.calls_max, other.calls_max)
        self.slowest = max(self.slowest, other.slowest)
        for mine, theirs in (
            (self.rounds, other.rounds),
            (self.cells, other.cells),
            (self.edges, other.edges),
            (self.ends, other.ends),
            (self.adapters, other.adapters),
        ):
            mine.update(theirs)  # type: ignore[arg-type]
        self.bad += other.bad

    def missing(self) -> list[str]:
        """Name the faults of calls and the changes of status, rare ones excepted, that no run reached."""
        cells = [f"{call} x {kind}" for call, kind in sorted(CELLS - set(self.cells))]
        edges = [f"{a} -> {b}" for a, b in sorted(_edges() - _RARE - set(self.edges))]
        return [*cells, *edges]


def _edges() -> set[tuple[Status, Status]]:
    return {
        (source, target)
        for source, row in TRANSITIONS.items()
        for cell in row.values()
        if isinstance(cell, Go)
        for target in cell.to
        if source is not target
    }


def run_seeds(seeds: Iterable[int], *, stop_at: int = 10) -> Tally:
    """Run seeds, and stop after *stop_at* bad ones."""
    tally = Tally()
    for seed in seeds:
        adapters = adapters_of(seed)
        result = run_case(Case(seed, adapters))
        if seed % _TWICE_EVERY == 0 and run_case(Case(seed, adapters)).digest != result.digest:
            result.found.append(Violation("D1", "", "the same seed is another run the second time"))
        tally.note(result, adapters)
        if len(tally.bad) >= stop_at:
            break
    return tally
