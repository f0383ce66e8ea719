"""
The Python client: submit jobs, wait for them, and change them, from a program or a notebook.

`Client` is where to begin. It works on this machine and on AWS with the settings of the command
`jobcore`, which stands on it. Its calls print nothing, start no thread, and raise the errors of
`jobcore_client.errors` and `jobcore.errors`.
"""

from __future__ import annotations

from ._batch import Batch
from ._client import Changed, Client
from ._grid import Grid, grid, zip_grid
from ._job import Job
from ._list import FailureGroup, JobList, Waited
from ._values import Artifacts, JobFailure, Result, Why
from .errors import (
    JobFailed,
    JobsHeld,
    JobStopped,
    JobUnfinished,
    NotFound,
    Refused,
    RequestError,
    WaitTimeout,
)

__all__ = [
    "Artifacts",
    "Batch",
    "Changed",
    "Client",
    "FailureGroup",
    "Grid",
    "Job",
    "JobFailed",
    "JobFailure",
    "JobList",
    "JobStopped",
    "JobUnfinished",
    "JobsHeld",
    "NotFound",
    "Refused",
    "RequestError",
    "Result",
    "WaitTimeout",
    "Waited",
    "Why",
    "grid",
    "zip_grid",
]
