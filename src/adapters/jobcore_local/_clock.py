"""The system's clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Tells the machine's time, aware, in UTC."""

    def now(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC)
