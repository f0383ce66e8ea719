"""The metrics of a training, as its trainer found them: finite numbers, few, for people to compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from jobcore import checks
from jobcore.documents import Json, optional, read_float, read_int, read_text

__all__ = [
    "METRICS_MAX", "METRIC_NAME_CHARS_MAX", "Best", "Goal", "Metric", "decode_metrics",
    "encode_metrics", "wrong_metric_name", "wrong_metrics",
]  # fmt: skip

#: Metrics kept of a training: the record of the job is written with them.
METRICS_MAX = 100
METRIC_NAME_CHARS_MAX = 100


class Goal(StrEnum):
    """Which values of a metric are better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Best(NamedTuple):
    """The best value of a metric, and its step if it is known."""

    value: float
    step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """
    One metric of a training. What the trainer cannot know is None.

    Args:
        name: printable, 1 to 100 characters.
        final: the last value.
        step: of the last value, as the script counts steps.
        count: how many values there were.
        lowest, highest: of all values.
        lowest_step, highest_step: where they were reached first.

    Raises:
        ValueError: a field is not as described; the message names it.
    """

    name: str
    final: float
    step: int | None = None
    count: int | None = None
    lowest: float | None = None
    lowest_step: int | None = None
    highest: float | None = None
    highest_step: int | None = None

    def __post_init__(self) -> None:
        """Refuse names that cannot be shown, and numbers that are not finite."""
        checks.refuse(
            name=wrong_metric_name(self.name),
            final=_wrong_value(self.final),
            step=checks.if_given(checks.wrong_whole, self.step),
            count=checks.if_given(checks.wrong_whole, self.count, 1),
            lowest=checks.if_given(_wrong_value, self.lowest),
            lowest_step=checks.if_given(checks.wrong_whole, self.lowest_step),
            highest=checks.if_given(_wrong_value, self.highest),
            highest_step=checks.if_given(checks.wrong_whole, self.highest_step),
        )

    def best(self, goal: Goal) -> Best | None:
        """Return the best value for *goal*; None if only the last value is known."""
        value, step = (
            (self.lowest, self.lowest_step)
            if goal is Goal.MINIMIZE
            else (self.highest, self.highest_step)
        )
        return None if value is None else Best(value, step)


def wrong_metrics(value: object) -> str | None:
    """Check the metrics of a training: a tuple of at most `METRICS_MAX`."""
    if value == ():  # of nearly every event
        return None
    if not isinstance(value, tuple) or not all(isinstance(item, Metric) for item in value):
        return f"expected a tuple of metrics, got {checks.kind_of(value)}"
    if len(value) > METRICS_MAX:
        return f"expected at most {METRICS_MAX}, got {len(value)}"
    return None


def encode_metrics(metrics: Sequence[Metric]) -> list[Json]:
    """Turn metrics into JSON data: a list for each, its fields in order, without unknown ones at the end."""
    rows: list[Json] = []
    for metric in metrics:
        row: list[Json] = [getattr(metric, field) for field in _READERS]
        while row[-1] is None:
            row.pop()
        rows.append(row)
    return rows


def decode_metrics(rows: Any) -> tuple[Metric, ...]:
    """
    Read metrics back.

    Raises:
        TypeError, ValueError: the data is not such as `encode_metrics` writes.
    """
    if not isinstance(rows, list):
        msg = f"metrics: expected a list, got {type(rows).__name__}"
        raise TypeError(msg)
    # A newer release may write more fields; they are left out.
    return tuple(
        Metric(
            **{
                name: read(value)
                for (name, read), value in zip(_READERS.items(), row, strict=False)
            }
        )
        for row in rows
    )


_READERS = {
    "name": read_text,
    "final": read_float,
    "step": optional(read_int),
    "count": optional(read_int),
    "lowest": optional(read_float),
    "lowest_step": optional(read_int),
    "highest": optional(read_float),
    "highest_step": optional(read_int),
}


def wrong_metric_name(value: object) -> str | None:
    """Check the name of a metric: printable, 1 to 100 characters."""
    message = checks.wrong_text(value, "the name of a metric")
    if message is None and isinstance(value, str):
        if len(value) > METRIC_NAME_CHARS_MAX:
            return f"expected at most {METRIC_NAME_CHARS_MAX} characters, got {len(value)}"
        if not value.isprintable():
            return "expected printable characters only"
    return message


def _wrong_value(value: object) -> str | None:
    if type(value) in (int, float) and math.isfinite(value):  # type: ignore[arg-type]
        return None
    return f"expected a finite number, got {checks.described(value)}"
