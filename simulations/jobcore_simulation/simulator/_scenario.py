"""Scenarios: a provider, pools, outages and jobs, as values and as TOML files."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any

import attrs

from jobcore.errors import InvalidSetting
from jobcore_config.checks import (
    Check,
    Wrong,
    at_least,
    between,
    collect,
    each,
    expect,
    one_of,
    parse_toml,
    report_all,
)
from jobcore_config.reading import read, structure
from jobcore_simulation._checks import COUNT, FRACTION, SECONDS, SIGMA, STEPS, Steps

from ._engine import seconds

__all__ = ["Outage", "PoolSpec", "Provider", "Scenario", "Task", "Work", "builtin", "load", "parse"]

_REPEAT = Check("0, or seconds, 1 or more", lambda s: s == 0 or between(1, 10**10).allows(s))
_FLIP = between(1, 10**10)  # seconds
_RUN = Check(
    "a median of more than 0 seconds, and a sigma",
    lambda run: SECONDS.allows(run[0]) and run[0] > 0 and SIGMA.allows(run[1]),
)


def _read_capacity(value: object, kind: Any) -> Steps:
    """Read steps, or a constant number of instances."""
    if isinstance(value, int) and not isinstance(value, bool):
        return ((0.0, value),)
    if not isinstance(value, list):
        expected = "a number of instances, or a list of [seconds, instances]"
        raise Wrong(expected, value)
    steps: Steps = structure(value, kind)
    return steps


def _read_sizes(value: object, _: Any) -> Mapping[int, float]:
    """Read weights by the number of instances; TOML's keys are texts."""
    given = collect(expect(Mapping, value).items(), lambda _, weight: expect(float, weight))
    for size in given:
        if not re.fullmatch(r"[1-9][0-9]{0,9}", size):
            expected = "numbers of instances, 1 or more"
            raise Wrong(expected, size)
    return {int(size): weight for size, weight in given.items()}


def _read_moment(value: object, _: Any) -> int:
    """Read seconds as microseconds."""
    at = expect(float, value)
    SECONDS(None, None, at)
    return seconds(at)


def _are_sizes(sizes: Mapping[int, float]) -> bool:
    return min(sizes, default=0) >= 1 and min(sizes.values()) >= 0 < sum(sizes.values()) < math.inf


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Provider:
    """
    The behaviour of the training service; all times in seconds.

    Attributes:
        rate, burst: creates per second, and how many at once.
        start_up: from instances to the first step: the bounds of a draw.
        gives_up, gives_up_sigma: after how long a launch without instances fails with a
            CapacityError: median and sigma of a log-normal.
        max_pending: if given, a launch waits Pending for so long instead (30 min if its job
            has several pools).
        listens: whether a launch that waits gets instances that become free.
        event_lag: from a change of a training to the tick that an event starts.
    """

    rate: float = attrs.field(default=2.0, validator=between(1e-6, 10**10))
    burst: int = attrs.field(default=20, validator=at_least(1))
    start_up: tuple[float, float] = attrs.field(default=(90.0, 240.0), validator=each(SECONDS))
    gives_up: float = attrs.field(default=600.0, validator=SECONDS)
    gives_up_sigma: float = attrs.field(default=0.5, validator=SIGMA)
    max_pending: float | None = attrs.field(default=None, validator=SECONDS)
    listens: bool = True
    event_lag: float = attrs.field(default=5.0, validator=SECONDS)


