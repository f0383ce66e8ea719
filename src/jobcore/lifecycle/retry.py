"""Retry decisions: whether and when a failed attempt is followed by another.

Each failure class has a budget of its own. Capacity, quota and throttling have no bound on the
number of tries (the wait clock bounds them). They, spot interruptions and stops are not charged to
the budget for errors. Interruptions are bounded only in a row of attempts none of which ran for ten
minutes, because the cause of these may be the script and not the spot market.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from .failure import Failure, FailureClass, Retryable, Scope
from .model import HoldCode, Job, RetryPolicy
from .names import hash_fraction

__all__ = [
    "DEFAULT_BUDGETS", "PROGRESS", "GiveUp", "Hold", "RetryDecision", "TryAgain", "budget",
    "retry",
]  # fmt: skip

#: Retries by failure class where the rules allow one at all; None is no bound.
DEFAULT_BUDGETS: Mapping[FailureClass, int | None] = MappingProxyType(
    {
        FailureClass.CAPACITY: None,
        FailureClass.QUOTA: None,
        FailureClass.THROTTLE: None,
        FailureClass.SPOT_INTERRUPTED: 20,
        # An internal error is not always transient: some requests fail with one each time.
        FailureClass.SERVICE_INTERNAL: 3,
        FailureClass.DATA_ACCESS: 2,
        FailureClass.PERMISSION: 2,  # a change of permissions takes some minutes to propagate
        FailureClass.ALGORITHM: 1,
        FailureClass.OOM: 1,
        FailureClass.UNKNOWN: 1,
        FailureClass.BAD_INPUT: 1,
        FailureClass.TIMEOUT: 0,
        FailureClass.STOPPED_BY_USER: 0,
    }
)
#: An attempt that ran this long made progress, so its interruption is not charged. In a pool that
#: comes and goes each half hour a training of days has hundreds of interruptions.
PROGRESS = timedelta(minutes=10)
_POOL_CLASSES = frozenset({FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.THROTTLE})


@dataclass(frozen=True, slots=True)
class TryAgain:
    """
    Try again, not before *not_before* (None: as soon as a pool has room).

    *used*: the retries of this failure class that are used then, this one included if it is charged.
    """

    not_before: datetime | None
    used: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Only a person can help; the job is held."""

    code: HoldCode
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed."""


#: The result of `retry`.
RetryDecision = TryAgain | Hold | GiveUp


def budget(policy: RetryPolicy, failure_class: FailureClass) -> int | None:
    """Return the number of retries for *failure_class*, if its rule allows one at all; None is no bound."""
    if failure_class in policy.budgets:
        return policy.budgets[failure_class]
    return DEFAULT_BUDGETS[failure_class]


def retry(job: Job, failure: Failure, *, now: datetime) -> RetryDecision:
    """
    Decide what happens to *job* after *failure*.

    A failure that the rules call final is retried only if the job's own policy names its class. A
    quota that the request can never fit is a hold: a person can raise the quota, and the job need not
    be submitted again. A failure of the account's own credentials never fails a job.
    """
    kind = failure.failure_class
    used = job.charges.get(kind, 0)
    final = failure.retryable is Retryable.NO
    if kind is FailureClass.QUOTA and final:
        return Hold(HoldCode.QUOTA, failure.headline)
    if failure.scope is Scope.ACCOUNT and kind not in _POOL_CLASSES:
        # The fault is in the caller's credentials or account: fail or charge no job.
        return TryAgain(now + _delay(job, used), used)
    if final and kind not in job.spec.retry.budgets:
        return GiveUp()
    allowed = budget(job.spec.retry, kind)
    if kind is FailureClass.SPOT_INTERRUPTED and allowed != 0 and _made_progress(job):
        return TryAgain(None, used=1)  # counted from the beginning
    if allowed is not None and used >= allowed:
        return GiveUp()
    if kind in _POOL_CLASSES:
        return TryAgain(None, used + 1)
    doublings = used
    if kind is FailureClass.SPOT_INTERRUPTED:
        if used == 0:
            return TryAgain(None, used + 1)  # one interruption does not make another more likely
        doublings = used - 1
    return TryAgain(now + _delay(job, doublings), used + 1)


def _made_progress(job: Job) -> bool:
    """Check whether the attempt that has ended ran for long enough to have saved a checkpoint."""
    ended = job.attempts[-1] if job.attempts else None
    if ended is None or ended.started_at is None or ended.ended_at is None:
        return False
    return ended.ended_at - ended.started_at >= PROGRESS


def _delay(job: Job, doublings: int) -> timedelta:
    policy = job.spec.retry
    # Any allowed backoff can be doubled 18 times without an overflow of timedelta.
    wait = min(policy.backoff * (1 << min(doublings, 18)), policy.backoff_max)
    # Jitter only shortens, so that backoff_max holds; each wait is still longer than the one before.
    return wait * (0.75 + 0.25 * hash_fraction(job.job_id, job.attempt_number))
