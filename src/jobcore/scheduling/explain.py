"""
Explanations: the reason for a job's present status, as a code with facts and as a sentence.

`explain` and `plan` use the same `Walk`, so they cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from jobcore.lifecycle.model import Failed, Held, Job, Json, New, Status
from jobcore.ports import Waiting, waiting_of

from .limits import Limits
from .plan import Walk
from .room import Capacity, Choice, Obstacle, Snapshot, WaitCode

__all__ = [
    "Explanation",
    "explain",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    The reason for a job's present status.

    It has the facts only. Each entry point makes the text of the next step from them, because a
    command's users take that step in another way than a page's.

    Args:
        code: the reason.
        facts: by code; counts are slots unless said otherwise:

            - Next: ``pool``, ``count``.
            - Behind: ``ahead``, the jobs that come before it in the launch order, of which
              ``starting`` start at the next tick; ``at_least``, true if more may come before it than
              the snapshot has.
            - BackingOff: ``attempt`` (a number), ``after`` (the headline of the failure, or None).
            - PoolFull, PoolTooSmall: ``pool``, ``size``, ``count``; the former also ``used``.
            - PoolLimit: ``pool``, ``limit``, ``used``, ``count``.
            - ShareLimit: ``share``, ``limit``, ``used``, ``count``.
            - QuotaFull: ``pool``, ``limit``, ``used``, ``external`` (used by others), ``count``.
            - PoolClosed: ``pool``, ``refusal`` (its headline).
            - Probing: ``pool``, ``pending``.
            - PoolUnknown: ``pool``, ``known`` (the names of the pools).
            - Held: ``status``, ``hold`` (a `jobcore.lifecycle.HoldCode`), ``reason``.
            - Launching, Running, Stopping, Over: ``status``, and of a failed job ``class``,
              ``headline`` and ``rule`` (the name of the failure rule).
        until: the time at which time alone changes it, if that is known.
    """

    code: WaitCode
    facts: Mapping[str, Json] = field(default_factory=dict)
    until: datetime | None = None

    @property
    def sentence(self) -> str:
        """The explanation as one sentence, without a full stop."""
        status = self.facts.get("status")
        template = _OF_CODE[self.code] if status is None else _OF_STATUS[Status(str(status))]
        words = {name: _in_words(name, value) for name, value in self.facts.items()}
        return template.format(until=self.until, **words)


_OF_CODE = {
    WaitCode.NEXT: "the next launch tick starts it in pool {pool!r}",
    WaitCode.BEHIND: (
        "{at_least}{ahead} waiting jobs go first; {starting} of them start at the next tick"
    ),
    WaitCode.BACKING_OFF: "attempt {attempt} waits until {until:%H:%M:%S %Z}{after}",
    WaitCode.POOL_FULL: "pool {pool!r} has {size} slots, {used} in use",
    WaitCode.POOL_CLOSED: "pool {pool!r} refused a launch and is tried again later ({refusal})",
    WaitCode.PROBING: (
        "{pending} slots of pool {pool!r} are asked for and not given yet; more follow when they are"
    ),
    WaitCode.POOL_TOO_SMALL: "the job asks for {count} slots of pool {pool!r}, which has {size}",
    WaitCode.POOL_UNKNOWN: "there is no pool {pool!r}; the trainer has: {known}",
    WaitCode.QUOTA_FULL: (
        "the quota of pool {pool!r} is {limit}: {used} used here, {external} by others"
    ),
    WaitCode.POOL_LIMIT: "pool {pool!r} is limited to {limit} slots, {used} in use",
    WaitCode.SHARE_LIMIT: "share {share!r} uses {used} of the {limit} slots that it may use",
}
_OF_STATUS = {
    Status.LAUNCHING: "the trainer is being asked to start it",
    Status.LAUNCHED: "the trainer has it and has not started it yet",
    Status.IN_PROGRESS: "the training runs",
    Status.STOPPING: "a stop was asked for; the training is ending",
    Status.HELD: "held ({hold}): {reason}",
    Status.COMPLETED: "the training completed",
    Status.FAILED: "failed as {class}: {headline}",
    Status.STOPPED: "stopped as requested",
}


