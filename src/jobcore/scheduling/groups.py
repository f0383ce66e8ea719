"""
The group breaker: the same failure in the first jobs of a group pauses the rest.

A sweep of a thousand jobs with one bug in it would fail a thousand times. What
the first of them end with is counted by group, in the one record that all
pools share (`jobcore.ALL_POOLS`), so that it costs nothing to ask, and a few
writes for a group that fails. As soon as one job of such a group completes, the
group is sound and nothing more is counted for a day.

The monitor counts and decides; the launch tick holds the jobs that wait,
before it plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from jobcore.failures.cause import cause_of
from jobcore.lifecycle.failure import Failure, Retryable
from jobcore.lifecycle.model import Held, HoldCode, Job, Status
from jobcore.lifecycle.records import PoolState

__all__ = [
    "Outcome",
    "count_outcomes",
    "evaluate_group",
    "group_and_owner",
    "group_key",
    "groups_to_pause",
    "is_held_by_group",
    "mark_paused",
]

#: How a job of a group ended: the group (see `group_key`), and the failure, or None for a completed one.
Outcome: TypeAlias = tuple[str, Failure | None]


_FORGOTTEN = timedelta(days=1)


_GROUPS_MAX = 200  # the record has to stay small


def group_key(group: str, owner: str) -> str:
    """Name an owner's group: two people may call theirs the same, and neither holds the other's jobs."""
    return f"{group}\n{owner}"


def group_and_owner(key: str) -> tuple[str, str | None]:
    """Read a group's name and its owner back; None for the owner in what an older release noted."""
    group, line, owner = key.partition("\n")
    return group, owner if line else None


def count_outcomes(
    state: PoolState, ends: Iterable[Outcome], *, first: int, now: datetime
) -> tuple[PoolState, Sequence[str]]:
    """
    Count how jobs of groups have ended.

    Args:
        state: the record of all pools.
        first: after so many failures of one cause and no completion, a group is to be judged; then
            after twice as many, and so on, so that judging costs little.

    Returns:
        The new record (*state* itself if nothing changed), and the groups to `evaluate_group`.
    """
    groups = {name: dict(tally) for name, tally in state.groups.items()}
    changed = False
    judged: dict[str, None] = {}
    at = int(now.timestamp())
    for group, failure in ends:
        tally = groups.get(group)
        if tally is not None and at - int(tally["at"]) > _FORGOTTEN.total_seconds():
            tally = None
        if failure is None:
            if tally is not None and not tally.get("sound"):
                groups[group] = {"sound": True, "at": at}
                judged.pop(group, None)
                changed = True
            continue
        if failure.retryable is not Retryable.NO or (tally is not None and tally.get("sound")):
            continue
        cause = cause_of(failure)
        if tally is None or tally.get("cause") != cause:
            tally = {"cause": cause, "failed": 0}
        failed = int(tally["failed"]) + 1
        groups[group] = {**tally, "failed": failed, "why": failure.headline, "at": at}
        changed = True
        if failed >= first and failed % first == 0 and _is_power_of_two(failed // first):
            judged[group] = None
    return (_with_groups(state, groups, at) if changed else state), tuple(judged)


def evaluate_group(state: PoolState, group: str, counts: Mapping[Status, int]) -> PoolState:
    """
    Judge whether the failures of *group* are all that can be expected of it, and note what follows.

    They are not where a job has completed: the group is sound. They are not yet where more jobs
    run than have failed: fast failures say little of jobs that are still at work. Else its
    waiting jobs are to be held (see `groups_to_pause`).

    Args:
        counts: the group's jobs by status, as they are now.
    """
    tally = state.groups.get(group)
    if tally is None or tally.get("sound"):
        return state
    if counts.get(Status.COMPLETED, 0):
        return replace(state, groups={**state.groups, group: {"sound": True, "at": tally["at"]}})
    if int(tally["failed"]) < counts.get(Status.IN_PROGRESS, 0):
        return state
    return replace(state, groups={**state.groups, group: {**tally, "pausing": True}})


def is_held_by_group(job: Job) -> bool:
    """Say whether the breaker holds *job*."""
    return isinstance(job.state, Held) and job.state.code is HoldCode.GROUP


def groups_to_pause(state: PoolState | None) -> Mapping[str, str]:
    """Name the groups (see `group_key`) whose waiting jobs are to be held, with the reason for people."""
    if state is None or not state.groups:
        return {}
    return {
        name: f"the first {tally['failed']} jobs of group {group_and_owner(name)[0]!r} that ended failed alike, and "
        f"none completed ({tally['why']}); the jobs of the group that wait are held"
        for name, tally in state.groups.items()
        if tally.get("pausing")
    }


def mark_paused(state: PoolState, group: str) -> PoolState:
    """Note that the waiting jobs of *group* are held; those that are released are judged anew."""
    tally = state.groups.get(group)
    if tally is None or not tally.get("pausing"):
        return state
    return replace(state, groups={**state.groups, group: {**tally, "pausing": False, "failed": 0}})


def _with_groups(
    state: PoolState, groups: Mapping[str, Mapping[str, object]], at: int
) -> PoolState:
    """Put the tallies of *groups* into the record, without those that are out of date."""
    fresh = {
        name: tally
        for name, tally in groups.items()
        if tally.get("pausing") or at - int(str(tally["at"])) <= _FORGOTTEN.total_seconds()
    }
    newest = sorted(fresh, key=lambda name: (-int(str(fresh[name]["at"])), name))[:_GROUPS_MAX]
    return replace(state, groups={name: fresh[name] for name in sorted(newest)})


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
