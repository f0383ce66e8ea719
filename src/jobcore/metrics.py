"""The metrics of a training, as its trainer found them: finite numbers, few, for people to compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, NamedTuple

from jobcore import checks
from jobcore.documents import Json

__all__ = [
    "METRICS_MAX", "METRIC_NAME_CHARS_MAX", "Best", "Goal", "Metric", "decode_metrics",
    "describe_metrics", "encode_metrics", "wrong_metric_name", "wrong_metrics",
]  # fmt: skip

#: Metrics kept of a training: the record of the job is written with them.
METRICS_MAX = 100
#: Of a metric's name.
METRIC_NAME_CHARS_MAX = 100
_VALUES = ("final", "lowest", "highest")
_WHOLE = ("step", "count", "lowest_step", "highest_step")


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
        # Read by the thousand: messages are only made when they are needed.
        name = self.name
        for field in _VALUES:
            value = getattr(self, field)
            if value is not None and not (type(value) is float and math.isfinite(value)):
                checks.refuse(**{field: _wrong_value(value)})
        for field in _WHOLE:
            value = getattr(self, field)
            if value is not None and type(value) is not int:
                checks.refuse(**{field: checks.wrong_whole(value)})
        if (
            type(name) is not str
            or not 0 < len(name) <= METRIC_NAME_CHARS_MAX
            or not name.isascii()
            or not name.isprintable()
        ):
            checks.refuse(name=wrong_metric_name(name))
        if self.final is None:
            checks.refuse(final=_wrong_value(self.final))
        if self.count is not None and self.count < 1:
            checks.refuse(count=checks.wrong_whole(self.count, 1))

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
        row: list[Json] = [getattr(metric, field) for field in _FIELDS]
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
    # The value checks its fields. A newer release may write more of them; they are left out.
    return tuple(Metric(**dict(zip(_FIELDS, row, strict=False))) for row in rows)


_FIELDS = tuple(field.name for field in fields(Metric))


def describe_metrics(metrics: Sequence[Metric]) -> dict[str, dict[str, float | int | None]]:
    """Make a table by name for programs: every field of each metric, null where it is not known."""
    fields = _FIELDS[1:]
    return {m.name: {field: getattr(m, field) for field in fields} for m in metrics}


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
