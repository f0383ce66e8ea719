"""The jobs of a sweep, and the mistakes in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import InvalidJob
from jobcore.jobfile import expand_sweep, read_sweep


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


# --- ranges -----------------------------------------------------------------------------------


# --- random samples ---------------------------------------------------------------------------

LOG = {"from": 1e-4, "to": 1e-1, "scale": "log"}


def test_a_sample_is_the_same_each_time_and_longer_ones_begin_with_it():
    grid = {"lr": LOG, "layers": {"from": 1, "to": 8}, "name": ["adam", "sgd"]}
    few = expand_sweep(grid, random={"count": 20, "seed": 1})
    assert len(few) == 20
    assert expand_sweep(grid, random={"count": 20, "seed": 1}) == few
    assert expand_sweep(grid, random={"count": 50, "seed": 1})[:20] == few
    other = expand_sweep(grid, random={"count": 20, "seed": 2})
    assert other != few
    assert all(1e-4 <= job["lr"] <= 1e-1 for job in few)
    assert {job["layers"] for job in expand_sweep(grid, random={"count": 200})} == set(range(1, 9))
    # These values are part of the interface: a sweep that is submitted again makes the same jobs.
    assert few[:2] == [
        {"lr": 0.00110686698533, "layers": 6, "name": "sgd"},
        {"lr": 0.000307231177, "layers": 1, "name": "adam"},
    ]


def test_draws_on_a_log_scale_spread_over_the_powers_of_ten():
    jobs = expand_sweep({"lr": LOG}, random={"count": 3000})
    parts = [sum(10.0**p <= job["lr"] < 10.0 ** (p + 1) for job in jobs) for p in (-4, -3, -2)]
    assert all(900 < part < 1100 for part in parts)
    linear = expand_sweep({"x": {"from": 0.0, "to": 1.0}}, random={"count": 3000})
    assert 1400 < sum(job["x"] < 0.5 for job in linear) < 1600


def test_no_combination_is_drawn_twice():
    grid = {"a": [1, 2, 3], "b": {"from": 1, "to": 4}}
    jobs = expand_sweep(grid, random={"count": 12})
    assert {(job["a"], job["b"]) for job in jobs} == {
        (a, b) for a in (1, 2, 3) for b in range(1, 5)
    }
    with pytest.raises(
        InvalidJob, match=r"random\.count: the grid has only 12 combinations, got 13"
    ):
        expand_sweep(grid, random={"count": 13})
    most = expand_sweep({"x": {"from": 1, "to": 10_000}}, random={"count": 10_000})
    assert len({job["x"] for job in most}) == 10_000


def test_whole_numbers_are_drawn_whole():
    wide = {"from": 1, "to": 10**15}
    jobs = expand_sweep({"x": wide, "y": wide | {"scale": "log"}}, random={"count": 100})
    assert all(
        isinstance(value, int) and 1 <= value <= 10**15 for job in jobs for value in job.values()
    )
    assert sum(job["y"] < 10**8 for job in jobs) > 30


def test_a_sample_takes_the_place_of_all_combinations_and_the_list_stays():
    grid = {"a": list(range(1000)), "b": list(range(1000))}
    jobs = expand_sweep(grid, [{"a": -1}], {"count": 3})
    assert len(jobs) == 4
    assert jobs[-1] == {"a": -1}
    with pytest.raises(InvalidJob, match=r"^sweep: 10,001 jobs"):
        expand_sweep(grid, [{"a": -1}], {"count": 10_000})


@pytest.mark.parametrize(
    ("random", "field", "message"),
    [
        ({}, "sweep.random.count", "missing; give the number of jobs to draw"),
        ({"count": 0}, "sweep.random.count", "expected 1 to 10,000, got 0"),
        ({"count": "9"}, "sweep.random.count", "expected a whole number, got a string ('9')"),
        ({"count": 9, "seed": 0.5}, "sweep.random.seed", "expected a whole number, got 0.5"),
        ({"count": 9, "sed": 1}, "sweep.random.sed", "unknown field; did you mean 'seed'?"),
    ],
)
def test_a_wrong_sample_is_named(random, field, message):
    with pytest.raises(InvalidJob) as caught:
        expand_sweep({"x": LOG}, random=random)
    assert dict(caught.value.problems)[field] == message


def test_a_sample_needs_a_grid():
    with pytest.raises(InvalidJob, match=r"sweep\.random: nothing to draw from; give a grid"):
        expand_sweep({}, [{"a": 1}], {"count": 3})


# --- the table of a job file ------------------------------------------------------------------


def test_the_table_is_read_into_its_parts():
    table = {"grid": {"a": [1]}, "list": [{"a": 2}], "random": {"count": 1}}
    assert read_sweep(table) == ({"a": [1]}, [{"a": 2}], {"count": 1})
    assert read_sweep({}) == ({}, [], None)


@pytest.mark.parametrize(
    ("table", "field", "message"),
    [
        (3, "sweep", "expected a table, got 3"),
        ({"grid": 1}, "sweep.grid", "expected a table, got 1"),
        ({"list": {}}, "sweep.list", "expected a list of tables, got a table ({})"),
        (
            {"random": 20},
            "sweep.random",
            "expected a table such as { count = 20, seed = 1 }, got 20",
        ),
        ({"gird": {}}, "sweep.gird", "unknown field; did you mean 'grid'?"),
        ({"seed": 1}, "sweep.seed", "unknown field; it belongs into [sweep.random]"),
        ({"axes": {}}, "sweep.axes", "unknown field; the field is called grid"),
    ],
)
def test_a_table_that_is_none_is_named(table, field, message):
    with pytest.raises(InvalidJob) as caught:
        read_sweep(table)
    assert [tuple(problem) for problem in caught.value.problems] == [(field, message)]
