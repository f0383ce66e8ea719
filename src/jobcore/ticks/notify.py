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

from collections.abc import Sequence

from jobcore.lifecycle.effects import Announce, Tick, owed
from jobcore.lifecycle.events import Event, MessagePublished
from jobcore.lifecycle.model import Job
from jobcore.messages import message_for
from jobcore.ports import Clock, Due, JobStore, Notifier

from .run import Settings, TickReport, TickRun

__all__ = [
    "notify_tick",
]


def notify_tick(
    store: JobStore, notifier: Notifier, clock: Clock, settings: Settings
) -> TickReport:
    """
    Publish the messages owed, then clear them: at least once, each with its one event id.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = TickRun(store, settings, clock.now())
    due: Sequence[Due] = store.due(Tick.NOTIFY, before=run.now, limit=settings.page)
    done: list[tuple[Job, Sequence[Event]]] = []
    for job in run.read([entry.job_id for entry in due]).values():
        if not settings.go_on():
            break
        run.report.looked_at += 1
        published: list[Event] = []
        for effect in owed(job):
            if not isinstance(effect, Announce):
                continue
            try:
                notifier.publish(message_for(job, effect.entry))
            except Exception as error:
                run.trouble(job.job_id, error)
                continue
            run.report.published += 1
            published.append(MessagePublished(event_id=effect.entry.event_id))
        if published:
            done.append((job, published))
    run.apply(done)
    return run.report
