"""Classified failures: the kinds that are treated differently, their scope, and whether a retry may help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "REASON_CHARS_MAX",
    "Failure",
    "FailureClass",
    "Quota",
    "Retryable",
    "Scope",
]

#: Characters of a failure's text that are kept.
REASON_CHARS_MAX = 1024


class FailureClass(StrEnum):
    """The kinds of failure that are treated differently."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    THROTTLE = "throttle"
    SERVICE_INTERNAL = "service_internal"
    SPOT_INTERRUPTED = "spot_interrupted"
    STOPPED_BY_USER = "stopped_by_user"
    TIMEOUT = "timeout"
    OOM = "oom"
    ALGORITHM = "algorithm"
    BAD_INPUT = "bad_input"
    PERMISSION = "permission"
    DATA_ACCESS = "data_access"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """The scope of a failure: one job, a pool, or the whole account."""

    JOB = "job"
    POOL = "pool"
    ACCOUNT = "account"


class Retryable(StrEnum):
    """Whether an identical request may succeed later without a person's help."""

    YES = "yes"
    NO = "no"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A classified failure: its class, its scope, whether a retry helps, and the rule and text."""

    failure_class: FailureClass
    scope: Scope
    retryable: Retryable
    rule: str
    text: str

    @property
    def headline(self) -> str:
        """The failure in one line of at most 200 characters."""
        line = " ".join(self.text.split())
        return line if len(line) <= 200 else line[:199] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """
    A service quota as an error sentence states it, in instances.

    Utilisation above the limit occurs, so nothing may assume *used* <= *limit*.
    """

    name: str
    limit: int
    used: int
    requested: int

    @property
    def can_ever_fit(self) -> bool:
        """False if the request is larger than the whole quota: only a person can raise it."""
        return self.requested <= self.limit
