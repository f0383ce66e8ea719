"""
Speed of the simulator: its engine beside SimPy on one model, and whole job lives with the production ticks.

``python -m benchmarks.bench_simulator --million`` simulates a million lives, which takes minutes.
All seconds are of process time, on one core.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from jobcore_simulation.simulator import (
    Engine,
    Outcome,
    PoolSpec,
    Provider,
    Scenario,
    Simulation,
    Work,
    load,
    simulate,
)

EVENTS = 500_000
JOBS, SLOTS = 100_000, 1000
MEDIAN, SIGMA, FLAKY = 1800.0, 0.6, 0.05
MEAN = MEDIAN * math.exp(SIGMA**2 / 2) + 165.0  # seconds that a job holds its slot
LOAD = 0.95


# --- the engine, and SimPy beside it ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawn:
    """A job of the model, in whole microseconds; both engines run the same jobs."""

    arrives: int
    create: int
    start_up: int
    run: int
    retried: bool


def draw(jobs: int) -> list[Drawn]:
    """Draw the jobs of the model: create latency, start-up, a log-normal run, 5 % retried."""
    random, at, drawn = Random(1), 0.0, []
    for _ in range(jobs):
        at += random.expovariate(SLOTS * LOAD / MEAN / (1 + FLAKY))
        drawn.append(
            Drawn(
                round(at * 1e6),
                round(random.uniform(0.2, 2.0) * 1e6),
                round(random.uniform(90, 240) * 1e6),
                round(MEDIAN * math.exp(random.gauss(0, SIGMA)) * 1e6),
                random.random() < FLAKY,
            )
        )
    return drawn


class OwnModel:
    """The model on the simulator's engine."""

    def __init__(self, jobs: list[Drawn]) -> None:
        self.engine, self.jobs = Engine(), jobs
        self.free, self.left = SLOTS, len(jobs)
        self.waiting: deque[tuple[Drawn, bool]] = deque()

    def run(self) -> int:
        self.engine.stream(((job.arrives, job) for job in self.jobs), self.arrive)
        self.engine.run(until=lambda: self.left == 0, horizon=10**15)
        return self.engine.now

    def arrive(self, job: Drawn) -> None:
        self.waiting.append((job, job.retried))
        self.dispatch()

    def dispatch(self) -> None:
        while self.free and self.waiting:
            self.free -= 1
            attempt = self.waiting.popleft()
            self.engine.after(attempt[0].create, self.created, attempt)

    def created(self, attempt: tuple[Drawn, bool]) -> None:
        self.engine.after(attempt[0].start_up, self.started, attempt)

    def started(self, attempt: tuple[Drawn, bool]) -> None:
        self.engine.after(attempt[0].run, self.ended, attempt)

    def ended(self, attempt: tuple[Drawn, bool]) -> None:
        self.free += 1
        job, retried = attempt
        if retried:
            self.waiting.append((job, False))
        else:
            self.left -= 1
        self.dispatch()


def simpy_model(jobs: list[Drawn]) -> tuple[int, int]:
    """Run the model in SimPy; return the time of the last event and the number of events."""
    import simpy

    env = simpy.Environment()
    slots = simpy.Resource(env, SLOTS)

    def life(job: Drawn) -> Iterator[simpy.Event]:
        for _ in range(2 if job.retried else 1):
            with slots.request() as request:
                yield request
                yield env.timeout(job.create)
                yield env.timeout(job.start_up)
                yield env.timeout(job.run)

    def arrivals() -> Iterator[simpy.Event]:
        for job in jobs:
            yield env.timeout(job.arrives - env.now)
            env.process(life(job))

    env.process(arrivals())
    steps = 0
    try:
        while True:
            env.step()
            steps += 1
    except simpy.core.EmptySchedule:
        return env.now, steps


