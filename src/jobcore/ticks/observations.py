"""Launch results and observations of one tick, grouped by pool, from which the scheduler learns."""

from __future__ import annotations

from datetime import datetime

from jobcore.failures.classify import find_quota
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

__all__ = ["PoolObservations"]

_LOSSES = (FailureClass.CAPACITY, FailureClass.QUOTA, FailureClass.SPOT_INTERRUPTED)


class PoolObservations:
    """Launch results and observations of one tick, grouped by pool; saved once per pool."""

    def __init__(self, run: TickRun) -> None:
        self._run = run
        self._facts: dict[str, list[PoolFact]] = {}

    def note_launch(self, job: Job, placement: Placement, event: Event, *, bet: bool) -> None:
        """Note the answer to a launch; *bet*: it was speculative."""
        if isinstance(event, LaunchAccepted):
            self._note(FactKind.ACCEPTED, job, placement, bet=bet)
        elif isinstance(event, LaunchRefused) and event.failure.scope is Scope.POOL:
            self._note(FactKind.REFUSED, job, placement, failure=event.failure)

    def note_look(self, job: Job, placement: Placement, event: Event) -> None:
        """Note an observation of the training of *job*; *job* is the state before it."""
        was_running = isinstance(job.state, InProgress)
        if isinstance(event, TrainingSeen):
            if event.running and not was_running:
                self._note(FactKind.STARTED, job, placement)
            elif not event.running and self._run.now - _launched_at(job) > LATE:
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
        quota = None
        if failure is not None and failure.failure_class is FailureClass.QUOTA:
            quota = find_quota(failure.text, self._run.settings.rules)
        fact = PoolFact(
            job_id=job.job_id,
            attempt=job.attempt_number,
            count=placement.count,
            launched_at=_launched_at(job),
            kind=kind,
            bet=bet,
            over=over,
            failure=failure,
            quota=quota,
        )
        self._facts.setdefault(placement.pool, []).append(fact)

    def save(self) -> None:
        """Learn from the facts and save the states that changed; call it after the jobs are saved."""
        if not self._facts:
            return
        store = self._run.store
        known = store.pools()
        learning = {
            pool: facts
            for pool, facts in self._facts.items()
            # For a pool without a record, only a bet or a failure is worth creating one.
            if pool in known or any(f.bet or f.failure is not None for f in facts)
        }
        if not learning:
            return
        usage = store.usage()
        for pool, facts in learning.items():
            state = known.get(pool) or PoolState(name=pool)
            learned = self._run.settings.scheduler.learn(
                state,
                facts,
                in_flight=sum(u.slots for u in usage if u.pool == pool),
                running=sum(u.running for u in usage if u.pool == pool),
                now=self._run.now,
                limits=self._run.settings.limits,
            )
            if learned is not state:
                # If another tick saved first, these facts are lost; later results have the same effect.
                store.save_pool(learned)


def _launched_at(job: Job) -> datetime:
    current = job.current
    return current.launching_at if current is not None else job.state.since
