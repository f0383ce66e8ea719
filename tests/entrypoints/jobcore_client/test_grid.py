"""Hyperparameters of many jobs."""

from __future__ import annotations

import doctest

import pytest

from jobcore.errors import InvalidJob
from jobcore_client import _grid, grid, zip_grid


def test_the_examples_are_right() -> None:
    result = doctest.testmod(_grid)
    assert (result.failed, result.attempted) == (0, 3)


def test_a_grid_is_a_sequence() -> None:
    found = grid(lr=(0.1, 0.2), seed=range(2))
    assert len(found) == 4
    assert found[1] == {"lr": 0.1, "seed": 1}
    assert list(found[2:]) == [{"lr": 0.2, "seed": 0}, {"lr": 0.2, "seed": 1}]
    assert repr(found) == "<Grid of 4 jobs>"


def test_a_sample_is_repeatable_and_needs_no_count_of_a_range() -> None:
    found = grid(lr={"from": 1e-4, "to": 1e-1, "scale": "log"}, seed=range(10))
    few, more = found.sample(3, seed=1), found.sample(5, seed=1)
    assert list(few) == list(more)[:3]
    assert all(1e-4 <= one["lr"] <= 1e-1 for one in more)
    with pytest.raises(InvalidJob, match=r"^lr\.count: missing"):
        len(found)
    with pytest.raises(InvalidJob, match=r"random\.count: the grid has only 2 combinations, got 3"):
        len(grid(lr=[1, 2]).sample(3))


class Number:
    """As those of NumPy."""

    ndim = 0

    def item(self) -> float:
        return 0.5


def test_numbers_of_numpy_become_those_of_python() -> None:
    assert list(grid(lr=[Number()])) == list(zip_grid(lr=[Number()])) == [{"lr": 0.5}]


@pytest.mark.parametrize("make", [grid, zip_grid])
def test_a_single_value_is_refused(make) -> None:
    for value in ("adam", 3):
        with pytest.raises(TypeError, match=rf"write x=\[{value!r}\]"):
            make(x=value)


def test_lists_side_by_side_have_one_length() -> None:
    with pytest.raises(ValueError, match=r"different lengths: \{'a': 1, 'b': 2}"):
        zip_grid(a=[1], b=[1, 2])
    with pytest.raises(InvalidJob, match="lr: expected a list with at least one value"):
        len(grid(lr=[]))
