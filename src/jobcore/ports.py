"""
The four ports, and the values that cross them (`jobcore.port_values`).

A port is an interface through which the ticks use a service. Each has a conformance suite
(`jobcore_conformance`) that every adapter passes, the shipped fakes included.

Two errors cross a port, both for reads and writes that did not take place:
`jobcore.errors.Unavailable` (the outcome is unknown; try again later) and
`jobcore.errors.CorruptRecord` (one stored job cannot be read; the others can).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from jobcore.lifecycle.effects import Tick
from jobcore.lifecycle.model import Job, Status
from jobcore.lifecycle.records import GroupKey, GroupTally, PoolState, ShareUsage

from .port_values import (
    Added,
    Due,
    Evidence,
    JobQuery,
    LaunchReply,
    LaunchRequest,
    LaunchResult,
    Message,
    NextStep,
    Page,
    Training,
    TrainingState,
    Usage,
    Waiting,
    order_key,
    usage_of,
    waiting_of,
)

__all__ = [
    "Added", "Clock", "Due", "Evidence", "JobQuery", "JobStore", "LaunchReply", "LaunchRequest",
    "LaunchResult", "Message", "NextStep", "Notifier", "Page", "Trainer", "Training",
    "TrainingState", "Usage", "Waiting", "order_key", "usage_of", "waiting_of",
]  # fmt: skip


class JobStore(Protocol):
    """
    The store of jobs. Every write is durable when the call returns.

    Reads of one job are consistent: they see every write that returned before.
    `due`, `waiting`, `usage`, `find` and `counts` may lag behind: read a job before deciding about it.
    """

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """
        Register new jobs, each at most once; return the result of each, in order.

        A job whose id is there already is not touched: ``DUPLICATE`` if the stored
        spec is the same, ``CLASH`` if not.

        Raises:
            ValueError: a job cannot be stored as it is; nothing was written.
            Unavailable: none was created or, if the store has no transaction for so many, some
                were: repeating the call completes it.
        """
        ...

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """
        Read jobs, consistently. Ids that do not exist are absent from the answer.

        Raises:
            CorruptRecord: one of the records cannot be read.
            Unavailable: nothing was read.
        """
        ...

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """
        Write each job over the version it was read at (compare and set), in order.

        Returns:
            For each job the saved job, its version one higher, or None if another writer has
            saved it meanwhile (read it again and decide again).

        Raises:
            Unavailable: any of the jobs may have been saved or not.
        """
        ...

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List up to *limit* jobs whose `jobcore.lifecycle.due_at` for *tick* is at or before *before*, oldest first."""
        ...

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """
        List the first *depth* waiting jobs of every lane, in launch order within a lane.

        A lane is the jobs with the same share, priority and placements: if its head cannot start,
        no job of it can. Jobs with a not-before time after *now* are left out.
        """
        ...

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """
        Return the earliest time later than *after* at which time alone gives *tick* work.

        For LAUNCH that is the end of a New job's back-off, for MONITOR the deadline of a New or
        Held job. None if there is none, or if the store would have to read all waiting jobs to find
        it; with such a store, ticks have to be called on a schedule.
        """
        ...

    def usage(self) -> Sequence[Usage]:
        """
        Count the slots of active jobs by (pool, share), `Stopping` included.

        Those of jobs in `InProgress` and `Stopping` count as running.
        """
        ...

    def find(self, query: JobQuery) -> Page:
        """List jobs, newest submission first."""
        ...

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Count jobs by status, of one group or owner if given."""
        ...

    # The store reports a record that cannot be read (as `find` reports a job) and treats it as
    # absent: the other records are read, and a save with version 0 replaces it.

    def pools(self) -> Mapping[str, PoolState]:
        """Read the state of each pool that has one."""
        ...

    def save_pool(self, state: PoolState) -> bool:
        """Write a pool's state over the version it was read at; False if another writer saved it first."""
        ...

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Read the usage of the shares *names*; a share that was never charged is absent."""
        ...

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """
        Write the usage of shares, each over the version it was read at.

        Returns:
            For each, in order, False if another writer saved it first.
        """
        ...

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Read the tallies of groups; a group without counted ends is absent."""
        ...

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """
        Read the tallies whose `GroupTally.pausing` is true. It may lag behind, as indexes do.

        Every launch tick calls it, so it must not read the other tallies.
        """
        ...

    def save_tally(self, tally: GroupTally) -> bool:
        """Write a group's tally over the version it was read at; False if another writer saved it first."""
        ...


class Trainer(Protocol):
    """
    The service that runs trainings: in a cloud, as local processes, or in memory for tests.

    No call raises because of the state of a training; `Unavailable` means that the state is still
    unknown. A name, once used, is never free again.
    """

    def launch(self, requests: Sequence[LaunchRequest]) -> Sequence[LaunchReply]:
        """
        Start trainings under their names; return one reply for each request, in order.

        Never starts a second training of a name. The requests are independent, and an adapter may
        send several at once. A fault of one request is in its reply. If the call raises, the
        outcome of every request is unknown.
        """
        ...

    def describe(self, names: Sequence[str]) -> Mapping[str, Training | None]:
        """
        Read trainings by name; None for a name that the trainer does not have.

        A name that could not be read (because of throttling, say) is absent from the answer.

        Raises:
            Unavailable: nothing could be read.
        """
        ...

    def stop(self, name: str) -> None:
        """
        Request the stop of a training; idempotent, and no error if it is over or unknown.

        The training gets SIGTERM and, after a grace time, SIGKILL. It is stopped
        only when `describe` says so.

        Raises:
            Unavailable: the request may not have arrived.
        """
        ...

    def capacity(self) -> Mapping[str, int | None]:
        """
        Return the pools and their sizes in slots; None for an unknown size.

        Raises:
            Unavailable: the sizes cannot be read now.
        """
        ...

    def running(self) -> Iterable[Training]:
        """
        Walk the trainings launched by jobcore that are not over; only the reap tick calls this.

        Raises:
            Unavailable: the list could not be read to its end.
        """
        ...


class Notifier(Protocol):
    """Publishes messages, at least once each: a consumer drops repetitions by the message's event id."""

    def publish(self, message: Message) -> None:
        """
        Publish a message; on return it is delivered, or stored durably for delivery.

        Raises:
            Unavailable: the message may not have been accepted; it will be sent again.
        """
        ...


class Clock(Protocol):
    """The time, as an aware UTC datetime."""

    def now(self) -> datetime:
        """Return the time."""
        ...
