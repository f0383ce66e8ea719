"""The sandbox's time: real time made faster, or time that stands still until it is told to pass."""

from __future__ import annotations

import threading
import time

__all__ = ["SandboxClock"]


class SandboxClock:
    """
    Tells the time in seconds since the epoch.

    Args:
        start: the time at which it begins; None: now.
        speed: seconds here for a second of real time.
        manual: it moves by `skip` only.
    """

    def __init__(self, *, start: float | None, speed: float, manual: bool) -> None:
        self._base = time.time() if start is None else start
        self._begun = time.monotonic()
        self.speed = speed
        self.manual = manual
        self._skipped = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Tell the time."""
        passed = 0.0 if self.manual else self.real()
        return self._base + self._skipped + passed

    def real(self) -> float:
        """Tell the seconds since the beginning that go on even when time is stopped."""
        return (time.monotonic() - self._begun) * self.speed

    def skip(self, seconds: float) -> None:
        """
        Let time pass at once.

        Raises:
            ValueError: back in time.
        """
        if not seconds >= 0:
            msg = "seconds: time runs forwards"
            raise ValueError(msg)
        with self._lock:
            self._skipped += seconds

    def wait_for(self, at: float | None) -> float | None:
        """Tell how many real seconds to wait until *at*; None: it will not come by itself."""
        if at is None or self.manual:
            return None
        return max(0.0, (at - self.now()) / self.speed)
