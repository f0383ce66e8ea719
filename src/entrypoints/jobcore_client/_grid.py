"""Hyperparameters of many jobs: all combinations of values, a random sample of them, or values side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import jobcore
from jobcore.errors import InvalidJob, Problem

__all__ = ["Grid", "grid", "zip_grid"]


class Grid(Sequence[Mapping[str, Any]]):
    """
    The hyperparameters of the jobs of a sweep, in order; made by `grid` and `zip_grid`.

    Combinations are made on first use.
    """

    def __init__(
        self,
        axes: Mapping[str, Any],
        points: Sequence[Mapping[str, Any]] = (),
        random: Mapping[str, int] | None = None,
    ) -> None:
        self._axes, self._points, self._random = axes, points, random

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        try:
            return jobcore.jobfile.expand_sweep(self._axes, self._points, self._random)
        except InvalidJob as error:
            raise InvalidJob(
                Problem(field.removeprefix("sweep.").removeprefix("grid."), text)
                for field, text in error.problems
            ) from None

    def sample(self, count: int, *, seed: int = 0) -> Grid:
        """
        Draw random combinations instead of all.

        The same grid and seed always give the same jobs, and a larger count adds jobs to those of a
        smaller one. A range needs no ``count`` here.

        Raises:
            InvalidJob: on first use: the grid has fewer combinations.
        """
        return Grid(self._axes, (), {"count": count, "seed": seed})

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._all)

    def __repr__(self) -> str:
        return f"<Grid of {len(self)} jobs>"


def grid(**axes: Iterable[Any] | Mapping[str, Any]) -> Grid:
    """
    Combine each value of each hyperparameter with each value of the others.

    Args:
        axes: for each hyperparameter a list of values (any iterable but a text), or a range as job
            files have it: ``from`` and ``to`` (both included), ``count``, and ``scale`` "linear" or
            "log".

    Raises:
        TypeError: an axis is a single value.
        InvalidJob: on first use: a range is none, there is no combination, or more than 10,000.

    Example:
        >>> len(grid(lr=[0.1, 0.01], seed=range(5)))
        10
        >>> list(grid(lr={"from": 1e-3, "to": 1e-1, "count": 3, "scale": "log"}))
        [{'lr': 0.001}, {'lr': 0.01}, {'lr': 0.1}]
    """
    return Grid({name: _axis(name, values) for name, values in axes.items()})


def zip_grid(**axes: Iterable[Any]) -> Grid:
    """
    Combine the first value of each hyperparameter, then the second of each, and so on.

    Raises:
        TypeError: an axis is a single value.
        ValueError: the lists have different lengths.

    Example:
        >>> list(zip_grid(lr=[0.1, 0.01], epochs=[10, 100]))
        [{'lr': 0.1, 'epochs': 10}, {'lr': 0.01, 'epochs': 100}]
    """
    lists = {name: _axis(name, values) for name, values in axes.items()}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        msg = f"zip_grid: the lists have different lengths: {lengths}"
        raise ValueError(msg)
    points = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return Grid({}, points)


def _axis(name: str, values: Any) -> Any:
    if isinstance(values, Mapping):
        return {str(key): plain_value(value) for key, value in values.items()}
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        msg = f"{name}: expected a list of values, got {values!r}; write {name}=[{values!r}]"
        raise TypeError(msg)
    return [plain_value(value) for value in values]


def plain_value(value: Any) -> Any:
    """Turn a number of NumPy, and the like, into one of Python; anything else is returned as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", 0) == 0 else value
