"""The reason of a job's status, and what would help, for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import jobcore
from jobcore.scheduling import Explanation

from .session import Session
from .wording import help_for


def explain_jobs(session: Session, jobs: Sequence[jobcore.Job]) -> list[Explanation]:
    """
    Explain each job's status by what the next launch tick would plan.

    Raises:
        Unavailable: the store or the trainer did not answer.
    """
    now, limits = datetime.now(UTC), session.limits
    snapshot = jobcore.Snapshot(waiting=())
    if any(job.status is jobcore.Status.NEW for job in jobs):  # the others need no plan
        snapshot = jobcore.ticks.snapshot_of(session.store, session.trainer, now=now, limits=limits)
    return [jobcore.explain(job, snapshot, limits, now=now) for job in jobs]


def help_text(session: Session, job: jobcore.Job, why: Explanation) -> str:
    """Write what would help a job, in commands and settings; "" if nothing would."""
    from jobcore_code import environment_id

    args = job.spec.args
    has_packages = environment_id(args) is not None
    return help_for(
        why, is_aws=session.is_aws, python=args.get("python"), has_packages=has_packages
    )
