"""The ticks: stateless passes that bring what is stored and what is so together.

Each tick reads what is due, asks the core what that state owes, does it, and
saves the outcome. It may run twice, overlap another, die anywhere or come late:
the next one finishes the work (see `_transitions` for why). Safety never rests
on a clock or a lease; the lease of the launch tick only saves calls.

The jobs of one tick touch each other only here, in the batch loop and in the
limits. One job that cannot be read, or whose training makes the adapter raise,
is reported and left for later; the others go on.
"""

from __future__ import annotations

from datetime import datetime

from jobcore.lifecycle.events import (
    Event,
    LaunchAccepted,
    LaunchRefused,
    TrainingEnded,
    TrainingSeen,
)
from jobcore.lifecycle.failure import Failure, FailureClass, Scope
from jobcore.lifecycle.model import InProgress, Job, Placement
from jobcore.lifecycle.records import PoolState
from jobcore.scheduling.learning import FactKind, PoolFact
from jobcore.scheduling.pools import LATE

from .run import TickRun

__all__ = [
    "PoolObservations",
]


class PoolObservations:
    """What the answers of one pass teach about the pools; saved once per pool."""

    def __init__(self, run: TickRun) -> None:
        self.run = run
        self.facts: dict[str, list[PoolFact]] = {}
        self.teaches = False  # even about a pool of which nothing was known

    def note_launch(self, job: Job, placement: Placement, event: Event, *, bet: bool) -> None:
        """Note the answer to a launch."""
        if isinstance(event, LaunchAccepted):
            self._note(FactKind.ACCEPTED, job, placement, bet=bet)
        elif isinstance(event, LaunchRefused) and event.failure.scope is Scope.POOL:
            self._note(FactKind.REFUSED, job, placement, failure=event.failure)

    def note_look(self, job: Job, placement: Placement, event: Event) -> None:
        """Note what a look at the training of *job*, as it was before, has shown."""
        was_running = isinstance(job.state, InProgress)
        if isinstance(event, TrainingSeen):
            if event.running and not was_running:
                self._note(FactKind.STARTED, job, placement)
            elif not event.running and self.run.now - _launched_at(job) > LATE:
                self._note(FactKind.PENDING, job, placement)
        elif isinstance(event, TrainingEnded):
            failure = event.failure
            if failure is not None and failure.failure_class in _LOSSES:
                self._note(FactKind.LOST, job, placement, failure=failure)
                return
            if event.started_at is not None and not was_running:
                self._note(FactKind.STARTED, job, placement, over=True)
            self._note(FactKind.ENDED, job, placement)

    def _note(
        self,
        kind: FactKind,
        job: Job,
        placement: Placement,
        *,
        bet: bool = False,
        over: bool = False,
        failure: Failure | None = None,
    ) -> None:
        fact = PoolFact(
            job_id=job.job_id,
            attempt=job.attempt_number,
            count=placement.count,
            launched_at=_launched_at(job),
            kind=kind,
            bet=bet,
            over=over,
            failure=failure,
        )
        self.facts.setdefault(placement.pool, []).append(fact)
        self.teaches |= bet or failure is not None

    def save(self) -> None:
        """Learn, with what is in use now, and save what is new; call it after the jobs are saved."""
        if not self.facts:
            return
        store, known = self.run.store, self.run.store.pools()
        if not self.teaches and not any(pool in known for pool in self.facts):
            return
        usage = store.usage()
        for pool, facts in self.facts.items():
            state = known.get(pool)
            if state is None:
                if not any(f.bet or f.failure is not None for f in facts):
                    continue
                state = PoolState(name=pool)
            learned = self.run.settings.scheduler.learn(
                state,
                facts,
                in_flight=sum(u.slots for u in usage if u.pool == pool),
                running=sum(u.running for u in usage if u.pool == pool),
                now=self.run.now,
                limits=self.run.settings.limits,
            )
            if learned is not state:
                # Lost to another tick: it has learned the same, and the next answer teaches again.
                store.save_pool(learned)


_LOSSES = (FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.SPOT_INTERRUPTED)


def _launched_at(job: Job) -> datetime:
    current = job.current
    return current.launching_at if current is not None else job.state.since
