"""The system's clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock: aware times in UTC."""

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.now(UTC)
