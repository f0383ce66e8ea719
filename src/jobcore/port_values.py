"""
The values that cross the ports: requests, answers, and the part of a job that a plan needs.

They refuse invalid fields on construction. `jobcore.ports` exports them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from jobcore.checks import (
    described,
    if_given,
    kind_of,
    refuse,
    refuse_setting,
    wrong_duration,
    wrong_flag,
    wrong_in,
    wrong_kind,
    wrong_optional_string,
    wrong_secret,
    wrong_string,
    wrong_table,
    wrong_text,
    wrong_time,
    wrong_whole,
)
from jobcore.lifecycle.model import CLOCK_MIN, Job, Json, Placement, Status, wrong_placements
from jobcore.lifecycle.names import ATTEMPTS_MAX
from jobcore.metrics import Metric, wrong_metrics

__all__ = [
    "Added", "Due", "Evidence", "JobQuery", "LaunchReply", "LaunchRequest", "LaunchResult",
    "Message", "NextStep", "Page", "Training", "TrainingState", "Usage", "Waiting", "order_key",
    "usage_of", "waiting_of",
]  # fmt: skip


#: The most jobs of one page of a listing.
PAGE_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    A trainer's answer or a training's status, as the service returned it: the classifier's input.

    Args:
        where: ``"create"`` (the answer to a launch) or ``"describe"`` (a status read later).
        error_code: the service's error code.
        status: the training's status, such as ``"Failed"``.
        secondary_status: the phase or the end in more detail, an open set of strings.
        text: the message or failure reason.

    Raises:
        ValueError: a field is no text.
    """

    where: str
    error_code: str | None = None
    status: str | None = None
    secondary_status: str | None = None
    text: str = ""

    def __post_init__(self) -> None:
        """Refuse fields that are no text."""
        refuse(
            where=wrong_string(self.where),
            error_code=wrong_optional_string(self.error_code),
            status=wrong_optional_string(self.status),
            secondary_status=wrong_optional_string(self.secondary_status),
            text=wrong_string(self.text),
        )


class NextStep(StrEnum):
    """The next step of a job's owner; each entry point has its own text for it."""

    SHOW = "show"  # the job completed: look at its results
    READ_LOGS_AND_RETRY = "read_logs_and_retry"
    RETRY = "retry"  # no attempt was made, or a person stopped the job: a log would not help
    RELEASE = "release"  # find out why the job is held, then release it
    RELEASE_GROUP = "release_group"  # the same for all jobs of the group


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    A message to the owner of a job.

    Args:
        event_id: deterministic; the same event always has the same id.
        subject: one line of printable text. An adapter shortens it to its service's limit.
        body: for people: the status, its reason, attempts and retries; several lines of any text.
            It does not name the next step (`jobcore.messages.WordedNotifier` adds it).
        next_step: the next step of the owner.
        attributes: for filters: status, owner, job, and, if it has them, group and class.
        data: the facts, for machines: ids, name, group, status, time, attempts, reason, failure
            class, hold code, retries used by class, next step.

    Raises:
        ValueError: a field is not as described; the message names it.
    """

    event_id: str
    job_id: str
    owner: str
    status: Status
    subject: str
    body: str
    next_step: NextStep
    attributes: Mapping[str, str]
    data: Mapping[str, Json]

    def __post_init__(self) -> None:
        """Refuse a message that a notifier could not deliver."""
        refuse(
            event_id=wrong_text(self.event_id, "the id of the event"),
            job_id=wrong_text(self.job_id, "the id of the job"),
            owner=wrong_text(self.owner, "the owner of the job"),
            status=wrong_kind(self.status, Status, "a status"),
            subject=_wrong_subject(self.subject),
            body=wrong_string(self.body),
            next_step=wrong_kind(self.next_step, NextStep, "a next step"),
            **wrong_in("attributes", self.attributes, wrong_string, name=wrong_string, secret=True),
            data=wrong_table(self.data, secret=True),
        )


def _wrong_subject(value: object) -> str | None:
    is_fine = isinstance(value, str) and bool(value) and value.isprintable()
    return None if is_fine else "expected one line of printable text"


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    The part of a waiting job that a plan needs (fields as in `Job` and `Spec`).

    Raises:
        ValueError: a field is of another kind; the message names it.
    """

    job_id: str
    priority: int
    share: str
    placements: tuple[Placement, ...]
    submitted_at: datetime
    attempt: int = 1

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        refuse(
            job_id=wrong_text(self.job_id, "the id of the job"),
            priority=wrong_whole(self.priority),
            share=wrong_string(self.share),
            placements=wrong_placements(self.placements),
            submitted_at=wrong_time(self.submitted_at),
            attempt=wrong_whole(self.attempt, 1),
        )

    @property
    def lane(self) -> tuple[str, int, tuple[Placement, ...]]:
        """The lane: share, priority and placements; the jobs of a lane are interchangeable."""
        return (self.share, self.priority, self.placements)


