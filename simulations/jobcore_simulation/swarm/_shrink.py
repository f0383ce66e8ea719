"""Seeds, one after the other; and what of a bad one is needed to be bad."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobcore import Status
from jobcore.lifecycle import Violation
from jobcore_sqlite import SqliteStore

from ._draw import CELLS, draw
from ._world import Result, World

__all__ = ["Case", "Tally", "adapters_of", "run_case", "run_seeds", "shrink"]

_MEMORY_EVERY = 64
_SQLITE_EVERY = 1024
# One seed in some ten thousand: two launches that cross, and a hold between the answers.
_RARE = frozenset({(Status.HELD, Status.LAUNCHED)})
_TWICE_EVERY = 256  # is run again, and must be the same run


def adapters_of(seed: int) -> str:
    """Say which store and trainer a seed runs on: now and then the shipped ones."""
    if seed % _SQLITE_EVERY == _SQLITE_EVERY // 2 - 1:
        return "sqlite"
    return "memory" if seed % _MEMORY_EVERY == _MEMORY_EVERY - 1 else "tiny"


@dataclass(frozen=True, slots=True)
class Case:
    """
    A seed, or a part of it; see `World` for *steps*, *jobs* and *keep*.

    As a command: ``python -m proof.swarm`` and `Case.options`.
    """

    seed: int
    adapters: str = "tiny"
    steps: int | None = None
    jobs: Sequence[int] | None = None
    keep: Sequence[int] | None = None

    @property
    def options(self) -> str:
        """Give the options that replay the case."""
        said = f"--replay {self.seed}"
        if self.adapters != adapters_of(self.seed):
            said += f" --adapters {self.adapters}"
        for name, numbers in (("jobs", self.jobs), ("faults", self.keep)):
            if numbers is not None:
                said += f" --{name} {','.join(map(str, numbers)) or 'none'}"
        return said if self.steps is None else f"{said} --steps {self.steps}"


def run_case(case: Case, note: Callable[[str], None] | None = None) -> Result:
    """Run a case."""
    config = draw(case.seed, case.adapters)
    keep = None if case.keep is None else frozenset(case.keep)
    jobs = None if case.jobs is None else frozenset(case.jobs)
    with ExitStack() as stack:
        store = None
        if case.adapters == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcore-swarm-"))
            store = stack.enter_context(SqliteStore(Path(folder) / "jobs.db"))
        return World(config, store=store, keep=keep, jobs=jobs, steps=case.steps, note=note).run()


@dataclass(slots=True)
class Tally:
    """What many seeds have come to."""

    seeds: int = 0
    calls: int = 0
    faults: int = 0
    seconds: float = 0.0
    digest: int = 0
    calls_max: int = 0
    slowest: tuple[int, int] = (0, 0)  # rounds, and the seed that took them
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
        self.digest ^= hash((result.seed, result.digest))  # of ints: the same everywhere
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
        """Name what should have been reached and was not: faults, and changes of status but rare ones."""
        cells = [f"{call} x {kind}" for call, kind in sorted(CELLS - set(self.cells))]
        edges = [f"{a} -> {b}" for a, b in sorted(_edges() - _RARE - set(self.edges))]
        return [*cells, *edges]


def _edges() -> set[tuple[Status, Status]]:
    from jobcore.lifecycle import TRANSITIONS, Go

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


def shrink(case: Case, *, trials: int = 400) -> Case:
    """Leave out faults, jobs and steps while the first thing found is of the same kind."""
    first = run_case(case)
    code = first.found[0].code
    left = trials

    def is_bad(smaller: Case) -> bool:
        nonlocal left
        left -= 1
        found = run_case(smaller).found
        return bool(found) and found[0].code == code

    def fewer(kept: Sequence[int], make: Callable[[Sequence[int]], Case]) -> Sequence[int]:
        """Take out halves, then quarters, and so on, as long as it stays bad."""
        size = max(1, (len(kept) + 1) // 2)
        while left > 0 and kept:
            for start in range(0, len(kept), size):
                rest = [*kept[:start], *kept[start + size :]]
                if left > 0 and is_bad(make(rest)):
                    kept = rest
                    break
            else:
                if size == 1:
                    break
                size = max(1, size // 2)
        return kept

    everything = replace(case, keep=first.struck)
    if is_bad(everything):
        case = everything
        keep = fewer(first.struck, lambda kept: replace(everything, keep=kept))
        case = replace(case, keep=keep)
    base = case
    config = draw(case.seed, case.adapters)
    numbers = list(range(len(config.specs))) if case.jobs is None else list(case.jobs)
    jobs = fewer(numbers, lambda kept: replace(base, jobs=kept))
    if len(jobs) < len(numbers):
        case = replace(case, jobs=jobs)
    steps = config.steps if case.steps is None else case.steps
    for smaller in (steps // 8, steps // 4, steps // 2, steps * 3 // 4):
        if is_bad(replace(case, steps=smaller)):
            case = replace(case, steps=smaller)
            break
    if case.keep:
        base = case
        keep = fewer(list(case.keep), lambda kept: replace(base, keep=kept))
        case = replace(case, keep=keep)
    return case
