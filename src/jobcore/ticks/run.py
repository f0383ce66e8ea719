"""
The common part of the ticks: settings, report, and the steps read, apply and save.

A tick reads the jobs that are due, derives the effects that their states require, performs them and
saves the outcome. It may run twice, overlap another tick, be killed anywhere or come late; the next
tick finishes the work (`jobcore.lifecycle.transitions` gives the argument). Safety never depends on
a clock or a lease; the lease of the launch tick only saves calls.

The jobs of one tick affect each other only through capacity and limits. A job that cannot be read, or
whose training makes the adapter raise, is reported and left for later; the tick continues with the
other jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jobcore.checks import (
    described,
    refuse_setting,
    wrong_duration,
    wrong_kind,
    wrong_whole,
)
from jobcore.errors import CorruptRecord, Unavailable
from jobcore.failures.generic import GENERIC_RULES
from jobcore.failures.rules import Rules
from jobcore.lifecycle.events import Event, LaunchRefused
from jobcore.lifecycle.model import Job, Status
from jobcore.lifecycle.transitions import step
from jobcore.ports import JobStore
from jobcore.redact import redact
from jobcore.scheduling.limits import Limits
from jobcore.scheduling.plan import DEFAULT_SCHEDULER, Scheduler

__all__ = ["Change", "Settings", "TickReport", "TickRun"]

_CONFLICTS_MAX = 5  # tries with a job that other processes keep changing, within one tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One saved change of a job, for logs: the job after it, its status before, the last event."""

    job: Job
    before: Status
    event: Event

    @property
    def note(self) -> str:
        """Why the job changed: the last note of its timeline."""
        return self.job.timeline[-1].note if self.job.timeline else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The settings of the ticks.

    Args:
        limits: the operator's limits on plans.
        scheduler: plans the launches and learns about pools.
        rules: the rules that classify failures; the first match wins. The default has no service's
            texts: give the rules of the trainer's adapter.
        launch_lease: the time for which a launch that another tick has begun is not repeated. It
            saves calls; safety does not depend on it.
        page: the number of jobs that a tick reads at once; the monitor tick then reads the next page.
        launches_together: the number of launches that are committed and requested at once. A value
            above 1 is faster; a pool that turns out to be full then gets up to that many requests.
        on_change: called after each change was saved, never before.
        on_trouble: called with a job id (or "") and the text of a fault; no job is lost by one.
        go_on: called before each piece of work; False ends the tick early.

    Raises:
        InvalidSetting: a setting cannot work; all that cannot are named.
    """

    limits: Limits = Limits()
    scheduler: Scheduler = DEFAULT_SCHEDULER
    rules: Rules = GENERIC_RULES
    launch_lease: timedelta = timedelta(seconds=60)
    page: int = 1000
    launches_together: int = 1
    on_change: Callable[[Change], None] = field(default=lambda change: None)
    on_trouble: Callable[[str, str], None] = field(default=lambda job_id, what: None)
    go_on: Callable[[], bool] = field(default=lambda: True)

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        calls = ("on_change", "on_trouble", "go_on")
        refuse_setting(
            limits=wrong_kind(self.limits, Limits, "Limits"),
            scheduler=_wrong_scheduler(self.scheduler),
            rules=wrong_kind(self.rules, Rules, "Rules"),
            launch_lease=wrong_duration(self.launch_lease),
            page=wrong_whole(self.page, 1),
            launches_together=wrong_whole(self.launches_together, 1),
            **{name: _wrong_call(getattr(self, name)) for name in calls},
        )


def _wrong_call(value: object) -> str | None:
    return None if callable(value) else f"expected a function, got {described(value)}"


def _wrong_scheduler(value: object) -> str | None:
    if all(callable(getattr(value, method, None)) for method in ("plan", "learn")):
        return None
    return f"expected a Scheduler with plan and learn, got {described(value)}"


@dataclass(slots=True, kw_only=True)
class TickReport:
    """
    The results of a tick, in numbers.

    Args:
        wake_at: the earliest time at which time alone gives a tick work: the end of a back-off,
            a deadline, a pool that may be tried again. None if there is none, or the store cannot
            tell (see `jobcore.ports.JobStore.next_wake`).
    """

    looked_at: int = 0
    changed: int = 0
    launched: int = 0
    refused: int = 0
    published: int = 0
    stopped: int = 0
    troubles: int = 0
    wake_at: datetime | None = None

    def wake_by(self, at: datetime | None) -> None:
        """Bring *wake_at* forward to *at*, if that is earlier."""
        if at is not None and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at


class TickRun:
    """One run of a tick: its settings, its report, and compare-and-set with a retry on conflict."""

    def __init__(self, store: JobStore, settings: Settings, now: datetime) -> None:
        self.store = store
        self.settings = settings
        self.now = now
        self.report = TickReport()

    def trouble(self, job_id: str, error: object) -> None:
        """Count and report a fault; secrets are redacted."""
        self.report.troubles += 1
        self.settings.on_trouble(job_id, redact(f"{type(error).__name__}: {error}"))

    def read(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Read jobs, in the order of *job_ids*; a record that cannot be read is reported and left out."""
        wanted = list(job_ids)
        while wanted:
            try:
                found = self.store.get(wanted)
                return {job_id: found[job_id] for job_id in wanted if job_id in found}
            except CorruptRecord as error:
                self.trouble(error.job_id, error)
                if error.job_id not in wanted:
                    return {}
                wanted.remove(error.job_id)
        return {}

    def apply(self, todo: Iterable[tuple[Job, Sequence[Event]]]) -> list[Job]:
        """
        Apply events to jobs and save the changed ones with one write.

        A job that was saved by another process meanwhile is read again and its events are applied
        again, one job at a time.

        Returns:
            The jobs as they are stored now, in order.
        """
        after: list[Job] = []
        dirty: list[tuple[int, Job, Sequence[Event], Event]] = []
        for job, events in todo:
            moved, cause = self._stepped(job, events)
            if cause is not None:
                dirty.append((len(after), job, events, cause))
            after.append(moved)
        if not dirty:
            return after
        saved = self.store.save([after[index] for index, _, _, _ in dirty])
        for (index, before, events, cause), stored in zip(dirty, saved, strict=True):
            if stored is None:
                after[index] = self._again(before, events)
            else:
                after[index] = stored
                self._changed(before, stored, cause)
        return after

    def _stepped(self, job: Job, events: Sequence[Event]) -> tuple[Job, Event | None]:
        """Apply *events*; return the job and the last event that changed it, or None."""
        cause = None
        for event in events:
            after = step(job, event, now=self.now).job
            if after is not job:
                job, cause = after, event
        return job, cause

    def _again(self, stale: Job, events: Sequence[Event]) -> Job:
        for _ in range(_CONFLICTS_MAX):
            fresh = self.read([stale.job_id]).get(stale.job_id)
            if fresh is None:
                return stale
            facts = events
            if fresh.status is not stale.status:
                # The refusal belongs to a launch of the old state. If the job is Stopping now, the
                # name still has to be reserved, so a late refusal must not end it.
                facts = [event for event in events if not isinstance(event, LaunchRefused)]
            moved, cause = self._stepped(fresh, facts)
            if cause is None:
                return fresh
            (saved,) = self.store.save([moved])
            if saved is not None:
                self._changed(fresh, saved, cause)
                return saved
        self.trouble(stale.job_id, Unavailable("it kept changing; left for the next tick"))
        return stale

    def _changed(self, before: Job, job: Job, cause: Event) -> None:
        self.report.changed += 1
        self.settings.on_change(Change(job=job, before=before.state.status, event=cause))
