"""The simulator: events of the bare engine, and whole job lives with the production ticks in the loop."""

from __future__ import annotations

import time
from dataclasses import replace

from jobcore_simulation.simulator import Engine, load, simulate

EVENTS = 500_000


def engine() -> None:
    """A thousand chains of events, each planning the next."""
    loop = Engine()

    def again(_: object) -> None:
        loop.after(1000, again)

    for number in range(1000):
        loop.at(number, again)
    begin = time.process_time()
    loop.run(until=lambda: loop.now > EVENTS, horizon=10**12)
    spent = time.process_time() - begin
    print(f"engine: {loop.events / spent:,.0f} events/s (goal 500,000)")


def lives() -> None:
    """The burst scenario, with events doing the work and a sweep each minute."""
    scenario = replace(load("burst"), name="burst")
    begin = time.process_time()
    outcome = simulate(scenario)
    spent = time.process_time() - begin
    print(
        f"simulated: {outcome.jobs / spent:,.0f} jobs/s (goal 20,000), "
        f"{outcome.looks / spent:,.0f} looks at trainings/s, {outcome.events:,} events"
    )


def run() -> None:
    """Print both."""
    engine()
    lives()
