"""The ports of a run with an observer between them and the ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobcore import Job, JobStore, Limits, Notifier, Snapshot, Trainer
from jobcore.lifecycle import PoolState
from jobcore.ports import Added, LaunchReply, LaunchRequest, LaunchResult, Message, Training
from jobcore.scheduling import Plan, PoolFact, Scheduler

from ._observer import Observer

__all__ = ["WatchedNotifier", "WatchedScheduler", "WatchedStore", "WatchedTrainer"]

_UNWATCHED = (
    "get", "due", "waiting", "next_wake", "usage", "find", "counts", "pools", "save_pool", "shares",
    "save_shares", "tallies", "tallies_to_pause", "save_tally",
)  # fmt: skip


class _Watched:
    """A port whose methods in *unwatched* are the base's own bound methods."""

    def __init__(self, observer: Observer, base: Any, unwatched: tuple[str, ...]) -> None:
        self.observer = observer
        self.base = base
        for name in unwatched:
            setattr(self, name, getattr(base, name))


class WatchedStore(_Watched):
    """A store whose writes are watched."""

    def __init__(self, observer: Observer, base: JobStore) -> None:
        super().__init__(observer, base, _UNWATCHED)

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Register jobs."""
        replies: Sequence[Added] = self.base.add(jobs)
        for job, reply in zip(jobs, replies, strict=True):
            if reply is Added.CREATED:
                self.observer.on_added(job)
        return replies

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """Write jobs."""
        saved: Sequence[Job | None] = self.base.save(jobs)
        for job, stored in zip(jobs, saved, strict=True):
            if stored is not None:
                self.observer.on_saved(job, stored)
        return saved


class WatchedTrainer(_Watched):
    """A trainer whose creates, descriptions and stops are watched."""

    def __init__(self, observer: Observer, base: Trainer) -> None:
        super().__init__(observer, base, ("capacity", "running"))

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """Create trainings."""
        replies: Sequence[LaunchReply] = self.base.launch(requests)
        for request, reply in zip(requests, replies, strict=True):
            if reply.result is LaunchResult.ACCEPTED:
                self.observer.on_created(request)
        return replies

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """Read trainings."""
        found: Mapping[str, Training | None] = self.base.describe(names)
        for training in found.values():
            if training is not None:
                self.observer.on_described(training)
        return found

    def stop(self, name: str) -> None:
        """Stop a training."""
        self.observer.on_stop(name)
        self.base.stop(name)


class WatchedNotifier(_Watched):
    """A notifier whose messages are watched."""

    def __init__(self, observer: Observer, base: Notifier) -> None:
        super().__init__(observer, base, ())

    def publish(self, message: Message) -> None:
        """Publish a message."""
        self.base.publish(message)
        self.observer.on_published(message)


class WatchedScheduler(_Watched):
    """A scheduler whose plans are watched."""

    def __init__(self, observer: Observer, base: Scheduler) -> None:
        super().__init__(observer, base, ())

    def plan(self, snapshot: Snapshot, limits: Limits, *, now: datetime) -> Plan:
        """Choose launches."""
        plan: Plan = self.base.plan(snapshot, limits, now=now)
        self.observer.on_planned(snapshot, limits, plan, now)
        return plan

    def learn(
        self,
        state: PoolState,
        facts: Sequence[PoolFact],
        *,
        in_flight: int,
        running: int,
        now: datetime,
        limits: Limits,
    ) -> PoolState:
        """Update a pool's state."""
        learned: PoolState = self.base.learn(
            state, facts, in_flight=in_flight, running=running, now=now, limits=limits
        )
        return learned
