"""The values of one hyperparameter of a sweep: a list, or a range on a linear or logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobcore.errors import Problem
from jobcore.lifecycle.model import Json

from .fields import FieldReader

__all__ = ["SWEEP_JOBS_MAX", "Axis", "Span", "read_axis"]

#: The most jobs of one sweep.
SWEEP_JOBS_MAX = 10_000

#: The ends of a range; whole numbers up to here are exact as floats.
_NUMBER_MAX = 1e15
#: Significant digits of the values: fewer than a float has, so that 1e-3 is 0.001 and not
#: 0.0009999999999999998, and so that the last bit of a platform's exp() makes no other job.
_DIGITS = 12
_SCALES = ("linear", "log")


@dataclass(frozen=True, slots=True)
class Span:
    """
    A range of numbers to draw from, both ends included.

    Args:
        low, high: the ends, *low* below *high*. If both are whole numbers, so is every value.
        is_log: whether equal factors are equally likely, and not equal differences.
    """

    low: float
    high: float
    is_log: bool

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, fraction: float) -> float:
        """Return the value at *fraction* of the way from *low* (0) to *high* (1)."""
        if self.is_log:
            first, last = math.log(self.low), math.log(self.high)
            value = math.exp(first + (last - first) * fraction)
        else:
            value = self.low + (self.high - self.low) * fraction
        value = round(value) if self.is_whole else float(f"{value:.{_DIGITS}g}")
        return min(max(value, self.low), self.high)

    def values(self, count: int) -> list[float]:
        """Return *count* values at equal distances, both ends included."""
        inner = [self.at(number / (count - 1)) for number in range(1, count - 1)]
        return [self.low, *inner, self.high]


#: Values to take all of, or a range to draw from.
Axis = Sequence[Json] | Span


def read_axis(field: str, value: object, problems: list[Problem], *, is_drawn: bool) -> Axis | None:
    """
    Read the values of a hyperparameter.

    Args:
        field: the name for problems.
        value: a list of values, or a table: ``from``, ``to``, ``count`` and ``scale``.
        problems: problems are appended to this list.
        is_drawn: whether values are drawn, so that a range needs no ``count``.

    Returns:
        The values; a `Span` if they are drawn from all numbers of a range; None after a problem.
    """
    if isinstance(value, list | tuple) and value:
        return value
    if not isinstance(value, Mapping):
        wants = "expected a list with at least one value, or a range such as { from = 1, to = 5 }"
        problems.append(Problem(field, wants))
        return None
    before = len(problems)
    read = FieldReader(value, problems, f"{field}.")
    ends = read.number("from", _NUMBER_MAX), read.number("to", _NUMBER_MAX)
    scale = read.text("scale") or _SCALES[0]
    count = read.integer("count", 2, 2, SWEEP_JOBS_MAX) if value.get("count") is not None else None
    read.known["count"] = "a whole number"
    read.unknown_fields(_WORDS)
    for name, end in zip(("from", "to"), ends, strict=True):
        if value.get(name) is None:
            read.wrong(name, "missing; a range needs from and to")
        elif end is not None and scale == "log" and end <= 0:
            read.wrong(name, f"expected more than 0 on a log scale, got {end}")
    if scale not in _SCALES:
        read.wrong("scale", f"expected linear or log, got {scale!r}")
    low, high = ends
    if len(problems) > before or low is None or high is None:
        return None
    if not low < high:
        read.wrong("to", f"expected more than from ({low}), got {high}")
        return None
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    return _axis(read, Span(low, high, scale == "log"), count, is_drawn=is_drawn)


#: Words of other tools for the fields of a range.
_WORDS = {
    **dict.fromkeys(("min", "low", "start", "minvalue"), "the field is called from"),
    **dict.fromkeys(("max", "high", "stop", "end", "maxvalue"), "the field is called to"),
    **dict.fromkeys(("n", "num", "steps", "points"), "the field is called count"),
    **dict.fromkeys(("step", "by"), "give the number of values as count"),
    **dict.fromkeys(("log", "type", "scalingtype", "distribution"), 'write scale = "log"'),
}


def _axis(read: FieldReader, span: Span, count: int | None, *, is_drawn: bool) -> Axis | None:
    """Make the values of a range; a problem if they are too many, or not all different."""
    if count is not None:
        values = span.values(count)
        if (different := len(set(values))) < count:
            hint = "; write 1.0 for fractions" if span.is_whole else ""
            read.wrong("count", f"only {different} of {count} values are different{hint}")
            return None
        return values
    if span.is_whole and not span.is_log:
        low, high = int(span.low), int(span.high)
        if is_drawn or high - low < SWEEP_JOBS_MAX:
            return range(low, high + 1)
        read.wrong("to", f"more than {SWEEP_JOBS_MAX:,} values; give their number as count")
        return None
    if is_drawn:
        return span
    read.wrong("count", "missing; give the number of values, or draw them at random")
    return None
