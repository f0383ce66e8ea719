"""From job files, dicts and specs to stored jobs: places of code and data, the check, the keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import jobcore
from jobcore.errors import Problem
from jobcore.jobfile import job_for_backend
from jobcore_aws import JOB_TABLES
from jobcore_config import BACKENDS

from ._notes import notes_on
from .code import Sources
from .data import Channels, with_known_data
from .errors import Refused, RequestError
from .jobfiles import choose_python, localise, read_document
from .session import Session
from .snapshots import with_known_code

_Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """
    The result of a submission.

    Args:
        jobs: the stored jobs, in the order of their specs.
        known: how many of them an earlier call with the same key had submitted.
        notes: what keeps a job from starting now, and what the code or its packages need.
    """

    jobs: list[jobcore.Job]
    known: int = 0
    notes: list[str] = field(default_factory=list)


class Submitter:
    """
    One submission.

    Call `document` for each job file, then `spec` for each job, then `submit` or `dry_run` once.

    Attributes:
        sources: the folders of code.
        channels: the data.
        pythons: the interpreters of the jobs on this machine, and where each comes from.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.sources = Sources(session)
        self.channels = Channels(session)
        self.pythons: dict[str, str] = {}

    def document(self, job: Path | Mapping[str, Any], changes: Mapping[str, Any]) -> _Document:
        """
        Read a job, and name the places of its code and data; nothing is uploaded or fetched yet.

        Args:
            job: the path of a job file, or its fields; then paths are relative to the working folder.
            changes: fields that go over those of the job, also over those of its backend's part.

        Raises:
            RequestError: the job cannot be read, or its code or data does not exist.
            CodeError: the folder of its code cannot be taken.
            Unavailable: S3 did not answer.
        """
        file = label_of(job)
        document = dict(job) if isinstance(job, Mapping) else read_document(job)
        try:
            document = _changed(self._for_backend(document), changes)
            document = self.channels.place(localise(document, file))
        except jobcore.InvalidJob as error:
            msg = f"{file}: {error}"
            raise RequestError(msg) from None
        document = self.sources.place(document)
        if self._session.is_aws:
            return document
        document, origin = choose_python(document, file, os.environ)
        if origin:
            self.pythons[document["python"]] = origin
        return document

    def _for_backend(self, document: _Document) -> _Document:
        backend = "aws" if self._session.is_aws else "local"
        part = job_for_backend(document, backend, backends=BACKENDS, service_tables=JOB_TABLES)
        assert isinstance(part, dict)  # as the document is one
        return part

    def spec(self, label: Path, document: _Document, group: str | None) -> jobcore.Spec:
        """
        Make the spec of a job, and check it against what the backend can run.

        Raises:
            RequestError: with every problem; the text begins with *label*.
        """
        try:
            spec = jobcore.parse_job(
                document, owner=self._session.owner_name, group=group, service_tables=JOB_TABLES
            )
            return self.checked(spec)
        except jobcore.InvalidJob as error:
            msg = f"{label}: {error}"
            raise RequestError(msg) from None

    def given(self, spec: jobcore.Spec) -> jobcore.Spec:
        """
        Check a spec that was made elsewhere.

        Raises:
            RequestError: it belongs to another owner, or with every problem.
        """
        if spec.owner != self._session.owner_name:
            msg = f"owner: {spec.owner}; this submission is by {self._session.owner_name}"
            raise RequestError(msg)
        try:
            return self.checked(spec)
        except jobcore.InvalidJob as error:
            raise RequestError(str(error)) from None

    def checked(self, spec: jobcore.Spec) -> jobcore.Spec:
        """
        Check a spec against what the backend can run; names of several pools are replaced by the pools.

        Raises:
            InvalidJob: with every problem.
        """
        spec = self._session.resolve_pools(spec)
        if problems := self._check(self.channels.as_if_there(spec)):
            raise jobcore.InvalidJob(problems)
        return spec

    @cached_property
    def _check(self) -> Callable[[jobcore.Spec], Sequence[Problem]]:
        return self._session.make_check()

    def dry_run(self, specs: Sequence[jobcore.Spec], ids: Sequence[str]) -> Submitted:
        """
        Make the jobs and list the code that would be taken; nothing is stored.

        Raises:
            RequestError: the code cannot be taken.
        """
        now = datetime.now(UTC)
        jobs = [jobcore.new_job(i, s, now=now) for i, s in zip(ids, specs, strict=True)]
        self.sources.look(specs)
        return Submitted(jobs=jobs, notes=[*self.sources.packages.would, *self.sources.notes])

    def submit(
        self, specs: Sequence[jobcore.Spec], ids: Sequence[str], *, key: str | None, hold: bool
    ) -> Submitted:
        """
        Freeze the code, move the data, and register all jobs with one write.

        Args:
            ids: from `job_ids`, with the same key.
            hold: register the jobs as Held.

        Raises:
            RequestError: code or data cannot be taken.
            Refused: the key was used for another submission; nothing was written.
            OSError: the disk cannot be written.
            Unavailable: the store or S3 did not answer. With a key, repeat the call.
        """
        session, now = self._session, datetime.now(UTC)
        held_by = session.owner_name if hold else None
        with self.channels.moved(specs) as placed, self.sources.frozen(placed) as frozen:
            wanted = frozen
            if key:
                wanted = self._check_key(key, dict(zip(ids, frozen, strict=True)))
            done = self._register(wanted, ids, key, now, held_by)
        is_heard = session.poke()
        jobs = [s.job for s in done]
        known = sum(s.added is jobcore.ports.Added.DUPLICATE for s in done)
        notes = notes_on(session, jobs, now=now, is_heard=is_heard)
        return Submitted(jobs=jobs, known=known, notes=[*self.sources.notes, *notes])

    def _register(
        self,
        specs: Sequence[jobcore.Spec],
        ids: Sequence[str],
        key: str | None,
        now: datetime,
        held_by: str | None,
    ) -> list[jobcore.ticks.Submission]:
        """
        Write the jobs.

        A store without a transaction for all may write any part of them. With a key the last job is
        therefore written first: if it is there, the submission had as many jobs as this one.

        Raises:
            Refused: the key was used for another job.
        """
        store, first = self._session.store, []
        if key and len(ids) > 1 and self._session.is_aws:
            at = now + timedelta(microseconds=len(ids) - 1)  # the place that it has among all
            first = jobcore.submit(specs[-1:], ids[-1:], store=store, now=at, held_by=held_by)
            _check_added(first, key)
        done = jobcore.submit(specs, ids, store=store, now=now, held_by=held_by)
        _check_added(done, key)
        return [*done[: len(done) - len(first)], *first]

    def _check_key(self, key: str, specs: dict[str, jobcore.Spec]) -> list[jobcore.Spec]:
        """
        Check, before a job is written, that the key was used for exactly these jobs or for none.

        Some of them may be missing, if a call was cut short; the last one is always there.

        Returns:
            The specs to submit, as those of a repeated call are.
        """
        known = self._session.store.get(list(specs))
        specs = {
            job_id: with_known_code(spec, known[job_id].spec if job_id in known else None)
            for job_id, spec in specs.items()
        }
        specs = {
            i: with_known_data(s, known[i].spec) if i in known else s for i, s in specs.items()
        }
        same = [
            jobcore.lifecycle.spec_hash(job.spec) == jobcore.lifecycle.spec_hash(specs[i])
            for i, job in known.items()
        ]
        if known and not (all(same) and list(specs)[-1] in known):
            msg = f"key {key!r}: used before for another submission; choose another key"
            raise Refused(msg)
        return list(specs.values())


