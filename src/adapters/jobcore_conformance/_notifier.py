"""The conformance suite of notifiers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jobcore import Notifier, Placement, Spec, Status, new_job
from jobcore.lifecycle import OutboxEntry
from jobcore.messages import message_for
from jobcore.ports import Message


def _message(number: int = 1) -> Message:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    spec = Spec(name="näme\n", owner="ada", placements=(Placement("cpu"),))
    job = new_job("0" * 26, spec, now=now)
    entry = OutboxEntry(event_id=f"event-{number}", status=Status.COMPLETED, at=now)
    return message_for(job, entry)


class NotifierContract:
    """The contract of `jobcore.Notifier`."""

    def make_notifier(self) -> Notifier:
        """Make the notifier to test."""
        raise NotImplementedError

    def delivered(self, notifier: Notifier) -> Sequence[str]:
        """Return the event ids (or subjects) that arrived, in order."""
        raise NotImplementedError

    def test_an_accepted_message_arrives(self) -> None:
        """When publish returns, the message has arrived."""
        notifier = self.make_notifier()
        notifier.publish(_message(1))
        notifier.publish(_message(2))
        assert len(self.delivered(notifier)) == 2

    def test_publishing_again_is_no_error(self) -> None:
        """After a lost acknowledgement the same message is published again."""
        notifier = self.make_notifier()
        notifier.publish(_message(1))
        notifier.publish(_message(1))
        assert len(set(self.delivered(notifier))) == 1
