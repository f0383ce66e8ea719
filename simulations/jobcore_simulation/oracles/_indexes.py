"""The rows that the indexes of a store must have, given its jobs (S16, J1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from jobcore import Job, JobStore, Status
from jobcore.lifecycle import Tick, Violation, due_at

__all__ = ["in_flight_violations", "index_violations"]

_FAR_AHEAD = timedelta(days=3650)  # later than any due time of a run
_EVERYTHING = 10**6


def index_violations(
    jobs: Mapping[str, Job], store: JobStore, now: datetime
) -> Iterator[Violation]:
    """Compare counts, usage, the waiting list and the due lists of *store* with *jobs*."""
    counted = {status: n for status, n in store.counts().items() if n}
    if counted != Counter(job.status for job in jobs.values()):
        yield Violation("S16", "", f"counts: {counted}")
    yield from _usage_violations(jobs, store)
    waiting = {job.job_id for job in store.waiting(now=now + _FAR_AHEAD, depth=_EVERYTHING)}
    if waiting != {job.job_id for job in jobs.values() if job.status is Status.NEW}:
        yield Violation("J1", "", f"waiting: {sorted(waiting)}")
    for tick in Tick:
        rows = store.due(tick, before=now + _FAR_AHEAD, limit=_EVERYTHING)
        due = {entry.job_id for entry in rows}
        expected = {job.job_id for job in jobs.values() if due_at(job, tick) is not None}
        if due != expected:
            yield Violation("J1", "", f"due to {tick}: {sorted(due)}, expected {sorted(expected)}")


def _usage_violations(jobs: Mapping[str, Job], store: JobStore) -> Iterator[Violation]:
    slots: Counter[tuple[str, str]] = Counter()
    running: Counter[tuple[str, str]] = Counter()
    for job in jobs.values():
        if job.current is not None:
            place = job.current.placement
            slots[place.pool, job.spec.share] += place.count
            if job.status.runs:
                running[place.pool, job.spec.share] += place.count
    usage = {(use.pool, use.share): (use.slots, use.running) for use in store.usage()}
    if usage != {key: (count, running[key]) for key, count in slots.items()}:
        yield Violation("S16", "", f"usage: {usage}, and the jobs hold {dict(slots)}")


def in_flight_violations(jobs: Iterable[Job]) -> Iterator[Violation]:
    """Find active jobs that are due to no tick, or to both launch and monitor ticks (J1)."""
    for job in jobs:
        if job.status.is_active:
            ticks = [t for t in (Tick.LAUNCH, Tick.MONITOR) if due_at(job, t) is not None]
            if len(ticks) != 1:
                yield Violation("J1", job.job_id, f"{job.status}, and due to {ticks}")
