"""A virtual clock and a queue of planned events: the kernel of the simulator.

Time is in whole microseconds. Of two events planned for the same moment, the one planned first
happens first, so that runs are reproducible. Arrivals and capacity traces are streamed from
iterators: only their next step is in the queue, so its size is that of the work in flight.
"""

from __future__ import annotations

import gc
import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["EPOCH", "Engine", "seconds", "to_time"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000


def seconds(value: float) -> int:
    """Convert a duration in seconds to microseconds."""
    return round(value * SECOND)


def to_time(micros: int) -> datetime:
    """Convert a moment of the simulation, in microseconds, to the datetime that the ticks read."""
    return EPOCH + timedelta(microseconds=micros)


class Engine:
    """
    A discrete-event loop.

    Attributes:
        now: microseconds since the beginning.
        events: the number of events so far.
    """

    def __init__(self) -> None:
        """Begin at time 0 with no event planned."""
        self.now = 0
        self.events = 0
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._planned = 0

    def at(self, when: int, act: Callable[[Any], None], what: Any = None) -> None:
        """Plan ``act(what)`` for *when*, or for now if that is past."""
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, act, what))

    def after(self, delay: int, act: Callable[[Any], None], what: Any = None) -> None:
        """Plan ``act(what)`` for *delay* microseconds from now."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now + delay, self._planned, act, what))

    def stream(self, items: Iterable[tuple[int, Any]], act: Callable[[Any], None]) -> None:
        """Plan ``act(what)`` for each of the *items*, which come in the order of time."""
        rest: Iterator[tuple[int, Any]] = iter(items)

        def take(what: Any) -> None:
            step = next(rest, None)
            if step is not None:
                self.at(step[0], take, step[1])
            act(what)

        first = next(rest, None)
        if first is not None:
            self.at(first[0], take, first[1])

    def run(self, *, until: Callable[[], bool], horizon: int) -> bool:
        """
        Run events until *until* returns true; False: the *horizon* came first, or no event is left.

        Args:
            until: called after each event.
            horizon: the last microsecond.
        """
        heap, pop, count = self._heap, heapq.heappop, 0
        # A run makes millions of frozen values without reference cycles, so reference counts free
        # them. The cycle collector would take a fifth of the time (measured).
        collected = gc.isenabled()
        gc.disable()
        try:
            while heap:
                when, _, act, what = pop(heap)
                if when > horizon:
                    return False
                self.now = when
                count += 1
                act(what)
                if until():
                    return True
        finally:
            self.events += count
            if collected:
                gc.enable()
        return False


class Log:
    """A running hash of all events: two runs with the same hash are the same run."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._hash = hashlib.sha256()
        self._lines: list[str] = []
        self.entries = 0

    def note(self, *parts: object) -> None:
        """Add an entry."""
        self.line("\x1f".join(map(str, parts)))

    def line(self, text: str) -> None:
        """Add an entry whose parts are joined already, by the unit separator (U+001F)."""
        self.entries += 1
        self._lines.append(text)
        if len(self._lines) >= _LINES_AT_ONCE:
            self._flush()

    def digest(self) -> str:
        """Return the hash so far, 16 hex digits."""
        self._flush()
        return self._hash.hexdigest()[:16]

    def _flush(self) -> None:
        self._hash.update("".join([line + "\n" for line in self._lines]).encode())
        self._lines.clear()


_LINES_AT_ONCE = 1000
