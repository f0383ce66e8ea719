"""How a pool's state follows from launch results and observations (`jobcore.scheduling.pools` has the model)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """What a training taught about its pool."""

    ACCEPTED = "accepted"  # the trainer took the launch
    STARTED = "started"  # it has got its instances and runs
    PENDING = "pending"  # it was looked at, and does not run yet
    ENDED = "ended"  # it is over, and its instances are free
    REFUSED = "refused"  # the launch was refused, for capacity, quota or rate
    LOST = "lost"  # given up for want of capacity, or interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFact:
    """
    One thing that a training taught about its pool.

    Args:
        count: its slots.
        launched_at: when its launch was begun; older news than the last refusal is no news.
        bet: for ACCEPTED, whether the launch went beyond the level.
        over: for STARTED, whether it is over as well: it ran between two looks.
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


# A minute more, so that whoever looks each minute has seen what is late.
_CERTAIN = LATE + timedelta(minutes=1)
_FADE = 0.7
_TREBLE = 2  # a started bet adds twice itself to the next
_BET_MIN = 16  # a bet may be as large as this, and beyond that as large as what runs
_ROUND = 4  # back-offs: the shortest time from one round of bets to the next


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
    Learn from what trainings of one pool have shown in one pass.

    Args:
        in_flight, running: slots that our active jobs hold after the pass, and those that run.

    Returns:
        The new state, which is *state* itself if nothing was learned.
    """
    learned = _Learning(state, in_flight, running, now)
    learned.accept(facts)
    learned.rise(facts)
    learned.refuse(facts, limits)
    return learned.result()


def _was_running(fact: PoolFact) -> bool:
    return fact.failure is not None and fact.failure.failure_class is FailureClass.SPOT_INTERRUPTED


class _Learning:
    """One pool while it learns from one pass."""

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
        self.fade = float(state.fade)  # a store may give a whole number back as an int
        self.refusals = state.refusals

    def accept(self, facts: Sequence[PoolFact]) -> None:
        accepted = [f for f in facts if f.kind is FactKind.ACCEPTED]
        limit = self.state.limit
        if accepted and limit is not None and self.in_flight > limit:
            self.new |= {"limit": None, "limit_at": None, "external": 0}  # it was raised
        held = self.in_flight - min(self.overdue, self.waiting)
        if accepted and held > self.state.peak:
            self.new |= {"peak": held, "peak_at": self.now}
        made = sum(f.count for f in accepted if f.bet)
        if made:
            self.bets += made
            self.new |= {"bet_at": self.now, "rounds": self.state.rounds + 1}

    def rise(self, facts: Sequence[PoolFact]) -> None:
        """A start certifies the level; one that is news ends the shortage."""
        started = [f for f in facts if f.kind is FactKind.STARTED]
        over = sum(f.count for f in started if f.over)
        late = [f for f in started if self._is_late(f)]
        self.overdue -= min(self.overdue, sum(f.count for f in late))
        risen = max(0, max(self.running + over, self._proved()) - self.level)
        self.level += risen
        self.bets -= min(self.bets, risen)
        held = started or any(f.kind is FactKind.ENDED for f in facts)
        if risen or (held and self.level):
            self.new["level_at"] = self.now
        if not self.state.heard and any(not f.over for f in late):
            self.new["heard"] = True
        if not late and not any(self._is_news(f) for f in started):
            return
        self.refusals = 0
        self.new |= {"shrunk": False, "closed_until": None, "because": ""}
        if risen:
            growth = self.state.growth
            trebled = (BET_FIRST if growth is None else growth) + _TREBLE * risen
            self.new["growth"] = min(trebled, max(_BET_MIN, self.level))
        if self.state.before:
            self.fade = 1.0

    def _proved(self) -> int:
        """Give the slots that have all had their instances at once, as time has shown; 0: none."""
        at, refused_at = self.state.peak_at, self.state.refused_at
        if at is None or self.now - at <= _CERTAIN or (refused_at is not None and refused_at > at):
            return 0
        return self.state.peak

    def refuse(self, facts: Sequence[PoolFact], limits: Limits) -> None:
        bad = [f for f in facts if f.kind in (FactKind.REFUSED, FactKind.LOST)]
        for fact in bad:
            self._quota(fact)
        short = [f for f in bad if self._is_shortage(f)]
        lost = [f for f in short if f.kind is FactKind.LOST]
        gone = sum(f.count for f in lost if not _was_running(f))
        out = self.bets
        self.overdue -= min(self.overdue, gone)
        self.bets -= min(self.bets, gone)
        late = [f for f in facts if f.kind is FactKind.PENDING and self._is_late(f)]
        waits = max(self.overdue, sum(f.count for f in late))
        self.overdue = min(waits, self.waiting)
        if late and (peak := self.new.get("peak", self.state.peak)):
            self.new["peak"] = min(peak, self.in_flight - self.overdue)
        if any(self._is_news(f) for f in (*late, *short)):
            # Where only bets are missing, what starts up still has its instances; else nothing is sure.
            all_bets = sum(f.count for f in lost) + self.overdue <= out
            self._shrink(self.in_flight - self.overdue if all_bets else self.running)
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

    def _quota(self, fact: PoolFact) -> None:
        if fact.quota is None or fact.failure is None:
            return
        self.new |= {
            "limit": fact.quota.limit,
            "external": max(0, fact.quota.used - self.in_flight),
            "limit_at": self.now,
            "because": fact.failure.headline,
        }

    def _shrink(self, held: int) -> None:
        """Give up what is not *held*; remember how much it was."""
        if not (self.new.get("shrunk", self.state.shrunk)):
            if held < 0.9 * self.level:
                self.fade = 1.0
                self.new |= {"shrunk": True, "before": self.level}
            elif self.running:
                self.new["before"] = self.running
        self.level = min(self.level, held)
        self.bets = max(0, self.in_flight - self.level)
        self.new |= {"growth": 0, "refused_at": self.now, "peak": 0, "peak_at": None}

    def _is_round(self) -> bool:
        """True once for each round of bets (and where there was none yet)."""
        return self.state.closed_until is None or self.now >= self.state.closed_until

    def _back_off(self, fact: PoolFact, limits: Limits) -> None:
        state = self.state
        gap = limits.pool_backoff * (0.5 + hash_fraction(state.name, state.version, "gap"))
        between = limits.pool_backoff * (_ROUND << min(self.refusals, 20))
        between = min(between, limits.pool_backoff_max)
        between *= 0.8 + 0.4 * hash_fraction(state.name, state.version)
        closed = self.now + gap
        if state.bet_at is not None:
            closed = max(closed, state.bet_at + between)
        assert fact.failure is not None
        self.fade *= _FADE
        self.refusals += 1
        self.new |= {
            "closed_until": closed,
            "growth": 0,
            "because": fact.failure.headline,
        }

    def result(self) -> PoolState:
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
        values = {name: getattr(state, name) for name in PoolState.__slots__} | self.new
        return PoolState(**values)
