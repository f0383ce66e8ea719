"""A queue of plans in the order of time; void plans are skipped."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Agenda:
    """Plans by time; of two for the same time, the one planned first comes first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], bool], Callable[[], None]]] = []
        self._planned = 0

    def plan(self, when: float, act: Callable[[], None], *, still: Callable[[], bool]) -> None:
        """Plan *act* for *when*; it is void if *still* returns false by then."""
        self._planned += 1
        heapq.heappush(self._heap, (when, self._planned, still, act))

    def next_at(self) -> float | None:
        """Return when the next plan is due; None: there is none."""
        while self._heap and not self._heap[0][2]():
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Callable[[], None]:
        """Take the next plan; only after `next_at` has returned a time."""
        return heapq.heappop(self._heap)[3]
