"""The errors of the client: what a request asked for cannot be done, or a job did not complete."""

from __future__ import annotations

from collections.abc import Sequence

import jobcore

__all__ = [
    "JobFailed",
    "JobStopped",
    "JobUnfinished",
    "JobsHeld",
    "NotFound",
    "Refused",
    "RequestError",
    "WaitTimeout",
]


class RequestError(Exception):
    """A request that cannot be carried out as it is; the message is one line and says what to do."""


class NotFound(RequestError):  # noqa: N818  (it reads as its callers catch it)
    """There is no such job, group or deployment, or it belongs to another owner."""


class Refused(RequestError):  # noqa: N818  (as NotFound)
    """The request contradicts what is stored: a key of another submission, code that was removed."""


class JobsHeld(RequestError):  # noqa: N818  (as NotFound)
    """
    A wait cannot end: every job that is left is held until a person releases it.

    Attributes:
        job_ids: the ids of the jobs, up to 1,000.
    """

    def __init__(self, message: str, job_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.job_ids = tuple(job_ids)


class JobUnfinished(RequestError):  # noqa: N818  (as NotFound)
    """
    The job is over and did not complete; the base of `JobFailed` and `JobStopped`.

    Attributes:
        job_id: the job's id.
        failure: the failure of the last attempt; None if there is none, as after a stop.
        next_command: the command that helps further.
    """

    def __init__(
        self, message: str, job_id: str, failure: jobcore.Failure | None, next_command: str
    ) -> None:
        super().__init__(f"{message}; next: {next_command}")
        self.job_id = job_id
        self.failure = failure
        self.next_command = next_command


class JobFailed(JobUnfinished):
    """The job failed for good."""


class JobStopped(JobUnfinished):
    """The job was stopped on request."""


class WaitTimeout(RequestError, TimeoutError):  # noqa: N818  (as NotFound)
    """
    Jobs were not over in time; they go on. It is a `TimeoutError`.

    Attributes:
        job_id: the id of the job, or of the first one that is not over; None if none was read.
        failure: always None, so that all errors of a result can be handled alike.
        next_command: the command that waits on.
    """

    failure = None

    def __init__(self, message: str, job_id: str | None, next_command: str) -> None:
        super().__init__(f"{message}; to wait on: {next_command}")
        self.job_id = job_id
        self.next_command = next_command
