"""The ticks: stateless passes that bring what is stored and what is so together.

Each tick reads what is due, asks the core what that state owes, does it, and
saves the outcome. It may run twice, overlap another, die anywhere or come late:
the next one finishes the work (see `_transitions` for why). Safety never rests
on a clock or a lease; the lease of the launch tick only saves calls.

The jobs of one tick touch each other only here, in the batch loop and in the
limits. One job that cannot be read, or whose training makes the adapter raise,
is reported and left for later; the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobcore.failures.classify import classify
from jobcore.failures.rules import Rule
from jobcore.lifecycle.codec import spec_hash
from jobcore.lifecycle.events import Event, LaunchAccepted, TrainingEnded, TrainingSeen
from jobcore.lifecycle.failure import REASON_CHARS_MAX, Failure
from jobcore.lifecycle.model import Job, Placement, Spec, Status
from jobcore.ports import Evidence, Trainer, Training, TrainingState
from jobcore.redact import redact, secret_values

from .run import TickRun

__all__ = [
    "adoption_facts",
    "classified",
    "fact_from",
    "is_ours",
    "stop_training",
]


def is_ours(training: Training, job: Job) -> bool:
    return (
        training.job_id == job.job_id
        and training.attempt == job.attempt_number
        and training.spec_hash == spec_hash(job.spec)
    )


def classified(evidence: Evidence, spec: Spec, rules: Sequence[Rule]) -> Failure:
    """Classify what the trainer says of a job; what is kept of its words is without the job's secrets."""
    failure = classify(evidence, rules)
    text = redact(evidence.text, secret_values(spec))[:REASON_CHARS_MAX]
    return failure if text == failure.text else replace(failure, text=text)


def fact_from(training: Training, job: Job, rules: Sequence[Rule]) -> TrainingSeen | TrainingEnded:
    """Turn what the trainer says of a training of ours into a fact."""
    number = training.attempt
    assert number is not None  # it is ours
    if training.state.is_terminal:
        failure = None
        if training.state is not TrainingState.COMPLETED:
            evidence = training.evidence or Evidence(
                where="describe", status=str(training.state), text=""
            )
            failure = classified(evidence, job.spec, rules)
        return TrainingEnded(
            attempt=number,
            outcome=_OUTCOMES[training.state],
            failure=failure,
            started_at=training.started_at,
            ended_at=training.ended_at,
        )
    return TrainingSeen(
        attempt=number,
        running=training.state is not TrainingState.PENDING,
        detail=training.detail,
        started_at=training.started_at,
    )


_OUTCOMES = {state: Status(state) for state in TrainingState if state.is_terminal}


def adoption_facts(
    training: Training, job: Job, placement: Placement, rules: Sequence[Rule]
) -> Sequence[Event]:
    """Turn what the trainer says of a training of ours into facts for a job that may not know of it."""
    fact = fact_from(training, job, rules)
    if isinstance(fact, TrainingEnded):
        return [fact]
    # For a job in New or Held, acceptance is what makes it adopt the training.
    return [LaunchAccepted(attempt=fact.attempt, placement=placement), fact]


def stop_training(run: TickRun, trainer: Trainer, job_id: str, name: str) -> None:
    try:
        trainer.stop(name)
        run.report.stopped += 1
    except Exception as error:
        run.trouble(job_id, error)
