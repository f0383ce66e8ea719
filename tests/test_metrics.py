from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore.metrics import (
    METRIC_NAME_CHARS_MAX,
    METRICS_MAX,
    Best,
    Goal,
    Metric,
    decode_metrics,
    encode_metrics,
    wrong_metrics,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.integers(-(2**53), 2**53)
metrics = st.builds(
    Metric,
    name=st.text(min_size=1, max_size=9).filter(str.isprintable),
    final=numbers,
    step=st.none() | steps,
    count=st.none() | st.integers(1, 2**53),
    lowest=st.none() | numbers,
    lowest_step=st.none() | steps,
    highest=st.none() | numbers,
    highest_step=st.none() | steps,
)


@given(st.lists(metrics, max_size=3).map(tuple))
def test_metrics_come_back_as_they_were(found):
    text = json.dumps(encode_metrics(found), allow_nan=False)
    assert decode_metrics(json.loads(text)) == found


def test_what_is_not_known_is_not_written():
    assert encode_metrics([Metric(name="loss", final=0.5)]) == [["loss", 0.5]]
    assert encode_metrics([Metric(name="loss", final=0.5, lowest=0.1)]) == [
        ["loss", 0.5, None, None, 0.1]
    ]


def test_fields_of_a_newer_writer_are_left_out():
    row = ["loss", 0.5, 1, 1, 0.5, 1, 0.5, 1, "newer"]
    assert decode_metrics([row])[0].final == 0.5


@pytest.mark.parametrize(
    "rows", [{}, "x", None, [1], [[]], [["loss"]], [["loss", "0.5"]], [[1, 2]], [["loss", 1, "a"]]]
)
def test_other_data_is_refused(rows):
    with pytest.raises((TypeError, ValueError)):
        decode_metrics(rows)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", None])
def test_values_are_finite_numbers(value):
    with pytest.raises(ValueError, match=r"^final: expected a finite number"):
        Metric(name="loss", final=value)


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "x" * (METRIC_NAME_CHARS_MAX + 1), 3])
def test_names_can_be_shown(name):
    with pytest.raises(ValueError, match=r"^name: "):
        Metric(name=name, final=1.0)


def test_the_best_value_depends_on_the_goal():
    metric = Metric(name="loss", final=0.5, lowest=0.25, lowest_step=3, highest=2.0, highest_step=1)
    assert metric.best(Goal.MINIMIZE) == Best(0.25, 3)
    assert metric.best(Goal.MAXIMIZE) == Best(2.0, 1)
    assert Metric(name="loss", final=0.5).best(Goal.MINIMIZE) is None


def test_there_are_not_too_many():
    one = Metric(name="loss", final=1.0)
    assert wrong_metrics((one,) * METRICS_MAX) is None
    assert wrong_metrics((one,) * (METRICS_MAX + 1)) == "expected at most 100, got 101"
    assert wrong_metrics([one]) == "expected a tuple of metrics, got a list"
