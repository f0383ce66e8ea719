"""The jobs of a sweep, and the mistakes in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import InvalidJob
from jobcore.jobfile import expand_sweep


def test_a_sweep_is_the_product_and_then_the_list() -> None:
    points = expand_sweep({"a": [1, 2], "b": ["x", "y"]}, [{"a": 9}])
    assert points == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
        {"a": 9},
    ]


@pytest.mark.parametrize(
    ("grid", "points", "field"),
    [
        ({}, [], "sweep"),
        ({"a": []}, [], "sweep.grid.a"),
        ({"a": 3}, [], "sweep.grid.a"),
        ({}, [3], "sweep.list[0]"),
        ({"a": list(range(101)), "b": list(range(100))}, [], "sweep"),
    ],
)
def test_a_bad_sweep_is_named(grid: dict, points: list, field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        expand_sweep(grid, points)
    assert field in {problem.field for problem in caught.value.problems}


@given(
    st.dictionaries(
        st.text(max_size=2), st.lists(st.integers(), min_size=1, max_size=3), max_size=3
    ),
    st.lists(st.dictionaries(st.text(max_size=2), st.integers(), max_size=2), max_size=2),
)
def test_a_sweep_has_every_combination_once_and_each_point(grid, points):
    if not grid and not points:
        return
    jobs = expand_sweep(grid, points)
    total = 1 if grid else 0
    for values in grid.values():
        total *= len(values)
    assert len(jobs) == total + len(points)
    assert jobs[total:] == points
    assert all(job.keys() == grid.keys() for job in jobs[:total])
    assert all(job[name] in grid[name] for job in jobs[:total] for name in grid)


def test_a_sweep_of_10_000_jobs_is_the_largest():
    assert len(expand_sweep({"a": list(range(100)), "b": (*range(100),)})) == 10_000
    assert len(expand_sweep({"a": list(range(9_999))}, [{"b": 1}])) == 10_000
    assert len(expand_sweep({}, [{"b": 1}] * 10_000)) == 10_000
    with pytest.raises(InvalidJob, match=r"^sweep: 10,001 jobs"):
        expand_sweep({}, [{"b": 1}] * 10_001)
    with pytest.raises(InvalidJob, match=r"^sweep: 10,001 jobs; at most 10,000 in one sweep$"):
        expand_sweep({"a": list(range(10_000))}, [{"b": 1}])


def test_every_mistake_of_a_sweep_is_told():
    with pytest.raises(InvalidJob) as caught:
        expand_sweep({"a": [], "b": "xy", "c": [1]}, [{"d": 1}, 3])
    assert [problem.field for problem in caught.value.problems] == [
        "sweep.grid.a",
        "sweep.grid.b",
        "sweep.list[1]",
    ]
    with pytest.raises(InvalidJob, match=r"^sweep: nothing to sweep"):
        expand_sweep({})
