"""Jobs, specs, attempts and the nine states: frozen values, checked on construction.

A state is a type with the fields that apply in that state; fields that outlive a change of state
(charges, timeline, outbox) belong to the `Job`. All times are aware datetimes in UTC, durations are
timedeltas.

A value that is made once per job (`Spec` and its parts) checks all of its fields. A job, its state and
its attempts are made at every step: they check little, since `step` checks its time and events check
their fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, TypeAlias

from jobcore import checks
from jobcore.documents import Json
from jobcore.metrics import Metric

from .failure import Failure, FailureClass
from .names import is_job_id, training_name

__all__ = [
    "ATTEMPTS_KEPT_MAX", "CLOCK_MIN", "PRIORITY_MAX", "TIMELINE_KEPT_MAX", "WAIT_MAX", "Active",
    "Attempt", "AttemptNumber", "Clocks", "Completed", "Failed", "Held", "HoldCode", "InProgress",
    "Job", "Json", "Launched", "Launching", "Mark", "New", "OutboxEntry", "Placement",
    "RetryPolicy", "Spec", "State", "Status", "StopCause", "StopRequest", "Stopped", "Stopping",
    "new_job", "wrong_placements",
]  # fmt: skip

#: The number of an attempt, from 1 to `jobcore.lifecycle.names.ATTEMPTS_MAX`.
AttemptNumber: TypeAlias = int
#: Ended attempts kept in a job's record; older ones are dropped.
ATTEMPTS_KEPT_MAX = 20
#: Lines kept in a job's timeline; the middle of a longer one is dropped.
TIMELINE_KEPT_MAX = 60
#: Longer waits are refused: a deadline has to be a date, or no tick could look at the job.
WAIT_MAX = timedelta(days=3650)

#: Shorter clocks are refused: no training starts and ends within them, so the job could only time out.
CLOCK_MIN = timedelta(seconds=1)

PRIORITY_MAX = 1_000_000


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
        """True while the training is known to have its slots."""
        return self in _RUNS


_TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.STOPPED})
_RUNS = frozenset({Status.IN_PROGRESS, Status.STOPPING})
_ACTIVE = frozenset({Status.LAUNCHING, Status.LAUNCHED, Status.IN_PROGRESS, Status.STOPPING})


class StopCause(StrEnum):
    """The reason why a training is being stopped: a person's request, or one of the three clocks."""

    USER = "user"
    WAIT_AT_MOST = "wait_at_most"
    RUN_AT_MOST = "run_at_most"
    FINISH_BY = "finish_by"


class HoldCode(StrEnum):
    """The reason why a job is held until a person releases it."""

    USER = "user"
    QUOTA = "quota"
    NAME_TAKEN = "name_taken"
    GROUP = "group"  # the first jobs of its group failed alike


_wrong_budget = partial(checks.wrong_whole, least=0)
_wrong_class = partial(checks.wrong_kind, kind=FailureClass, expected="a class of failures")
_wrong_word = partial(checks.wrong_text, empty=True)
_wrong_clock = partial(checks.wrong_duration, least=CLOCK_MIN, most=WAIT_MAX)


