"""The client: the jobs of one owner, on this machine or on AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import jobcore
from jobcore import Status

from ._batch import Batch, JobLike, plain_fields, points_of, register, source_of
from ._grid import Grid
from ._job import Job
from ._list import JobList
from .errors import NotFound, RequestError
from .session import Session

if TYPE_CHECKING:
    from .changes import Answers

__all__ = ["Changed", "Client"]

Jobs: TypeAlias = "Job | str | Iterable[Job | str]"
_EVERYBODY = "*"
_CANDIDATES_MAX = 5  # jobs that the error of an ambiguous word lists


@dataclass(frozen=True)
class Changed:
    """
    The result of a change of several jobs.

    Attributes:
        done: the jobs that were changed, or would be with ``dry_run``; of a retry the new jobs too.
        ignored: the ids of jobs for which nothing was to do, or that refused it, with the reason.
        failed: the ids of jobs that could not be read or written, with the reason: repeat the call.
    """

    done: JobList
    ignored: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = f"{len(self.done)} done, {len(self.ignored)} ignored, {len(self.failed)} failed"
        return f"<Changed: {counts}>"


class Client:
    """
    The jobs of one owner: submit, find, wait for and change them.

    The settings are those of the command `jobcore`: an argument, else the environment
    (``JOBCORE_BACKEND``, ``JOBCORE_HOME``, ``JOBCORE_OWNER``), else ``config.toml``, else the default.
    Nothing is opened before it is needed, and no thread is started. As a context manager it closes the
    store at the end.

    Args:
        backend: "local" or "aws".
        home: the folder of store, trainings and messages of this machine.
        owner: your name as an owner of jobs.

    Example:
        >>> client = Client()
        >>> job = client.submit("train.toml")  # doctest: +SKIP
        >>> job.result(timeout=3600).artifacts.model  # doctest: +SKIP
    """

    def __init__(
        self,
        backend: Literal["local", "aws"] | None = None,
        home: str | PathLike[str] | None = None,
        owner: str | None = None,
    ) -> None:
        self._session = Session()
        self._session.backend = backend
        self._session.home = None if home is None else fspath(home)
        self._session.owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; it is opened again when it is needed."""
        self._session.close()

    @property
    def owner(self) -> str:
        """The name under which jobs are submitted, and whose jobs are found."""
        return self._session.owner_name

    def __repr__(self) -> str:
        place = "aws" if self._session.is_aws else str(self._session.home_path)
        return f"<Client of {self.owner} at {place}>"

    # --- submitting -----------------------------------------------------------------

    def submit(
        self,
        job: JobLike | jobcore.Spec,
        *,
        key: str | None = None,
        group: str | None = None,
        hold: bool = False,
        dry_run: bool = False,
        **fields: Any,
    ) -> Job:
        """
        Submit a job. Its code is frozen as it is now.

        Args:
            job: the path of a job file, or a dict of the fields that job files have; paths in a dict are
                relative to the working folder. Or a `jobcore.Spec` of yours, taken as it is.
            key: an idempotency key: a second call with it and the same job is the same job.
            group: the group to submit it into.
            hold: register it as held; `Job.release` starts it.
            dry_run: check everything and store nothing; the answer's notes say what would be done.
            fields: fields that go over those of the job; ``hyperparameters`` are merged.

        Raises:
            RequestError: the job is wrong, or its code or data cannot be taken; the text names the field.
            Refused: the key was used for another job.
            CodeError: the folder of its code cannot be taken.
            Unavailable: the store or S3 did not answer. With a key, repeat the call.
        """
        with self.batch(key=key, group=group, hold=hold, dry_run=dry_run) as batch:
            batch.submit(job, **fields)
        return batch.jobs[0]

    def map(
        self,
        job: JobLike,
        hyperparameters: Grid | Iterable[Mapping[str, Any]] | None = None,
        *,
        group: str | None = None,
        key: str | None = None,
        hold: bool = False,
        dry_run: bool = False,
        **fields: Any,
    ) -> JobList:
        """
        Submit one job for each set of hyperparameters, all in one group and with one write.

        The code is taken once. The names of the jobs are numbered in the order of *hyperparameters*.

        Args:
            job: as for `submit`.
            hyperparameters: `grid`, `zip_grid`, or any dicts, 10,000 at most; None for the table
                ``sweep`` of the job.
            group: the name of the group; made from the name of the job if not given.
            key: an idempotency key of the whole submission.
            hold: register the jobs as held.
            dry_run: check everything and store nothing.
            fields: fields that go over those of the job.

        Raises:
            RequestError: as for `submit`.
            InvalidJob: there is no set of hyperparameters, or there are too many.
            Refused: the key was used for another submission.
            Unavailable: the store or S3 did not answer. With a key, repeat the call.
        """
        from .submission import Submitter, job_ids, label_of, sweep_group, sweep_label, sweep_specs

        submitter, source = Submitter(self._session), source_of(job)
        document = submitter.document(source, plain_fields(fields))
        table = document.pop("sweep", None)
        points = points_of(table, hyperparameters)
        group = group or sweep_group(self._session, sweep_label(document), key)
        specs = sweep_specs(submitter, label_of(source), document, points, group)
        ids = job_ids(self._session, key, len(specs))
        jobs, notes = register(self._session, submitter, specs, ids, key, hold, dry_run)
        whole = None if dry_run else (group, self.owner)
        return JobList(self._session, jobs, group=whole, notes=notes)

    def batch(
        self,
        *,
        key: str | None = None,
        group: str | None = None,
        hold: bool = False,
        dry_run: bool = False,
    ) -> Batch:
        """
        Collect jobs in a ``with`` block, and submit them at its end with one write.

        After an exception in the block nothing is submitted.

        Args:
            key: an idempotency key of the whole submission.
            group: the group to submit the jobs into.
            hold: register the jobs as held.
            dry_run: check everything and store nothing.

        Example:
            >>> with Client().batch(group="seeds") as batch:  # doctest: +SKIP
            ...     for seed in range(10):
            ...         batch.submit("train.toml", hyperparameters={"seed": seed})
            >>> batch.jobs.wait()  # doctest: +SKIP
        """
        return Batch(self._session, key=key, group=group, hold=hold, dry_run=dry_run)

    # --- finding --------------------------------------------------------------------

    def job(self, word: str, *, owner: str | None = None) -> Job:
        """
        Find one job.

        Args:
            word: its id, 4 or more characters of the beginning of one, or its name.
            owner: the owner of the job; None for you, "*" for anyone.

        Raises:
            NotFound: there is none.
            RequestError: several jobs are meant.
            Unavailable: the store did not answer.
        """
        who = self._owner(owner)
        found = [j for j in self._session.find_by_id(word, 100) if who in (None, j.spec.owner)]
        found = found or list(self._session.find_by_name(word, who, _CANDIDATES_MAX + 1))
        if not found:
            whose = "" if who is None else f' of {who} (another owner\'s: owner="*")'
            msg = f"there is no job {word!r}{whose}: an id, 4 or more characters of one, or a name"
            raise NotFound(msg)
        if len(found) > 1:
            some = ", ".join(
                f"{job.job_id[:12]} {job.spec.name}" for job in found[:_CANDIDATES_MAX]
            )
            msg = f"{word!r} could be any of: {some}; give more of the id"
            raise RequestError(msg)
        return Job(self._session, found[0])

    def jobs(
        self,
        *,
        group: str | None = None,
        name: str | None = None,
        status: str | Iterable[str] | None = None,
        owner: str | None = None,
        since: datetime | timedelta | None = None,
    ) -> JobList:
        """
        Find jobs, newest first; they are read when they are needed.

        Args:
            group: only jobs of this group.
            name: only jobs of this name.
            status: only jobs with this status, or one of these: "New", "InProgress", "Failed", ….
            owner: the owner of the jobs; None for you, "*" for everyone.
            since: only jobs submitted at or after this time (with a time zone), or so long ago.

        Raises:
            ValueError: a status does not exist, or *since* has no time zone.
        """
        who, statuses = self._owner(owner), _statuses(status)
        query = jobcore.ports.JobQuery(
            owner=who, group=group, name=name, statuses=statuses, limit=1000
        )
        is_whole = group is not None and who is not None and not (name or statuses or since)
        whole = (str(group), str(who)) if is_whole else None
        return JobList(self._session, query=query, since=_moment(since), group=whole)

    def _owner(self, owner: str | None) -> str | None:
        return None if owner == _EVERYBODY else self.owner if owner is None else owner

    # --- changing -------------------------------------------------------------------

    def stop(self, jobs: Jobs, *, dry_run: bool = False) -> Changed:
        """
        Stop jobs: their trainings get SIGTERM, and SIGKILL two minutes later.

        Args:
            jobs: a job, several, or a query (`jobs`); a text is an id or the beginning of one, or a name.
            dry_run: tell what would be done, and do nothing.

        Raises:
            NotFound: there is no such job of yours.
        """
        from .changes import stop_jobs

        event = jobcore.StopRequested(by=self.owner)
        return self._change(jobs, event, stop_jobs, dry_run=dry_run)

    def hold(self, jobs: Jobs, *, reason: str = "", dry_run: bool = False) -> Changed:
        """
        Hold jobs: running trainings go on, but there are no further attempts.

        Args:
            jobs: as for `stop`.
            reason: shown with the jobs.
            dry_run: tell what would be done, and do nothing.

        Raises:
            NotFound: there is no such job of yours.
        """
        from .changes import hold_jobs

        event = jobcore.HoldRequested(by=self.owner, reason=reason[:200])
        return self._change(
            jobs, event, lambda s, some: hold_jobs(s, some, reason), dry_run=dry_run
        )

    def release(self, jobs: Jobs, *, dry_run: bool = False) -> Changed:
        """
        Release held jobs, and end the back-off of others.

        Args:
            jobs: as for `stop`.
            dry_run: tell what would be done, and do nothing.

        Raises:
            NotFound: there is no such job of yours.
        """
        from .changes import release_jobs

        event = jobcore.ReleaseRequested(by=self.owner)
        return self._change(jobs, event, release_jobs, dry_run=dry_run)

    def retry(self, jobs: Jobs, *, dry_run: bool = False) -> Changed:
        """
        Try jobs again: those that failed or were stopped are submitted as new ones, held ones released.

        Completed jobs are left alone.

        Args:
            jobs: as for `stop`.
            dry_run: tell what would be done, and do nothing.

        Raises:
            NotFound: there is no such job of yours.
            Refused: the code or the data of a job was removed by a prune; nothing was changed.
        """
        from .changes import preview, retry_jobs

        found = [job.record for job in self._these(jobs)]
        ignored = {
            job.job_id: "it completed; submit it again to run it once more"
            for job in found
            if job.status is Status.COMPLETED
        }
        wanted = [job for job in found if job.job_id not in ignored]
        if dry_run:
            waiting = [job for job in wanted if not job.status.is_terminal]
            steps = preview(waiting, jobcore.ReleaseRequested(by=self.owner))
            changed = self._answer(steps, {})
            over = [Job(self._session, job) for job in wanted if job.status.is_terminal]
            done = JobList(self._session, [*over, *changed.done])
            return Changed(done, {**ignored, **changed.ignored})
        answers = retry_jobs(self._session, wanted)
        changed = self._answer(answers.steps, answers.failed)
        new = [Job(self._session, job) for _, job in answers.again]
        done = JobList(self._session, [*new, *changed.done])
        return Changed(done, {**ignored, **changed.ignored}, changed.failed)

    def _change(
        self,
        jobs: Jobs,
        event: jobcore.lifecycle.Event,
        apply: Callable[[Session, list[jobcore.Job]], Answers],
        *,
        dry_run: bool,
    ) -> Changed:
        from .changes import preview

        found = [job.record for job in self._these(jobs)]
        if dry_run:
            return self._answer(preview(found, event), {})
        answers = apply(self._session, found)
        return self._answer(answers.steps, answers.failed)

    def _these(self, jobs: Jobs) -> list[Job]:
        some = [jobs] if isinstance(jobs, Job | str) else list(jobs)
        found = [job if isinstance(job, Job) else self.job(job) for job in some]
        return list(dict.fromkeys(found))

    def _answer(
        self, steps: Iterable[jobcore.lifecycle.Step], failed: Mapping[str, Exception]
    ) -> Changed:
        done, ignored = [], {}
        for step in steps:
            if why := step.refused or step.ignored:
                ignored[step.job.job_id] = why
            else:
                done.append(Job(self._session, step.job))
        reasons = {job_id: str(error) for job_id, error in failed.items()}
        return Changed(JobList(self._session, done), ignored, reasons)


def _statuses(status: str | Iterable[str] | None) -> frozenset[Status]:
    words = [status] if isinstance(status, str) else list(status or ())
    known = {str(one).lower(): one for one in Status}
    for word in words:
        if word.lower() not in known:
            msg = f"status: {word!r} is not one of {', '.join(Status)}"
            raise ValueError(msg)
    return frozenset(known[word.lower()] for word in words)


def _moment(since: datetime | timedelta | None) -> datetime | None:
    if isinstance(since, timedelta):
        return datetime.now(UTC) - since
    if since is not None and since.tzinfo is None:
        msg = "since: a time without a time zone; write datetime.now(UTC) - timedelta(hours=2)"
        raise ValueError(msg)
    return since
