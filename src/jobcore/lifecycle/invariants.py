"""
Invariants of a stored job, which hold after any failure of a process, port or service.

Tests, simulations and diagnostic commands check them; ticks do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .handlers import FIRST_MARKS_KEPT
from .model import (
    ATTEMPTS_KEPT_MAX,
    TIMELINE_KEPT_MAX,
    Completed,
    Failed,
    Job,
    Status,
    StopCause,
    Stopped,
    Stopping,
)
from .transitions import TRANSITIONS, Go

__all__ = [
    "Violation",
    "violations",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that a job breaks: its code, the job, and the contradiction in words."""

    code: str
    job_id: str
    said: str


def violations(job: Job) -> Iterator[Violation]:
    """
    Check a job by itself: its state, attempts, timeline and outbox.

    S2: attempts are numbered upwards, each once, and none is beyond the current one. S3: nothing
    follows a terminal status. S4: every change of status is in the table of transitions, and attempt
    numbers never go down. S5: a completed job has an attempt that completed. S6: every attempt has an
    intent in the timeline. S7: event ids are unique and belong to the job. S8: each pending message
    is about a status that the timeline has. S13: a stopped job has a stop request.
    """
    for code, said in (
        *_attempts(job),
        *_timeline(job),
        *_state(job),
        *_messages(job),
    ):
        yield Violation(code, job.job_id, said)


_Said = tuple[str, str]


def _attempts(job: Job) -> Iterator[_Said]:
    numbers = [attempt.number for attempt in job.attempts]
    if job.current is not None:
        numbers.append(job.current.number)
    for before, after in pairwise(numbers):
        if after <= before:
            yield "S2", f"attempt {after} comes after attempt {before}"
    if numbers and numbers[-1] > job.attempt_number:
        yield "S2", f"there is an attempt {numbers[-1]}, and the job is at {job.attempt_number}"
    whole = len(job.attempts) < ATTEMPTS_KEPT_MAX and len(job.timeline) < TIMELINE_KEPT_MAX
    intended = {mark.attempt for mark in job.timeline if mark.status is not Status.NEW}
    for number in numbers:
        if whole and number not in intended:
            yield "S6", f"attempt {number} was never intended"


def _edges() -> frozenset[tuple[Status, Status]]:
    return frozenset(
        (source, target)
        for source, row in TRANSITIONS.items()
        for cell in row.values()
        if isinstance(cell, Go)
        for target in cell.to
    )


_EDGES = _edges()


def _timeline(job: Job) -> Iterator[_Said]:
    marks = job.timeline
    if not marks:
        yield "S4", "it has no timeline"
        return
    for index, (before, after) in enumerate(pairwise(marks)):
        if before.status.is_terminal:
            yield "S3", f"{after.status} follows {before.status}"
            continue
        if len(marks) == TIMELINE_KEPT_MAX and index == FIRST_MARKS_KEPT - 1:
            continue  # the marks between are not kept
        if (before.status, after.status) not in _EDGES:
            yield "S4", f"{before.status} became {after.status}"
        if after.attempt < before.attempt:
            yield "S4", f"attempt {before.attempt} became attempt {after.attempt}"
    if marks[-1].status is not job.status:
        yield "S4", f"it is {job.status}, and its timeline ends with {marks[-1].status}"


def _state(job: Job) -> Iterator[_Said]:
    last = job.attempts[-1] if job.attempts else None
    match job.state:
        case Completed() if last is None or last.outcome is not Status.COMPLETED:
            yield "S5", "it is Completed, and its last attempt is not"
        case Failed() if last is not None and last.outcome is Status.COMPLETED:
            yield "S5", "it is Failed, and its last attempt completed"
        case Stopped() if job.stop is None:
            yield "S13", "it is Stopped without a stop request"
        case Stopping(cause=StopCause.USER) if job.stop is None:
            yield "S13", "it is Stopping without a stop request"
        case _:
            pass


def _messages(job: Job) -> Iterator[_Said]:
    seen = {mark.status for mark in job.timeline}
    ids = [entry.event_id for entry in job.outbox]
    if len(set(ids)) < len(ids):
        yield "S7", "its outbox has one message twice"
    for entry in job.outbox:
        if not entry.event_id.startswith(f"{job.job_id}/"):
            yield "S7", f"its outbox has the message {entry.event_id} of another job"
        if entry.status not in seen:
            yield "S8", f"its outbox has a message that it is {entry.status}; its timeline does not"
        if entry.status.is_terminal and entry.status is not job.status:
            yield "S8", f"its outbox has a message that it is {entry.status}; it is {job.status}"
