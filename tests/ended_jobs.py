"""Jobs of a sweep that have ended with metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jobcore
from jobcore import Placement, Status
from jobcore.metrics import Metric

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOSS = {"loss": {"regex": "loss=(.)", "goal": "minimize"}}
FAILURE = jobcore.Failure(
    failure_class=jobcore.FailureClass.ALGORITHM,
    scope=jobcore.lifecycle.Scope.JOB,
    retryable=jobcore.lifecycle.Retryable.NO,
    rule="r",
    text="it broke",
)


def job(
    number: int,
    *metrics: Metric,
    status: Status = Status.COMPLETED,
    given: dict[str, Any] | None = None,
    goals: dict[str, Any] | None = None,
    group: str = "g",
    owner: str = "ada",
) -> jobcore.Job:
    """Make a job that has ended with *metrics*, or waits (New)."""
    document = {
        "script": "train.py", "name": f"j{number}", "group": group,
        "hyperparameters": {"epochs": 9, "lr": number / 10} if given is None else given,
        "metrics": LOSS if goals is None else goals,
    }  # fmt: skip
    spec = jobcore.parse_job(document, owner=owner)
    made = jobcore.new_job(jobcore.job_id_from_token("r", f"{group}{number}"), spec, now=NOW)
    if status is Status.NEW:
        return made
    failure = None if status is Status.COMPLETED else FAILURE
    place, later = Placement("cpu"), NOW + timedelta(seconds=90)
    ended = jobcore.TrainingEnded(
        attempt=1, outcome=status, failure=failure, started_at=NOW, ended_at=later, metrics=metrics
    )
    for event in (
        jobcore.LaunchDecided(attempt=1, placement=place),
        jobcore.LaunchAccepted(attempt=1, placement=place),
        ended,
    ):
        made = jobcore.step(made, event, now=later).job
    return made


def loss(final: float, **more: Any) -> Metric:
    return Metric(name="loss", final=final, **more)
