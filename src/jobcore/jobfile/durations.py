"""Durations as people write them."""

from __future__ import annotations

import math
import re
from datetime import timedelta

__all__ = [
    "DURATION_DAYS_MAX",
    "parse_duration",
]

#: A longer duration, added to a date of this century, may have no date.
DURATION_DAYS_MAX = 10_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")


def parse_duration(value: object) -> timedelta:
    """
    Read a duration: a number of seconds, or text such as ``"90s"``, ``"1h30m"``, ``"2d"``.

    Raises:
        ValueError: it is neither, or negative, not finite, or longer than 10,000 days; the message
            says what is expected.
    """
    seconds = math.inf
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        parts = re.findall(r"([0-9.]+)([smhdw])", value)
        seconds = sum(float(n) * _UNITS[unit] for n, unit in parts)
    if 0 <= seconds <= DURATION_DAYS_MAX * 86400:  # NaN is not
        return timedelta(seconds=seconds)
    msg = f'expected a duration such as "90s", "1h30m" or "2d", got {value!r}'
    raise ValueError(msg)