@dataclass(frozen=True, slots=True)
class Placement:
    """One entry of a job's fallback list: *count* instances (or slots) of *pool*."""

    pool: str
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a pool without a name and a count below 1."""
        checks.refuse(
            pool=checks.wrong_text(self.pool, "the name of a pool"),
            count=checks.wrong_whole(self.count, 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    The number of retries by failure class, and the waits before them.

    Args:
        budgets: retries allowed per failure class, over the defaults of `jobcore.lifecycle.DEFAULT_BUDGETS`.
            A budget given here also allows retries of failures that the rules call final.
        backoff: the wait before the first retry; it doubles with each further one.
        backoff_max: the longest wait.
    """

    budgets: Mapping[FailureClass, int] = field(default_factory=dict)
    backoff: timedelta = timedelta(seconds=30)
    backoff_max: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Refuse budgets and waits below 0, and waits that are too long."""
        checks.refuse(**checks.wrong_in("retry", self.budgets, _wrong_budget, name=_wrong_class))
        backoff, most = checks.wrong_duration(self.backoff), self.backoff_max
        checks.refuse(**{"retry.backoff": backoff})
        too_long = checks.wrong_duration(most, most=WAIT_MAX)
        too_short = (
            None
            if too_long or most >= self.backoff
            else f"expected at least retry.backoff ({self.backoff})"
        )
        checks.refuse(**{"retry.backoff_max": too_long or too_short})


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """
    The three clocks of a job; None means no bound.

    Args:
        wait_at_most: from submission (or release) until a training runs; 1 second to 3650 days.
        run_at_most: of one attempt, from its start; 1 second to 3650 days. The trainer enforces it.
            If it does not, the core stops the training (`RUN_AT_MOST_GRACE`).
        finish_by: the time after which the result is of no use; in UTC, in the years 1970 to 2999.

    Raises:
        ValueError: a clock is outside these bounds, or is no duration or time.
    """

    wait_at_most: timedelta | None = None
    run_at_most: timedelta | None = None
    finish_by: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse durations out of bounds and times that are not in UTC."""
        checks.refuse(
            wait_at_most=checks.if_given(_wrong_clock, self.wait_at_most),
            run_at_most=checks.if_given(_wrong_clock, self.run_at_most),
            finish_by=checks.if_given(checks.wrong_time, self.finish_by),
        )
        if self.finish_by is not None and not 1970 <= self.finish_by.year < 3000:
            # Later times plus a duration have no date; the codec does not read them.
            checks.refuse(finish_by=f"expected a time between 1970 and 3000, got {self.finish_by}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """
    The request of a job; it never changes after the submission.

    No text in it holds a NUL character: a process cannot be given one.

    Args:
        name: a label for people; need not be unique.
        owner: the person who gets the messages about the job.
        placements: the pools in which it may run, best first; at least one.
        args: the arguments of the training, in the trainer's terms (stored as JobArgs); JSON data.
        share: the share that is charged for the job's slots; the owner unless given.
        group: names the jobs that were submitted together (a sweep).
        priority: larger goes first; -1,000,000 to 1,000,000.
        tags: labels for reports, names and values.

    Raises:
        ValueError: a field is not as described; the message names it.
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
        """Refuse a request that cannot be carried out; the share defaults to the owner."""
        checks.refuse(
            name=checks.wrong_text(self.name, "a label for the job"),
            owner=checks.wrong_text(self.owner, "who the job belongs to"),
            pools=wrong_placements(self.placements),
            share=checks.wrong_text(self.share, empty=True),
            group=checks.if_given(_wrong_word, self.group),
            priority=checks.wrong_whole(self.priority, -PRIORITY_MAX, PRIORITY_MAX),
            retry=checks.wrong_kind(self.retry, RetryPolicy, "a RetryPolicy"),
            clocks=checks.wrong_kind(self.clocks, Clocks, "Clocks"),
        )
        if type(self.args) is not dict or checks.wrong_json(self.args) is not None:
            self._refuse_in("args", self.args, checks.wrong_json)
        if self.tags != {}:
            self._refuse_in("tags", self.tags, checks.wrong_secret)
        if not self.share:
            object.__setattr__(self, "share", self.owner)

    def _refuse_in(self, field: str, table: Any, check: Callable[[Any], str | None]) -> None:
        checks.refuse(**checks.wrong_in(field, table, check, name=_wrong_word, secret=True))


def wrong_placements(value: object) -> str | None:
    """Check a job's placements: a tuple (jobs are grouped by it) of one or more."""
    if not isinstance(value, tuple):
        return f"expected a tuple of placements, got {checks.described(value)}"
    if not value:
        return "expected at least one pool"
    for number, item in enumerate(value):
        if not isinstance(item, Placement):
            return f"expected placements, got {checks.described(item)} as number {number}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One training run of a job.

    Args:
        number: from 1. It names the training together with the job id.
        placement: the pool and the number of slots of its launch.
        launching_at: when the intent was recorded, before the trainer was called.
        started_at: when the training began to run, by the trainer's clock.
        ended_at: when it was over, by the trainer's clock.
        outcome: the training's terminal state: Completed, Failed or Stopped.
        failure: the classified failure; None if it completed or has not ended.
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
    """Waiting for capacity, for the first time or again; *attempt* is the next number."""

    status: ClassVar[Status] = Status.NEW
    since: datetime
    attempt: AttemptNumber = 1
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
        missing_since: when the trainer first did not find the training any more.
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
    A stop is in progress; it ends only when the trainer describes the training as terminal.

    Args:
        known: the training was seen in the trainer. While False its name must still be reserved
            (create or adopt the training), so that no late request can start it.
    """

    status: ClassVar[Status] = Status.STOPPING
    since: datetime
    attempt: Attempt
    cause: StopCause
    known: bool
    missing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Waiting for a person; no training exists. *attempt* is the next number."""

    status: ClassVar[Status] = Status.HELD
    since: datetime
    attempt: AttemptNumber
    code: HoldCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The training succeeded (it exited with 0)."""

    status: ClassVar[Status] = Status.COMPLETED
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job has failed; no attempt follows."""

    status: ClassVar[Status] = Status.FAILED
    since: datetime
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Stopped at a person's request."""

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
    """A pending message. *event_id* is deterministic, so that a consumer can drop a repetition."""

    event_id: str
    status: Status
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """A person's request to stop the job; never withdrawn."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    A job as it is stored: its spec, its state and history, and its pending messages.

    Args:
        version: counts the saves; a store writes only over the version that was read.
        charges: retries used per failure class.
        attempts: the ended attempts, the oldest dropped beyond 20.
        waiting_since: since when it has waited for a training to run; the wait clock counts from here.
        hold_next: hold instead of waiting for another attempt (requested while a training ran).
        metrics: of the attempt that completed; without one, of the last that had any.
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
    metrics: tuple[Metric, ...] = ()
    extra: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an id that could not be a path or a training name, and times that are not in UTC."""
        # Made at every step: the messages are only made when they are needed.
        if not is_job_id(self.job_id):
            checks.refuse(job_id=f"{self.job_id!r} is not a job id")
        if not (
            self.submitted_at.tzinfo is self.waiting_since.tzinfo is self.state.since.tzinfo is UTC
        ):
            checks.refuse(
                submitted_at=checks.wrong_time(self.submitted_at),
                waiting_since=checks.wrong_time(self.waiting_since),
                since=checks.wrong_time(self.state.since),
            )

    @property
    def status(self) -> Status:
        """The state's stored name."""
        return self.state.status

    @property
    def attempt_number(self) -> int:
        """The number of the state's attempt: the current one, the next, or the last."""
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
        """The name of the training of `attempt_number`."""
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
