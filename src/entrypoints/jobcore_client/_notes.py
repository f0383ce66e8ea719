"""What keeps a job that was just submitted from starting now: it waits, and its submitter is told why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import jobcore
from jobcore.scheduling import WaitCode

if TYPE_CHECKING:
    from .session import Session

# A job that only waits for its turn is what a queue is for.
_NO_NEWS = frozenset({WaitCode.NEXT, WaitCode.BEHIND})
_EXPLAINED_MAX = 5  # different lists of pools of one submission


def notes_on(
    session: Session, jobs: Sequence[jobcore.Job], *, now: datetime, is_heard: bool
) -> list[str]:
    """
    Write a sentence for each obstacle of new jobs; none for jobs that start at the next tick.

    Args:
        is_heard: whether a manager runs.
    """
    notes = []
    if not is_heard:
        notes.append("no manager runs here; jobcore run (or jobcore tick) starts it")
    waiting = [job for job in jobs if job.status is jobcore.Status.NEW]
    firsts = {job.spec.placements: job for job in reversed(waiting)}
    if not firsts:
        return notes
    try:
        snapshot = jobcore.ticks.snapshot_of(
            session.store, session.trainer, now=now, limits=session.limits
        )
    except jobcore.Unavailable:  # the jobs are submitted all the same
        return notes
    for job in list(firsts.values())[:_EXPLAINED_MAX]:
        why = jobcore.explain(job, snapshot, session.limits, now=now)
        if why.code not in _NO_NEWS:
            notes.append(f"waits for now: {jobcore.redact.redact(why.sentence)}")
    return list(dict.fromkeys(notes))
