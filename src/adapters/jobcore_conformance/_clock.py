"""What every clock keeps."""

from __future__ import annotations

from datetime import timedelta

from jobcore import Clock


class ClockContract:
    """The promises of `jobcore.Clock`."""

    def make_clock(self) -> Clock:
        """Make the clock to be tested."""
        raise NotImplementedError

    def test_the_time_is_aware_and_in_utc(self) -> None:
        """A naive time, or another zone, would be refused by the core."""
        assert self.make_clock().now().utcoffset() == timedelta(0)
