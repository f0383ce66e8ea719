"""Ranges of a sweep's grid: their values, and the mistakes in one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import InvalidJob
from jobcore.jobfile import expand_sweep


def values(axis: object) -> list:
    return [job["x"] for job in expand_sweep({"x": axis})]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ({"from": 1, "to": 4}, [1, 2, 3, 4]),
        ({"from": -1, "to": 1}, [-1, 0, 1]),
        ({"from": 10, "to": 100, "count": 4}, [10, 40, 70, 100]),
        ({"from": 0, "to": 1.0, "count": 5}, [0, 0.25, 0.5, 0.75, 1.0]),
        ({"from": 0.1, "to": 0.3, "count": 3, "scale": "linear"}, [0.1, 0.2, 0.3]),
        ({"from": 1e-4, "to": 1e-1, "count": 4, "scale": "log"}, [0.0001, 0.001, 0.01, 0.1]),
        ({"from": 16, "to": 256, "count": 5, "scale": "log"}, [16, 32, 64, 128, 256]),
        ({"from": 5e-324, "to": 1e15, "count": 2, "scale": "log"}, [5e-324, 1e15]),
    ],
)
def test_a_range_is_a_list_of_its_values(axis, expected):
    found = values(axis)
    assert found == expected
    whole = isinstance(axis["from"], int) and isinstance(axis["to"], int)
    assert {type(value) for value in found} == {int if whole else float}


@pytest.mark.parametrize(
    ("axis", "field", "message"),
    [
        ({"from": 1}, "to", "missing; a range needs from and to"),
        ({"to": 1}, "from", "missing; a range needs from and to"),
        ({"from": 2, "to": 1}, "to", "expected more than from (2), got 1"),
        ({"from": 1, "to": 1}, "to", "expected more than from (1), got 1"),
        ({"from": "1", "to": 2}, "from", "expected a number, got a string ('1')"),
        ({"from": True, "to": 2}, "from", "expected a number, got true or false (True)"),
        ({"from": 0, "to": float("inf")}, "to", "expected a number from -1e+15 to 1e+15, got inf"),
        ({"from": float("nan"), "to": 1}, "from", "expected a number from -1e+15 to 1e+15, got nan"),
        ({"from": 0, "to": 10**400}, "to", None),
        ({"from": 0, "to": 1, "scale": "log"}, "from", "expected more than 0 on a log scale, got 0"),
        ({"from": 1, "to": 2, "scale": "exp"}, "scale", "expected linear or log, got 'exp'"),
        ({"from": 0.1, "to": 2}, "count", "missing; give the number of values, or draw them at random"),
        ({"from": 1, "to": 9, "scale": "log"}, "count", "missing; give the number of values, or draw them at random"),
        ({"from": 1, "to": 3, "count": 1}, "count", "expected 2 to 10,000, got 1"),
        ({"from": 1, "to": 3, "count": 4}, "count", "only 3 of 4 values are different; write 1.0 for fractions"),
        ({"from": 0.1, "to": 0.1 + 1e-16, "count": 4}, "count", None),
        ({"from": 0, "to": 10_000}, "to", "more than 10,000 values; give their number as count"),
        ({"from": 1, "to": 2, "step": 1}, "step", "unknown field; give the number of values as count"),
        ({"min": 1, "to": 2}, "min", "unknown field; the field is called from"),
        ({"from": 1, "to": 2, "scal": "log"}, "scal", "unknown field; did you mean 'scale'?"),
    ],
)  # fmt: skip
def test_a_range_that_is_none_is_told_what_to_write(axis, field, message):
    with pytest.raises(InvalidJob) as caught:
        expand_sweep({"x": axis})
    found = dict(caught.value.problems)
    assert f"sweep.grid.x.{field}" in found
    assert message is None or found[f"sweep.grid.x.{field}"] == message


numbers = st.floats(1e-9, 1e9)


@given(numbers, numbers, st.integers(2, 50), st.sampled_from(["linear", "log"]))
def test_a_range_has_its_count_of_values_in_order_between_its_ends(low, high, count, scale):
    low, high = sorted((low, high))
    if high - low < 1e-6 * high:
        return
    found = values({"from": low, "to": high, "count": count, "scale": scale})
    assert len(found) == count
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (low, high)
