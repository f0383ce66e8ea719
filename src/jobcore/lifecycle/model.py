"""Jobs, specs, attempts and the nine states: frozen values that are valid or do not exist.

A state is a type that holds only what is true in that state; everything that
outlives a change of state (charges, timeline, outbox) belongs to the `Job`.
All times are aware datetimes in UTC, durations are timedeltas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, TypeAlias

from .failure import Failure, FailureClass
from .names import is_job_id, training_name

__all__ = [
    "ATTEMPTS_KEPT_MAX", "TIMELINE_KEPT_MAX", "WAIT_MAX", "Active", "Attempt", "Clocks",
    "Completed", "Failed", "Held", "HoldCode", "InProgress", "Job", "Json", "Launched",
    "Launching", "Mark", "New", "OutboxEntry", "Placement", "RetryPolicy", "Spec", "State",
    "Status", "StopCause", "StopRequest", "Stopped", "Stopping", "new_job",
]  # fmt: skip

#: JSON data.
Json: TypeAlias = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
#: Ended attempts kept in a job's record; older ones are dropped.
ATTEMPTS_KEPT_MAX = 20
#: Lines kept in a job's timeline; the middle of a longer one is dropped.
TIMELINE_KEPT_MAX = 60
#: Longer waits are refused: a deadline has to be a date, or the job could not be looked at any more.
WAIT_MAX = timedelta(days=3650)


class Status(StrEnum):
    """The stored names of the states."""

    NEW = "New"
    LAUNCHING = "Launching"
    LAUNCHED = "Launched"
    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    HELD = "Held"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_terminal(self) -> bool:
        """True for the three statuses that are never left."""
        return self in _TERMINAL

    @property
    def is_active(self) -> bool:
        """True while a training exists, or may exist, in the trainer."""
        return self in _ACTIVE

    @property
    def runs(self) -> bool:
        """True while the training has its slots, as far as is known."""
        return self in _RUNS


_TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.STOPPED})
_RUNS = frozenset({Status.IN_PROGRESS, Status.STOPPING})
_ACTIVE = frozenset({Status.LAUNCHING, Status.LAUNCHED, Status.IN_PROGRESS, Status.STOPPING})


class StopCause(StrEnum):
    """Why a training is being stopped: a person asked, or one of the three clocks ran out."""

    USER = "user"
    WAIT_AT_MOST = "wait_at_most"
    RUN_AT_MOST = "run_at_most"
    FINISH_BY = "finish_by"


class HoldCode(StrEnum):
    """Why a job waits for a human."""

    USER = "user"
    QUOTA = "quota"
    NAME_TAKEN = "name_taken"
    GROUP = "group"  # the first jobs of its group failed alike


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_aware(name: str, at: datetime | None) -> None:
    _require(
        at is None or at.tzinfo is not None,
        f"{name}: expected an aware datetime (UTC), got a naive one",
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """One entry of a job's fallback list: *count* instances (or slots) of *pool*."""

    pool: str
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse an empty pool and a count below one."""
        _require(bool(self.pool), "pool: expected the name of a pool, got nothing")
        _require(self.count >= 1, f"count: expected at least 1, got {self.count}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    How often and how soon to try again.

    Args:
        budgets: retries allowed per failure class, over the defaults of `jobcore.DEFAULT_BUDGETS`.
            A budget given here also allows retries of failures that the rules call final.
        backoff: the wait before the first retry; it doubles with each further one.
        backoff_max: the longest wait.
    """

    budgets: Mapping[FailureClass, int] = field(default_factory=dict)
    backoff: timedelta = timedelta(seconds=30)
    backoff_max: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Refuse negative numbers."""
        for name, budget in self.budgets.items():
            _require(budget >= 0, f"retry.{name}: expected 0 or more, got {budget}")
        _require(self.backoff >= timedelta(0), "retry.backoff: expected 0 or more")
        _require(
            self.backoff_max >= self.backoff, "retry.backoff_max: expected at least retry.backoff"
        )
        _require(
            self.backoff_max <= WAIT_MAX,
            f"retry.backoff_max: expected at most {WAIT_MAX.days} days",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """
    The three clocks of a job; None means no bound.

    Args:
        wait_at_most: from submission (or release) until a training runs.
        run_at_most: of one attempt, from its start. The trainer enforces it; the core is the backstop.
        finish_by: the moment after which the result is worth nothing.
    """

    wait_at_most: timedelta | None = None
    run_at_most: timedelta | None = None
    finish_by: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse durations that are not positive and naive times."""
        for name in ("wait_at_most", "run_at_most"):
            value = getattr(self, name)
            _require(value is None or value > timedelta(0), f"{name}: expected more than 0")
            _require(
                value is None or value <= WAIT_MAX, f"{name}: expected at most {WAIT_MAX.days} days"
            )
        _require_aware("finish_by", self.finish_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """
    What a scientist asks for, once; never changed afterwards.

    Args:
        name: a label for people; need not be unique.
        owner: who is told when it is over.
        placements: where it may run, best first.
        args: what the trainer is asked to do (stored as JobArgs); JSON data.
        share: who fair share is reckoned by; the owner unless given.
        group: the jobs submitted together (a sweep).
        priority: larger goes first.
    """

    name: str
    owner: str
    placements: tuple[Placement, ...]
    args: Mapping[str, Json] = field(default_factory=dict, repr=False)  # holds secrets
    share: str = ""
    group: str | None = None
    priority: int = 0
    retry: RetryPolicy = RetryPolicy()
    clocks: Clocks = Clocks()
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    digest: str | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a request that names nobody or no place; the share defaults to the owner."""
        _require(bool(self.name), "name: expected a label for the job, got nothing")
        _require(bool(self.owner), "owner: expected who the job belongs to, got nothing")
        _require(bool(self.placements), "pools: expected at least one pool")
        if not self.share:
            object.__setattr__(self, "share", self.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One training run of a job.

    Args:
        number: from 1. It names the training together with the job id.
        placement: where it was launched.
        launching_at: when the intent was recorded, before the trainer was asked.
        started_at: when the training began to run, as the trainer tells it.
        ended_at: when it was over, as the trainer tells it.
        outcome: the trainer's terminal word: Completed, Failed or Stopped.
        failure: what went wrong, classified.
    """

    number: int
    placement: Placement
    launching_at: datetime
    launched_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: Status | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """Waiting for capacity, from the beginning or again; *attempt* is the number to come."""

    status: ClassVar[Status] = Status.NEW
    since: datetime
    attempt: int = 1
    not_before: datetime | None = None
    after: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launching:
    """The intent is recorded; the training may or may not exist yet."""

    status: ClassVar[Status] = Status.LAUNCHING
    since: datetime
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """
    The trainer has the training; it does not run yet.

    Args:
        detail: the trainer's own word for the phase.
        missing_since: when the trainer first said that it does not know the training any more.
    """

    status: ClassVar[Status] = Status.LAUNCHED
    since: datetime
    attempt: Attempt
    detail: str = ""
    missing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InProgress:
    """The training runs (fields as in `Launched`)."""

    status: ClassVar[Status] = Status.IN_PROGRESS
    since: datetime
    attempt: Attempt
    detail: str = ""
    missing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """
    A stop is under way; over only when the trainer says terminal.

    Args:
        known: the training was seen in the trainer. While False its name is still
            to be consumed: create it or adopt it, so that no late request can start it.
    """

    status: ClassVar[Status] = Status.STOPPING
    since: datetime
    attempt: Attempt
    cause: StopCause
    known: bool
    missing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Waiting for a human; no training exists. *attempt* is the number to come."""

    status: ClassVar[Status] = Status.HELD
    since: datetime
    attempt: int
    code: HoldCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The training succeeded (it exited with 0)."""

    status: ClassVar[Status] = Status.COMPLETED
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Given up, and why."""

    status: ClassVar[Status] = Status.FAILED
    since: datetime
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Stopped because somebody asked for it."""

    status: ClassVar[Status] = Status.STOPPED
    since: datetime


#: The state of a job: one type per status.
State = New | Launching | Launched | InProgress | Stopping | Held | Completed | Failed | Stopped
#: The states in which a training exists, or may exist.
Active = Launching | Launched | InProgress | Stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One line of a job's timeline: it entered *status* at *at*, because of *note*."""

    at: datetime
    status: Status
    attempt: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """A message owed. *event_id* is deterministic, so that a consumer can drop a repetition."""

    event_id: str
    status: Status
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """Somebody asked for the job to stop; never taken back."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    A job as it is stored: the request, where it stands, and what it still owes.

    Args:
        version: counts the saves; a store writes only over the version that was read.
        charges: retries used per failure class.
        attempts: the ended attempts, the oldest dropped beyond 20.
        waiting_since: since when it has waited for a training to run; the wait clock counts from here.
        hold_next: hold instead of waiting for another attempt (asked while a training ran).
        extra: attributes of a newer writer, kept as they are.
    """

    job_id: str
    spec: Spec
    state: State
    submitted_at: datetime
    waiting_since: datetime
    version: int = 0
    charges: Mapping[FailureClass, int] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    timeline: tuple[Mark, ...] = ()
    outbox: tuple[OutboxEntry, ...] = ()
    stop: StopRequest | None = None
    hold_next: bool = False
    extra: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an id that could not be a path or a training name."""
        # Checked at every step, so the messages are only made when they are needed.
        if not is_job_id(self.job_id):
            msg = f"job_id: {self.job_id!r} is not a job id"
            raise ValueError(msg)
        if self.submitted_at.tzinfo is None:
            _require_aware("submitted_at", self.submitted_at)

    @property
    def status(self) -> Status:
        """The state's stored name."""
        return self.state.status

    @property
    def attempt_number(self) -> int:
        """The attempt that the state speaks of: the current one, the next, or the last."""
        attempt: Attempt | int | None = getattr(self.state, "attempt", None)
        if type(attempt) is Attempt:
            return attempt.number
        if attempt is None:
            return self.attempts[-1].number if self.attempts else 1
        assert isinstance(attempt, int)
        return attempt

    @property
    def current(self) -> Attempt | None:
        """The attempt that has, or may have, a training now."""
        attempt = getattr(self.state, "attempt", None)
        return attempt if type(attempt) is Attempt else None

    @property
    def training_name(self) -> str:
        """The trainer's name for the attempt that the state speaks of."""
        return training_name(self.job_id, self.attempt_number)


def new_job(job_id: str, spec: Spec, *, now: datetime) -> Job:
    """Make the job that a submission registers: New, waiting for its first attempt."""
    return Job(
        job_id=job_id,
        spec=spec,
        state=New(since=now),
        submitted_at=now,
        waiting_since=now,
        timeline=(Mark(at=now, status=Status.NEW, attempt=1, note="submitted"),),
    )