@attrs.frozen(kw_only=True, field_transformer=report_all)
class PoolSpec:
    """
    A pool over time.

    Attributes:
        capacity: (seconds, instances), the first at 0.
        repeat: after so many seconds the steps begin again; 0: the last one stays.
        flips: (mean seconds up, mean seconds down): capacity is that of the steps while up, and 0
            while down, with exponential times (a Markov chain of two states).
        quota: instances that the account may use; *quotas* changes it at (seconds, instances).
        others: (seconds, instances) of the quota in use by other teams.
        spot: whether instances are taken away when the capacity falls.
    """

    name: str
    capacity: Steps = attrs.field(
        default=((0.0, 1),),
        validator=[Check("at least one step", bool), STEPS],
        metadata={"override": {"struct_hook": _read_capacity}},
    )
    repeat: float = attrs.field(default=0.0, validator=_REPEAT)
    flips: tuple[float, float] | None = attrs.field(default=None, validator=each(_FLIP))
    quota: int | None = attrs.field(default=None, validator=COUNT)
    quotas: Steps = attrs.field(default=(), validator=STEPS)
    others: Steps = attrs.field(default=(), validator=STEPS)
    spot: bool = False

    def steps(self, seed: str) -> Iterator[tuple[float, int]]:
        """Yield the steps of capacity (seconds, instances), without end if it repeats or flips."""
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


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Work:
    """
    The jobs of a scenario.

    Attributes:
        jobs: the number of jobs.
        shares: the number of shares; share k gets jobs in proportion to 1/(k+1)**skew.
        over: seconds over which the jobs arrive, evenly with jitter; 0: all at once.
        sweep: the number of jobs that are submitted together.
        run: median seconds of a training, and the sigma of a log-normal.
        sizes: instances per job: weight.
        pools: the fallback list.
        spread: whether each job begins its list of pools at another one.
        fails: share of jobs with a bug: each attempt fails after a while.
        flaky: share of jobs whose first attempt fails by a fault of the service.
        poison: share of jobs that fail within a second.
    """

    jobs: int = attrs.field(
        default=100, validator=COUNT, metadata={"override": {"rename": "count"}}
    )
    shares: int = attrs.field(default=5, validator=at_least(1))
    skew: float = attrs.field(default=1.0, validator=between(-100, 100))
    over: float = attrs.field(default=0.0, validator=SECONDS)
    sweep: int = attrs.field(default=1, validator=at_least(1))
    run: tuple[float, float] = attrs.field(default=(1800.0, 0.6), validator=_RUN)
    sizes: Mapping[int, float] = attrs.field(
        factory=lambda: {1: 1.0},
        validator=Check("a weight of 0 or more for each size, and some above 0", _are_sizes),
        metadata={"override": {"struct_hook": _read_sizes}},
    )
    pools: tuple[str, ...] = ()
    spread: bool = False
    fails: float = attrs.field(default=0.0, validator=FRACTION)
    flaky: float = attrs.field(default=0.0, validator=FRACTION)
    poison: float = attrs.field(default=0.0, validator=FRACTION)


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Outage:
    """An outage of a port from *begins* to *ends*, in microseconds; in files in seconds."""

    port: str = attrs.field(validator=one_of("store", "trainer", "notifier"))
    begins: int = attrs.field(metadata={"override": {"struct_hook": _read_moment}})
    ends: int = attrs.field(metadata={"override": {"struct_hook": _read_moment}})


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
        """Return the failure reason of an attempt that runs to its end."""
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


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Scenario:
    """
    A world and the work in it.

    Attributes:
        clock_jump: (the time, the seconds by which the ticks' clock then jumps).
        apart: too long for a comparison of all scenarios, which leaves it out unless it is named.
    """

    name: str = attrs.field(default="", metadata={"override": {"omit": True}})
    title: str = ""
    work: Work = attrs.field(factory=Work, metadata={"override": {"rename": "jobs"}})
    pools: Sequence[PoolSpec] = attrs.field(
        validator=Check("at least one [[pool]]", bool), metadata={"override": {"rename": "pool"}}
    )
    provider: Provider = attrs.field(factory=Provider)
    outages: Sequence[Outage] = attrs.field(default=(), metadata={"override": {"rename": "outage"}})
    clock_jump: tuple[float, float] | None = attrs.field(
        default=None, validator=each(between(-(10**10), 10**10))
    )
    horizon: float = attrs.field(default=30 * 86400.0, validator=SECONDS)
    tasks_given: Sequence[Task] | None = attrs.field(
        default=None, metadata={"override": {"omit": True}}
    )
    apart: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse jobs for pools that there are not."""
        names = {pool.name for pool in self.pools}
        if unknown := [name for name in self.work.pools if name not in names]:
            wrong = Wrong(f"some of {', '.join(sorted(names))}", unknown[0])
            raise InvalidSetting([("jobs.pools", str(wrong))])

    @property
    def jobs(self) -> int:
        """The number of jobs."""
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
    """Return the built-in scenarios: name and title, in the order of their names."""
    folder = files(__package__) / "scenarios"
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): tomllib.loads((folder / name).read_text("utf-8"))["title"]
        for name in names
    }


def load(name: str) -> Scenario:
    """
    Load a built-in scenario by its name, or one from a file by its path.

    Raises:
        ValueError: there is none, or a field is invalid; the message names it.
    """
    if name.endswith(".toml"):
        try:
            return parse(Path(name).read_bytes(), Path(name).stem)
        except OSError as error:
            msg = f"scenario {name}: {error.strerror}"
            raise ValueError(msg) from None
    if name not in builtin():
        msg = f"scenario: there is no {name!r}; known: {', '.join(builtin())}, or a .toml file"
        raise ValueError(msg)
    return parse((files(__package__) / "scenarios" / f"{name}.toml").read_text("utf-8"), name)


def parse(text: str | bytes, name: str) -> Scenario:
    """
    Read a scenario.

    Raises:
        InvalidSetting: it is not TOML, or a field is unknown or cannot be; with every problem.
    """
    where = f"scenario {name}"
    made = read(Scenario, parse_toml(text, where=where), where=where)
    return attrs.evolve(made, name=name)
