"""What a pool of unknown size has taught, and how far it may be asked now.

Nobody tells how many instances a cloud has left; the only probe is a launch, and its
answer comes minutes later. So a pool remembers a *level* (what has been seen to run),
the level *before* the last shortage, and makes small *bets* above it:

- A launch within the level uses a slot that we held and that became free: it goes out at once.
- A launch above it is a bet. A bet that starts raises the level and trebles the next bet, which is
  never larger than what runs (or sixteen): at worst the last round asks for twice what there is.
- A refusal takes the bets down to a few canaries, which go out in rounds of one to five minutes
  however many jobs wait, and the level to what is in flight and not overdue; where more is missing
  than was bet, to what runs (never below).
- A batch of refusals counts once: launches sent before the last one carry no newer news. If it comes
  over several passes, the level may stay too high until a later launch is refused as well.
- A quota sentence tells limit and use in so many words: no guessing, no back-off.

The shape follows from the hazard of recovery, measured on public spot traces: it falls
slowly with the age of a drought (0.2 in the next ten minutes at first, 0.05 after hours),
so listening at the old level pays at first, and sparse probing for as long as it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from ._enums import quick
from ._failures import Failure, FailureClass, parse_quota
from ._names import hash_fraction

if TYPE_CHECKING:
    from ._limits import Limits

__all__ = [
    "ALL_POOLS",
    "LATE",
    "Allowance",
    "FactKind",
    "PoolFact",
    "PoolState",
    "allowance",
    "pool_step",
    "quota_room",
    "serve",
    "served",
]


@quick
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
    """

    job_id: str
    attempt: int
    count: int
    launched_at: datetime
    kind: FactKind
    bet: bool = False
    over: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """
    What has been learned about a pool. Slots are instances, or local slots.

    Args:
        version: for compare-and-set in the store.
        level: slots seen to run at once since the last shortage.
        level_at: when an end or a start last confirmed the level.
        before: the level before the last shortage; *fade* (1 to 0) is how much it is trusted.
        growth: slots to bet above the level; None before the first answer.
        bets: slots launched as bets and not answered yet.
        bet_at, rounds: when the last bets were made, and how many rounds there were.
        refusals: rounds refused since the last success; the back-off doubles with each.
        refused_at: the last refusal; launches begun before it teach nothing more of it.
        shrunk: whether *before* holds the level from before this shortage.
        overdue: slots launched longer than `LATE` ago that do not run: they have no instances.
        peak, peak_at: most slots in flight, but for those overdue, since the last shortage, and since
            when. If nothing has been refused for a while, they all have had their instances at once;
            what runs is always less by those that start up, and would be a level too low.
        heard: whether a launch that waited has been given instances, so that those which wait
            now will get what becomes free, and a launch of ours into it would be one too many.
        closed_until: no bet before this.
        limit: the quota, as the last refusal stated it; None while unknown.
        external: slots in use by others, from the same sentence.
        limit_at: when that was said. What others use is believed for two minutes only.
        because: the last refusal, for people.
        served, served_at: for the state named `ALL_POOLS` only: slot hours given by share, halved every
            two hours, so that who has had much lately goes last among equals.
        groups: for the state named `ALL_POOLS` only: how jobs of groups have ended (`jobcore.count_ends`).
    """

    TIMES: ClassVar = (
        "level_at", "bet_at", "refused_at", "peak_at", "closed_until", "limit_at", "served_at",
    )  # fmt: skip

    name: str
    version: int = 0
    level: int = 0
    level_at: datetime | None = None
    before: int = 0
    fade: float = 1.0
    growth: int | None = None
    bets: int = 0
    bet_at: datetime | None = None
    rounds: int = 0
    refusals: int = 0
    refused_at: datetime | None = None
    shrunk: bool = False
    overdue: int = 0
    peak: int = 0
    peak_at: datetime | None = None
    heard: bool = False
    closed_until: datetime | None = None
    limit: int | None = None
    external: int = 0
    limit_at: datetime | None = None
    because: str = ""
    served: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    served_at: datetime | None = None


#: The name of the pool state that holds fair-share usage and group tallies.
ALL_POOLS = "*"

