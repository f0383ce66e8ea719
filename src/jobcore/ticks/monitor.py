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

from collections.abc import Mapping, Sequence

from jobcore.lifecycle.clocks import has_clocks
from jobcore.lifecycle.effects import ObserveTraining, StopTraining, Tick, owed
from jobcore.lifecycle.events import Event, TrainingMissing
from jobcore.lifecycle.model import Completed, Failed, Job, Stopping
from jobcore.lifecycle.records import ALL_POOLS, PoolState
from jobcore.ports import Clock, JobStore, Trainer, Training
from jobcore.scheduling.groups import (
    Outcome,
    count_outcomes,
    evaluate_group,
    group_and_owner,
    group_key,
)

from .facts import fact_from, is_ours, stop_training
from .observations import PoolObservations
from .run import _TIME_PASSED, Settings, TickReport, TickRun

__all__ = [
    "monitor_tick",
]

_PAGES_MAX = 100  # of index rows, in one pass


def monitor_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Look at the trainings of active jobs and at clocks that have run out; stop what is to be stopped.

    A training that could not be read leaves its job as it is.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = TickRun(store, settings, clock.now())
    due = store.due(Tick.MONITOR, before=run.now, limit=settings.page * _PAGES_MAX)
    pages = [due[start : start + settings.page] for start in range(0, len(due), settings.page)]
    # A running training stays due: where time is short, the next minute begins with another page.
    first = int(run.now.timestamp() // 60) % len(pages) if pages else 0
    for number, page in enumerate((*pages[first:], *pages[:first])):
        if number and not settings.go_on():
            break
        jobs = run.read([entry.job_id for entry in page])
        run.report.looked_at += len(jobs)
        _observe(run, trainer, jobs)
    return run.report


def _observe(run: TickRun, trainer: Trainer, jobs: Mapping[str, Job]) -> None:
    names = {
        job.job_id: effect.name
        for job in jobs.values()
        for effect in owed(job)
        if isinstance(effect, ObserveTraining)
    }
    trainings: Mapping[str, Training | None] = {}
    if names:
        try:
            trainings = trainer.describe(list(names.values()))
        except Exception as error:
            run.trouble("", error)
    todo: list[tuple[Job, Sequence[Event]]] = []
    learned = PoolObservations(run)
    for job in jobs.values():
        clocks: Sequence[Event] = (_TIME_PASSED,) if has_clocks(job) else ()
        events = clocks
        name, attempt = names.get(job.job_id, ""), job.current
        if attempt is not None and name in trainings:
            training = trainings[name]
            if training is None:
                events = (TrainingMissing(attempt=attempt.number), *clocks)
            elif is_ours(training, job):
                fact = fact_from(training, job, run.settings.rules)
                events = (fact, *clocks)
                learned.note_look(job, attempt.placement, fact)
        todo.append((job, events))
    after = run.apply(todo)
    learned.save()
    _judge_groups(run, jobs, after)
    for job in after:
        # Most owe nothing but the next look; who asks for all that is owed asks for texts.
        for effect in owed(job) if isinstance(job.state, Stopping) else ():
            if isinstance(effect, StopTraining):
                stop_training(run, trainer, job.job_id, effect.name)


def _judge_groups(run: TickRun, before: Mapping[str, Job], after: Sequence[Job]) -> None:
    """Count how jobs of groups have ended, and pause a group whose jobs all fail alike."""
    first = run.settings.limits.group_breaker
    ends: list[Outcome] = [
        (
            group_key(job.spec.group, job.spec.owner),
            job.state.failure if isinstance(job.state, Failed) else None,
        )
        for job in after
        if job.spec.group is not None
        and isinstance(job.state, Failed | Completed)
        and not before[job.job_id].status.is_terminal
    ]
    if not first or not ends:
        return
    for _ in range(3):  # lost to another tick: it has written other ends
        state = run.store.pools().get(ALL_POOLS) or PoolState(name=ALL_POOLS)
        counted, judged = count_outcomes(state, ends, first=first, now=run.now)
        for key in judged:
            group, owner = group_and_owner(key)
            counted = evaluate_group(counted, key, run.store.counts(group=group, owner=owner))
        if counted is state or run.store.save_pool(counted):
            return
