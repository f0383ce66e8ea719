"""The invariants of a job's history, checked at each write against the stored version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from jobcore import FailureClass, Job, Status
from jobcore.lifecycle import TRANSITIONS, Go, Stopping

from ._scope import Scope
from ._values import LIVE, OVER, REFUSALS, World

__all__ = ["EDGES", "write_violation"]

#: The legal changes of status, by the transition table as it is at import: mutants change it later.
EDGES = frozenset(
    (source, target)
    for source, row in TRANSITIONS.items()
    for cell in row.values()
    if isinstance(cell, Go)
    for target in cell.to
)
_FOREIGN_OR_OVER = frozenset({"X", *OVER})
#: The statuses after Launching if the launch was refused or the training is over.
_AFTER_A_LAUNCH = (Status.NEW, Status.HELD, Status.FAILED)


class _Write(NamedTuple):
    """A write of *after* over *before*, the job number *j* of *world*."""

    scope: Scope
    world: World
    j: int
    before: Job
    after: Job

    @property
    def run(self) -> str:
        """The state of the training of the attempt that the job had before."""
        return self.world.run(self.j, self.before.attempt_number)

    @property
    def was_refused(self) -> bool:
        """Whether the trainer has refused any launch."""
        return self.world.left[REFUSALS] < self.scope.refusals


def write_violation(scope: Scope, world: World, j: int, before: Job, after: Job) -> str:
    """Name the invariant that a write breaks; "" if it breaks none."""
    write = _Write(scope, world, j, before, after)
    for check in _CHECKS:
        wrong = check(write)
        if wrong:
            return wrong
    return ""


def _status(write: _Write) -> str:
    old, new = write.before.status, write.after.status
    if old.is_terminal and write.before.state != write.after.state:
        return f"S3: {old} became {new}"
    marks = write.after.timeline
    if marks[0].status is not old or any(
        (a.status, b.status) not in EDGES for a, b in pairwise(marks)
    ):
        return f"S4: {old} became {new} by way of {[str(mark.status) for mark in marks]}"
    unchanged = replace(write.after, version=write.before.version, timeline=write.before.timeline)
    if unchanged == write.before:
        return f"S11: a write of {new} that changes nothing"
    return ""


def _stop_request(write: _Write) -> str:
    before, after = write.before, write.after
    old, new = before.status, after.status
    if before.stop is not None and after.stop != before.stop:
        return "S9: a stop was taken back"
    if before.stop is not None and new.is_active and not old.is_active:
        return f"S10: {old} became {new} although a stop was requested"
    if new is Status.STOPPED and after.stop is None:
        return "S13: Stopped, and no stop was requested"
    return ""


def _attempt(write: _Write) -> str:
    n, m = write.before.attempt_number, write.after.attempt_number
    if write.after.status.is_terminal and m < n:
        m = n  # the next attempt was planned and never launched
    if m != n and (m != n + 1 or write.run.upper() not in _FOREIGN_OR_OVER):
        return f"Rule A: attempt {n} became {m} while training {n} is {write.run or 'unused'}"
    if m > write.scope.attempts_max + write.scope.stranger:
        return f"S2: attempt {m} of at most {write.scope.attempts_max}"
    return ""


def _end(write: _Write) -> str:
    n, run = write.before.attempt_number, write.run
    old, new = write.before.status, write.after.status
    if new is Status.COMPLETED and old is not new and run.upper() != "C":
        return f"S5: Completed, and training {n} is {run or 'unused'}"
    has_cause = write.was_refused or run.upper() in _FOREIGN_OR_OVER
    if old is Status.LAUNCHING and new in _AFTER_A_LAUNCH and not has_cause:
        return f"S5: {new} without a refused launch or an ended training"
    if new is Status.FAILED and old is not new and not _may_fail(write):
        return "S5: Failed without a reason to fail"
    return ""


def _may_fail(write: _Write) -> bool:
    scope = write.scope
    ended = any(letter.upper() in "FIT" for i, _, letter in write.world.runs if i == write.j)
    return write.was_refused or ended or scope.clocks or scope.stranger


def _training(write: _Write) -> str:
    before, new, run = write.before, write.after.status, write.run
    is_known = before.status in (Status.LAUNCHED, Status.IN_PROGRESS) or (
        isinstance(before.state, Stopping) and before.state.known
    )
    if is_known and run in LIVE and not new.is_active:
        return f"S12: {new} was written while training {before.attempt_number} is {run}"
    if (
        new.is_active
        and run == "X"
        and new is not Status.LAUNCHING
        and not _knows_only_the_name(write.after)
    ):
        return "S15: a stranger's training was adopted"
    return ""


def _knows_only_the_name(job: Job) -> bool:
    return isinstance(job.state, Stopping) and not job.state.known


def _messages(write: _Write) -> str:
    before, after = write.before, write.after
    owed = {entry.event_id for entry in after.outbox}
    for entry in before.outbox:
        if entry.event_id not in owed and entry.event_id not in write.world.published:
            return f"S7: the message {entry.status} was cleared before it was published"
    if after.status.is_terminal and not before.status.is_terminal:
        ids = {f"{after.job_id}/{b.attempt_number}/{after.status}" for b in (before, after)}
        ends = [entry.event_id for entry in after.outbox if entry.status.is_terminal]
        if len(ends) != 1 or ends[0] not in ids:
            return f"S7: {after.status} does not owe the one message of its event"
    fresh = [e for e in after.outbox if e not in before.outbox]
    seen = {mark.status for mark in after.timeline}
    if any(entry.status not in seen for entry in fresh):
        return "S8: a message about a status that the job never had"
    return ""


def _charges(write: _Write) -> str:
    job = write.after
    for kind in (FailureClass.ALGORITHM, FailureClass.SPOT_INTERRUPTED):
        failed = sum(
            a.failure is not None and a.failure.failure_class is kind for a in job.attempts
        )
        charged = job.charges.get(kind, 0)
        if not failed - 1 <= charged <= failed:
            return f"S16: {failed} attempts failed with {kind}, and {charged} were charged"
    return ""


_CHECKS: tuple[Callable[[_Write], str], ...] = (
    _status,
    _stop_request,
    _attempt,
    _end,
    _training,
    _messages,
    _charges,
)
