"""Changes of stored jobs on request of a person: stop, hold, release and retry."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import jobcore

from .session import Session

_BATCH = 500  # jobs of one write; the largest record of SQLite's log is then some MB
_FULL_BYTES = 1 << 20  # with less free space the disk counts as full
_END_SECONDS_MAX = 2.0  # to wait for the ends of trainings before the stops are recorded anyway


@dataclass(frozen=True)
class Answers:
    """
    The result of a change of several jobs.

    Args:
        steps: the steps that were saved, or were ignored or refused.
        failed: the ids of jobs that could not be read or written, and the error of each.
    """

    steps: list[jobcore.lifecycle.Step] = field(default_factory=list)
    failed: dict[str, jobcore.CorruptRecord | jobcore.Unavailable] = field(default_factory=dict)


@dataclass(frozen=True)
class Retried(Answers):
    """
    The result of a retry.

    Args:
        again: finished jobs, and the jobs that were submitted in their place.
    """

    again: list[tuple[jobcore.Job, jobcore.Job]] = field(default_factory=list)


def stop_jobs(session: Session, jobs: Sequence[jobcore.Job]) -> Answers:
    """Stop jobs: their trainings get SIGTERM, and SIGKILL after a grace time."""
    if not session.is_aws and shutil.disk_usage(_existing(session)).free < _FULL_BYTES:
        _end_trainings(session, jobs)
    return _change(session, jobs, jobcore.StopRequested(by=session.owner_name))


def hold_jobs(session: Session, jobs: Sequence[jobcore.Job], reason: str) -> Answers:
    """Hold jobs: a running training goes on, and there is no further attempt."""
    event = jobcore.HoldRequested(by=session.owner_name, reason=reason[:200])
    return _change(session, jobs, event)


def release_jobs(session: Session, jobs: Sequence[jobcore.Job]) -> Answers:
    """Release held jobs, and end the back-off of others."""
    return _change(session, jobs, jobcore.ReleaseRequested(by=session.owner_name))


def retry_jobs(session: Session, jobs: Sequence[jobcore.Job]) -> Retried:
    """
    Submit finished jobs again, as new jobs; release the others.

    Raises:
        Refused: the code or the data of a job was removed by a prune; nothing was changed.
        RequestError: packages cannot be installed; nothing was changed.
    """
    from .packages import Packages
    from .snapshots import kept_snapshots

    over = [job for job in jobs if job.status.is_terminal]
    waiting = [job for job in jobs if not job.status.is_terminal]
    with kept_snapshots(session, over):
        packages = Packages(session)
        specs = [
            replace(
                job.spec,
                args=packages.renewed(job.spec.args),
                tags={**job.spec.tags, "retry_of": job.job_id},
            )
            for job in over
        ]
        answers = _change(session, waiting, jobcore.ReleaseRequested(by=session.owner_name))
        ids = [jobcore.job_id_from_bytes(os.urandom(16)) for _ in over]
        done = (
            jobcore.submit(specs, ids, store=session.store, now=datetime.now(UTC)) if over else []
        )
    session.poke()
    pairs = [(old, new.job) for old, new in zip(over, done, strict=True)]
    return Retried(answers.steps, answers.failed, pairs)


def preview(
    jobs: Sequence[jobcore.Job], event: jobcore.lifecycle.Event
) -> list[jobcore.lifecycle.Step]:
    """Make the steps that a change would save now; nothing is read or written."""
    now = datetime.now(UTC)
    return [jobcore.step(job, event, now=now) for job in jobs]


def _change(
    session: Session, jobs: Sequence[jobcore.Job], event: jobcore.lifecycle.Event
) -> Answers:
    """Apply an event to each job, many with one write."""
    answers = Answers()
    for batch in _batches([job.job_id for job in jobs]):
        try:
            answers.steps.extend(_apply(session, batch, event))
        except (jobcore.CorruptRecord, jobcore.Unavailable) as error:
            if isinstance(error, jobcore.Unavailable) or len(batch) == 1:
                answers.failed.update(dict.fromkeys(batch, error))
            else:  # one record of the batch: the others can be changed
                _one_by_one(session, batch, event, answers)
    session.poke()
    return answers


def _one_by_one(
    session: Session, ids: Sequence[str], event: jobcore.lifecycle.Event, answers: Answers
) -> None:
    for job_id in ids:
        try:
            answers.steps.extend(_apply(session, [job_id], event))
        except (jobcore.CorruptRecord, jobcore.Unavailable) as error:
            answers.failed[job_id] = error


def _apply(
    session: Session, ids: Sequence[str], event: jobcore.lifecycle.Event
) -> list[jobcore.lifecycle.Step]:
    return jobcore.ticks.apply_requests(ids, event, store=session.store, now=datetime.now(UTC))


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _existing(session: Session) -> str:
    """Return the home, or the nearest folder above it that exists."""
    folder = session.home_path
    while not folder.exists():
        folder = folder.parent
    return str(folder)


def _end_trainings(session: Session, jobs: Sequence[jobcore.Job]) -> None:
    """
    End trainings before their stops are recorded, because on a full disk one of them may be filling it.

    While it runs it would use any space that becomes free, which the record needs.
    """
    names = [job.training_name for job in jobs if job.current is not None]
    for name in names:
        session.trainer.stop(name)
    deadline = time.monotonic() + _END_SECONDS_MAX
    while time.monotonic() < deadline:
        seen = session.trainer.describe(names).values()
        if all(training is None or training.state.is_terminal for training in seen):
            return
        time.sleep(0.05)
