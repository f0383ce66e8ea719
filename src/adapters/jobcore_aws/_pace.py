"""A token bucket: how often a rate-limited API is called, over all threads of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["TokenBucket"]

STRETCH = 1.02
RECOVER = 0.9998


class TokenBucket:
    """
    Lets *rate* calls per second through, and *burst* at once after a pause.

    A service that saves up no calls refuses one that comes a millisecond early, and calls on
    their way overtake each other. So each refusal stretches the time between calls a little,
    at most to the double, and each call that goes through takes back a fraction of that.

    Args:
        clock, sleep: the monotonic clock and how to wait; tests replace both.
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
        self._queue = threading.Lock()  # held by the one caller who sleeps; the others line up
        self._lock = threading.Lock()
        self._next = float("-inf")  # when the next token is there, were none saved up

    def take(self) -> None:
        """Wait for a token."""
        with self._queue:
            while (wait := self._reserve()) > 0:
                self._sleep(wait)

    def _reserve(self) -> float:
        """Take the token if it is there; else tell for how long to wait, as things are now."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now - self._slack)
            if turn > now:
                return turn - now
            self._next = turn + self._interval
            return 0.0

    def throttled(self) -> None:
        """Slow down: the service has said that it is too much. What was saved up is forgotten."""
        with self._lock:
            self._next = max(self._next, self._clock() + self._interval)
            self._interval = min(self._interval * STRETCH, 2 * self._shortest)

    def passed(self) -> None:
        """Take back a little of a slowing down: a call went through."""
        with self._lock:
            self._interval = max(self._interval * RECOVER, self._shortest)
