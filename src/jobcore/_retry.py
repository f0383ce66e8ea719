"""Whether, when and how a failed attempt is tried again.

Each failure class has a budget of its own. Capacity, quota and throttling have
no bound on the number of tries (the wait clock bounds them); they, spot
interruptions and stops never use up the budget for errors. Interruptions are
bounded only in a row of attempts none of which ran for ten minutes: a script
that is killed whenever it starts is no victim of the market.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from ._failures import Failure, FailureClass, Retryable
from ._model import HoldCode, Job, RetryPolicy
from ._names import hash_fraction

__all__ = ["DEFAULT_BUDGETS", "GiveUp", "Hold", "RetryDecision", "TryAgain", "budget", "retry"]

#: Retries by failure class where the rules allow one at all; None is no bound.
DEFAULT_BUDGETS: Mapping[FailureClass, int | None] = MappingProxyType(
    {
        FailureClass.CAPACITY: None,
        FailureClass.QUOTA: None,
        FailureClass.THROTTLE: None,
        FailureClass.SPOT_INTERRUPTED: 20,
        # InternalServerError is not always transient (a too large checkpoint restore repeats for ever).
        FailureClass.SERVICE_INTERNAL: 3,
        FailureClass.DATA_ACCESS: 2,
        FailureClass.PERMISSION: 2,  # IAM takes a while to propagate
        FailureClass.ALGORITHM: 1,
        FailureClass.OOM: 1,
        FailureClass.UNKNOWN: 1,
        FailureClass.BAD_INPUT: 1,
        FailureClass.TIMEOUT: 0,
        FailureClass.STOPPED_BY_USER: 0,
    }
)

#: An interruption after so long a run is the market's doing and not the job's. In a pool that comes and
#: goes each half hour a training of days has hundreds of them; it must not fail for that.
PROGRESS = timedelta(minutes=10)

_POOL_CLASSES = frozenset({FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.THROTTLE})


@dataclass(frozen=True, slots=True)
class TryAgain:
    """
    Try again, not before *not_before* (None: as soon as a pool has room).

    *anew*: the attempt made progress, and the retries of this class are counted anew.
    """

    not_before: datetime | None
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Only a human can help; the job waits for one."""

    code: HoldCode
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed."""


#: The result of `retry`.
RetryDecision = TryAgain | Hold | GiveUp


def budget(policy: RetryPolicy, failure_class: FailureClass) -> int | None:
    """Tell how many retries a job has for *failure_class* where the rules allow one; None is no bound."""
    if failure_class in policy.budgets:
        return policy.budgets[failure_class]
    return DEFAULT_BUDGETS[failure_class]


def retry(job: Job, failure: Failure, *, now: datetime) -> RetryDecision:
    """
    Decide what becomes of *job* after *failure*.

    A failure that the rules call final is retried only if the job's own policy
    names its class. A quota that the request can never fit is a hold: a human
    can raise the quota, and the job need not be submitted again.
    """
    kind = failure.failure_class
    final = failure.retryable is Retryable.NO
    if kind is FailureClass.QUOTA and final:
        return Hold(HoldCode.QUOTA, failure.headline)
    if final and kind not in job.spec.retry.budgets:
        return GiveUp()
    if kind is FailureClass.SPOT_INTERRUPTED and _made_progress(job):
        return TryAgain(None, anew=True)
    used = job.charges.get(kind, 0)
    allowed = budget(job.spec.retry, kind)
    if allowed is not None and used >= allowed:
        return GiveUp()
    if kind in _POOL_CLASSES:
        return TryAgain(None)
    doublings = used
    if kind is FailureClass.SPOT_INTERRUPTED:
        if used == 0:
            return TryAgain(None)  # the first interruption says nothing about the next
        doublings = used - 1
    return TryAgain(now + _delay(job, doublings))


def _made_progress(job: Job) -> bool:
    """Whether the attempt that has ended ran for long enough to have saved a checkpoint."""
    ended = job.attempts[-1] if job.attempts else None
    if ended is None or ended.started_at is None or ended.ended_at is None:
        return False
    return ended.ended_at - ended.started_at >= PROGRESS


def _delay(job: Job, doublings: int) -> timedelta:
    policy = job.spec.retry
    # 18: any backoff that is allowed can be doubled so often and is a timedelta still.
    wait = min(policy.backoff * (1 << min(doublings, 18)), policy.backoff_max)
    # Jitter only shortens, so that backoff_max is what it says; each step is still longer than the last.
    return wait * (0.75 + 0.25 * hash_fraction(job.job_id, job.attempt_number))
