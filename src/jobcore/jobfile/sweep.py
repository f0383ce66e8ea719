"""The hyperparameters of the jobs of a sweep: all combinations, a random sample of them, and a list."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jobcore.checks import described
from jobcore.errors import InvalidJob, Problem
from jobcore.lifecycle.model import Json
from jobcore.lifecycle.names import hash_fraction

from .fields import FieldReader
from .ranges import SWEEP_JOBS_MAX, Axis, Span, read_axis

__all__ = [
    "SWEEP_JOBS_MAX",
    "Sweep",
    "expand_sweep",
    "read_sweep",
]

_SEED_MAX = 2**63 - 1


class Sweep(NamedTuple):
    """The parts of a job file's ``sweep``: the arguments of `expand_sweep`."""

    grid: Mapping[str, object]
    points: Sequence[object]
    random: Mapping[str, object] | None


def read_sweep(table: object) -> Sweep:
    """
    Read the table ``sweep`` of a job file into its parts: ``grid``, ``list`` and ``random``.

    Raises:
        InvalidJob: with every problem: it is no table, a part is of another kind or unknown.
    """
    if not isinstance(table, Mapping):
        raise InvalidJob([Problem("sweep", f"expected a table, got {described(table)}")])
    problems: list[Problem] = []
    read = FieldReader(table, problems, "sweep.")
    grid = read.table("grid")
    points = read.get("list", list, "a list of tables", [])
    random = read.get("random", Mapping, "a table such as { count = 20, seed = 1 }")
    read.unknown_fields(
        {
            **dict.fromkeys(("points", "rows", "cases"), "the field is called list"),
            **dict.fromkeys(("params", "parameters", "axes", "values"), "the field is called grid"),
            **dict.fromkeys(
                ("sample", "samples", "count", "seed"), "it belongs into [sweep.random]"
            ),
        }
    )
    if problems:
        raise InvalidJob(problems)
    return Sweep(grid, points, random)


def expand_sweep(
    grid: Mapping[str, object],
    points: Sequence[object] = (),
    random: Mapping[str, object] | None = None,
) -> list[dict[str, Json]]:
    """
    List the hyperparameters of each job of a sweep: the combinations of the grid, then each point.

    Args:
        grid: by hyperparameter: a list of values, or a range as a table: ``from`` and ``to`` (both
            included), ``count`` values at equal distances, ``scale`` "linear" or "log". The values
            of a range whose ends are whole numbers are whole numbers, by default all of them.
        points: further combinations, each a table of hyperparameters.
        random: take ``count`` random combinations of the grid instead of all, drawn with ``seed``
            (0 if not given); a range without ``count`` is drawn from as a whole. The same grid and
            seed always give the same jobs, and a larger count adds jobs to those of a smaller one.
            No combination is drawn twice where there are finitely many.

    Raises:
        InvalidJob: with every problem: an empty list of values, a range that is none, a point that
            is no table, no job at all, or more than 10,000 jobs.
    """
    problems: list[Problem] = []
    sample = None if random is None else _read_sample(random, problems)
    axes: dict[str, Axis] = {}
    for name, values in grid.items():
        axis = read_axis(f"sweep.grid.{name}", values, problems, is_drawn=random is not None)
        if axis is not None:
            axes[name] = axis
    rows: list[dict[str, Json]] = []
    for number, point in enumerate(points):
        if isinstance(point, Mapping):
            rows.append(dict(point))
        else:
            problems.append(Problem(f"sweep.list[{number}]", "expected a table"))
    if not grid and not points:
        problems.append(Problem("sweep", "nothing to sweep; give a grid or a list"))
    elif not grid and random is not None:
        problems.append(Problem("sweep.random", "nothing to draw from; give a grid"))
    if problems:
        raise InvalidJob(problems)
    return [*_combinations(axes, sample, len(rows)), *rows]


class _Sample(NamedTuple):
    size: int
    seed: int


def _read_sample(table: Mapping[str, object], problems: list[Problem]) -> _Sample:
    read = FieldReader(table, problems, "sweep.random.")
    if table.get("count") is None:
        read.wrong("count", "missing; give the number of jobs to draw")
    count = read.integer("count", 1, 1, SWEEP_JOBS_MAX)
    sample = _Sample(count, read.integer("seed", 0, -_SEED_MAX, _SEED_MAX))
    read.unknown_fields()
    return sample


def _combinations(
    axes: Mapping[str, Axis], sample: _Sample | None, others: int
) -> Iterator[dict[str, Json]]:
    """
    Combine the values of the axes.

    Raises:
        InvalidJob: with *others* there are more jobs than allowed, or fewer than the sample has.
    """
    lists = {name: axis for name, axis in axes.items() if not isinstance(axis, Span)}
    # None if there are infinitely many.
    possible = math.prod(map(len, lists.values())) if len(lists) == len(axes) else None
    if sample is None:
        total = others + (possible if axes and possible is not None else 0)
    else:
        total = others + sample.size
    if total > SWEEP_JOBS_MAX:
        message = f"{total:,} jobs; at most {SWEEP_JOBS_MAX:,} in one sweep"
        raise InvalidJob([Problem("sweep", message)])
    if sample is not None and possible is not None and sample.size > possible:
        message = f"the grid has only {possible:,} combinations, got {sample.size:,}"
        raise InvalidJob([Problem("sweep.random.count", message)])
    if sample is not None:
        return _drawn(axes, sample, is_finite=possible is not None)
    if not axes:
        return iter(())
    return (dict(zip(lists, v, strict=True)) for v in itertools.product(*lists.values()))


def _drawn(
    axes: Mapping[str, Axis], sample: _Sample, *, is_finite: bool
) -> Iterator[dict[str, Json]]:
    """Draw combinations: each a pure function of the seed, the axes' names and the draw's number."""
    seen: set[tuple[int, ...]] = set()
    made = 0
    # To draw all of 10,000 combinations takes about 10,000 * ln(10,000), 92,000 draws: 0.5 s.
    for number in itertools.count():
        if made == sample.size:
            return
        fractions = {name: hash_fraction("sweep", sample.seed, name, number) for name in axes}
        if is_finite:
            places = tuple(_place(axis, fractions[name]) for name, axis in axes.items())
            if places in seen:
                continue
            seen.add(places)
        made += 1
        yield {
            name: axis.at(fractions[name])
            if isinstance(axis, Span)
            else axis[_place(axis, fractions[name])]
            for name, axis in axes.items()
        }


def _place(axis: Axis, fraction: float) -> int:
    return 0 if isinstance(axis, Span) else min(int(fraction * len(axis)), len(axis) - 1)