# What another customer of the same quota uses changes; a sticky estimate lost 46 % of a pool.
EXTERNAL_BELIEVED = timedelta(minutes=2)
# Limits get raised: after this long without room, one launch may ask again.
LIMIT_BELIEVED = timedelta(minutes=15)
# A level that nothing has confirmed for so long is a memory; up spells last 25-33 min at the median.
_LEVEL_BELIEVED = timedelta(minutes=10)
_MEMORY_HALF_LIFE = timedelta(minutes=30)
#: A launch that does not run after this long counts as refused, to learn from before the error comes.
LATE = timedelta(minutes=5)
# A minute more, so that whoever looks each minute has seen what is late.
_CERTAIN = LATE + timedelta(minutes=1)
# A provider gives up, or gives, within minutes. What is asked for longer may be a job that no
# provider ever answers for, and others must not wait for it.
_UNANSWERED = timedelta(hours=1)
_FADE = 0.7
_TREBLE = 2  # a started bet adds twice itself to the next
_BET_FIRST = 32
_BET_MIN = 16  # a bet may be as large as this, and beyond that as large as what runs
_CANARIES_MAX = 32
_HOUR = timedelta(hours=1)
_SERVED_HALF_LIFE = timedelta(hours=2)
_SERVED_MIN = 0.05
_OVERSIZE_EVERY = 4
_ROUND = 4  # back-offs: the shortest time from one round of bets to the next


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    How far a pool may be asked now; None is without end.

    Args:
        reuse: slots that were ours and are free.
        bets: slots beyond that.
        oversize: a job larger than *bets* may be the bet, so that large jobs do not wait for ever.
        until: when time alone may allow more.
    """

    reuse: int | None
    bets: int | None = 0
    oversize: bool = False
    until: datetime | None = None


_UNBOUNDED = Allowance(None, None)


def allowance(
    state: PoolState | None,
    *,
    size: int | None,
    in_flight: int,
    running: int,
    waiting: int,
    now: datetime,
) -> Allowance:
    """
    Say how many more slots of a pool may be asked for.

    Args:
        size: the pool's size, where the trainer tells it; then nothing is guessed until it refuses.
        in_flight, running: slots of ours, launched and of these running.
        waiting: jobs that would go there.
    """
    if size is not None and (state is None or state.refused_at is None):
        if state is not None and state.closed_until is not None and now < state.closed_until:
            return Allowance(0, 0, until=state.closed_until)
        return _UNBOUNDED
    if state is None:
        state = PoolState(name="")
    level, memory = _level_of(state, in_flight, running, now)
    bets = 0 if state.heard else min(state.bets, max(0, in_flight - running))
    reuse = max(0, level + bets - in_flight)
    if state.closed_until is not None and now < state.closed_until:
        return Allowance(reuse, 0, until=state.closed_until)
    growth = _BET_FIRST if state.growth is None else max(state.growth, _canaries(waiting))
    target = max(level, math.ceil(memory)) + growth
    more = max(0, target - max(level + bets, in_flight))
    unanswered = in_flight > running and _is_unanswered(state, now)
    if more == 0 and unanswered:
        more = _canaries(waiting)
    # Or large jobs would wait for bets that only small ones can make.
    turn = state.rounds % _OVERSIZE_EVERY == 0 or in_flight <= running or unanswered
    return Allowance(reuse, more, oversize=more > 0 and turn)


def _is_unanswered(state: PoolState, now: datetime) -> bool:
    """Say whether what is asked for has had no answer for so long that it stands in nobody's way."""
    times = [at for at in (state.bet_at, state.refused_at, state.level_at) if at is not None]
    return bool(times) and now - max(times) > _UNANSWERED


def _level_of(state: PoolState, in_flight: int, running: int, now: datetime) -> tuple[int, float]:
    """Give the level that may be reused at once, and the one that is worth listening at."""
    memory = state.fade * state.before
    level = max(state.level, running)
    if level > in_flight and state.level_at is not None:
        age = now - state.level_at - _LEVEL_BELIEVED
        if age > timedelta(0):
            return in_flight, max(memory, level * 0.5 ** (age / _MEMORY_HALF_LIFE))
    return level, memory


def _canaries(waiting: int) -> int:
    """How many launches probe for *waiting* jobs: the best rate grows with the root of the gain."""
    return min(max(round(math.sqrt(waiting) / 8), 1), _CANARIES_MAX)


def served(state: PoolState | None, now: datetime) -> dict[str, float]:
    """Say how many slot hours each share was given lately, older ones counting less."""
    if state is None or state.served_at is None:
        return {}
    fade = 0.5 ** (max(timedelta(0), now - state.served_at) / _SERVED_HALF_LIFE)
    return {share: hours * fade for share, hours in state.served.items()}


def serve(
    state: PoolState, launched: Mapping[str, int], running: Mapping[str, int], now: datetime
) -> PoolState:
    """
    Add what each share was given: an hour for each slot launched, and the time of what runs.

    Args:
        launched, running: slots by share; those that run are taken to have run since the last time.
    """
    hours = served(state, now)
    since = state.served_at or now
    ran = min(max(timedelta(0), now - since), _SERVED_HALF_LIFE) / _HOUR
    for share in {**launched, **running}:
        more = launched.get(share, 0) + running.get(share, 0) * ran
        hours[share] = hours.get(share, 0.0) + more
    kept = {share: round(had, 3) for share, had in hours.items() if had >= _SERVED_MIN}
    return replace(state, served=kept, served_at=now)


def quota_room(state: PoolState | None, used: int, now: datetime) -> int | None:
    """
    Say how many more slots the quota allows, as far as is known; None: no bound is known.

    A limit may have been raised: after `LIMIT_BELIEVED` one launch beyond it may ask again.
    """
    if state is None or state.limit is None or state.limit_at is None:
        return None
    age = now - state.limit_at
    external = state.external if age < EXTERNAL_BELIEVED else 0
    return max(0, state.limit - external - used)


def pool_step(
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
            trebled = (_BET_FIRST if growth is None else growth) + _TREBLE * risen
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
            return parse_quota(failure.text) is None
        return failure.failure_class in (FailureClass.CAPACITY, FailureClass.SPOT_INTERRUPTED)

    def _quota(self, fact: PoolFact) -> None:
        failure = fact.failure
        if failure is None or failure.failure_class is not FailureClass.QUOTA:
            return
        quota = parse_quota(failure.text)
        if quota is not None:
            self.new |= {
                "limit": quota.limit,
                "external": max(0, quota.used - self.in_flight),
                "limit_at": self.now,
                "because": failure.headline,
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
