"""Scenarios: what happens to whom, as values and as TOML files."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any

from jobcore_simulation._kinds import check_kinds

from ._engine import seconds

__all__ = ["Outage", "PoolSpec", "Provider", "Scenario", "Task", "Work", "builtin", "load", "parse"]

Steps = tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """
    How the training service behaves; all times in seconds.

    Args:
        rate, burst: creates per second, and how many at once.
        start_up: from instances to the first step: the bounds of a draw.
        gives_up, gives_up_sigma: after how long a launch without instances fails with a
            CapacityError: median and sigma of a log-normal.
        max_pending: if given, a launch waits Pending for so long instead (30 min if its job
            has several pools).
        listens: whether a launch that waits gets instances that become free.
        event_lag: from a change of a training to the tick that an event starts.
    """

    rate: float = 2.0
    burst: int = 20
    start_up: tuple[float, float] = (90.0, 240.0)
    gives_up: float = 600.0
    gives_up_sigma: float = 0.5
    max_pending: float | None = None
    listens: bool = True
    event_lag: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """
    A pool over time.

    Args:
        capacity: (seconds, instances), the first at 0.
        repeat: after so many seconds the steps begin again; 0: the last one stays.
        flips: (mean seconds up, mean seconds down): capacity is what the steps say while up, and 0
            while down, with exponential times (a Markov chain of two states).
        quota: what the account may use; *quotas* changes it at (seconds, instances).
        others: (seconds, instances) of the quota in use by other teams.
        spot: whether instances are taken away when the capacity falls.
    """

    name: str
    capacity: Steps = ((0.0, 1),)
    repeat: float = 0.0
    flips: tuple[float, float] | None = None
    quota: int | None = None
    quotas: Steps = ()
    others: Steps = ()
    spot: bool = False

    def steps(self, seed: str) -> Iterator[tuple[float, int]]:
        """Give the capacity as it changes, for ever if it repeats or flips."""
        if self.flips is None:
            yield from self._plain()
            return
        random = Random(f"{seed}/{self.name}")  # noqa: S311  (a simulation, not a secret)
        level, at, up = self.capacity[0][1], 0.0, True
        while True:
            yield at, level if up else 0
            at += random.expovariate(1.0 / self.flips[0 if up else 1])
            up = not up

    def _plain(self) -> Iterator[tuple[float, int]]:
        base = 0.0
        while True:
            for at, capacity in self.capacity:
                yield base + at, capacity
            if not self.repeat:
                return
            base += self.repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    What is submitted.

    Args:
        jobs: how many.
        shares: among how many shares; share k gets jobs in proportion to 1/(k+1)**skew.
        over: seconds over which the jobs arrive, evenly with jitter; 0: all at once.
        sweep: how many are submitted together.
        run: median seconds of a training, and the sigma of a log-normal.
        sizes: instances per job: weight.
        pools: the fallback list.
        spread: whether each job begins its list of pools at another one.
        fails: share of jobs with a bug of their own, that fail after a while every time.
        flaky: share of jobs whose first attempt fails for the service's fault.
        poison: share of jobs that fail within a second.
    """

    jobs: int = 100
    shares: int = 5
    skew: float = 1.0
    over: float = 0.0
    sweep: int = 1
    run: tuple[float, float] = (1800.0, 0.6)
    sizes: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    pools: tuple[str, ...] = ()
    spread: bool = False
    fails: float = 0.0
    flaky: float = 0.0
    poison: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A port that does not answer from *begins* to *ends* (microseconds): store, trainer, notifier."""

    port: str
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class Task:
    """One job of a scenario: *work* seconds of training on *count* instances of one of *pools*."""

    number: int
    submitted: float
    share: str
    pools: tuple[str, ...]
    count: int
    work: float
    bug: str = ""
    bug_after: float = 0.0
    flaky: bool = False

    def failure_of(self, attempt: int) -> str | None:
        """Give the failure reason of an attempt that runs to its end."""
        if self.bug:
            return self.bug
        if self.flaky and attempt == 1:
            return "InternalServerError: We encountered an internal error. Please try again."
        return None

    def runs_for(self, attempt: int, done: float) -> float:
        """Seconds that an attempt trains, *done* seconds being in checkpoints."""
        if self.bug:
            return self.bug_after
        left = max(self.work - done, 1.0)
        return left / 2 if self.flaky and attempt == 1 else left


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    A world and the work in it.

    Args:
        clock_jump: (seconds, how far the ticks' clock then jumps).
        apart: too long to be one of many: a comparison of all leaves it out unless it is named.
    """

    name: str
    title: str = ""
    work: Work = Work()
    pools: Sequence[PoolSpec] = ()
    provider: Provider = Provider()
    outages: Sequence[Outage] = ()
    clock_jump: tuple[float, float] | None = None
    horizon: float = 30 * 86400.0
    tasks_given: Sequence[Task] | None = None
    apart: bool = False

    @property
    def jobs(self) -> int:
        """How many jobs there are."""
        return self.work.jobs if self.tasks_given is None else len(self.tasks_given)

    def tasks(self, seed: str) -> list[Task]:
        """Draw the jobs, in the order of their submission."""
        return list(self.draw(seed))

    def arrivals(self, seed: str) -> Iterator[tuple[float, list[Task]]]:
        """Draw the jobs as they are needed: those that are submitted at a moment, together."""
        for at, group in groupby(self.draw(seed), key=attrgetter("submitted")):
            yield at, list(group)

    def draw(self, seed: str) -> Iterator[Task]:
        """Draw the jobs one by one, in the order of their submission."""
        if self.tasks_given is not None:
            yield from sorted(self.tasks_given, key=attrgetter("submitted"))
            return
        random, work = Random(f"{seed}/work"), self.work  # noqa: S311
        shares = [f"team-{k + 1}" for k in range(work.shares)]
        weights = [1 / (k + 1) ** work.skew for k in range(work.shares)]
        sizes, sizes_weights = list(work.sizes), list(work.sizes.values())
        names = work.pools or tuple(pool.name for pool in self.pools)
        turns = [(*names[turn:], *names[:turn]) for turn in range(len(names))]
        median, sigma = work.run
        submitted = 0.0
        for number in range(work.jobs):
            seconds_ = median * math.exp(random.gauss(0, sigma))
            chance = random.random()
            bug = ""
            if chance < work.fails + work.poison:
                bug = "AlgorithmError: ExecuteUserScriptError: ExitCode 1"
            jitter = random.random()
            if number % work.sweep == 0:
                submitted = (number + jitter) * work.over / work.jobs
            yield Task(
                number=number,
                submitted=submitted,
                share=random.choices(shares, weights)[0],
                pools=turns[number % len(names) if work.spread else 0],
                count=random.choices(sizes, sizes_weights)[0],
                work=seconds_,
                bug=bug,
                bug_after=1.0 if chance < work.poison else seconds_ * random.random(),
                flaky=not bug and random.random() < work.flaky,
            )


