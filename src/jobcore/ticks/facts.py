"""Conversion of a trainer's answers to events of a job: ownership check, classification, adoption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobcore.failures.classify import classify
from jobcore.failures.rules import Rules
from jobcore.lifecycle.codec import spec_hash
from jobcore.lifecycle.events import Event, LaunchAccepted, TrainingEnded, TrainingSeen
from jobcore.lifecycle.failure import REASON_CHARS_MAX, Failure
from jobcore.lifecycle.model import Job, Placement, Spec, Status
from jobcore.metrics import METRIC_NAME_CHARS_MAX, Metric
from jobcore.ports import Evidence, Trainer, Training, TrainingState
from jobcore.redact import redact, secret_values

from .run import TickRun

__all__ = ["adoption_facts", "classified", "fact_from", "is_ours", "stop_training"]

_OUTCOMES = {state: Status(state) for state in TrainingState if state.is_terminal}


def is_ours(training: Training, job: Job) -> bool:
    """Check that *training* was made for the attempt that *job* is at: id, attempt and spec agree."""
    return (
        training.job_id == job.job_id
        and training.attempt == job.attempt_number
        and training.spec_hash == spec_hash(job.spec)
    )


def classified(evidence: Evidence, spec: Spec, rules: Rules) -> Failure:
    """Classify *evidence*; the job's secrets in the stored text are redacted."""
    failure = classify(evidence, rules)
    text = redact(evidence.text, secret_values(spec))[:REASON_CHARS_MAX]
    return failure if text == failure.text else replace(failure, text=text)


def fact_from(training: Training, job: Job, rules: Rules) -> TrainingSeen | TrainingEnded:
    """Convert the description of the job's own training to an event."""
    number = training.attempt
    assert number is not None  # the caller has run the ownership check
    if not training.state.is_terminal:
        return TrainingSeen(
            attempt=number,
            running=training.state is not TrainingState.PENDING,
            detail=training.detail,
            started_at=training.started_at,
        )
    failure = None
    if training.state is not TrainingState.COMPLETED:
        evidence = training.evidence or Evidence(where="describe", status=str(training.state))
        failure = classified(evidence, job.spec, rules)
    return TrainingEnded(
        attempt=number,
        outcome=_OUTCOMES[training.state],
        failure=failure,
        started_at=training.started_at,
        ended_at=training.ended_at,
        metrics=_redacted(training.metrics, job.spec) if training.metrics else (),
    )


def _redacted(metrics: Sequence[Metric], spec: Spec) -> tuple[Metric, ...]:
    """Redact the job's secrets in names, which the script chose; of equal names the last counts."""
    secrets = secret_values(spec)
    found: dict[str, Metric] = {}
    for metric in metrics:
        name = redact(metric.name, secrets)[:METRIC_NAME_CHARS_MAX]
        found[name] = metric if name == metric.name else replace(metric, name=name)
    return tuple(found.values())


def adoption_facts(
    training: Training, job: Job, placement: Placement, rules: Rules
) -> Sequence[Event]:
    """Convert the description of the job's own training to events for a job that may not expect it."""
    fact = fact_from(training, job, rules)
    if isinstance(fact, TrainingEnded):
        return [fact]
    # A job in New or Held adopts the training only through an acceptance.
    return [LaunchAccepted(attempt=fact.attempt, placement=placement), fact]


def stop_training(run: TickRun, trainer: Trainer, job_id: str, name: str) -> None:
    """Request the stop of *name*; an error is reported and concerns this job only."""
    try:
        trainer.stop(name)
        run.report.stopped += 1
    except Exception as error:  # noqa: BLE001  (one job's trouble never blocks another)
        run.trouble(job_id, error)
