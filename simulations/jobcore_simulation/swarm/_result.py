"""The result of one run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from jobcore import Status
from jobcore.lifecycle import Violation

__all__ = ["Result"]


@dataclass(slots=True)
class Result:
    """
    The figures of a run.

    Attributes:
        found: the broken invariants; empty in a good run.
        calls: port calls.
        faults: faults that were drawn, whether they were kept or not.
        struck: the numbers of the faults that were kept and struck.
        rounds: rounds of phase 2 until everything had ended.
        seconds: simulated seconds.
        calls_max: the most port calls of one tick, divided by the number of jobs and one.
        digest: a checksum of calls, faults and ends; two runs with the same digest are the same run.
        cells: the number of times that each (call, fault) was reached.
        edges: the number of writes of each change of status.
        ends: the number of jobs left in each status.
    """

    seed: int
    found: list[Violation] = field(default_factory=list)
    calls: int = 0
    faults: int = 0
    struck: list[int] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0
    calls_max: int = 0
    digest: int = 0
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    edges: Counter[tuple[Status, Status]] = field(default_factory=Counter)
    ends: Counter[Status] = field(default_factory=Counter)
