"""Facts that move a job: what users asked, what the trainer said, that time passed.

Every fact about a training names its attempt. That number is the fencing
token: a fact about another attempt than the current one is stale and ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from .failure import Failure
from .model import HoldCode, Placement, Status

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAccepted:
    """The training of *attempt* exists and is ours: just created, or adopted after doubt."""

    attempt: int
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRefused:
    """The training of *attempt* was definitely not created."""

    attempt: int
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTaken:
    """A training that is not ours has the name of *attempt*."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSeen:
    """The training of *attempt* exists and is not over."""

    attempt: int
    running: bool
    detail: str = ""
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEnded:
    """
    The trainer says that the training of *attempt* is over.

    Args:
        outcome: COMPLETED, FAILED or STOPPED.
        failure: the classified reason; required unless COMPLETED.
    """

    attempt: int
    outcome: Status
    failure: Failure | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse an outcome that is not an end, and an end without its reason."""
        if not self.outcome.is_terminal:
            msg = f"outcome: {self.outcome} is not the end of a training"
            raise ValueError(msg)
        if self.outcome is not Status.COMPLETED and self.failure is None:
            msg = f"failure: a training that {self.outcome} needs its reason"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMissing:
    """The trainer says that it has no training of *attempt*'s name."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """Somebody wants the job to end."""

    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequested:
    """
    Somebody wants no further attempt for now.

    Args:
        code: USER, or GROUP where the group breaker asks for it.
        tell: whether the owner is told; of a group that is paused, one job tells.
    """

    by: str
    reason: str = ""
    code: HoldCode = HoldCode.USER
    tell: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequested:
    """Somebody wants the job to go on: out of a hold, or out of a back-off."""

    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """Look at the clocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePublished:
    """The notifier has taken the message *event_id*."""

    event_id: str


#: Everything that can happen to a job.
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
