"""
The four ports, and the values that cross them.

A port is what the ticks need of the world, in the core's words. Each has a conformance suite
(`jobcore_conformance`) that every adapter passes, the shipped fakes included.

Two errors cross a port, both for reads and writes that did not take place:
`jobcore.errors.Unavailable` (try again later; nothing may be concluded) and
`jobcore.errors.CorruptRecord` (one stored job cannot be read; the others can).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from jobcore.errors import InvalidSetting, Problem
from jobcore.lifecycle.effects import Tick
from jobcore.lifecycle.model import Job, Json, Placement, Status
from jobcore.lifecycle.records import GroupKey, GroupTally, PoolState, ShareUsage

__all__ = [
    "Added", "Clock", "Due", "Evidence", "JobQuery", "JobStore", "LaunchReply", "LaunchRequest",
    "LaunchResult", "Message", "NextStep", "Notifier", "Page", "Trainer", "Training",
    "TrainingState", "Usage", "Waiting", "order_key", "usage_of", "waiting_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What a trainer said, as it said it.

    Args:
        where: ``"create"`` (the answer to a launch) or ``"describe"`` (a status read later).
        error_code: the service's error code, such as ``"ResourceLimitExceeded"``.
        status: the training's status, such as ``"Failed"``.
        secondary_status: the service's more detailed status, an open set of strings.
        text: the message or failure reason.
    """

    where: str
    error_code: str | None = None
    status: str | None = None
    secondary_status: str | None = None
    text: str = ""


class NextStep(StrEnum):
    """The step that is left to the owner of a job; each entry point words it for its own users."""

    SHOW = "show"  # the job completed: see what it did
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
        subject: one line of printable text. An adapter shortens it where its service wants that.
        body: for people: the status, its reason, attempts and retries; several lines of any text.
            It does not name the next step (`jobcore.messages.WordedNotifier` adds it).
        next_step: the step that is left to the owner.
        attributes: for filters: status, owner, job, and where there is one, group and class.
        data: the facts, for machines: ids, name, group, status, time, attempts, reason, failure
            class, hold code, retries used by class, next step.
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits, as little of it as a plan needs."""

    job_id: str
    priority: int
    share: str
    placements: tuple[Placement, ...]
    submitted_at: datetime
    attempt: int = 1

    @property
    def lane(self) -> tuple[str, int, tuple[Placement, ...]]:
        """What the job asks for; jobs of one lane are interchangeable to the planner."""
        return (self.share, self.priority, self.placements)


@dataclass(frozen=True, slots=True)
class Usage:
    """The slots that active jobs of *share* hold in *pool*, and how many of them run."""

    pool: str
    share: str
    slots: int
    running: int = 0


def order_key(job: Waiting) -> tuple[int, datetime, str]:
    """Sort by this for launch order: priority, then age, then id (to be total)."""
    return (-job.priority, job.submitted_at, job.job_id)


def waiting_of(job: Job) -> Waiting:
    """Reduce a job to what a plan needs of it."""
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
    """What became of one job of a submission."""

    CREATED = "created"
    DUPLICATE = "duplicate"  # the same job was there already: an earlier call, repeated
    CLASH = "clash"  # another spec under this id; nothing was written


@dataclass(frozen=True, slots=True)
class Due:
    """A job that a tick has to look at, as the index says; read the job before acting."""

    job_id: str
    at: datetime
    status: Status
    attempt: int


PAGE_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """
    Which jobs to list; every condition given must hold.

    Args:
        statuses: any of these; empty for all.
        id_prefix: the beginning of the job id.
        name: the exact name.
        cursor: where the page before this one ended.
        limit: the page size, 1 to 1,000.
    """

    statuses: frozenset[Status] = frozenset()
    owner: str | None = None
    group: str | None = None
    name: str | None = None
    id_prefix: str | None = None
    cursor: str | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        """Refuse a page size that a store does not serve."""
        if type(self.limit) is not int or not 1 <= self.limit <= PAGE_MAX:
            wants = f"expected a whole number from 1 to {PAGE_MAX:,}, got {self.limit!r}"
            raise InvalidSetting([Problem("limit", wants)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of jobs, newest first; *cursor* is None on the last one."""

    jobs: tuple[Job, ...]
    cursor: str | None = None


