"""Peer policies: how other systems launch into a shortage, as schedulers of the same ticks.

Each keeps its state in memory, as the originals do. All read the quota, and none the capacity.
Each has a token bucket of its own, so that the API never throttles it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from jobcore import Limits, Placement, Snapshot
from jobcore.lifecycle import PoolState, hash_fraction
from jobcore.ports import Waiting
from jobcore.scheduling import DEFAULT_SCHEDULER, FactKind, Launch, Plan, PoolFact, Scheduler

from ._scenario import Scenario

__all__ = ["BY_HAND", "POLICIES", "TITLES", "Policy", "known", "policy"]

_BAD = (FactKind.LOST, FactKind.REFUSED)


#: The launch order: all jobs of a scenario have one priority, and no two the same time.
_BY_AGE = attrgetter("submitted_at")


class _Peer:
    """The common part: jobs in order, until the quota or the token bucket is used up."""

    #: Whether the policy needs every waiting job; else it gets the heads of the lanes.
    whole_queue = False

    def __init__(self, scenario: Scenario, seed: str) -> None:
        self.seed = seed
        self.rate, self.burst = scenario.provider.rate, scenario.provider.burst
        self.tokens, self.filled_at = float(self.burst), datetime.min.replace(tzinfo=UTC)
        self.quotas = {pool.name: pool.quota for pool in scenario.pools}

    def plan(self, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
        used: dict[str, int] = {}
        for use in snapshot.usage:
            used[use.pool] = used.get(use.pool, 0) + use.slots
        gone = max(0.0, (now - self.filled_at).total_seconds())
        self.tokens, self.filled_at = min(self.burst, self.tokens + gone * self.rate), now
        launches: list[Launch] = []
        wake_at = None
        for job in sorted(self.ready(snapshot.waiting, now), key=_BY_AGE):
            if self.tokens < 1:
                wake_at = now + timedelta(seconds=self.burst / self.rate / 2)
                break
            for placement in self.in_turn(job):
                quota = self.quotas[placement.pool]
                full = quota is not None and used.get(placement.pool, 0) + placement.count > quota
                if full or not self.may(job, placement.pool, now):
                    self.passed_over(placement.pool)
                    continue
                used[placement.pool] = used.get(placement.pool, 0) + placement.count
                launches.append(Launch(job.job_id, job.attempt, placement, bet=True))
                self.tokens -= 1
                break
        return Plan(tuple(launches), wake_at)  # timers wait for the launch tick of the next minute

    def learn(
        self,
        state: PoolState,
        facts: Sequence[PoolFact],
        *,
        in_flight: int,
        running: int,
        now: datetime,
        limits: Limits,
    ) -> PoolState:
        for fact in facts:
            if fact.kind in _BAD:
                self.refused(fact, state.name, now)
        return state

    # --- differences ---------------------------------------------------------------------

    def ready(self, waiting: Sequence[Waiting], now: datetime) -> Iterable[Waiting]:
        """Begin a plan: give the jobs that may be tried."""
        return waiting

    def in_turn(self, job: Waiting) -> Sequence[Placement]:
        """Return the order in which *job* tries its pools."""
        return job.placements

    def may(self, job: Waiting, pool: str, now: datetime) -> bool:
        """Check whether *job* may be tried in *pool*."""
        return True

    def passed_over(self, pool: str) -> None:
        """Note that *pool* was full or closed for a job."""

    def refused(self, fact: PoolFact, pool: str, now: datetime) -> None:
        """Note a refused or lost launch."""


class _PerJob(_Peer):
    """The common part of policies with a timer for each job; a job's pools are tried in rotation."""

    whole_queue = True

    def __init__(
        self,
        scenario: Scenario,
        seed: str,
        wait: Callable[[int, float], float] = lambda tries, chance: 300.0,
    ) -> None:
        super().__init__(scenario, seed)
        self.wait = wait
        self.tries: dict[str, int] = {}
        self.timers: list[tuple[datetime, str]] = []
        self.asleep: set[str] = set()

    def ready(self, waiting: Sequence[Waiting], now: datetime) -> Iterable[Waiting]:
        timers, asleep = self.timers, self.asleep
        while timers and timers[0][0] <= now:
            asleep.discard(heapq.heappop(timers)[1])
        if len(asleep) >= len(waiting):  # every sleeping job is a waiting one, so all of them sleep
            return ()
        return [job for job in waiting if job.job_id not in asleep]

    def in_turn(self, job: Waiting) -> Sequence[Placement]:
        turn = self.tries.get(job.job_id, 0) % len(job.placements)
        return job.placements[turn:] + job.placements[:turn]

    def refused(self, fact: PoolFact, pool: str, now: datetime) -> None:
        tries = self.tries[fact.job_id] = self.tries.get(fact.job_id, 0) + 1
        gap = self.wait(tries, hash_fraction(self.seed, fact.job_id, tries))
        self.asleep.add(fact.job_id)
        heapq.heappush(self.timers, (now + timedelta(seconds=gap), fact.job_id))


