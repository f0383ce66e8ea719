"""
Why a job is not running, as a code with facts.

`explain` makes the plan and uses its capacity checks, so that it cannot disagree with `plan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobcore.lifecycle.model import Failed, Held, Job, New, Status
from jobcore.ports import Waiting, order_key, waiting_of

from .limits import Limits
from .plan import Plan, plan
from .room import Capacity, Obstacle, Snapshot, WaitCode

__all__ = [
    "Explanation",
    "explain",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job is where it is: a code, a sentence, and what would help."""

    code: WaitCode
    sentence: str
    help: str = ""
    until: datetime | None = None


def explain(job: Job, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Explanation:
    """
    Say why *job* is where it is, and what would help.

    Agrees with `plan` for the same arguments: a job that this calls ``Next`` is
    in the plan, and a job in the plan is called ``Next``.
    """
    state = job.state
    if not isinstance(state, New):
        return _explain_status(job)
    if state.not_before is not None and now < state.not_before:
        why = f" after: {state.after.headline}" if state.after else ""
        return Explanation(
            code=WaitCode.BACKING_OFF,
            sentence=f"attempt {state.attempt} waits until {state.not_before:%H:%M:%S %Z}{why}",
            help="wait, or release the job to try at once",
            until=state.not_before,
        )
    me = waiting_of(job)
    others = [w for w in snapshot.waiting if w.job_id != job.job_id]
    decided = plan(
        Snapshot(
            waiting=[*others, me],
            usage=snapshot.usage,
            capacity=snapshot.capacity,
            pools=snapshot.pools,
            shares=snapshot.shares,
        ),
        limits,
        now=now,
    )
    for launch in decided.launches:
        if launch.job_id == job.job_id:
            return Explanation(
                code=WaitCode.NEXT,
                sentence=f"the next launch tick starts it in pool {launch.placement.pool!r}",
                help="see that the manager runs: jobcore run",
            )
    return _explain_waiting(me, snapshot, limits, decided, now)


def _explain_waiting(
    me: Waiting, snapshot: Snapshot, limits: Limits, decided: Plan, now: datetime
) -> Explanation:
    obstacle = Capacity(snapshot, limits, now).choose(me)
    if isinstance(obstacle, Obstacle):
        return Explanation(
            code=obstacle.code,
            sentence=obstacle.sentence,
            help=obstacle.help,
            until=obstacle.until,
        )
    ahead = sum(1 for w in snapshot.waiting if order_key(w) < order_key(me))
    return Explanation(
        code=WaitCode.BEHIND,
        sentence=(
            f"{ahead} waiting jobs go first; {len(decided.launches)} of them start at the next tick"
        ),
        help="wait, or submit with a higher priority",
    )


def _explain_status(job: Job) -> Explanation:
    state = job.state
    if isinstance(state, Held):
        return Explanation(
            code=WaitCode.HELD,
            sentence=f"held ({state.code}): {state.reason}",
            help="release it when the cause is gone",
        )
    if isinstance(state, Failed):
        failure = state.failure
        return Explanation(
            code=WaitCode.OVER,
            sentence=f"failed as {failure.failure_class}: {failure.headline}",
            help="read the logs, mend the cause, then retry",
        )
    sentences = {
        Status.LAUNCHING: (WaitCode.LAUNCHING, "the trainer is being asked to start it"),
        Status.LAUNCHED: (WaitCode.LAUNCHING, "the trainer has it and has not started it yet"),
        Status.IN_PROGRESS: (WaitCode.RUNNING, "the training runs"),
        Status.STOPPING: (WaitCode.STOPPING, "a stop was asked for; the training is ending"),
        Status.COMPLETED: (WaitCode.OVER, "the training completed"),
        Status.STOPPED: (WaitCode.OVER, "stopped because somebody asked for it"),
    }
    code, sentence = sentences[job.status]
    return Explanation(code=code, sentence=sentence)
