"""The sandbox's clock: real time at a higher speed, or time that advances by `skip` alone."""

from __future__ import annotations

import threading
import time

__all__ = ["SandboxClock"]


class SandboxClock:
    """
    A clock in seconds since the epoch.

    Args:
        start: the first time; None: now.
        speed: seconds of the sandbox for one second of real time.
        manual: time advances by `skip` alone.
    """

    def __init__(self, *, start: float | None, speed: float, manual: bool) -> None:
        self._base = time.time() if start is None else start
        self._begun = time.monotonic()
        self.speed = speed
        self.manual = manual
        self._skipped = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time."""
        passed = 0.0 if self.manual else self.real()
        return self._base + self._skipped + passed

    def real(self) -> float:
        """Return the seconds since the start, times the speed; they pass even when *manual* is set."""
        return (time.monotonic() - self._begun) * self.speed

    def skip(self, seconds: float) -> None:
        """
        Advance the time at once.

        Raises:
            ValueError: *seconds* is below 0.
        """
        if not seconds >= 0:
            msg = "seconds: time runs forwards"
            raise ValueError(msg)
        with self._lock:
            self._skipped += seconds

    def wait_for(self, at: float | None) -> float | None:
        """Return the real seconds until *at*; None: no wait reaches it."""
        if at is None or self.manual:
            return None
        return max(0.0, (at - self.now()) / self.speed)
