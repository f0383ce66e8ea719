"""The group breaker in the ticks: hold the waiting jobs of a group, and count the ends of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobcore.failures.cause import cause_of
from jobcore.lifecycle.events import HoldRequested
from jobcore.lifecycle.failure import Retryable
from jobcore.lifecycle.model import Completed, Failed, HoldCode, Job, Status
from jobcore.lifecycle.records import GroupKey, GroupTally
from jobcore.ports import JobQuery
from jobcore.scheduling.groups import (
    JobEnd,
    count_end,
    evaluate_group,
    is_evaluation_due,
    is_held_by_breaker,
    mark_paused,
    pause_reason,
)

from .run import TickRun

__all__ = ["count_ends", "hold_paused_groups"]

_SAVES_MAX = 3  # tries to save a tally that other ticks save as well


def hold_paused_groups(run: TickRun) -> None:
    """Hold the waiting jobs of the groups that are to be paused; one job of each notifies its owner."""
    for tally in run.store.tallies_to_pause():
        if not run.settings.go_on():
            return
        if _hold_group(run, tally):
            run.store.save_tally(mark_paused(tally))


def _hold_group(run: TickRun, tally: GroupTally) -> bool:
    """Hold the waiting jobs of a group; False if the tick ended before all were held."""
    held = _jobs_of(run, tally, Status.HELD)
    notified = any(map(is_held_by_breaker, held))
    while run.settings.go_on():
        waiting = _jobs_of(run, tally, Status.NEW)
        progress = False
        while waiting and not notified:
            # Another process may change this job before it is saved; then the next one notifies.
            first, *waiting = waiting
            (after,) = run.apply([(first, [_hold(tally, notify=True)])])
            notified = progress = is_held_by_breaker(after)
        after_all = run.apply((job, [_hold(tally, notify=False)]) for job in waiting)
        progress |= any(map(is_held_by_breaker, after_all))
        if not progress:
            return True
    return False


def _jobs_of(run: TickRun, tally: GroupTally, status: Status) -> Sequence[Job]:
    limit = min(run.settings.page, 1000)
    query = JobQuery(
        group=tally.group, owner=tally.owner, statuses=frozenset({status}), limit=limit
    )
    return run.store.find(query).jobs


def _hold(tally: GroupTally, *, notify: bool) -> HoldRequested:
    reason = pause_reason(tally)
    return HoldRequested(by="jobcore", reason=reason, code=HoldCode.GROUP, notify=notify)


def count_ends(run: TickRun, before: Mapping[str, Job], after: Sequence[Job]) -> None:
    """Count the jobs of groups that ended in this tick, and evaluate groups whose failures have one cause."""
    first = run.settings.limits.group_breaker
    if not first:
        return
    ends: dict[GroupKey, list[JobEnd]] = {}
    for job in after:
        if job.spec.group is None or before[job.job_id].status.is_terminal:
            continue
        end = _end_of(GroupKey(job.spec.group, job.spec.owner), job)
        if end is not None:
            ends.setdefault(end.key, []).append(end)
    pending = ends
    for _ in range(_SAVES_MAX):
        if not pending:
            return
        known = run.store.tallies(pending)
        pending = {
            key: found
            for key, found in pending.items()
            if not _save_counted(run, known.get(key), found, first)
        }


def _end_of(key: GroupKey, job: Job) -> JobEnd | None:
    """Reduce a job that has ended to a countable end; None if the end is no evidence about the group."""
    match job.state:
        case Completed():
            return JobEnd(key)
        case Failed(failure=failure) if failure.retryable is Retryable.NO:
            return JobEnd(key, cause_of(failure), failure.headline)
        case _:
            return None


def _save_counted(
    run: TickRun, known: GroupTally | None, ends: Sequence[JobEnd], first: int
) -> bool:
    """Count *ends* and save the tally; False if another tick saved it meanwhile."""
    tally, due = known, False
    for end in ends:
        counted = count_end(tally, end, now=run.now)
        if counted is not tally and counted is not None:
            due = not counted.sound and (due or is_evaluation_due(counted, first=first))
        tally = counted
    if tally is None or tally is known:
        return True
    if due:
        tally = evaluate_group(tally, run.store.counts(group=tally.group, owner=tally.owner))
    return run.store.save_tally(tally)
