"""A notifier that records its messages, and fails on a test's request."""

from __future__ import annotations

import threading
from collections import deque

from jobcore import Unavailable
from jobcore.ports import Message

__all__ = ["RecordingNotifier"]


class RecordingNotifier:
    """
    A `jobcore.Notifier` that appends every message to *messages*.

    `fail_next` makes it fail in two ways: the message is lost, or the message is recorded and the
    acknowledgement is lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: deque[bool] = deque()  # of the next calls: whether the message is recorded
        self.messages: list[Message] = []

    def fail_next(self, times: int = 1, *, after_taking: bool = False) -> None:
        """
        Let the next publishes raise `jobcore.Unavailable`.

        Args:
            times: the number of publishes that raise.
            after_taking: record the message all the same: a lost acknowledgement.
        """
        with self._lock:
            self._failures.extend([after_taking] * times)

    def publish(self, message: Message) -> None:
        """
        Record a message.

        Raises:
            Unavailable: as scripted by `fail_next`.
        """
        with self._lock:
            failure = self._failures.popleft() if self._failures else None
            is_lost = failure is False
            if not is_lost:
                self.messages.append(message)
        if failure is not None:
            msg = "the scripted notifier does not answer"
            raise Unavailable(msg)

    @property
    def event_ids(self) -> list[str]:
        """The event ids of the recorded messages, in order, with repetitions."""
        with self._lock:
            return [message.event_id for message in self.messages]
