"""
The group breaker: the same failure in the first jobs of a group pauses the rest.

A sweep of a thousand jobs with one bug in it would fail a thousand times. The ends of its jobs are
counted in one record per group and owner. As soon as one job of the group completes, the group is
sound and no failure is counted for a day.

The monitor tick counts ends and evaluates groups; the launch tick holds the waiting jobs of a group
that is to be paused, before it plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobcore.lifecycle.model import Held, HoldCode, Job, Status
from jobcore.lifecycle.records import GroupKey, GroupTally

__all__ = [
    "JobEnd",
    "count_end",
    "evaluate_group",
    "is_evaluation_due",
    "is_held_by_breaker",
    "mark_paused",
    "pause_reason",
]

#: A tally this old is counted anew.
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """
    The end of a job of a group.

    Args:
        key: the group and its owner.
        cause: identifies a failure that no retry helps; None for a completed job.
        reason: the failure's headline.
    """

    key: GroupKey
    cause: str | None = None
    reason: str = ""


def count_end(tally: GroupTally | None, end: JobEnd, *, now: datetime) -> GroupTally | None:
    """
    Count one end.

    Args:
        tally: the group's stored tally; None if there is none.

    Returns:
        The new tally, *tally* itself if nothing changed, or None if there is nothing to store (a
        group is recorded from its first failure on).
    """
    known = tally
    if known is not None and now - known.at > FORGOTTEN_AFTER:
        known = GroupTally(group=known.group, owner=known.owner, version=known.version, at=known.at)
    if end.cause is None:
        if known is None or known.sound or not known.failed:
            return tally
        return replace(known, at=now, sound=True, pausing=False, failed=0, cause="", reason="")
    if known is None:
        known = GroupTally(group=end.key.group, owner=end.key.owner, at=now)
    if known.sound:
        return tally
    failed = known.failed + 1 if known.cause == end.cause else 1
    return replace(known, at=now, failed=failed, cause=end.cause, reason=end.reason)


def is_evaluation_due(tally: GroupTally, *, first: int) -> bool:
    """
    Check whether the group is to be evaluated after this end.

    After *first* failures of one cause, then after twice as many, and so on: an evaluation counts
    the group's jobs, which costs more than the tally.
    """
    times, rest = divmod(tally.failed, first)
    return times > 0 and rest == 0 and times & (times - 1) == 0


def evaluate_group(tally: GroupTally, counts: Mapping[Status, int]) -> GroupTally:
    """
    Decide whether a group is sound, to be paused, or cannot be evaluated yet.

    If a job has completed, the group is sound. If more jobs run than have failed, it is too early to
    decide: the running jobs may be sound although others failed fast. Otherwise the group is to be
    paused.

    Args:
        counts: the group's jobs by status, as they are now.
    """
    if tally.sound:
        return tally
    if counts.get(Status.COMPLETED, 0):
        return replace(tally, sound=True, pausing=False, failed=0, cause="", reason="")
    if tally.failed < counts.get(Status.IN_PROGRESS, 0):
        return tally
    return replace(tally, pausing=True)


def is_held_by_breaker(job: Job) -> bool:
    """Check whether the group breaker holds *job*."""
    return isinstance(job.state, Held) and job.state.code is HoldCode.GROUP


def pause_reason(tally: GroupTally) -> str:
    """Write the reason for which the group's waiting jobs are held."""
    return (
        f"the first {tally.failed} jobs of group {tally.group!r} that ended failed alike, and "
        f"none completed ({tally.reason}); the jobs of the group that wait are held"
    )


def mark_paused(tally: GroupTally) -> GroupTally:
    """Mark the group's waiting jobs as held. Jobs that are released are counted anew."""
    return replace(tally, pausing=False, failed=0)
