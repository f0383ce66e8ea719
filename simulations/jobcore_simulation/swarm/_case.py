"""Cases: a seed or a part of its run, as options of the command, and `run_case`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jobcore_sqlite import SqliteStore

from ._draw import draw
from ._result import Result
from ._world import World

__all__ = ["Case", "adapters_of", "run_case"]

_MEMORY_EVERY = 64
_SQLITE_EVERY = 1024


def adapters_of(seed: int) -> str:
    """
    Name the store and trainer of a seed.

    Most seeds use the swarm's own, which are faster; some use the memory or SQLite store.
    """
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
        """Return the options that replay the case."""
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