@dataclass(frozen=True, slots=True)
class Usage:
    """
    The slots that active jobs of *share* hold in *pool*, and how many of them run.

    Raises:
        ValueError: a number is below 0, or a field of another kind; the message names it.
    """

    pool: str
    share: str
    slots: int
    running: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers below 0 and fields of another kind."""
        refuse(
            pool=wrong_string(self.pool),
            share=wrong_string(self.share),
            slots=wrong_whole(self.slots, 0),
            running=wrong_whole(self.running, 0),
        )


def order_key(job: Waiting) -> tuple[int, datetime, str]:
    """Return the sort key of the launch order: priority, then age, then id (for a total order)."""
    return (-job.priority, job.submitted_at, job.job_id)


def waiting_of(job: Job) -> Waiting:
    """Reduce a job to the part that a plan needs."""
    spec = job.spec
    return Waiting(
        job_id=job.job_id,
        priority=spec.priority,
        share=spec.share,
        placements=spec.placements,
        submitted_at=job.submitted_at,
        attempt=job.attempt_number,
    )


def usage_of(jobs: Iterable[Job]) -> tuple[Usage, ...]:
    """Count the slots that active *jobs* hold, by pool and share."""
    slots: Counter[tuple[str, str]] = Counter()
    running: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        if job.current is not None:
            placement = job.current.placement
            slots[placement.pool, job.spec.share] += placement.count
            if job.status.runs:
                running[placement.pool, job.spec.share] += placement.count
    return tuple(Usage(*key, count, running[key]) for key, count in slots.items())


class Added(StrEnum):
    """The result of registering one job of a submission."""

    CREATED = "created"
    DUPLICATE = "duplicate"  # the same job was there already: an earlier call, repeated
    CLASH = "clash"  # another spec under this id; nothing was written


@dataclass(frozen=True, slots=True)
class Due:
    """
    An entry of the index of due jobs; the index may lag, so read the job before acting.

    Raises:
        ValueError: a field is of another kind; the message names it.
    """

    job_id: str
    at: datetime
    status: Status
    attempt: int

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        refuse(
            job_id=wrong_text(self.job_id, "the id of the job"),
            at=wrong_time(self.at),
            status=wrong_kind(self.status, Status, "a status"),
            attempt=wrong_whole(self.attempt, 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """
    The conditions on the jobs of a listing; every condition given must hold.

    Args:
        statuses: any of these; empty for all.
        id_prefix: the beginning of the job id.
        name: the exact name.
        cursor: the cursor of the page before this one (`Page.cursor`).
        limit: the page size, 1 to 1,000.

    Raises:
        InvalidSetting: a condition is of another kind, or the page size out of bounds; all are named.
    """

    statuses: frozenset[Status] = frozenset()
    owner: str | None = None
    group: str | None = None
    name: str | None = None
    id_prefix: str | None = None
    cursor: str | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        """Refuse conditions of another kind, and a page size that a store does not serve."""
        texts = ("owner", "group", "name", "id_prefix", "cursor")
        refuse_setting(
            statuses=_wrong_statuses(self.statuses),
            **{field: wrong_optional_string(getattr(self, field)) for field in texts},
            limit=wrong_whole(self.limit, 1, PAGE_MAX),
        )


def _wrong_statuses(value: object) -> str | None:
    if isinstance(value, frozenset) and all(isinstance(status, Status) for status in value):
        return None
    return f"expected a frozenset of statuses, got {described(value)}"


def _wrong_jobs(value: object) -> str | None:
    if isinstance(value, tuple) and all(isinstance(job, Job) for job in value):
        return None
    return f"expected a tuple of jobs, got {kind_of(value)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    A page of jobs, newest first; *cursor* is None on the last one.

    Raises:
        ValueError: a field is of another kind; the message names it.
    """

    jobs: tuple[Job, ...]
    cursor: str | None = None

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        refuse(
            jobs=_wrong_jobs(self.jobs),
            cursor=wrong_optional_string(self.cursor),
        )


