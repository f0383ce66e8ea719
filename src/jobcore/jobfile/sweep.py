"""The hyperparameters of the jobs of a sweep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from jobcore.errors import InvalidJob, Problem
from jobcore.lifecycle.model import Json

__all__ = [
    "SWEEP_JOBS_MAX",
    "expand_sweep",
]

SWEEP_JOBS_MAX = 10_000


def expand_sweep(
    grid: Mapping[str, object], points: Sequence[object] = ()
) -> list[dict[str, Json]]:
    """
    List the hyperparameters of each job of a sweep: all combinations of the grid, then each point.

    Args:
        grid: a list of values by hyperparameter.
        points: further combinations, each a table of hyperparameters.

    Raises:
        InvalidJob: with every problem: an empty list of values, a point that is no table, no job
            at all, or more than 10,000 jobs.
    """
    problems: list[Problem] = []
    axes: dict[str, Sequence[Json]] = {}
    rows: list[dict[str, Json]] = []
    for name, values in grid.items():
        if isinstance(values, list | tuple) and values:
            axes[name] = values
        else:
            problem = Problem(f"sweep.grid.{name}", "expected a list with at least one value")
            problems.append(problem)
    for number, point in enumerate(points):
        if isinstance(point, Mapping):
            rows.append(dict(point))
        else:
            problems.append(Problem(f"sweep.list[{number}]", "expected a table"))
    if not grid and not points:
        problems.append(Problem("sweep", "nothing to sweep; give a grid or a list"))
    if problems:
        raise InvalidJob(problems)
    total = len(rows) + (math.prod(map(len, axes.values())) if axes else 0)
    if total > SWEEP_JOBS_MAX:
        problem = Problem("sweep", f"{total:,} jobs; at most {SWEEP_JOBS_MAX:,} in one sweep")
        raise InvalidJob([problem])
    combinations = itertools.product(*axes.values()) if axes else ()
    return [*(dict(zip(axes, values, strict=True)) for values in combinations), *rows]
