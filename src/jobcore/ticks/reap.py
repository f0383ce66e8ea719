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

from jobcore.lifecycle.model import Held
from jobcore.lifecycle.names import parse_training_name
from jobcore.ports import Clock, JobStore, Trainer

from .facts import adoption_facts, is_ours, stop_training
from .run import Settings, TickReport, TickRun

__all__ = [
    "reap_tick",
]


def reap_tick(store: JobStore, trainer: Trainer, clock: Clock, settings: Settings) -> TickReport:
    """
    Stop trainings of ours that no job wants: the second net under the launch tick.

    A training whose job is not in the store is reported and left alone (the store may
    have been restored from a backup). A training of the attempt that its job is at, or
    is about to launch, is never touched; if its job is held, the job adopts it, since
    nobody else would look at it until a release.

    Raises:
        Unavailable: the store could not be read, or the trainer could not list its trainings.
    """
    run = TickRun(store, settings, clock.now())
    for training in trainer.running():
        name = parse_training_name(training.name)
        if name is None or training.job_id != name.job_id:
            continue
        run.report.looked_at += 1
        job = run.read([name.job_id]).get(name.job_id)
        if job is None:
            run.trouble(name.job_id, LookupError(f"training {training.name} has no job here"))
        elif job.status.is_terminal or name.attempt < job.attempt_number:
            stop_training(run, trainer, job.job_id, training.name)
        elif isinstance(job.state, Held) and is_ours(training, job):
            # Held because one call was refused, while another for the same name was not. Which
            # placement that one was for is not known any more.
            events = adoption_facts(training, job, job.spec.placements[0], run.settings.rules)
            try:
                run.apply([(job, events)])
            except Exception as error:
                run.trouble(job.job_id, error)
    return run.report