def engine() -> None:
    """Measure the engine on a thousand chains of events, then on the model beside SimPy."""
    loop = Engine()

    def again(_: object) -> None:
        loop.after(1000, again)

    for number in range(1000):
        loop.at(number, again)
    begin = time.process_time()
    loop.run(until=lambda: loop.now > EVENTS, horizon=10**12)
    spent = time.process_time() - begin
    print(f"engine: {loop.events / spent:,.0f} events/s (goal 500,000)")

    jobs = draw(JOBS)
    model = OwnModel(jobs)
    begin = time.process_time()
    end = model.run()
    spent = time.process_time() - begin
    print(
        f"model, {JOBS:,} jobs, {SLOTS:,} slots: {JOBS / spent:,.0f} jobs/s, "
        f"{model.engine.events / spent:,.0f} events/s of {model.engine.events / JOBS:.1f} per job"
    )
    try:
        begin = time.process_time()
        theirs, steps = simpy_model(jobs)
        reference = time.process_time() - begin
    except ImportError:
        print("  SimPy is not installed: nothing to compare with")
        return
    # Both engines must end at the same microsecond; otherwise they did not run the same model.
    assert theirs == end, (theirs, end)
    print(
        f"  SimPy: {JOBS / reference:,.0f} jobs/s, {steps / reference:,.0f} events/s of "
        f"{steps / JOBS:.1f} per job; ratio {reference / spent:.1f}"
    )


# --- whole lives of jobs ----------------------------------------------------------------


def model(jobs: int) -> Scenario:
    """Make the scenario of the model: one pool of 1,000 slots, sweeps of 100 jobs."""
    return Scenario(
        name="model",
        work=Work(
            jobs=jobs,
            shares=1,
            sweep=100,
            over=jobs * MEAN / SLOTS / LOAD,
            run=(MEDIAN, SIGMA),
            flaky=FLAKY,
        ),
        pools=[PoolSpec(name="eu-west-1/ml.g5.xlarge/on-demand", capacity=((0.0, SLOTS),))],
        horizon=1e9,
    )


def fleet(jobs: int) -> Scenario:
    """Make a scenario: 10,000 slots in four pools, five shares, sweeps of 1,000 jobs, 10 creates a second."""
    slots = 10_000
    return Scenario(
        name="fleet",
        work=Work(
            jobs=jobs,
            shares=5,
            sweep=1000,
            over=jobs * MEAN / slots / LOAD,
            run=(MEDIAN, SIGMA),
            flaky=FLAKY,
            spread=True,
        ),
        pools=[
            PoolSpec(name=f"region-{n}/ml.g5.xlarge/on-demand", capacity=((0.0, slots // 4),))
            for n in (1, 2, 3, 4)
        ],
        provider=Provider(rate=10.0, burst=100),
        horizon=1e9,
    )


def print_outcome(outcome: Outcome, spent: float) -> None:
    print(
        f"{outcome.scenario}: {outcome.jobs:,} lives in {spent:.1f} s, "
        f"{outcome.jobs / spent:,.0f} lives/s (goal 20,000), "
        f"{outcome.looks / spent:,.0f} looks at trainings/s, "
        f"{outcome.events / outcome.jobs:.1f} events per life"
    )


def lives() -> None:
    """Measure the burst scenario, the model, and a fleet."""
    for scenario in (load("burst"), model(20_000), fleet(30_000)):
        begin = time.process_time()
        outcome = simulate(scenario)
        print_outcome(outcome, time.process_time() - begin)


def million(jobs: int = 1_000_000) -> None:
    """Measure a million lives in a fleet; jobs that are over are dropped from memory."""
    begin = time.process_time()
    outcome = Simulation(fleet(jobs), forget=True).run()
    print_outcome(outcome, time.process_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    statuses = ", ".join(f"{n:,} {status}" for status, n in outcome.statuses.items())
    print(f"  {statuses}; {outcome.messages:,} messages; peak memory {peak:.0f} MB")
    assert outcome.completed


def run() -> None:
    """Measure everything but the million lives."""
    engine()
    lives()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="only the million lives")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="of the million")
    chosen = parser.parse_args()
    if chosen.million:
        million(chosen.jobs)
    else:
        run()
