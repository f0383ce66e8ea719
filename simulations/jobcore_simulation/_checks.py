"""Bounds of settings that simulator and sandbox share."""

from __future__ import annotations

from jobcore_config.checks import Check, between

__all__ = ["COUNT", "FRACTION", "SECONDS", "SIGMA", "SPAN", "STEPS", "Span", "Steps"]

Span = float | tuple[float, float]  # seconds: a number, or the bounds of a draw
Steps = tuple[tuple[float, int], ...]  # (seconds, instances)

LARGEST = 10**10  # 300 years of seconds: datetime ends with the year 9999
COUNT = between(0, LARGEST)
FRACTION = between(0, 1)
SECONDS = between(0, LARGEST)
SIGMA = between(0, 100)  # of a log-normal: math.exp ends at 709


def _is_span(value: object) -> bool:
    bounds = value if isinstance(value, tuple) else (value, value)
    return len(bounds) == 2 and all(map(SECONDS.allows, bounds))


def _are_steps(value: object) -> bool:
    return isinstance(value, tuple) and all(
        SECONDS.allows(at) and COUNT.allows(instances) for at, instances in value
    )


SPAN = Check(f"{SECONDS.expected} seconds, or [low, high]", _is_span)
STEPS = Check(f"a list of [seconds, instances], each {COUNT.expected}", _are_steps)
