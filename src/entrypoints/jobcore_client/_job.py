"""A job as programs see it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import jobcore
from jobcore import Status

from ._polling import pauses, warn_without_manager
from ._values import Artifacts, JobFailure, Result, Why
from .documents import first_start, headline, run_time
from .errors import (
    JobFailed,
    JobsHeld,
    JobStopped,
    JobUnfinished,
    NotFound,
    RequestError,
    WaitTimeout,
)
from .session import Session
from .words import ago, plain

if TYPE_CHECKING:
    from .changes import Answers

__all__ = ["Job"]

_FRESH_SECONDS = 1.0  # `done` reads the store once in this time at most


class Job:
    """
    A job: what was last read of it, and what can be done with it.

    Its attributes are of the moment of the last read; `refresh`, `done`, `wait` and `result` read it
    again. Two objects are equal if they are the same job.

    Attributes:
        record: the job as the core has it.
        notes: sentences of the submission: what keeps it from starting now, or what its code needs.
    """

    def __init__(self, session: Session, record: jobcore.Job, notes: tuple[str, ...] = ()) -> None:
        self._session = session
        self._read_at = time.monotonic()
        self.record = record
        self.notes = notes

    # --- what is known --------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's id."""
        return self.record.job_id

    @property
    def name(self) -> str:
        """The job's name, a label for people."""
        return self.record.spec.name

    @property
    def group(self) -> str | None:
        """The group that it was submitted in; None if it has none."""
        return self.record.spec.group

    @property
    def owner(self) -> str:
        """The owner of the job."""
        return self.record.spec.owner

    @property
    def status(self) -> Status:
        """The status, which is a text: "New", "InProgress", "Completed", …."""
        return self.record.status

    @property
    def attempt(self) -> int:
        """The number of the present attempt, or of the next or last one; from 1."""
        return self.record.attempt_number

    @property
    def submitted_at(self) -> datetime:
        """The time of the submission, in UTC."""
        return self.record.submitted_at

    @property
    def started_at(self) -> datetime | None:
        """The time at which its first attempt that is on record began to run; None if none has."""
        return first_start(self.record)

    @property
    def ended_at(self) -> datetime | None:
        """The time at which it was over; None if it is not."""
        return self.record.state.since if self.status.is_terminal else None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters, secrets included."""
        found = self.record.spec.args.get("hyperparameters")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric, by name; empty before the end of a training."""
        return {metric.name: metric.final for metric in self.record.metrics}

    @property
    def failure(self) -> JobFailure | None:
        """The failure of a job that failed for good; None for any other."""
        state = self.record.state
        if not isinstance(state, jobcore.lifecycle.Failed):
            return None
        from .reasons import explain_jobs, help_text

        found = state.failure
        (why,) = explain_jobs(self._session, [self.record])
        return JobFailure(
            failure_class=str(found.failure_class),
            reason=headline(found),
            rule=found.rule,
            next_step=help_text(self._session, self.record, why),
        )

    def why(self) -> Why:
        """
        Explain why the job is not running, or its status.

        Raises:
            Unavailable: the store or the trainer did not answer.
        """
        from .reasons import explain_jobs, help_text

        self.refresh()
        (why,) = explain_jobs(self._session, [self.record])
        sentence = jobcore.redact.redact(why.sentence)
        helps = help_text(self._session, self.record, why)
        return Why(str(why.code), sentence, helps, why.until)

    def artifacts(self) -> Artifacts:
        """Name the places of what the last attempt writes; they exist once it wrote something."""
        from .places import places

        found = places(self._session, self.record)
        return Artifacts(**{k: found[k] for k in ("model", "output", "checkpoints", "log")})

    # --- reading it again -----------------------------------------------------------

    def refresh(self) -> Job:
        """
        Read the job again; return this object.

        Raises:
            NotFound: it is not in the store, as after a dry run.
            Unavailable: the store did not answer.
        """
        found = self._session.store.get([self.id]).get(self.id)
        if found is None:
            msg = f"there is no job {self.id} in the store"
            raise NotFound(msg)
        self.take(found)
        return self

    def take(self, record: jobcore.Job) -> None:
        """Take over what was read of the job."""
        self.record = record
        self._read_at = time.monotonic()

    def done(self) -> bool:
        """
        Tell whether the job is over; it is read at most once a second.

        Raises:
            Unavailable: the store did not answer.
        """
        if not self.status.is_terminal and time.monotonic() - self._read_at >= _FRESH_SECONDS:
            self.refresh()
        return self.status.is_terminal

    def wait(self, timeout: float | None = None) -> Job:
        """
        Wait until the job is over; return this object. The job goes on after an interrupt.

        Outages of the store are waited through. Without a manager on this machine there is a warning.

        Args:
            timeout: in seconds; None for no end.

        Raises:
            JobsHeld: it is held, so that only a person can go on with it.
            WaitTimeout: it is not over in time. It is a `TimeoutError`.
        """
        for seconds in self._pauses(timeout):
            time.sleep(seconds)
        return self

    def __await__(self) -> Generator[Any, None, Job]:
        """Wait in a coroutine, as `wait` does; no thread is used."""
        import asyncio

        for seconds in self._pauses(None):
            yield from asyncio.sleep(max(seconds, 0.1)).__await__()
        return self

    def _pauses(self, timeout: float | None) -> Iterator[float]:
        is_first = True

        def is_over() -> bool:
            nonlocal is_first
            self.refresh()
            if self.status.is_terminal:
                return True
            if self.status is Status.HELD:
                raise self._held()
            if is_first:
                warn_without_manager(self._session)
                is_first = False
            return False

        def late(trouble: str) -> WaitTimeout:
            msg = (
                f"job {self.id[:8]} {plain(self.name)} is {self.status} after {timeout} s{trouble}"
            )
            return WaitTimeout(msg, self.id, f"jobcore wait {self.id}")

        return pauses(self._session, is_over, timeout, late)

    def _held(self) -> JobsHeld:
        state = self.record.state
        reason = state.reason if isinstance(state, jobcore.lifecycle.Held) else ""
        msg = (
            f"job {self.id[:8]} {plain(self.name)} is held ({jobcore.redact.redact(reason)}); "
            f"jobcore release {self.id[:8]}, then wait again"
        )
        return JobsHeld(msg, [self.id])

    def exception(self, timeout: float | None = None) -> JobUnfinished | None:
        """
        Wait until the job is over; return the error that `result` would raise, or None if it completed.

        Raises:
            JobsHeld: it is held.
            WaitTimeout: it is not over in time.
        """
        self.wait(timeout)
        if self.status is Status.COMPLETED:
            return None
        name = f"job {self.id[:8]} {plain(self.name)}"
        if isinstance(state := self.record.state, jobcore.lifecycle.Failed):
            failure = state.failure
            msg = f"{name} failed: {failure.failure_class}: {headline(failure)}"
            return JobFailed(msg, self.id, failure, f"jobcore logs {self.id}")
        by = self.record.stop.by if self.record.stop is not None else "?"
        return JobStopped(f"{name} was stopped by {by}", self.id, None, f"jobcore retry {self.id}")

    def result(self, timeout: float | None = None) -> Result:
        """
        Wait until the job is over; return what it wrote.

        Raises:
            JobFailed: it failed for good.
            JobStopped: it was stopped.
            JobsHeld: it is held.
            WaitTimeout: it is not over in time.
        """
        if error := self.exception(timeout):
            raise error
        ran = run_time(self.record, datetime.now(UTC)) or timedelta(0)
        return Result(self.id, self.metrics, self.artifacts(), ran)

    def logs(
        self,
        *,
        tail: int | None = None,
        follow: bool = False,
        attempt: int | None = None,
        host: int | None = None,
    ) -> Iterator[str]:
        """
        Read the lines of the job's standard output and error.

        Args:
            tail: only so many last lines.
            follow: go on until the job is over.
            attempt: the number of the attempt; None for the last one.
            host: the number of the host, from 1; None for the first, and on AWS for all.

        Raises:
            NotFound: the attempt has written nothing; with *follow* that is waited for.
            Unavailable: the store or CloudWatch did not answer.
        """
        from .logs import lines_of, read_log

        self.refresh()
        found = read_log(
            self._session, self.record, tail=tail, follow=follow, attempt=attempt, host=host
        )
        return lines_of(found)

    # --- changing it ----------------------------------------------------------------

    def stop(self) -> Job:
        """
        Stop the job: its training gets SIGTERM, and SIGKILL two minutes later. Return this object.

        Raises:
            RequestError: it cannot be stopped. If it is over, nothing happens.
            Unavailable: it may have been stopped or not.
        """
        from .changes import stop_jobs

        return self._changed(stop_jobs(self._session, [self.record]))

    def hold(self, reason: str = "") -> Job:
        """
        Hold the job: a running training goes on, but there is no further attempt. Return this object.

        Raises:
            RequestError: it cannot be held. If it is over, nothing happens.
            Unavailable: it may have been held or not.
        """
        from .changes import hold_jobs

        return self._changed(hold_jobs(self._session, [self.record], reason))

    def release(self) -> Job:
        """
        Release the held job, or end its back-off. Return this object.

        Raises:
            RequestError: it cannot be released. If it is not held, nothing happens.
            Unavailable: it may have been released or not.
        """
        from .changes import release_jobs

        return self._changed(release_jobs(self._session, [self.record]))

    def retry(self) -> Job:
        """
        Try again: a finished job is submitted as a new one, which is returned; a held one is released.

        Raises:
            Refused: its code or data was removed by a prune.
            RequestError: its packages cannot be installed.
            Unavailable: it may have been done or not.
        """
        from .changes import retry_jobs

        self.refresh()
        done = retry_jobs(self._session, [self.record])
        if done.again:
            return Job(self._session, done.again[0][1])
        return self._changed(done)

    def cancel(self) -> bool:
        """Stop the job as `stop` does; return False if it was over already. The name is that of futures."""
        self.stop()
        return self.status in (Status.STOPPING, Status.STOPPED)

    def _changed(self, answers: Answers) -> Job:
        for error in answers.failed.values():
            raise error
        if not answers.steps:
            msg = f"there is no job {self.id} in the store"
            raise NotFound(msg)
        (step,) = answers.steps
        self.take(step.job)
        if step.refused:
            msg = f"job {self.id[:8]} {plain(self.name)} ({self.status}): {step.refused}"
            raise RequestError(msg)
        return self

    # --- display --------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Job) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id[:8]} {plain(self.name)!r} {self.status}>"

    def _repr_html_(self) -> str:
        """Make a table for notebooks; texts are escaped, and there is no script and no style in it."""
        shown = jobcore.redact.redact_args({"h": self.hyperparameters}).get("h")
        parameters = shown if isinstance(shown, dict) else {}
        rows: list[tuple[str, str]] = [
            ("id", self.id),
            ("name", self.name),
            ("status", str(self.status)),
            ("group", self.group or ""),
            ("attempt", str(self.attempt)),
            ("submitted", f"{ago(datetime.now(UTC) - self.submitted_at)} ago"),
            ("hyperparameters", ", ".join(f"{k}={v}" for k, v in parameters.items())),
            ("failure", str(self.failure or "")),
        ]
        lines = (f"<tr><th>{k}</th><td>{escape(plain(v))}</td></tr>" for k, v in rows if v)
        return f"<table>{''.join(lines)}</table>"