def builtin() -> dict[str, str]:
    """Give the scenarios that come along: name and title, in the order of their names."""
    folder = files(__package__) / "scenarios"
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): tomllib.loads((folder / name).read_text("utf-8"))["title"]
        for name in names
    }


def load(name: str) -> Scenario:
    """
    Load a scenario that comes along, by its name, or one from a file, by its path.

    Raises:
        ValueError: there is none, or it says something that cannot be; the message names the field.
    """
    if name.endswith(".toml"):
        try:
            return parse(Path(name).read_text("utf-8"), Path(name).stem)
        except OSError as error:
            msg = f"scenario {name}: {error.strerror}"
            raise ValueError(msg) from None
    if name not in builtin():
        msg = f"scenario: there is no {name!r}; known: {', '.join(builtin())}, or a .toml file"
        raise ValueError(msg)
    return parse((files(__package__) / "scenarios" / f"{name}.toml").read_text("utf-8"), name)


def parse(text: str, name: str) -> Scenario:
    """
    Read a scenario.

    Raises:
        ValueError: it is not TOML, or a field is unknown or of the wrong kind.
    """
    try:
        return _parsed(text, name)
    except ValueError as error:
        said = str(error)
        msg = said if said.startswith(f"scenario {name}: ") else f"scenario {name}: {said}"
        raise ValueError(msg) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        msg = f"scenario {name}: a value of the wrong kind: {type(error).__name__}: {error}"
        raise ValueError(msg) from None