class _Failover(_PerJob):
    """SkyPilot's managed jobs: each job goes through its pools, then waits, longer each round."""

    def __init__(self, scenario: Scenario, seed: str) -> None:
        super().__init__(scenario, seed, self._gap)

    def _gap(self, tries: int, chance: float) -> float:
        rounds, rest = divmod(tries, max(1, len(self.quotas)))
        return 0.0 if rest else min(300.0, 60.0 * 1.5 ** (rounds - 1))


class _HeadOfLine(_Peer):
    """AWS Batch's queues: strict first-in first-out for each job's first pool."""

    def __init__(self, scenario: Scenario, seed: str) -> None:
        super().__init__(scenario, seed)
        self.blocked: set[str] = set()

    def ready(self, waiting: Sequence[Waiting], now: datetime) -> Iterable[Waiting]:
        self.blocked.clear()
        return waiting

    def may(self, job: Waiting, pool: str, now: datetime) -> bool:
        return pool == job.placements[0].pool and pool not in self.blocked

    def passed_over(self, pool: str) -> None:
        self.blocked.add(pool)


class _Unavailable(_Peer):
    """Karpenter's cache: a pool that refused is not tried for three minutes."""

    def __init__(self, scenario: Scenario, seed: str) -> None:
        super().__init__(scenario, seed)
        self.until: dict[str, datetime] = {}

    def may(self, job: Waiting, pool: str, now: datetime) -> bool:
        return self.until.get(pool, now) <= now

    def refused(self, fact: PoolFact, pool: str, now: datetime) -> None:
        self.until[pool] = now + timedelta(minutes=3)


Policy = Callable[[Scenario, str], Scheduler]

#: The policies to compare: by name, a title, and a function that makes the scheduler.
POLICIES: Mapping[str, tuple[str, Policy]] = {
    "jobcore": ("levels, bets and fair share by pool", lambda scenario, seed: DEFAULT_SCHEDULER),
    "backoff": (
        "exponential back-off with full jitter for each job, 60 s to 1 h",
        lambda scenario, seed: _PerJob(
            scenario, seed, lambda tries, chance: chance * min(3600.0, 60.0 * 2.0 ** min(tries, 20))
        ),
    ),
    "fixed": (
        "each job tries again after 5 min",
        _PerJob,
    ),
    "fifo": ("first in, first out with head-of-line blocking (AWS Batch)", _HeadOfLine),
    "failover": ("each job through its pools, then 60 s to 300 s (SkyPilot)", _Failover),
    "cache": ("a pool that refused is not tried for 3 min (Karpenter)", _Unavailable),
}


#: Not a scheduler of the ticks, but a model of its own (`_by_hand`).
BY_HAND = "by-hand"

#: The title of every policy that can be compared, by name.
TITLES: Mapping[str, str] = {
    **{name: title for name, (title, _) in POLICIES.items()},
    BY_HAND: "a script, and a person who looks hourly in office hours and submits again",
}


def known(name: str) -> None:
    """
    Check that there is a policy of that name, `by-hand` included.

    Raises:
        ValueError: there is none.
    """
    if name not in TITLES:
        msg = f"policy: there is no {name!r}; known: {', '.join(TITLES)}"
        raise ValueError(msg)


def policy(name: str) -> Policy:
    """
    Find a scheduler by the policy's name.

    Raises:
        ValueError: there is none of that name, or it is not a scheduler of the ticks (`by-hand`).
    """
    known(name)
    if name not in POLICIES:
        msg = f"policy: {name!r} is not a scheduler of the ticks"
        raise ValueError(msg)
    return POLICIES[name][1]
