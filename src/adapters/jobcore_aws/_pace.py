"""A token bucket: the rate of calls to a rate-limited API, over all threads of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["TokenBucket"]

STRETCH = 1.02
RECOVER = 0.9998


class TokenBucket:
    """
    Allows *rate* calls per second, and *burst* at once after a pause.

    A service without a burst refuses a call that arrives a millisecond early, and calls may overtake
    one another on the network. So each throttled call lengthens the interval by 2 %, at most to its
    double, and each call that was not throttled shortens it by 0.02 %.

    Args:
        clock, sleep: the monotonic clock and the function to wait; tests replace both.
    """

    def __init__(
        self,
        rate: float,
        burst: int = 1,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shortest = self._interval = 1.0 / rate
        self._slack = (burst - 1) * self._interval
        self._clock = clock
        self._sleep = sleep
        self._queue = (
            threading.Lock()
        )  # held by the caller that sleeps; the other threads wait for it
        self._lock = threading.Lock()
        self._next = float("-inf")  # when the next token is available, without the burst

    def take(self) -> None:
        """Wait for a token."""
        with self._queue:
            while (wait := self._reserve()) > 0:
                self._sleep(wait)

    def _reserve(self) -> float:
        """Take a token and return 0.0, or return the seconds until the next one."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now - self._slack)
            if turn > now:
                return turn - now
            self._next = turn + self._interval
            return 0.0

    def slow_down(self) -> None:
        """Lengthen the interval after a throttled call, and drop the saved burst."""
        with self._lock:
            self._next = max(self._next, self._clock() + self._interval)
            self._interval = min(self._interval * STRETCH, 2 * self._shortest)

    def recover(self) -> None:
        """Shorten the interval after a call that was not throttled."""
        with self._lock:
            self._interval = max(self._interval * RECOVER, self._shortest)
