"""The invariants of `jobcore_simulation.oracles` as the ``check`` of a `Simulation`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from jobcore import JobStore, Notifier, Trainer
from jobcore.ports import Training
from jobcore.scheduling import Scheduler
from jobcore_simulation.oracles import Oracle

from ._world import Fleet

__all__ = ["Broken", "Ports", "Watch"]


class Broken(AssertionError):  # noqa: N818  (the name that a test reads)
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a run that a `Watch` wraps."""

    store: JobStore
    trainer: Trainer
    notifier: Notifier
    scheduler: Scheduler


class _Run(Protocol):
    """The parts of a `Simulation` that a `Watch` reads."""

    @property
    def base(self) -> JobStore: ...

    @property
    def fleet(self) -> Fleet: ...

    def now(self) -> datetime: ...


class Watch:
    """
    The ``check`` of a `Simulation`: all invariants at each port call, the indexes after each tick.

    Raises:
        Broken: when called, if an invariant was found broken.
    """

    def __init__(self) -> None:
        """Create an oracle; the simulation hands over its ports with `wrap`."""
        self.oracle = Oracle(lambda name: None)

    def wrap(self, ports: Ports, truth: Callable[[str], Training | None]) -> Ports:
        """
        Put the oracle between the ticks and their ports.

        Args:
            truth: reads the true state of a training; see `Oracle`.
        """
        oracle = self.oracle
        oracle.truth = truth
        return Ports(
            store=oracle.store(ports.store),
            trainer=oracle.trainer(ports.trainer),
            notifier=oracle.notifier(ports.notifier),
            scheduler=oracle.scheduler(ports.scheduler),
        )

    def __call__(self, run: _Run) -> None:
        """Check the store after a tick."""
        self.oracle.check_store(run.base, run.now())
        self.raise_found()

    def end(self, run: _Run) -> None:
        """Check the end of a run."""
        self.oracle.check_end(run.fleet.running(), frozenset())
        self.raise_found()

    def raise_found(self) -> None:
        """Raise the first broken invariant, if there is one."""
        for violation in self.oracle.found:
            msg = f"{violation.code} {violation.job_id}: {violation.said}"
            raise Broken(msg)