def _in_words(name: str, value: Json) -> Json:
    match name:
        case "at_least":
            return "at least " if value else ""
        case "after":
            return f" after: {value}" if value else ""
        case "known" if isinstance(value, list):
            return ", ".join(map(str, value)) or "none"
        case _:
            return value


def explain(job: Job, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Explanation:
    """
    Explain the present status of *job*.

    Agrees with `plan` for the same arguments: a job that this calls ``Next`` is in the plan, and a
    job in the plan is called ``Next``.
    """
    state = job.state
    if not isinstance(state, New):
        return _explain_status(job)
    if state.not_before is not None and now < state.not_before:
        after = state.after.headline if state.after is not None else None
        facts: dict[str, Json] = {"attempt": state.attempt, "after": after}
        return Explanation(code=WaitCode.BACKING_OFF, facts=facts, until=state.not_before)
    me = waiting_of(job)
    others = [w for w in snapshot.waiting if w.job_id != job.job_id]
    return _explain_waiting(me, replace(snapshot, waiting=[*others, me]), limits, now)


def _explain_waiting(me: Waiting, snapshot: Snapshot, limits: Limits, now: datetime) -> Explanation:
    """Follow the plan's `Walk` until its decision about *me*; *snapshot* has *me*."""
    walk = Walk(snapshot, limits, now)
    launched: set[str] = set()
    is_blocked = False
    for decision in walk.decisions():
        if is_blocked and walk.rank(decision.job) > walk.rank(me):
            break
        if isinstance(decision.outcome, Obstacle):
            is_blocked |= decision.job.lane == me.lane  # an obstacle is that of the whole lane
        elif decision.job.job_id != me.job_id:
            launched.add(decision.job.job_id)
        elif len(launched) < limits.launches_max:
            return _next(decision.outcome)
        else:
            break
    # If it would start as the first job, the jobs before it take the slots.
    alone = Capacity(snapshot, limits, now).choose(me)
    if isinstance(alone, Obstacle):
        return Explanation(code=alone.code, facts=alone.facts, until=alone.until)
    ahead = _ahead_of(me, snapshot.waiting, walk, launched)
    facts: dict[str, Json] = {
        "ahead": len(ahead),
        "starting": min(len(launched), limits.launches_max),
        "at_least": _is_cut(ahead, snapshot.depth),
    }
    return Explanation(code=WaitCode.BEHIND, facts=facts)


def _next(choice: Choice) -> Explanation:
    facts: dict[str, Json] = {"pool": choice.placement.pool, "count": choice.placement.count}
    return Explanation(code=WaitCode.NEXT, facts=facts)


def _ahead_of(
    me: Waiting, waiting: Iterable[Waiting], walk: Walk, launched: Collection[str]
) -> list[Waiting]:
    """List the jobs that are launched before *me*, and those that come before it for one of its pools."""
    mine = {placement.pool for placement in me.placements}
    rank = walk.rank(me)
    return [
        job
        for job in waiting
        if job.job_id in launched
        or (not mine.isdisjoint(p.pool for p in job.placements) and walk.rank(job) < rank)
    ]


def _is_cut(ahead: Iterable[Waiting], depth: int | None) -> bool:
    """Check whether a lane may have more jobs ahead than the snapshot has of it."""
    if depth is None:
        return False
    return any(count >= depth for count in Counter(job.lane for job in ahead).values())


def _explain_status(job: Job) -> Explanation:
    state = job.state
    facts: dict[str, Json] = {"status": str(job.status)}
    if isinstance(state, Held):
        facts |= {"hold": str(state.code), "reason": state.reason}
    if isinstance(state, Failed):
        failure = state.failure
        facts |= {
            "class": str(failure.failure_class),
            "headline": failure.headline,
            "rule": failure.rule,
        }
    return Explanation(code=_CODE_OF_STATUS[job.status], facts=facts)


_CODE_OF_STATUS = {
    Status.LAUNCHING: WaitCode.LAUNCHING,
    Status.LAUNCHED: WaitCode.LAUNCHING,
    Status.IN_PROGRESS: WaitCode.RUNNING,
    Status.STOPPING: WaitCode.STOPPING,
    Status.HELD: WaitCode.HELD,
    Status.COMPLETED: WaitCode.OVER,
    Status.FAILED: WaitCode.OVER,
    Status.STOPPED: WaitCode.OVER,
}
