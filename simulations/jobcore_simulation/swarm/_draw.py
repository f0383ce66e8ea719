"""The configuration that a seed decides: jobs, pools, actors, faults and their rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

import jobcore
from jobcore import Clocks, FailureClass, Limits, Placement, RetryPolicy, Spec

__all__ = ["CELLS", "EPOCH", "IDS", "KINDS", "WORLD", "Config", "Faults", "PoolDraw", "draw"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
IDS: Sequence[str] = tuple(jobcore.job_id_from_token("swarm", str(n)) for n in range(8))

_INDEXES = ("due", "waiting", "usage", "find", "counts", "tallies_to_pause")
_READS = ("get", *_INDEXES, "next_wake", "pools", "shares", "tallies")
_RECORD_WRITES = ("save_pool", "save_shares", "save_tally")
_WRITES = ("add", "save", *_RECORD_WRITES)
_ALL = (
    *_READS,
    *_WRITES,
    "launch",
    "describe",
    "stop",
    "capacity",
    "running",
    "publish",
)

#: The faults of calls: the effect of each, and the calls that it can strike.
KINDS: Mapping[str, Sequence[str]] = {
    "lost": _ALL,  # not applied, and Unavailable
    "unknown": (*_WRITES, "launch", "stop", "publish"),  # applied, and Unavailable
    "partial": ("add", "save", "save_shares"),  # some of it applied, and Unavailable
    # applied, and answered as a conflict (a retry inside an SDK)
    "own": ("save", *_RECORD_WRITES),
    "stale": (*_INDEXES, "describe"),  # earlier rows, missing rows; a new training not found
    "crash": _ALL,  # the process dies before the call
    "crash_after": (*_WRITES, "launch", "stop", "publish"),  # the process dies after the call
    "throttled": ("launch",),
    "quota": ("launch",),
    "short": ("launch",),
    "unclear": ("launch",),  # not applied, and the reply leaves that open
    "unclear_applied": ("launch",),
    "late": ("launch", "stop"),  # not applied yet: arrives at any later time, or never
    "exists": ("launch",),  # applied, and answered as if the training had existed before
    "absent": ("describe",),  # some names could not be read
    "cut": ("running",),  # the list ends early
}
#: The faults of the world.
WORLD = (
    "interrupted", "vanished", "jumped", "skewed", "hinted", "stranger", "bad", "corrupt",
    "raises", "moved_quota", "others", "hurried", "landed", "resubmitted",
)  # fmt: skip
#: Every (call, fault) that a run of enough seeds must have reached.
CELLS: frozenset[tuple[str, str]] = frozenset(
    (call, kind) for kind, calls in KINDS.items() for call in calls
) | frozenset(("world", kind) for kind in WORLD)

_RATES = (0.01, 0.03, 0.08, 0.2)
_RATES_OF_LAUNCHES = (0.05, 0.15, 0.4)  # higher: a run has few launch calls
_POOLS = ("a", "b", "c")
_SECOND = timedelta(seconds=1)
_RETRIES = (
    RetryPolicy(),
    RetryPolicy(
        budgets={FailureClass.SERVICE_INTERNAL: 1, FailureClass.SPOT_INTERRUPTED: 1},
        backoff=5 * _SECOND,
        backoff_max=20 * _SECOND,
    ),
    RetryPolicy(
        budgets={
            FailureClass.ALGORITHM: 1,
            FailureClass.SERVICE_INTERNAL: 0,
            FailureClass.SPOT_INTERRUPTED: 2,
        },
        backoff=timedelta(0),
        backoff_max=timedelta(0),
    ),
)
_CLOCKS = (
    Clocks(),
    Clocks(),
    Clocks(wait_at_most=timedelta(minutes=10)),
    Clocks(run_at_most=timedelta(minutes=30)),
    Clocks(finish_by=EPOCH + timedelta(minutes=25)),
    Clocks(wait_at_most=timedelta(hours=2), run_at_most=timedelta(hours=1)),
)


@lru_cache(maxsize=4096)  # computing a spec's hash is slow, and a spec keeps it
def _spec(
    number: int, pools: tuple[str, ...], count: int, retry: int, clocks: int, *, grouped: bool
) -> Spec:
    return Spec(
        name=f"job-{number}",
        owner="ab"[number % 2],
        placements=tuple(Placement(pool, count) for pool in pools),
        group="sweep" if grouped else None,
        priority=number % 3 // 2,
        retry=_RETRIES[retry],
        clocks=_CLOCKS[clocks],
    )


@dataclass(frozen=True, slots=True)
class PoolDraw:
    """A pool: instances, quota, and whether the trainer reports its size."""

    name: str
    capacity: int
    quota: int
    size_known: bool


Faults = Mapping[str, Sequence[tuple[float, str]]]


@dataclass(slots=True, kw_only=True)
class Config:
    """
    The configuration of a run, drawn before it begins.

    Args:
        rates: the probability of each fault at a call that it can strike.
        world: the faults of the world that are on.
        lease, page, launches_together: see `jobcore.Settings`.
        reserves_names: see `TinyTrainer`.
        steps: steps of phase 1.
        actors: the most actors at once.
        switch: the probability that a port call gives the turn to another actor.
        turns: the actor that mostly runs next: "any", "newest" (older ones sleep for long), or
            "saves last" (launch ticks sleep before each save, so that their launches cross;
            with five actors, of which some are awake).
        requests: the share of actors that are users' requests.
        fates: the ends of trainings in phase 1: "mixed" or "buggy".
        healing: the ends of trainings in phase 2: "complete", "fail" or "forever" (not by themselves).
        poison: a job that cannot be read ("corrupt") or makes the trainer raise ("raises").
        bad: the job whose launch request the trainer refuses as malformed.
        stranger: the job whose first training name belongs to another account's training.
        adapters: "tiny", "memory" or "sqlite".
    """

    seed: int
    specs: Sequence[Spec]
    pools: Sequence[PoolDraw]
    rates: Mapping[str, float] = field(default_factory=dict)
    world: frozenset[str] = frozenset()
    limits: Limits = Limits()
    lease: timedelta = 60 * _SECOND
    page: int = 1000
    launches_together: int = 1
    reserves_names: bool = False
    steps: int = 60
    actors: int = 3
    switch: float = 1.0
    turns: str = "any"
    requests: float = 0.1
    fates: str = "mixed"
    healing: str = "complete"
    poison: tuple[str, int] | None = None
    bad: int | None = None
    stranger: int | None = None
    adapters: str = "tiny"

    def faults(self) -> Faults:
        """Return the faults of each call as (cumulative rate, kind)."""
        rows: dict[str, list[tuple[float, str]]] = {}
        for kind, rate in self.rates.items():
            for call in KINDS[kind]:
                row = rows.setdefault(call, [])
                row.append(((row[-1][0] if row else 0.0) + rate, kind))
        return rows

    def lines(self) -> list[str]:
        """Describe the configuration in a few lines."""
        jobs = ", ".join(
            f"{n}: {'/'.join(p.pool for p in s.placements)} x{s.placements[0].count}"
            for n, s in enumerate(self.specs)
        )
        world = f"{sorted(self.world)}, poison {self.poison}, bad {self.bad}"
        turns = (
            f"{self.steps} steps, {self.actors} actors, switch {self.switch}, turns {self.turns}"
        )
        ticks = f"lease {self.lease}, together {self.launches_together}, page {self.page}"
        return [
            f"seed {self.seed}: {len(self.specs)} jobs ({jobs}), adapters {self.adapters}",
            f"pools: {', '.join(map(str, self.pools))}",
            f"faults of calls: {dict(self.rates)}",
            f"faults of the world: {world}, stranger {self.stranger}",
            f"{turns}, {ticks}, requests {self.requests}, fates {self.fates}, healing {self.healing}",
            f"limits: {self.limits}",
        ]


def draw(seed: int, adapters: str = "tiny") -> Config:
    """
    Draw the configuration of a seed; the same for the same seed.

    The order of the draws is part of a seed's meaning: a draw added in between makes every recorded
    seed another run.
    """
    random = Random(seed)  # noqa: S311  (a simulation, not a secret)
    chance, among, integer = random.random, random.choice, random.randint
    names = _POOLS[: among((1, 1, 2, 2, 3))]
    grouped = chance() < 0.4
    specs = _draw_specs(random, names, grouped=grouped)
    jobs = len(specs)
    size_known = chance() < 0.3
    pools = [PoolDraw(name, integer(1, 4), integer(1, 4), size_known) for name in names]
    rates = _draw_rates(random)
    world = frozenset(kind for kind in WORLD if chance() < 0.25)
    poison = None
    if jobs > 1 and ("corrupt" in world or "raises" in world):
        poison = ("corrupt" if "corrupt" in world else "raises", integer(0, jobs - 1))
    limited = poison is None and chance() < 0.2
    turns = among(("any", "any", "newest", "newest", "saves last"))
    return Config(
        seed=seed,
        specs=specs,
        pools=pools,
        rates=rates,
        world=world,
        limits=Limits(
            pools={names[0]: integer(2, 3)} if limited else {},
            share_default=integer(2, 4) if limited else None,
            group_breaker=among((1, 1, 2, 5)) if grouped else 5,
        ),
        lease=among((timedelta(0), timedelta(0), 60 * _SECOND)),
        page=among((1000, 1000, 2)),
        launches_together=among((1, 1, 1, 3)),
        reserves_names=chance() < 0.5,
        steps=integer(20, 150),
        actors=5 if turns == "saves last" else integer(2, 5),
        switch=among((1.0, 0.5, 0.2, 0.1)),
        turns=turns,
        requests=among((0.0, 0.1, 0.3)),
        fates="buggy" if grouped and chance() < 0.7 else "mixed",
        healing=among(("complete", "complete", "fail", "forever")),
        poison=poison,
        bad=integer(0, jobs - 1) if "bad" in world else None,
        stranger=integer(0, jobs - 1) if "stranger" in world else None,
        adapters=adapters,
    )


def _draw_specs(random: Random, names: Sequence[str], *, grouped: bool) -> list[Spec]:
    chance, among, integer = random.random, random.choice, random.randint
    jobs = among((1, 1, 1, 2, 2, 3, 3, 4, 6, 8))
    clocks_on = chance() < 0.4
    specs = []
    for number in range(jobs):
        turn = integer(0, len(names) - 1)
        pools = (*names[turn:], *names[:turn])[: integer(1, len(names))]
        specs.append(
            _spec(
                number,
                pools,
                among((1, 1, 1, 2)),
                integer(0, len(_RETRIES) - 1),
                integer(0, len(_CLOCKS) - 1) if clocks_on else 0,
                grouped=grouped and chance() < 0.8,
            )
        )
    return specs


def _draw_rates(random: Random) -> dict[str, float]:
    on = random.choice((0.0, 0.15, 0.3, 0.3, 0.6))
    return {
        kind: random.choice(_RATES_OF_LAUNCHES if KINDS[kind][0] == "launch" else _RATES)
        for kind in KINDS
        if random.random() < on
    }
