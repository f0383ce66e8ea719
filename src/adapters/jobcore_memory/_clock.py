"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["ManualClock"]

_START = datetime(2030, 1, 1, tzinfo=UTC)


class ManualClock:
    """
    A `jobcore.Clock` for tests and simulations.

    Args:
        start: its first time; aware.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._now = _utc("start", start)

    def now(self) -> datetime:
        """Return the time; it stays the same until the clock is moved."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """
        Move the clock, and return the new time.

        Args:
            by: the step; may be negative, as those of real clocks are.
        """
        self._now += by
        return self._now

    def set(self, now: datetime) -> None:
        """Set the clock to *now*, an aware time."""
        self._now = _utc("now", now)


def _utc(name: str, at: datetime) -> datetime:
    if at.tzinfo is None:
        msg = f"{name}: expected an aware datetime (UTC), got a naive one; add tzinfo=UTC"
        raise ValueError(msg)
    return at.astimezone(UTC)
