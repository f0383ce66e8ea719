"""
Learning: the update of a pool's state from launch results and observations.

`jobcore.scheduling.pools` describes the model: level, bets, canaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from jobcore.lifecycle.failure import Failure, FailureClass, Quota
from jobcore.lifecycle.names import hash_fraction
from jobcore.lifecycle.records import PoolState

from .limits import Limits
from .pools import BET_FIRST, LATE

__all__ = [
    "FactKind",
    "PoolFact",
    "learn_pool",
]


class FactKind(StrEnum):
    """The kinds of facts about a pool that launches and observations give."""

    ACCEPTED = "accepted"  # the trainer accepted the launch
    STARTED = "started"  # the training has its instances and runs
    PENDING = "pending"  # the training was described, and does not run yet
    ENDED = "ended"  # the training is over, and its instances are free
    REFUSED = "refused"  # the launch was refused, for capacity, quota or rate
    LOST = "lost"  # the training failed for lack of capacity, or was interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFact:
    """
    A fact about a pool, from the launch or the observation of one training.

    Args:
        count: the slots of the training.
        launched_at: when the launch began; refusals of launches begun before the last refusal
            belong to the same shortage and do not count again.
        bet: for ACCEPTED, whether the launch was speculative.
        over: for STARTED, whether it has ended as well: it ran between two observations.
        failure: for REFUSED and LOST.
        quota: the limit that the failure states, if it states one.
    """

    job_id: str
    attempt: int
    count: int
    launched_at: datetime
    kind: FactKind
    bet: bool = False
    over: bool = False
    failure: Failure | None = None
    quota: Quota | None = None


#: `LATE` plus one monitor interval (60 s), so that the monitor has seen every late launch.
_CERTAIN = LATE + timedelta(minutes=1)
#: After each refused round the trust in the level before the shortage is multiplied by this.
_FADE = 0.7
#: A bet that starts adds this many times itself to the next bets.
_GROWTH_FACTOR = 2
#: Bets may always be this large; beyond it, up to the number of running slots.
_BET_MAX_AT_LEAST = 16
#: The shortest time from one round of bets to the next, in back-offs.
_ROUND = 4
#: A shortage begins when the level falls below this part of itself.
_SHRUNK_BELOW = 0.9


def learn_pool(
    state: PoolState,
    facts: Sequence[PoolFact],
    *,
    in_flight: int,
    running: int,
    now: datetime,
    limits: Limits,
) -> PoolState:
    """
    Learn about one pool from the facts of one tick.

    Args:
        in_flight, running: slots that active jobs hold after the tick, and those that run.

    Returns:
        The new state, which is *state* itself if nothing was learned.
    """
    learning = _Learning(state, in_flight, running, now)
    learning.count_accepted(facts)
    learning.raise_level(facts)
    learning.count_refused(facts, limits)
    return learning.result()


def _was_running(fact: PoolFact) -> bool:
    return fact.failure is not None and fact.failure.failure_class is FailureClass.SPOT_INTERRUPTED


class _Learning:
    """The new values of a pool's state while the facts of one tick are applied."""

    def __init__(self, state: PoolState, in_flight: int, running: int, now: datetime) -> None:
        self.state = state
        self.in_flight = in_flight
        self.running = running
        self.now = now
        self.new: dict[str, Any] = {}
        self.level = state.level
        self.bets = state.bets
        self.overdue = state.overdue
        self.waiting = max(0, in_flight - running)
        self.fade = float(state.fade)  # a store may return a whole number as an int
        self.refusals = state.refusals

    def count_accepted(self, facts: Sequence[PoolFact]) -> None:
        accepted = [f for f in facts if f.kind is FactKind.ACCEPTED]
        limit = self.state.limit
        if accepted and limit is not None and self.in_flight > limit:
            self.new |= {"limit": None, "limit_at": None, "external": 0}  # the quota was raised
        held = self.in_flight - min(self.overdue, self.waiting)
        if accepted and held > self.state.peak:
            self.new |= {"peak": held, "peak_at": self.now}
        made = sum(f.count for f in accepted if f.bet)
        if made:
            self.bets += made
            self.new |= {"bet_at": self.now, "rounds": self.state.rounds + 1}

    def raise_level(self, facts: Sequence[PoolFact]) -> None:
        """Raise the level to the slots seen to run; a start of a launch after the refusal ends the shortage."""
        started = [f for f in facts if f.kind is FactKind.STARTED]
        over = sum(f.count for f in started if f.over)
        late = [f for f in started if self._is_late(f)]
        self.overdue -= min(self.overdue, sum(f.count for f in late))
        risen = max(0, max(self.running + over, self._proven_peak()) - self.level)
        self.level += risen
        self.bets -= min(self.bets, risen)
        held = started or any(f.kind is FactKind.ENDED for f in facts)
        if risen or (held and self.level):
            self.new["level_at"] = self.now
        if not self.state.queue_granted and any(not f.over for f in late):
            self.new["queue_granted"] = True
        if not late and not any(self._is_news(f) for f in started):
            return
        self.refusals = 0
        self.new |= {"shrunk": False, "closed_until": None, "refusal": ""}
        if risen:
            growth = BET_FIRST if self.state.growth is None else self.state.growth
            bets_max = max(_BET_MAX_AT_LEAST, self.level)
            self.new["growth"] = min(growth + _GROWTH_FACTOR * risen, bets_max)
        if self.state.before:
            self.fade = 1.0

    def _proven_peak(self) -> int:
        """Return the slots that had instances at once, since no launch among them was late; 0 if unknown."""
        at, refused_at = self.state.peak_at, self.state.refused_at
        if at is None or self.now - at <= _CERTAIN or (refused_at is not None and refused_at > at):
            return 0
        return self.state.peak

    def count_refused(self, facts: Sequence[PoolFact], limits: Limits) -> None:
        """Reduce level and bets after refusals, losses and late launches; remember a quota."""
        bad = [f for f in facts if f.kind in (FactKind.REFUSED, FactKind.LOST)]
        for fact in bad:
            self._note_quota(fact)
        short = [f for f in bad if self._is_shortage(f)]
        lost = [f for f in short if f.kind is FactKind.LOST]
        never_ran = sum(f.count for f in lost if not _was_running(f))
        bets_before = self.bets
        self.overdue -= min(self.overdue, never_ran)
        self.bets -= min(self.bets, never_ran)
        late = [f for f in facts if f.kind is FactKind.PENDING and self._is_late(f)]
        overdue = max(self.overdue, sum(f.count for f in late))
        self.overdue = min(overdue, self.waiting)
        if late and (peak := self.new.get("peak", self.state.peak)):
            self.new["peak"] = min(peak, self.in_flight - self.overdue)
        if any(self._is_news(f) for f in (*late, *short)):
            # If only speculative launches failed, launches in flight keep their instances.
            # Otherwise assume only running ones do.
            only_bets = sum(f.count for f in lost) + self.overdue <= bets_before
            self._lower_level(self.in_flight - self.overdue if only_bets else self.running)
        if short and self._is_round():
            self._back_off(short[-1], limits)

    def _is_late(self, fact: PoolFact) -> bool:
        return self.now - fact.launched_at > LATE

    def _is_news(self, fact: PoolFact) -> bool:
        refused_at = self.state.refused_at
        return refused_at is None or fact.launched_at > refused_at

    def _is_shortage(self, fact: PoolFact) -> bool:
        failure = fact.failure
        if failure is None:
            return False
        if failure.failure_class is FailureClass.QUOTA:
            return fact.quota is None
        return failure.failure_class in (FailureClass.CAPACITY, FailureClass.SPOT_INTERRUPTED)

    def _note_quota(self, fact: PoolFact) -> None:
        if fact.quota is None or fact.failure is None:
            return
        self.new |= {
            "limit": fact.quota.limit,
            "external": max(0, fact.quota.used - self.in_flight),
            "limit_at": self.now,
            "refusal": fact.failure.headline,
        }

    def _lower_level(self, held: int) -> None:
        """Lower the level to the slots *held*, and remember the level before the shortage."""
        if not self.new.get("shrunk", self.state.shrunk):
            if held < _SHRUNK_BELOW * self.level:
                self.fade = 1.0
                self.new |= {"shrunk": True, "before": self.level}
            elif self.running:
                self.new["before"] = self.running
        self.level = min(self.level, held)
        self.bets = max(0, self.in_flight - self.level)
        self.new |= {"growth": 0, "refused_at": self.now, "peak": 0, "peak_at": None}

    def _is_round(self) -> bool:
        """Check whether the pool was open, so that these refusals answer a new round of bets."""
        return self.state.closed_until is None or self.now >= self.state.closed_until

    def _back_off(self, fact: PoolFact, limits: Limits) -> None:
        state = self.state
        gap = limits.pool_backoff * (0.5 + hash_fraction(state.name, state.version, "gap"))
        # It doubles with each refused round. 20: a timedelta would overflow beyond.
        between = limits.pool_backoff * (_ROUND << min(self.refusals, 20))
        between = min(between, limits.pool_backoff_max)
        between *= 0.8 + 0.4 * hash_fraction(state.name, state.version)
        closed = self.now + gap
        if state.bet_at is not None:
            closed = max(closed, state.bet_at + between)
        assert fact.failure is not None  # `_is_shortage` is false without one
        self.fade *= _FADE
        self.refusals += 1
        self.new |= {
            "closed_until": closed,
            "growth": 0,
            "refusal": fact.failure.headline,
        }

    def result(self) -> PoolState:
        """Return the new state, or the old one if no value changed."""
        self.new |= {
            "level": self.level,
            "fade": self.fade,
            "overdue": self.overdue,
            "refusals": self.refusals,
            "bets": min(self.bets, self.waiting),
        }
        state = self.state
        if all(getattr(state, name) == value for name, value in self.new.items()):
            return state
        return replace(state, **self.new)