def _parsed(text: str, name: str) -> Scenario:
    table = tomllib.loads(text)
    known = {"title", "jobs", "pool", "provider", "outage", "clock_jump", "horizon", "apart"}
    if unknown := set(table) - known:
        msg = f"scenario {name}: {min(unknown)}: unknown field; known: {', '.join(sorted(known))}"
        raise ValueError(msg)
    pools = [
        _make(PoolSpec, pool, f"pool[{n}]", name) for n, pool in enumerate(table.get("pool", []))
    ]
    if not pools:
        msg = f"scenario {name}: pool: expected at least one [[pool]]"
        raise ValueError(msg)
    work = dict(table.get("jobs", {}))
    work = {("jobs" if key == "count" else key): value for key, value in work.items()}
    if "sizes" in work:
        work["sizes"] = {int(size): float(weight) for size, weight in work["sizes"].items()}
    outages = [
        Outage(port=o["port"], begins=seconds(o["begins"]), ends=seconds(o["ends"]))
        for o in table.get("outage", [])
    ]
    for outage in outages:
        if outage.port not in ("store", "trainer", "notifier"):
            msg = f"scenario {name}: outage.port: expected store, trainer or notifier, got {outage.port!r}"
            raise ValueError(msg)
    jump = table.get("clock_jump")
    made = Scenario(
        name=name,
        title=str(table.get("title", "")),
        work=_make(Work, work, "jobs", name),
        pools=pools,
        provider=_make(Provider, table.get("provider", {}), "provider", name),
        outages=outages,
        clock_jump=None if jump is None else (float(jump[0]), float(jump[1])),
        horizon=float(table.get("horizon", 30 * 86400.0)),
        apart=bool(table.get("apart", False)),
    )
    _check(made)
    return made


def _check(scenario: Scenario) -> None:
    """Refuse what would end a simulation midway, or never."""
    names = {pool.name for pool in scenario.pools}
    work = scenario.work
    numbers = [scenario.horizon, *(scenario.clock_jump or ())]
    checks = (
        (all(map(math.isfinite, numbers)), "horizon, clock_jump", "expected numbers"),
        (set(work.pools) <= names, "jobs.pools", f"expected some of {', '.join(sorted(names))}"),
        (
            work.jobs >= 0 and work.shares >= 1,
            "jobs",
            "expected 0 or more jobs of at least 1 share",
        ),
        (bool(work.sizes) and sum(work.sizes.values()) > 0, "jobs.sizes", "expected at least one"),
        (min(work.sizes, default=0) >= 1, "jobs.sizes", "expected at least 1 instance"),
        (min(work.sizes.values(), default=0) >= 0, "jobs.sizes", "expected weights of 0 or more"),
        (
            work.run[0] > 0 <= work.run[1],
            "jobs.run",
            "expected a median of more than 0, and a sigma",
        ),
        (
            all(pool.capacity for pool in scenario.pools),
            "pool.capacity",
            "expected at least one step",
        ),
        (
            all(pool.flips is None or min(pool.flips) >= 1 for pool in scenario.pools),
            "pool.flips",
            "expected seconds, at least 1",
        ),
        (
            all(not pool.repeat or pool.repeat >= 1 for pool in scenario.pools),
            "pool.repeat",
            "expected 0, or seconds, at least 1",
        ),
        (
            scenario.provider.rate > 0 < scenario.provider.burst,
            "provider.rate",
            "expected more than 0",
        ),
    )
    for holds, field_, wanted in checks:
        if not holds:
            msg = f"{field_}: {wanted}"
            raise ValueError(msg)


def _make(kind: Any, table: Mapping[str, Any], where: str, scenario: str) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := set(table) - known:
        msg = (
            f"scenario {scenario}: {where}.{min(unknown)}: unknown field; "
            f"known: {', '.join(sorted(known))}"
        )
        raise ValueError(msg)
    values = {key: _tuples(value) for key, value in table.items()}
    if kind is PoolSpec and isinstance(values.get("capacity"), int):
        values["capacity"] = ((0.0, values["capacity"]),)
    try:
        made = kind(**values)
        check_kinds(made)
        return made
    except (TypeError, ValueError) as error:
        msg = f"scenario {scenario}: {where}: {error}"
        raise ValueError(msg) from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
