"""
The message that the owner of a job gets when it is over or held.

The core gives facts and a code for the next step. The command or button for that step differs by
entry point, so each entry point has its own texts and adds them with `WordedNotifier`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from jobcore.lifecycle.model import Held, HoldCode, Job, Json, OutboxEntry, Status

from .ports import Message, NextStep, Notifier
from .redact import redact, secret_values

__all__ = [
    "WordedNotifier",
    "message_for",
]


class WordedNotifier:
    """
    A `jobcore.Notifier` that adds the text of the next step to each message.

    Args:
        notifier: publishes the messages.
        words: returns the text for a message's `Message.next_step`, such as "release the job in the
            console".
    """

    def __init__(self, notifier: Notifier, words: Callable[[Message], str]) -> None:
        self._notifier = notifier
        self._words = words

    def publish(self, message: Message) -> None:
        """
        Publish *message* with a last line that begins with "Next: ".

        Raises:
            Unavailable: as the notifier raises it.
        """
        body = f"{message.body}\nNext: {self._words(message)}\n"
        self._notifier.publish(replace(message, body=body))


def message_for(job: Job, entry: OutboxEntry) -> Message:
    """Make the message that *entry* of the job's outbox stands for: a pure function, so it can be repeated."""
    failure = getattr(job.state, "failure", None) if job.status == entry.status else None
    hold = _hold_code(job, entry)
    attempts = job.attempts[-1].number if job.attempts else 0
    # Redact again: an older release may have stored the reason unredacted, and a hold's is a person's.
    reason = redact(entry.reason, secret_values(job.spec))
    next_step = _next_step(entry.status, hold, attempts)
    attributes = {"status": str(entry.status), "owner": job.spec.owner, "job": job.job_id}
    if job.spec.group:
        attributes["group"] = job.spec.group
    if failure is not None:
        attributes["class"] = str(failure.failure_class)
    charges: dict[str, Json] = {str(name): count for name, count in sorted(job.charges.items())}
    return Message(
        event_id=entry.event_id,
        job_id=job.job_id,
        owner=job.spec.owner,
        status=entry.status,
        subject=_one_line(f"[jobcore] {entry.status}: {job.spec.name}"),
        body=_body(job, entry.status, reason, attempts),
        next_step=next_step,
        attributes=attributes,
        data={
            "event_id": entry.event_id,
            "job_id": job.job_id,
            "name": job.spec.name,
            "group": job.spec.group,
            "status": str(entry.status),
            "at": entry.at.isoformat(),
            "attempts": attempts,
            "reason": reason,
            "class": str(failure.failure_class) if failure is not None else None,
            "rule": failure.rule if failure is not None else None,
            "hold": str(hold) if hold is not None else None,
            "charges": charges,
            "next_step": str(next_step),
        },
    )


def _hold_code(job: Job, entry: OutboxEntry) -> HoldCode | None:
    """Return why the job is held; None if *entry* is not about a hold, or the job was released since."""
    if entry.status is Status.HELD and isinstance(job.state, Held):
        return job.state.code
    return None


def _next_step(status: Status, hold: HoldCode | None, attempts: int) -> NextStep:
    match status:
        case Status.COMPLETED:
            return NextStep.SHOW
        case Status.HELD:
            return NextStep.RELEASE_GROUP if hold is HoldCode.GROUP else NextStep.RELEASE
        case Status.STOPPED:
            return NextStep.RETRY
        case _:
            return NextStep.READ_LOGS_AND_RETRY if attempts else NextStep.RETRY


def _body(job: Job, status: Status, reason: str, attempts: int) -> str:
    lines = [f"Job {job.spec.name} ({job.job_id}) is {status}."]
    if reason:
        lines += ["", f"Why: {reason}"]
    lines += ["", f"Attempts: {attempts}   Submitted: {_time(job.submitted_at)}"]
    if job.charges:
        used = ", ".join(f"{name} {count}" for name, count in sorted(job.charges.items()))
        lines.append(f"Retried after: {used}")
    return "\n".join(lines) + "\n"


def _time(at: datetime) -> str:
    """Write a time as people read it; strftime would take as long as the rest of the message."""
    return f"{at.replace(tzinfo=None).isoformat(' ', 'seconds')} {at.tzname()}"


def _one_line(text: str) -> str:
    """Make one line of printable text: a name with control characters must not steer a terminal."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)