class JobStore(Protocol):
    """
    Where jobs live. Every write is durable when the call returns.

    Reads of one job are consistent: they see every write that returned before.
    `due`, `waiting`, `usage`, `find` and `counts` may lag behind; no job is judged by them alone.
    """

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """
        Register new jobs, each at most once, and say what became of each, in order.

        A job whose id is there already is not touched: ``DUPLICATE`` if the stored
        spec is the same, ``CLASH`` if not.

        Raises:
            ValueError: a job cannot be stored as it is; nothing was written.
            Unavailable: none was created or, where a store has no transaction as large as
                that, some were: the same call, repeated, completes it.
        """
        ...

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """
        Read jobs, consistently. Ids that do not exist are absent from the answer.

        Raises:
            CorruptRecord: one of the records cannot be read.
            Unavailable: nothing was read.
        """
        ...

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """
        Write each job over the version it was read at (compare and set), in order.

        Returns:
            For each job the saved job, its version one higher, or None where
            somebody else has saved it meanwhile (read again and decide again).

        Raises:
            Unavailable: it is not certain which were saved; nothing may be concluded.
        """
        ...

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List up to *limit* jobs whose `jobcore.due_at` for *tick* is at or before *before*, oldest first."""
        ...

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """
        List the first *depth* waiting jobs of every lane, in launch order within a lane.

        A lane is the jobs that ask for the same (share, priority, placements): if its
        head cannot start, none can. Jobs with a not-before time after *now* are left out.
        """
        ...

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """
        Give the earliest time later than *after* at which time alone gives *tick* work.

        For LAUNCH that is the end of a New job's back-off, for MONITOR the deadline of a New or
        Held job. None if there is none, or if a store cannot tell without reading the jobs that
        wait; where a store may say None for the latter, ticks have to be called on a schedule.
        """
        ...

    def usage(self) -> Sequence[Usage]:
        """
        Count the slots of active jobs by (pool, share), `Stopping` included.

        Those of jobs in `InProgress` and `Stopping` count as running.
        """
        ...

    def find(self, query: JobQuery) -> Page:
        """List jobs, newest submission first."""
        ...

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs by status, of one group or owner if given."""
        ...

    # A record that cannot be read is reported by the store (as `find` reports a job) and counts as
    # absent: the others are read, and a save with version 0 replaces it.

    def pools(self) -> Mapping[str, PoolState]:
        """Read the state of each pool of which something has been learned."""
        ...

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at; False if another writer was faster."""
        ...

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of the shares *names*; a share that was never charged is absent."""
        ...

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """
        Write the usage of shares, each over the version it was read at.

        Returns:
            For each, in order, False where another writer was faster.
        """
        ...

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups; a group of which nothing was counted is absent."""
        ...

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """
        Read the tallies whose `GroupTally.pausing` is true. It may lag behind, as indexes do.

        Every launch tick calls it, so it must not read the other tallies.
        """
        ...

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at; False if another writer was faster."""
        ...


class TrainingState(StrEnum):
    """Where a training stands in the trainer."""

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
    What a trainer is asked to start: a pure function of a job and its attempt.

    Args:
        name: the training's name, unique for ever.
        job_id, attempt, spec_hash: recorded with the training, to tell ours from a stranger's.
        run_at_most: the trainer stops the training after this long.
        owner, group, tags: the job's, for a trainer that can mark its trainings with them
            (cost reports, access); they never tell ours from a stranger's.
        to_stop: the name is only to be used up, because a stop was asked for while it was not
            certain whether the training exists. A trainer that can records it as stopped
            without running it; another starts it, and is told to stop it next.
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


class LaunchResult(StrEnum):
    """The four answers to a launch."""

    ACCEPTED = "accepted"  # the training exists, made by this call
    EXISTS = "exists"  # a training of this name exists already: look whose it is
    REFUSED = "refused"  # definitely not created; the evidence says why
    UNCLEAR = "unclear"  # timeout, reset, 5xx: it may exist, now or later


@dataclass(frozen=True, slots=True)
class LaunchReply:
    """The answer to a launch; *evidence* goes with REFUSED and UNCLEAR."""

    result: LaunchResult
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """
    A training as the trainer describes it.

    Args:
        job_id, attempt, spec_hash: what was recorded at launch; None on a stranger's.
        detail: the trainer's own word for the phase, for display only.
        evidence: for FAILED and STOPPED, what the classifier reads.
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


class Trainer(Protocol):
    """
    The service that runs trainings: in a cloud, as local processes, or in memory for tests.

    No call ever raises for the state of a training; `Unavailable` means that
    nothing was learned. A name, once used, is never free again.
    """

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """
        Start trainings under their names, or say why not: one answer for each, in order.

        Never starts a second training of a name. The requests are independent, and an adapter
        may have several under way at once. What is wrong with one of them is its own answer;
        if the call raises, nothing is known of any.
        """
        ...

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """
        Read trainings by name. None: the trainer says there is none of that name.

        A name that could not be read (throttled, say) is absent from the answer.

        Raises:
            Unavailable: nothing could be read.
        """
        ...

    def stop(self, name: str) -> None:
        """
        Ask a training to stop; idempotent, and no error if it is over or unknown.

        The training gets SIGTERM and, after a grace time, SIGKILL. It is stopped
        only when `describe` says so.

        Raises:
            Unavailable: the request did not arrive, or perhaps not.
        """
        ...

    def capacity(self) -> Mapping[str, int | None]:
        """
        Name the pools and their size in slots; None where the size is not known.

        Raises:
            Unavailable: it cannot be told now.
        """
        ...

    def running(self) -> Iterable[Training]:
        """
        Walk the trainings of ours that are not over; only the reaper asks this.

        Raises:
            Unavailable: the list could not be read to its end.
        """
        ...


class Notifier(Protocol):
    """Tells people. At least once: a consumer drops repetitions by the message's event id."""

    def publish(self, message: Message) -> None:
        """
        Hand a message over; it is delivered, or safe with somebody who will deliver it, on return.

        Raises:
            Unavailable: it is not certain that the message was taken; it will be sent again.
        """
        ...


class Clock(Protocol):
    """The time, as an aware UTC datetime."""

    def now(self) -> datetime:
        """Tell the time."""
        ...
