"""
Waiting in tests: for conditions, and for minutes.

A machine may be overloaded ten times, and everything then takes ten times as long. So a bound on a
wait only ends a test that hangs, and no test depends on how long something takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How long to wait for what must happen.
SECONDS = 600.0


def until(condition: Callable[[], T], *, pause: float = 0.02) -> T:
    """Wait until *condition* gives something true, and return that."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(pause)
    return found
