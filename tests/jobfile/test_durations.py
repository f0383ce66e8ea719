"""Durations as people write them."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from jobcore.jobfile import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("2d", 172800), (7, 7), ("1.5m", 90)]
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "1y", None, True, "-1s", [], 10**30, float("nan")])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("1s", 1), ("1m", 60), ("1h", 3600), ("1d", 86400), ("1w", 604800), (" 1h1m1s ", 3661),
     ("0.5h", 1800), ("10s10s", 20), (0, 0), (1.5, 1.5)],
)  # fmt: skip
def test_a_duration(given, seconds):
    assert parse_duration(given) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "given",
    [
        "1.s",
        ".5h",
        "1 h",
        "h1",
        "1hs",
        False,
        {},
        1e300,
        "9" * 400 + "w",
        -1,
        -0.001,
        -math.inf,
        math.nan,
    ],
)
def test_what_is_no_duration_is_shown(given):
    with pytest.raises(ValueError, match="expected a duration such as") as caught:
        parse_duration(given)
    assert str(caught.value).endswith(f"got {given!r}")
