"""A notifier that writes down what it was given, and fails when a test wants it to."""

from __future__ import annotations

import threading
from collections import deque

from jobcore import Unavailable
from jobcore.ports import Message

__all__ = ["RecordingNotifier"]


class RecordingNotifier:
    """
    A `jobcore.Notifier` that keeps every message in *messages*, in order.

    It can be told to fail, in the two ways that matter: the message is lost
    before it is taken, or it is taken and the answer is lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: deque[bool] = deque()
        self.messages: list[Message] = []

    def fail_next(self, times: int = 1, *, after_taking: bool = False) -> None:
        """
        Let the next publishes raise `jobcore.Unavailable`.

        Args:
            times: how many of them.
            after_taking: the message is recorded all the same: a lost acknowledgement.
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
            taken_but_unanswered = self._failures.popleft() if self._failures else None
            if taken_but_unanswered is not False:
                self.messages.append(message)
        if taken_but_unanswered is not None:
            msg = "the scripted notifier does not answer"
            raise Unavailable(msg)

    @property
    def event_ids(self) -> list[str]:
        """The event ids of the recorded messages, in order, repetitions included."""
        with self._lock:
            return [message.event_id for message in self.messages]
