"""The notify tick: publish the pending messages of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from jobcore.lifecycle.effects import Announce, Tick, owed
from jobcore.lifecycle.events import Event, MessagePublished
from jobcore.lifecycle.model import Job
from jobcore.messages import message_for
from jobcore.ports import Clock, JobStore, Notifier

from .run import Settings, TickReport, TickRun

__all__ = ["notify_tick"]


def notify_tick(
    store: JobStore, notifier: Notifier, clock: Clock, settings: Settings
) -> TickReport:
    """
    Publish the pending messages, then clear them.

    Delivery is at least once; each message has one event id, by which a consumer drops repetitions.

    Raises:
        Unavailable: the store could not be read; nothing was done.
    """
    run = TickRun(store, settings, clock.now())
    due = store.due(Tick.NOTIFY, before=run.now, limit=settings.page)
    done: list[tuple[Job, Sequence[Event]]] = []
    for job in run.read([entry.job_id for entry in due]).values():
        if not settings.go_on():
            break
        run.report.looked_at += 1
        published = _publish(run, notifier, job)
        if published:
            done.append((job, published))
    run.apply(done)
    return run.report


def _publish(run: TickRun, notifier: Notifier, job: Job) -> list[Event]:
    published: list[Event] = []
    for effect in owed(job):
        if not isinstance(effect, Announce):
            continue
        try:
            notifier.publish(message_for(job, effect.entry))
        except Exception as error:  # noqa: BLE001  (one job's trouble never blocks another)
            run.trouble(job.job_id, error)
            continue
        run.report.published += 1
        published.append(MessagePublished(event_id=effect.entry.event_id))
    return published
