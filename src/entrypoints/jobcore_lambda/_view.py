"""A store for one tick: limited to the jobs of a hint if there is one, and recording delays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobcore import Job, JobStore, Status
    from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage, Tick
    from jobcore.ports import Added, Due, JobQuery, Page, Usage, Waiting

__all__ = ["StoreView"]


class StoreView:
    """
    A `jobcore.JobStore` in front of another.

    Args:
        store: the other store.
        only: ids of the jobs that `due` lists, instead of those in the index.

    Attributes:
        oldest_due: the earliest due time of the jobs that were listed.
        oldest_waiting: the earliest submission of the waiting jobs that were listed.
    """

    def __init__(self, store: JobStore, only: Sequence[str] | None = None) -> None:
        self.store = store
        self.only = only
        self.oldest_due: datetime | None = None
        self.oldest_waiting: datetime | None = None

    def due(self, tick: Tick, *, before: datetime, limit: int) -> Sequence[Due]:
        """List the jobs of the hint, or those of the index."""
        from jobcore import Status
        from jobcore.ports import Due

        if self.only is not None:
            return [Due(job_id, before, Status.NEW, 1) for job_id in self.only[:limit]]
        found = self.store.due(tick, before=before, limit=limit)
        self.oldest_due = min((due.at for due in found), default=None)
        return found

    def waiting(self, *, now: datetime, depth: int) -> Sequence[Waiting]:
        """List the heads of the lanes."""
        found = self.store.waiting(now=now, depth=depth)
        self.oldest_waiting = min((job.submitted_at for job in found), default=None)
        return found

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        """Pass it on."""
        return self.store.add(jobs)

    def get(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        """Pass it on."""
        return self.store.get(job_ids)

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        """Pass it on."""
        return self.store.save(jobs)

    def usage(self) -> Sequence[Usage]:
        """Pass it on."""
        return self.store.usage()

    def find(self, query: JobQuery) -> Page:
        """Pass it on."""
        return self.store.find(query)

    def counts(self, *, group: str | None = None, owner: str | None = None) -> Mapping[Status, int]:
        """Pass it on."""
        return self.store.counts(group=group, owner=owner)

    def pools(self) -> Mapping[str, PoolState]:
        """Pass it on."""
        return self.store.pools()

    def save_pool(self, state: PoolState) -> bool:
        """Pass it on."""
        return self.store.save_pool(state)

    def next_wake(self, tick: Tick, *, after: datetime) -> datetime | None:
        """Pass it on."""
        return self.store.next_wake(tick, after=after)

    def shares(self, names: Collection[str]) -> Mapping[str, ShareUsage]:
        """Pass it on."""
        return self.store.shares(names)

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        """Pass it on."""
        return self.store.save_shares(usages)

    def tallies(self, keys: Collection[GroupKey]) -> Mapping[GroupKey, GroupTally]:
        """Pass it on."""
        return self.store.tallies(keys)

    def tallies_to_pause(self) -> Sequence[GroupTally]:
        """Pass it on."""
        return self.store.tallies_to_pause()

    def save_tally(self, tally: GroupTally) -> bool:
        """Pass it on."""
        return self.store.save_tally(tally)
