"""The conformance suite of clocks."""

from __future__ import annotations

from datetime import timedelta

from jobcore import Clock


class ClockContract:
    """The contract of `jobcore.Clock`."""

    def make_clock(self) -> Clock:
        """Make the clock to test."""
        raise NotImplementedError

    def test_the_time_is_aware_and_in_utc(self) -> None:
        """The core refuses naive times and other zones."""
        assert self.make_clock().now().utcoffset() == timedelta(0)
