"""
The monitor tick: observe the trainings of active jobs, apply deadlines, send stops.

For each page of jobs that are due: gather (read the jobs, describe their trainings), decide (turn
descriptions and clocks into events), commit (save the changed jobs, the learned pools and the
tallies of groups), act (stop trainings of jobs that are Stopping).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobcore.errors import Unavailable
from jobcore.lifecycle.clocks import has_clocks
from jobcore.lifecycle.effects import ObserveTraining, StopTraining, Tick, owed, wake_at
from jobcore.lifecycle.events import Event, TimePassed, TrainingMissing
from jobcore.lifecycle.model import Job, Stopping
from jobcore.ports import Clock, JobStore, Trainer, Training

from .facts import fact_from, is_ours, stop_training
from .group_holds import count_ends
from .observations import PoolObservations
from .run import Settings, TickReport, TickRun

__all__ = ["monitor_tick"]

_PAGES_MAX = 100  # of the index, in one tick


def monitor_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Observe the trainings of active jobs, apply deadlines, and send pending stops.

    A training that could not be read leaves its job as it is, and is reported. So is a training
    under a job's name that was not made for the job.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = TickRun(store, settings, clock.now())
    due = store.due(Tick.MONITOR, before=run.now, limit=settings.page * _PAGES_MAX)
    run.report.wake_by(store.next_wake(Tick.MONITOR, after=run.now))
    pages = [due[start : start + settings.page] for start in range(0, len(due), settings.page)]
    # A running training stays due. If a tick has no time for all pages, the tick of the next minute
    # begins with another page.
    first = int(run.now.timestamp() // 60) % len(pages) if pages else 0
    for number, page in enumerate((*pages[first:], *pages[:first])):
        if number and not settings.go_on():
            break
        jobs = run.read([entry.job_id for entry in page])
        run.report.looked_at += len(jobs)
        _monitor(run, trainer, jobs)
    return run.report


def _monitor(run: TickRun, trainer: Trainer, jobs: Mapping[str, Job]) -> None:
    names = _names_to_observe(jobs)
    trainings = _described(run, trainer, names)
    observations = PoolObservations(run)
    todo: list[tuple[Job, Sequence[Event]]] = []
    for job in jobs.values():
        events: list[Event] = []
        name = names.get(job.job_id)
        if name is not None and trainings is not None:
            events += _observed(run, job, name, trainings, observations)
        if has_clocks(job):
            events.append(TimePassed())
        todo.append((job, events))
    after = run.apply(todo)
    observations.save()
    count_ends(run, jobs, after)
    for job in after:
        run.report.wake_by(wake_at(job))
        # Only a job in Stopping requires a stop. Skip the others: owed() builds names not needed here.
        for effect in owed(job) if isinstance(job.state, Stopping) else ():
            if isinstance(effect, StopTraining):
                stop_training(run, trainer, job.job_id, effect.name)


def _names_to_observe(jobs: Mapping[str, Job]) -> dict[str, str]:
    return {
        job.job_id: effect.name
        for job in jobs.values()
        for effect in owed(job)
        if isinstance(effect, ObserveTraining)
    }


def _described(
    run: TickRun, trainer: Trainer, names: Mapping[str, str]
) -> Mapping[str, Training | None] | None:
    """Describe the trainings; None, reported once, if the whole call failed."""
    if not names:
        return {}
    try:
        return trainer.describe(list(names.values()))
    except Exception as error:  # noqa: BLE001  (a failed read changes no job; clocks still count)
        run.trouble("", error)
        return None


def _observed(
    run: TickRun,
    job: Job,
    name: str,
    trainings: Mapping[str, Training | None],
    observations: PoolObservations,
) -> Sequence[Event]:
    """Convert the description of a job's training to events; report it if it is unread or a stranger's."""
    attempt = job.current
    if attempt is None:
        return ()
    if name not in trainings:
        run.trouble(job.job_id, Unavailable(f"the trainer could not read training {name}"))
        return ()
    training = trainings[name]
    if training is None:
        return (TrainingMissing(attempt=attempt.number),)
    if not is_ours(training, job):
        owner = f"job {training.job_id}" if training.job_id else "none of jobcore's jobs"
        what = f"training {name} was not made for this job; its marks name {owner}"
        run.trouble(job.job_id, LookupError(what))
        return ()
    fact = fact_from(training, job, run.settings.rules)
    observations.note_look(job, attempt.placement, fact)
    return (fact,)
