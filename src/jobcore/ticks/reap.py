"""The reap tick: stop orphans, in case a launch tick died before it could."""

from __future__ import annotations

from jobcore.lifecycle.model import Held
from jobcore.lifecycle.names import TrainingName, parse_training_name
from jobcore.ports import Clock, JobStore, Trainer, Training

from .facts import adoption_facts, is_ours, stop_training
from .run import Settings, TickReport, TickRun

__all__ = ["reap_tick"]


def reap_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Stop orphans: trainings launched by jobcore that no job needs.

    A training whose job is not in the store is reported and keeps running, because the store may
    have been restored from a backup. The training of a job's current or next attempt is never
    stopped; if its job is held, the job adopts it, since no other tick would observe it until a
    release.

    Raises:
        Unavailable: the store could not be read, or the trainer could not list its trainings.
    """
    run = TickRun(store, settings, clock.now())
    for training in trainer.running():
        name = parse_training_name(training.name)
        if name is None or training.job_id != name.job_id:
            continue
        run.report.looked_at += 1
        _reap(run, trainer, training, name)
    return run.report


def _reap(run: TickRun, trainer: Trainer, training: Training, name: TrainingName) -> None:
    job = run.read([name.job_id]).get(name.job_id)
    if job is None:
        run.trouble(name.job_id, LookupError(f"training {training.name} has no job here"))
    elif job.status.is_terminal or name.attempt < job.attempt_number:
        stop_training(run, trainer, job.job_id, training.name)
    elif isinstance(job.state, Held) and is_ours(training, job):
        # Two create calls raced: one was refused (so the job is Held), the other succeeded. Its
        # placement is unknown.
        facts = adoption_facts(training, job, job.spec.placements[0], run.settings.rules)
        try:
            run.apply([(job, facts)])
        except Exception as error:  # noqa: BLE001  (a reaper without write access still stops the others)
            run.trouble(job.job_id, error)
