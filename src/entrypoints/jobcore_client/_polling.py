"""Waiting without threads: when to look again, and what to do while the store does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import jobcore

from .errors import WaitTimeout
from .session import Session

# Seconds between two looks: the first, and the longest, to which it grows by half each time.
_LOCAL, _AWS = (0.02, 0.5), (0.5, 30.0)


def pauses(
    session: Session,
    is_over: Callable[[], bool],
    timeout: float | None,
    late: Callable[[str], WaitTimeout],
) -> Iterator[float]:
    """
    Yield the seconds to sleep until the next look, until a look finds that the wait is over.

    While the store does not answer the wait goes on; its first such error is a warning.

    Args:
        is_over: one look.
        timeout: in seconds; None for no end.
        late: makes the error of a timeout; it is given the error of the last look, or "".

    Raises:
        WaitTimeout: it is not over after *timeout* seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, longest = _AWS if session.is_aws else _LOCAL
    trouble = ""
    while True:
        begun = time.monotonic()
        try:
            if is_over():
                return
            trouble = ""
        except jobcore.Unavailable as error:
            if not trouble:
                session.warn(f"the store does not answer, and the wait goes on: {error}")
            trouble = str(error)
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise late(f" (the store does not answer: {trouble})" if trouble else "")
        # A look that takes long (a large list) is not repeated all the time.
        wait = max(pause, 2 * (now - begun))
        yield wait if deadline is None else max(0.0, min(wait, deadline - now))
        pause = min(longest, pause * 1.5)


def warn_without_manager(session: Session) -> None:
    """Warn if no manager of this machine listens, as then nothing may ever start."""
    if not session.poke():
        session.warn(
            "no manager runs here, so no job starts; jobcore run (or jobcore tick) does it"
        )
