"""A target, and valid documents to be changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jobcore
from jobcore import InvalidJob, Job, Placement, Spec, Status
from jobcore.metrics import Metric
from jobcore_aws import JOB_TABLES

__all__ = [
    "ACCOUNT",
    "FAILURE",
    "FILE",
    "JOB_ID",
    "SPEC",
    "T0",
    "Bytes",
    "Target",
    "check_job",
    "check_problems",
    "jobs",
    "spec_of",
]

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = "123456789012"
JOB_ID = jobcore.job_id_from_bytes(b"\x11" * 16)


@dataclass(frozen=True, slots=True)
class Target:
    """
    One parser under test.

    Args:
        run: returns for every input; anything raised is a finding.
        oracle: the allowed results, in words.
        seeds: inputs to begin with.
        weight: its part of the executions, against 1 for the others.
    """

    run: Callable[[bytes], None]
    oracle: str
    seeds: tuple[bytes, ...] = (b"", b"\x00" * 16, bytes(range(64)), b"\x01\x02" * 40, b"\xff" * 48)
    weight: float = 1.0


FILE: dict[str, Any] = {
    "name": "digits", "script": "train.py", "image": "trainer", "pools": ["cpu", {"pool": "gpu", "count": 2}],
    "hyperparameters": {"lr": 0.1, "layers": [1, 2], "opt": {"name": "adam"}},
    "environment": {"LEVEL": "debug"}, "channels": {"train": "s3://data/train"}, "arguments": ["--fast"],
    "tags": {"team": "vision"}, "share": "vision", "group": "g", "priority": 3, "stop_grace": "2m",
    "volume_gb": 30, "metrics": {"loss": "loss=([0-9.]+)", "acc": {"regex": "a(.)", "goal": "maximize"}},
    "retry": {"capacity": 3, "backoff": "30s", "backoff_max": 3600},
    "clocks": {"wait_at_most": "1d", "run_at_most": "1h30m", "finish_by": "2026-12-01T08:00:00+01:00"},
    "sagemaker": {"StoppingCondition": {"MaxWaitTimeInSeconds": 90000}, "DebugHookConfig": {"S3OutputPath": "s3://m/j/x"}},
    "sweep": {
        "grid": {"lr": {"from": 0.1, "to": 0.2, "count": 2, "scale": "log"}, "n": [1, 2]},
        "list": [{"lr": 1}], "random": {"count": 2, "seed": 1},
    },
}  # fmt: skip
SPEC = Spec(
    name="digits", owner="user/ada", placements=(Placement("cpu"), Placement("gpu", 2)),
    args={"script": "train.py", "image": "torch", "hyperparameters": {"lr": 0.1}, "environment": {"A": "b"}},
    share="vision", group="g", priority=3, tags={"team": "vision"},
    retry=jobcore.RetryPolicy(budgets={jobcore.FailureClass.CAPACITY: 3}),
    clocks=jobcore.Clocks(run_at_most=timedelta(hours=1), finish_by=T0),
)  # fmt: skip
FAILURE = jobcore.Failure(
    failure_class=jobcore.FailureClass.ALGORITHM, scope=jobcore.lifecycle.Scope.JOB,
    retryable=jobcore.lifecycle.Retryable.NO, rule="a rule", text="AlgorithmError: exit code 1",
)  # fmt: skip


@cache
def jobs() -> tuple[Job, ...]:
    """Give a job in each of the nine states, with a history."""
    job = jobcore.new_job(JOB_ID, SPEC, now=T0)
    found = [job]

    def after(job: Job, *events: Any) -> Job:
        for event in events:
            step = jobcore.step(job, event, now=T0)
            assert step.changed, (job.status, event, step.ignored, step.refused)
            job = step.job
            found.append(job)
        return job

    seen = jobcore.TrainingSeen(attempt=1, running=True, detail="Training")
    ended = jobcore.TrainingEnded(attempt=1, outcome=Status.FAILED, failure=FAILURE)
    loss = Metric(name="loss", final=0.5, step=7, count=8, lowest=0.25, lowest_step=3, highest=2.0)
    done = jobcore.TrainingEnded(attempt=1, outcome=Status.COMPLETED, metrics=(loss,))
    running = after(
        job,
        jobcore.LaunchDecided(attempt=1, placement=Placement("cpu")),
        jobcore.LaunchAccepted(attempt=1, placement=Placement("cpu")),
        seen,
    )
    after(running, ended)
    after(running, done)
    after(
        running,
        jobcore.StopRequested(by="user/ada"),
        jobcore.TrainingEnded(attempt=1, outcome=Status.STOPPED, failure=FAILURE),
    )
    after(job, jobcore.HoldRequested(by="user/ada", reason="wait"))
    assert {job.status for job in found} == set(Status)
    return tuple(found)


class Bytes:
    """A file that is nowhere: what `read_document` and the readers of traces need of a path."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.suffix, self._content = name, Path(name).suffix, content

    def read_bytes(self) -> bytes:
        return self._content

    def is_dir(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.name


def spec_of(document: object) -> Spec | None:
    try:
        return jobcore.parse_job(document, owner="ada", service_tables=JOB_TABLES)
    except InvalidJob as error:
        check_problems(error)
        return None


def check_job(job: Job) -> None:
    """Use a job that was read: encode it again, compute its due times and its messages."""
    document = jobcore.lifecycle.encode_job(job)
    text = json.dumps(document)
    again = jobcore.lifecycle.decode_job(json.loads(text), job.spec, version=job.version)
    assert json.dumps(jobcore.lifecycle.encode_job(again)) == text
    for tick in jobcore.lifecycle.Tick:
        jobcore.lifecycle.due_at(job, tick)
    for entry in job.outbox:
        jobcore.messages.message_for(job, entry)
    for event in (jobcore.TimePassed(), jobcore.StopRequested(by="ada")):
        jobcore.step(job, event, now=T0)
    jobcore.owed(job)


def check_problems(error: InvalidJob) -> None:
    assert error.problems
    assert all(problem.message for problem in error.problems)