def _check_added(done: Sequence[jobcore.ticks.Submission], key: str | None) -> None:
    clash = next((s for s in done if s.added is jobcore.ports.Added.CLASH), None)
    if clash is not None:
        msg = f"key {key!r}: used before for another job ({clash.job.job_id}); choose another key"
        raise Refused(msg)


def label_of(job: Path | Mapping[str, Any]) -> Path:
    """Return the path that errors name and that a job's own paths are relative to the folder of."""
    return Path("job") if isinstance(job, Mapping) else job


def _changed(document: _Document, changes: Mapping[str, Any]) -> _Document:
    """Put *changes* over a job's fields; its ``hyperparameters`` are merged."""
    changed = dict(changes)
    for one, other in (("pool", "pools"), ("pools", "pool")):
        if one in changed:
            document = {name: value for name, value in document.items() if name != other}
    values = changed.pop("hyperparameters", None)
    document = {**document, **changed}
    return document if values is None else with_hyperparameters(document, values)


def with_hyperparameters(document: _Document, values: Mapping[str, Any]) -> _Document:
    """Put hyperparameters over those of a job."""
    if not values:
        return document
    given = document.get("hyperparameters", {})
    return {**document, "hyperparameters": {**(given if isinstance(given, dict) else {}), **values}}


def _random_id() -> str:
    return jobcore.job_id_from_bytes(os.urandom(16))


def job_ids(session: Session, key: str | None, count: int) -> list[str]:
    """Make the ids of the jobs of one submission: of the owner and the key, or random without one."""
    if key is None:
        return [_random_id() for _ in range(count)]
    if count == 1:
        return [jobcore.job_id_from_token(session.owner_name, key)]
    return [
        jobcore.job_id_from_token(session.owner_name, f"{key}/{number}") for number in range(count)
    ]


def sweep_group(session: Session, label: str, key: str | None) -> str:
    """Make the name of a sweep's group: the same for the same key, else a new one."""
    suffix = jobcore.job_id_from_token(session.owner_name, key) if key else _random_id()
    return f"{label}-{suffix[:6]}"


def sweep_label(document: Mapping[str, Any]) -> str:
    """Return the name that the jobs of a sweep share: the job's own, or the script's."""
    return str(document.get("name") or Path(str(document.get("script", "sweep"))).stem)


def sweep_specs(
    submitter: Submitter,
    label: Path,
    document: _Document,
    points: Sequence[Mapping[str, Any]],
    group: str,
) -> list[jobcore.Spec]:
    """
    Make the specs of the jobs of a sweep, which are numbered from 1 in their names.

    Args:
        document: from `Submitter.document`, without ``sweep``.
        points: the hyperparameters of each job.

    Raises:
        RequestError: with every problem of the first job that has some.
    """
    name, digits = sweep_label(document), len(str(len(points)))
    return [
        submitter.spec(
            label,
            with_hyperparameters({**document, "name": f"{name}-{number:0{digits}d}"}, values),
            group,
        )
        for number, values in enumerate(points, start=1)
    ]
