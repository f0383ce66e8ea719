"""Registering jobs, and applying the requests of people to stored jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobcore.errors import Unavailable
from jobcore.lifecycle.events import Event, HoldRequested
from jobcore.lifecycle.model import Job, Spec, new_job
from jobcore.lifecycle.transitions import Step, step
from jobcore.ports import Added, JobStore

__all__ = ["Submission", "apply_request", "apply_requests", "submit"]


@dataclass(frozen=True, slots=True)
class Submission:
    """One job of a submission, and the result: created, a duplicate, or a clash."""

    job: Job
    added: Added


def submit(
    specs: Sequence[Spec],
    job_ids: Sequence[str],
    *,
    store: JobStore,
    now: datetime,
    held_by: str | None = None,
) -> list[Submission]:
    """
    Register jobs as New, each at most once, all with one write.

    Args:
        held_by: submit the jobs as Held, on request of the person of this name, until a release.
        job_ids: one for each spec, from `job_id_from_token` (then a repeated call finds
            the jobs of the first) or `job_id_from_bytes`.

    Raises:
        ValueError: an id occurs twice, or there is not one for each spec; nothing was written.
        Unavailable: nothing was written, or the reply was lost; repeat it with the same ids.
    """
    if len(specs) != len(job_ids):
        msg = f"job_ids: expected one for each of {len(specs)} specs, got {len(job_ids)}"
        raise ValueError(msg)
    if len(set(job_ids)) != len(job_ids):
        twice = next(job_id for job_id, count in Counter(job_ids).items() if count > 1)
        msg = f"job_ids: {twice} occurs twice in one submission; give each job a key of its own"
        raise ValueError(msg)
    # A microsecond apart, so that the jobs of a sweep keep their order among equals.
    jobs = [
        new_job(job_id, spec, now=now + timedelta(microseconds=number))
        for number, (spec, job_id) in enumerate(zip(specs, job_ids, strict=True))
    ]
    if held_by is not None:
        hold = HoldRequested(by=held_by, reason="submitted on hold")
        jobs = [step(job, hold, now=job.submitted_at).job for job in jobs]
    return [Submission(job, added) for job, added in zip(jobs, store.add(jobs), strict=True)]


def apply_request(
    job_id: str, event: Event, *, store: JobStore, now: datetime, tries: int = 10
) -> Step | None:
    """
    Apply a person's request (stop, hold, release) to a stored job.

    Returns:
        The step that was saved, or was ignored or refused; None if there is no such job.

    Raises:
        Unavailable: the store did not answer, or the job was changed *tries* times in between.
    """
    for _ in range(tries):
        job = store.get([job_id]).get(job_id)
        if job is None:
            return None
        done = step(job, event, now=now)
        if not done.changed:
            return done
        (saved,) = store.save([done.job])
        if saved is not None:
            return Step(job=saved)
    msg = f"job {job_id} kept changing; try again"
    raise Unavailable(msg)


def apply_requests(
    job_ids: Sequence[str], event: Event, *, store: JobStore, now: datetime, tries: int = 10
) -> list[Step]:
    """
    Apply one person's request to many stored jobs, with one read and one write.

    A job that was changed in between is read and written again, so calling it again completes what
    a call that was cut short has begun.

    Returns:
        For each job, in order, the step that was saved, or was ignored or refused; a job that does
        not exist is left out.

    Raises:
        CorruptRecord: one of the records cannot be read; nothing was written.
        Unavailable: the store did not answer, so any of the jobs may have been saved or not, or a
            job was changed *tries* times in between.
    """
    done: dict[str, Step] = {}
    left = list(dict.fromkeys(job_ids))
    for _ in range(tries):
        jobs = store.get(left)
        steps = {job_id: step(jobs[job_id], event, now=now) for job_id in left if job_id in jobs}
        done |= {job_id: one for job_id, one in steps.items() if not one.changed}
        changed = {job_id: one.job for job_id, one in steps.items() if one.changed}
        written = store.save(list(changed.values())) if changed else []
        saved = dict(zip(changed, written, strict=True))
        done |= {job_id: Step(job=job) for job_id, job in saved.items() if job is not None}
        left = [job_id for job_id, job in saved.items() if job is None]
        if not left:
            return [done[job_id] for job_id in dict.fromkeys(job_ids) if job_id in done]
    msg = f"job {left[0]} kept changing; try again"
    raise Unavailable(msg)
