"""Facts that move a job: requests of people, reports of the trainer, the passing of time.

Every fact about a training names its attempt. That number is the fencing
token: a fact about another attempt than the current one is stale and ignored.

An event refuses fields of another kind on construction, with a ValueError that names the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from jobcore import checks
from jobcore.metrics import Metric, wrong_metrics

from .failure import Failure
from .model import HoldCode, Placement, Status
from .names import ATTEMPTS_MAX

__all__ = [
    "EVENT_TYPES", "Event", "HoldRequested", "LaunchAccepted", "LaunchDecided", "LaunchRefused",
    "MessagePublished", "NameTaken", "ReleaseRequested", "StopRequested", "TimePassed",
    "TrainingEnded", "TrainingMissing", "TrainingSeen",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchDecided:
    """A plan chose the job: *attempt* is to be launched at *placement*."""

    attempt: int
    placement: Placement

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        checks.refuse(
            attempt=wrong_attempt(self.attempt),
            placement=checks.wrong_kind(self.placement, Placement, "a Placement"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAccepted:
    """The training of *attempt* exists: just created, or adopted after the ownership check."""

    attempt: int
    placement: Placement

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        checks.refuse(
            attempt=wrong_attempt(self.attempt),
            placement=checks.wrong_kind(self.placement, Placement, "a Placement"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRefused:
    """The training of *attempt* was definitely not created."""

    attempt: int
    failure: Failure

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        checks.refuse(
            attempt=wrong_attempt(self.attempt),
            failure=checks.wrong_kind(self.failure, Failure, "a Failure"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTaken:
    """A stranger's training has the name of *attempt*."""

    attempt: int
    reason: str

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        checks.refuse(attempt=wrong_attempt(self.attempt), reason=checks.wrong_string(self.reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSeen:
    """The training of *attempt* exists and is not over."""

    attempt: int
    running: bool
    detail: str = ""
    started_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse fields of another kind, and a time that is not in UTC."""
        checks.refuse(
            attempt=wrong_attempt(self.attempt),
            running=checks.wrong_flag(self.running),
            detail=checks.wrong_string(self.detail),
            started_at=checks.if_given(checks.wrong_time, self.started_at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEnded:
    """
    The training of *attempt* is over, as the trainer described it.

    Args:
        outcome: COMPLETED, FAILED or STOPPED.
        failure: the classified reason; required unless COMPLETED.
        metrics: at most 100.
    """

    attempt: int
    outcome: Status
    failure: Failure | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    metrics: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an outcome that is not an end, an end without its reason, and times that are not in UTC."""
        checks.refuse(
            attempt=wrong_attempt(self.attempt),
            outcome=checks.wrong_kind(self.outcome, Status, "a status"),
            failure=checks.if_given(checks.wrong_kind, self.failure, Failure, "a Failure"),
            started_at=checks.if_given(checks.wrong_time, self.started_at),
            ended_at=checks.if_given(checks.wrong_time, self.ended_at),
            metrics=wrong_metrics(self.metrics),
        )
        if not self.outcome.is_terminal:
            msg = f"outcome: {self.outcome} is not the end of a training"
            raise ValueError(msg)
        if self.outcome is not Status.COMPLETED and self.failure is None:
            msg = f"failure: a training that {self.outcome} needs its reason"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMissing:
    """The trainer has no training under the name of *attempt*."""

    attempt: int

    def __post_init__(self) -> None:
        """Refuse a number that no attempt can have."""
        checks.refuse(attempt=wrong_attempt(self.attempt))


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """The person *by* requests that the job ends."""

    by: str

    def __post_init__(self) -> None:
        """Refuse a name of another kind."""
        checks.refuse(by=checks.wrong_string(self.by))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequested:
    """
    The person *by*, or the group breaker, requests that no further attempt begins for now.

    Args:
        code: USER, or GROUP if it is the group breaker.
        notify: whether the owner gets a message; in a paused group one job sends it.
    """

    by: str
    reason: str = ""
    code: HoldCode = HoldCode.USER
    notify: bool = False

    def __post_init__(self) -> None:
        """Refuse fields of another kind."""
        checks.refuse(
            by=checks.wrong_string(self.by),
            reason=checks.wrong_string(self.reason),
            code=checks.wrong_kind(self.code, HoldCode, "a HoldCode"),
            notify=checks.wrong_flag(self.notify),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequested:
    """The person *by* requests the end of a hold or a back-off."""

    by: str

    def __post_init__(self) -> None:
        """Refuse a name of another kind."""
        checks.refuse(by=checks.wrong_string(self.by))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """A tick compares the job's clocks with the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePublished:
    """The notifier has accepted the message *event_id*."""

    event_id: str

    def __post_init__(self) -> None:
        """Refuse an id of another kind."""
        checks.refuse(event_id=checks.wrong_string(self.event_id))


#: All events of a job.
Event = (
    LaunchDecided
    | LaunchAccepted
    | LaunchRefused
    | NameTaken
    | TrainingSeen
    | TrainingEnded
    | TrainingMissing
    | StopRequested
    | HoldRequested
    | ReleaseRequested
    | TimePassed
    | MessagePublished
)
#: The types of `Event`: the columns of the transition table.
EVENT_TYPES: tuple[type[Event], ...] = get_args(Event)


def wrong_attempt(value: object) -> str | None:
    """Check the number of an attempt: one that can be part of a training's name."""
    return checks.wrong_whole(value, 1, ATTEMPTS_MAX)
