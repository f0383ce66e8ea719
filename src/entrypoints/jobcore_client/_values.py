"""The answers of a job's methods."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Artifacts", "JobFailure", "Result", "Why"]


@dataclass(frozen=True)
class JobFailure:
    """
    The failure of a job.

    Attributes:
        failure_class: the kind of failure, such as "algorithm", "oom" or "capacity".
        reason: the failure's own words on one line, with secrets hidden.
        rule: the name of the failure rule that decided the class.
        next_step: what would help, in commands and settings.
    """

    failure_class: str
    reason: str
    rule: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.failure_class}: {self.reason}"


@dataclass(frozen=True)
class Artifacts:
    """
    The places of what a job writes: paths on this machine, ``s3://`` URIs on AWS.

    Attributes:
        model: the folder of the model; on AWS its archive.
        output: the folder of other results; on AWS its archive.
        checkpoints: the folder of checkpoints, which all attempts of the job share.
        log: the file of standard output and error; on AWS the log stream.
    """

    model: str
    output: str
    checkpoints: str
    log: str


@dataclass(frozen=True)
class Result:
    """
    The result of a job that completed.

    Attributes:
        job_id: the job's id.
        metrics: the last value of each metric, by name.
        artifacts: the places of what it wrote.
        run_time: the time for which its attempts ran, together.
    """

    job_id: str
    metrics: dict[str, float]
    artifacts: Artifacts
    run_time: timedelta


@dataclass(frozen=True)
class Why:
    """
    The reason of a job's status.

    Attributes:
        code: the reason as a code (`jobcore.scheduling.WaitCode`).
        sentence: the reason in words, with secrets hidden.
        help: what would help; "" if nothing would.
        until: the time at which time alone changes it; None if that is not known.
    """

    code: str
    sentence: str
    help: str
    until: datetime | None

    def __str__(self) -> str:
        return f"{self.sentence}; what would help: {self.help}" if self.help else self.sentence
