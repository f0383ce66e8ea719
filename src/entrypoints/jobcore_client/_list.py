"""Many jobs: read when they are needed, waited for with one query a look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, overload

import jobcore
from jobcore import Status

from ._job import Job
from ._rows import as_row, html_table
from ._watch import Counts, ReturnWhen, Watch, take_all
from .documents import headline
from .session import Session
from .words import counts_line

__all__ = ["FailureGroup", "JobList", "Waited"]


class Waited(NamedTuple):
    """
    The result of a wait.

    Attributes:
        done: the jobs that are over.
        not_done: the others.
    """

    done: JobList
    not_done: JobList


class FailureGroup(NamedTuple):
    """
    Failed jobs with the same cause.

    Attributes:
        cause: the cause: an id that failures of one bug share.
        failure_class: the kind of failure.
        reason: the words of one of the failures, with secrets hidden.
        jobs: the jobs.
        next_command: the command that shows the log of one of them.
    """

    cause: str
    failure_class: str
    reason: str
    jobs: JobList
    next_command: str

    @property
    def example(self) -> Job:
        """One of the jobs."""
        return self.jobs[0]


class JobList(Sequence[Job]):
    """
    Jobs of a submission or a query.

    A query is read when its jobs are needed, 1,000 with one call, newest first; then they stay as they
    were read until `refresh`, `wait` or `counts` reads them again.
    """

    def __init__(
        self,
        session: Session,
        jobs: Sequence[Job] = (),
        query: jobcore.ports.JobQuery | None = None,
        *,
        since: datetime | None = None,
        group: tuple[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """
        Make a list; `jobcore_client.Client` does it.

        Args:
            jobs: jobs that were read.
            query: the query of further jobs.
            since: the jobs of the query end at the first one that was submitted before.
            group: the group and its owner, if the list has all jobs of that group.
            notes: sentences of the submission.
        """
        self._session = session
        self._read = list(jobs)
        self._query, self._since = query, since
        self._pages = None if query is None else session.pages(query)
        self._group = group
        self.notes = tuple(notes)

    # --- a sequence -----------------------------------------------------------------

    def _more(self) -> bool:
        """Read the next page; return False if there is none."""
        page = None if self._pages is None else next(self._pages, None)
        if page is None:
            self._pages = None
            return False
        for record in page:
            if self._since is not None and record.submitted_at < self._since:
                self._pages = None
                break
            self._read.append(Job(self._session, record))
        return True

    def _all(self) -> list[Job]:
        while self._more():
            pass
        return self._read

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return bool(self._read) or (self._more() and bool(self))

    def __iter__(self) -> Iterator[Job]:
        at = 0
        while at < len(self._read) or self._more():
            yield from self._read[at : (at := len(self._read))]

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> JobList: ...
    def __getitem__(self, index: int | slice) -> Job | JobList:
        if isinstance(index, slice):
            return JobList(self._session, self._all()[index])
        while index >= len(self._read) and self._more():
            pass
        return self._read[index] if index >= 0 else self._all()[index]

    def refresh(self) -> JobList:
        """
        Read all jobs again, with one call; return this object.

        Raises:
            Unavailable: the store did not answer.
        """
        known = list(self._read)
        self._all()
        take_all(self._session, known)
        return self

    # --- counting -------------------------------------------------------------------

    def counts(self) -> dict[Status, int]:
        """
        Count the jobs by status, as it is now.

        Raises:
            Unavailable: the store did not answer.
        """
        if self._group is not None:
            group, owner = self._group
            return dict(self._session.store.counts(group=group, owner=owner))
        take_all(self._session, [job for job in self._all() if not job.status.is_terminal])
        return dict(Counter(job.status for job in self._read))

    def completed(self) -> JobList:
        """Select the jobs that are completed, as they were last read."""
        return self._selected(lambda job: job.status is Status.COMPLETED)

    def failed(self) -> JobList:
        """Select the jobs that failed for good, as they were last read."""
        return self._selected(lambda job: job.status is Status.FAILED)

    def _selected(self, wanted: Callable[[Job], bool]) -> JobList:
        return JobList(self._session, [job for job in self if wanted(job)])

    def failures(self) -> list[FailureGroup]:
        """Group the failed jobs by cause, the most frequent first, as they were last read."""
        groups: dict[str, list[Job]] = {}
        for job in self:
            if isinstance(state := job.record.state, jobcore.lifecycle.Failed):
                cause = jobcore.failures.cause_of(state.failure)
                groups.setdefault(cause, []).append(job)
        found = []
        for cause, jobs in sorted(groups.items(), key=lambda item: -len(item[1])):
            state = jobs[0].record.state
            assert isinstance(state, jobcore.lifecycle.Failed)
            said, kind = headline(state.failure), str(state.failure.failure_class)
            some = JobList(self._session, jobs)
            found.append(FailureGroup(cause, kind, said, some, f"jobcore logs {jobs[0].id}"))
        return found

    # --- waiting --------------------------------------------------------------------

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool | Callable[[Counts], object] | None = None,
        return_when: ReturnWhen = "ALL_COMPLETED",
    ) -> Waited:
        """
        Wait until the jobs are over, with one query a look. They go on after an interrupt.

        Looks come every 20 ms to 0.5 s on this machine, every 0.5 to 30 s on AWS, ever more slowly.
        Outages of the store are waited through. Without a manager on this machine there is a warning.

        Args:
            timeout: in seconds; None for no end.
            progress: True to write the counts on standard error, or a function that is given them.
            return_when: "FIRST_COMPLETED" to return when any job is over, "FIRST_EXCEPTION" when any
                failed or was stopped, or all are over.

        Raises:
            JobsHeld: all jobs that are left are held, so that only a person can go on with them.
            WaitTimeout: they are not over in time. It is a `TimeoutError`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.wait_counts(timeout, progress=progress, return_when=return_when)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        for seconds in self._watch().pauses(left, lambda: self.refresh() is self):
            time.sleep(seconds)
        return Waited(
            self._selected(lambda job: job.status.is_terminal),
            self._selected(lambda job: not job.status.is_terminal),
        )

    def wait_counts(
        self,
        timeout: float | None = None,
        *,
        progress: bool | Callable[[Counts], object] | None = None,
        return_when: ReturnWhen = "ALL_COMPLETED",
    ) -> dict[Status, int]:
        """
        Wait as `wait` does, and return the counts: of a whole group, however large, no job is read.

        Raises:
            JobsHeld: all jobs that are left are held.
            WaitTimeout: they are not over in time.
        """
        watch = self._watch(progress)
        try:
            for seconds in watch.pauses(timeout, lambda: watch.is_over(return_when)):
                time.sleep(seconds)
        finally:
            watch.close()
        return dict(watch.counts)

    def _watch(self, progress: bool | Callable[[Counts], object] | None = None) -> Watch:
        return Watch(self._session, self, self._group, progress)

    def __await__(self) -> Generator[Any, None, JobList]:
        """Wait in a coroutine until all jobs are over, as `wait` does; no thread is used."""
        import asyncio

        watch = self._watch()
        for seconds in watch.pauses(None, lambda: watch.is_over("ALL_COMPLETED")):
            yield from asyncio.sleep(max(seconds, 0.1)).__await__()
        return self.refresh()

    def as_completed(self, timeout: float | None = None) -> Iterator[Job]:
        """
        Give each job when it is over.

        Raises:
            JobsHeld: all jobs that are left are held.
            WaitTimeout: some are not over *timeout* seconds after the first was asked for.
        """
        watch = self._watch()
        ended: list[Job] = []

        def is_over() -> bool:
            ended.extend(watch.read_ended())
            return bool(ended)

        deadline = None if timeout is None else time.monotonic() + timeout
        while watch.left or ended:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            for seconds in watch.pauses(left, is_over):
                time.sleep(seconds)
            yield from ended
            ended.clear()

    # --- other forms ----------------------------------------------------------------

    def to_dicts(self) -> list[dict[str, Any]]:
        """
        Make one flat dict for each job: its fields, its hyperparameters with secrets hidden, its metrics.

        The last value of a metric is ``metric.NAME``, and a hyperparameter that has the name of a field
        is ``hyperparameters.NAME``. ``wait_s`` are
        the seconds from the submission to the first start, ``run_s`` those that its attempts ran.
        """
        return [as_row(job.record) for job in self]

    def to_pandas(self) -> Any:
        """
        Make a `pandas.DataFrame` of `to_dicts`, one row for each job.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            msg = "to_pandas needs pandas: pip install pandas; to_dicts() needs nothing"
            raise ImportError(msg) from None
        return pd.DataFrame(self.to_dicts())

    def __repr__(self) -> str:
        if self._pages is not None and not self._read:
            return "<JobList, not read yet>"
        if self._pages is not None:
            return f"<JobList of {len(self._read)} jobs or more>"
        return f"<JobList of {len(self._read)} jobs: {_counted(self._read)}>"

    def _repr_html_(self) -> str:
        """Make a table for notebooks; texts are escaped, and there is no script and no style in it."""
        return html_table([job.record for job in self._all()])


def _counted(jobs: Sequence[Job]) -> str:
    return counts_line(Counter(job.status for job in jobs))