class TrainingState(StrEnum):
    """The state of a training in the trainer."""

    PENDING = "Pending"  # accepted, not running yet (waiting for capacity, starting, downloading)
    RUNNING = "Running"  # trains, or is known to have been given its instances
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_terminal(self) -> bool:
        """True once the training is over for good."""
        return self in _TRAINING_OVER


_TRAINING_OVER = frozenset({TrainingState.COMPLETED, TrainingState.FAILED, TrainingState.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """
    The request to start a training: a pure function of a job and its attempt.

    Args:
        name: the training's name, which no other training ever has.
        job_id, attempt, spec_hash: recorded with the training, for the ownership check.
        run_at_most: the trainer stops the training after this long.
        owner, group, tags: the job's, for trainers that can tag their trainings (cost reports,
            access). The ownership check does not use them.
        to_stop: only reserve the name: a stop was requested while it was not certain whether the
            training exists. If the trainer can, it records the training as stopped without running
            it; otherwise it starts the training, and the next request stops it.

    Raises:
        ValueError: a field is not as described; the message names it and quotes no secret.
    """

    name: str
    job_id: str
    attempt: int
    spec_hash: str
    placement: Placement
    args: Mapping[str, Json] = field(repr=False)  # holds secrets
    run_at_most: timedelta | None = None
    owner: str = ""
    group: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    to_stop: bool = False

    def __post_init__(self) -> None:
        """Refuse a request that no trainer can carry out."""
        refuse(
            name=wrong_text(self.name, "the name of the training"),
            job_id=wrong_text(self.job_id, "the id of the job"),
            attempt=wrong_whole(self.attempt, 1, ATTEMPTS_MAX),
            spec_hash=wrong_string(self.spec_hash),
            placement=wrong_kind(self.placement, Placement, "a Placement"),
            args=wrong_table(self.args, secret=True),
            run_at_most=if_given(wrong_duration, self.run_at_most, CLOCK_MIN),
            owner=wrong_string(self.owner),
            group=wrong_optional_string(self.group),
            **wrong_in("tags", self.tags, wrong_secret, name=wrong_string, secret=True),
            to_stop=wrong_flag(self.to_stop),
        )


class LaunchResult(StrEnum):
    """The results of a launch."""

    ACCEPTED = "accepted"  # the training exists, made by this call
    EXISTS = "exists"  # a training of this name exists already: run the ownership check
    REFUSED = "refused"  # definitely not created, for the reason in the evidence
    UNCLEAR = "unclear"  # timeout, reset, 5xx: it may exist, now or later


@dataclass(frozen=True, slots=True)
class LaunchReply:
    """
    The answer to a launch; *evidence* goes with REFUSED and UNCLEAR.

    Raises:
        ValueError: a field is of another kind; the message names it.
    """

    result: LaunchResult
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        refuse(
            result=wrong_kind(self.result, LaunchResult, "a LaunchResult"),
            evidence=if_given(wrong_kind, self.evidence, Evidence, "Evidence"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """
    A training as the trainer describes it.

    Args:
        job_id, attempt, spec_hash: as recorded at launch; None on a training that jobcore did not
            launch.
        detail: the trainer's name of the phase, for display only.
        started_at, ended_at: in UTC; None while unknown.
        evidence: for FAILED and STOPPED, the input of the classifier.
        metrics: once it is over, at most 100; those without a number are left out.

    Raises:
        ValueError: a field is of another kind, or a time not in UTC; the message names it.
    """

    name: str
    state: TrainingState
    job_id: str | None = None
    attempt: int | None = None
    spec_hash: str | None = None
    detail: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    evidence: Evidence | None = None
    metrics: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        """Refuse fields of another kind, and times that are not in UTC."""
        refuse(
            name=wrong_text(self.name, "the name of the training"),
            state=wrong_kind(self.state, TrainingState, "a TrainingState"),
            job_id=wrong_optional_string(self.job_id),
            attempt=if_given(wrong_whole, self.attempt),
            spec_hash=wrong_optional_string(self.spec_hash),
            detail=wrong_string(self.detail),
            started_at=if_given(wrong_time, self.started_at),
            ended_at=if_given(wrong_time, self.ended_at),
            evidence=if_given(wrong_kind, self.evidence, Evidence, "Evidence"),
            metrics=wrong_metrics(self.metrics),
        )
