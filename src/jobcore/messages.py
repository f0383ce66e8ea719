"""The one message that a scientist gets when a job is over (or waits for a human)."""

from __future__ import annotations

from datetime import datetime

from jobcore.lifecycle.model import Held, HoldCode, Job, OutboxEntry, Status

from .ports import Message
from .redact import redact, secret_values

__all__ = [
    "SUBJECT_CHARS_MAX",
    "message_for",
]

SUBJECT_CHARS_MAX = 99  # SNS: fewer than 100, printable ASCII


def message_for(job: Job, entry: OutboxEntry) -> Message:
    """Write the message that *entry* of the job's outbox stands for: a pure function, so it can be repeated."""
    failure = getattr(job.state, "failure", None) if job.status == entry.status else None
    attempts = job.attempts[-1].number if job.attempts else 0
    # The reason may be of an older release, or what a person wrote.
    reason = redact(entry.reason, secret_values(job.spec))
    lines = [f"Job {job.spec.name} ({job.job_id}) is {entry.status}."]
    if reason:
        lines += ["", f"Why: {reason}"]
    lines += ["", f"Attempts: {attempts}   Submitted: {_time(job.submitted_at)}"]
    if job.charges:
        used = ", ".join(f"{name} {count}" for name, count in sorted(job.charges.items()))
        lines.append(f"Retried after: {used}")
    lines += ["", f"Next: {_next_command(job, entry)}"]
    attributes = {"status": str(entry.status), "owner": job.spec.owner, "job": job.job_id}
    if job.spec.group:
        attributes["group"] = job.spec.group
    if failure is not None:
        attributes["class"] = str(failure.failure_class)
    return Message(
        event_id=entry.event_id,
        job_id=job.job_id,
        owner=job.spec.owner,
        status=entry.status,
        subject=_subject(f"[jobcore] {entry.status}: {job.spec.name}"),
        body="\n".join(lines) + "\n",
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
        },
    )


def _next_command(job: Job, entry: OutboxEntry) -> str:
    match entry.status:
        case Status.COMPLETED:
            return f"jobcore show {job.job_id}"
        case Status.HELD if isinstance(job.state, Held) and job.state.code is HoldCode.GROUP:
            return f"jobcore list --group {job.spec.group}, then jobcore release --group {job.spec.group}"
        case Status.HELD:
            return f"jobcore why {job.job_id}, then jobcore release {job.job_id}"
        case Status.STOPPED:
            return f"jobcore retry {job.job_id}"
        case _:
            return f"jobcore logs {job.job_id}, then jobcore retry {job.job_id}"


def _time(at: datetime) -> str:
    """Write a time as people read it: strftime would take as long as the rest of the message."""
    return f"{at.replace(tzinfo=None).isoformat(' ', 'seconds')} {at.tzname()}"


def _subject(text: str) -> str:
    ascii_text = " ".join(text.split())
    if not (ascii_text.isascii() and ascii_text.isprintable()):
        ascii_text = "".join(c if " " <= c <= "~" else "?" for c in ascii_text)
    if len(ascii_text) <= SUBJECT_CHARS_MAX:
        return ascii_text
    return ascii_text[: SUBJECT_CHARS_MAX - 3] + "..."
