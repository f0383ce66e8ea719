"""Submissions of a client: their arguments, and jobs that are collected and submitted together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import jobcore

from ._grid import Grid, plain_value
from ._job import Job
from ._list import JobList
from .errors import RequestError
from .session import Session

if TYPE_CHECKING:
    from .submission import Submitter

__all__ = ["Batch", "JobLike", "plain_fields", "points_of", "register", "source_of"]

JobLike: TypeAlias = "str | PathLike[str] | Mapping[str, Any]"


class Batch:
    """
    Jobs that are submitted together at the end of a ``with`` block; `Client.batch` makes it.

    Attributes:
        jobs: the jobs, in the order in which they were given; empty before the end of the block.
    """

    def __init__(
        self, session: Session, *, key: str | None, group: str | None, hold: bool, dry_run: bool
    ) -> None:
        from .submission import Submitter

        self._session, self._submitter = session, Submitter(session)
        self._key, self._group, self._hold, self._dry_run = key, group, hold, dry_run
        self._specs: list[jobcore.Spec] = []
        self.jobs = JobList(session)

    def submit(self, job: JobLike | jobcore.Spec, **fields: Any) -> None:
        """
        Add a job.

        Args:
            job: as for `Client.submit`.
            fields: fields that go over those of the job; ``hyperparameters`` are merged.

        Raises:
            RequestError: the job is wrong; the text names the field.
        """
        from .submission import label_of

        if isinstance(job, jobcore.Spec):
            self._specs.append(self._submitter.given(_changed_spec(job, self._group, fields)))
            return
        source = source_of(job)
        document = self._submitter.document(source, plain_fields(fields))
        if "sweep" in document:
            msg = f"{label_of(source)}: sweep: the job describes a sweep; use map()"
            raise RequestError(msg)
        self._specs.append(self._submitter.spec(label_of(source), document, self._group))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from .submission import job_ids

        if error is not None or not self._specs:
            return
        key = self._key
        ids = job_ids(self._session, key, len(self._specs))
        jobs, notes = register(
            self._session, self._submitter, self._specs, ids, key, self._hold, self._dry_run
        )
        self.jobs = JobList(self._session, jobs, notes=notes)


def _changed_spec(spec: jobcore.Spec, group: str | None, fields: Mapping[str, Any]) -> jobcore.Spec:
    """
    Put a spec into a group, if one is given.

    Raises:
        TypeError: there are fields, which only job files and dicts have.
    """
    if fields:
        msg = (
            f"a Spec takes no fields ({', '.join(fields)}); use dataclasses.replace, or give a dict"
        )
        raise TypeError(msg)
    return spec if group is None else replace(spec, group=group)


def register(
    session: Session,
    submitter: Submitter,
    specs: list[jobcore.Spec],
    ids: list[str],
    key: str | None,
    hold: bool,
    dry_run: bool,
) -> tuple[list[Job], tuple[str, ...]]:
    """Submit specs, or with *dry_run* only make their jobs; return the jobs and the notes."""
    if dry_run:
        done = submitter.dry_run(specs, ids)
    else:
        done = submitter.submit(specs, ids, key=key, hold=hold)
    notes = tuple(done.notes)
    return [Job(session, job, notes) for job in done.jobs], notes


def source_of(job: JobLike) -> Path | Mapping[str, Any]:
    """
    Read the argument of a submission: the path of a job file, or a dict of its fields.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(job, Mapping):
        return plain_fields(job)
    if isinstance(job, str | PathLike):
        return Path(job)
    msg = f"job: expected the path of a job file or a dict of its fields, got {type(job).__name__}"
    raise TypeError(msg)


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Turn paths into texts, and the hyperparameters' numbers of NumPy into those of Python."""
    plain = {k: fspath(v) if isinstance(v, PathLike) else v for k, v in fields.items()}
    values = plain.get("hyperparameters")
    if isinstance(values, Mapping):
        plain["hyperparameters"] = {name: plain_value(value) for name, value in values.items()}
    return plain


def points_of(
    table: object, hyperparameters: Grid | Iterable[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """
    List the hyperparameters of each job.

    Args:
        table: the job's own ``sweep``; *hyperparameters* take its place.

    Raises:
        InvalidJob: there are none, or too many.
        TypeError: they are a single dict.
    """
    if isinstance(hyperparameters, Grid):
        return list(hyperparameters)
    if hyperparameters is None:
        return list(jobcore.jobfile.expand_sweep(*jobcore.jobfile.read_sweep(table or {})))
    if isinstance(hyperparameters, Mapping):
        msg = (
            "hyperparameters: expected a list of dicts, got one dict; write grid(**axes) or [dict]"
        )
        raise TypeError(msg)
    rows = [{name: plain_value(value) for name, value in row.items()} for row in hyperparameters]
    return list(jobcore.jobfile.expand_sweep({}, rows))
