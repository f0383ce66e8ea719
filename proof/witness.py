"""A store that remembers what the real one has acknowledged, so that it can be held against it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jobcore
from jobcore import Job
from jobcore.lifecycle import GroupKey, GroupTally, PoolState, ShareUsage
from jobcore.ports import Added

__all__ = ["Record", "RecordKey", "State", "Witness", "read_records"]

#: A record beside jobs, and what names it: its kind, and its name or names.
Record = PoolState | ShareUsage | GroupTally
RecordKey = tuple[str, ...]


def key_of(record: Record) -> RecordKey:
    """Name a record."""
    match record:
        case PoolState():
            return ("pool", record.name)
        case ShareUsage():
            return ("share", record.share)
        case GroupTally():
            return ("group", *record.key)


def read_records(
    store: jobcore.JobStore, keys: Collection[RecordKey]
) -> Mapping[RecordKey, Record]:
    """Read all pools of a store, and the shares and groups among *keys*."""
    groups = [GroupKey(*key[1:]) for key in keys if key[0] == "group"]
    found: list[Record] = [*store.pools().values()]
    found += store.shares([key[1] for key in keys if key[0] == "share"]).values()
    found += store.tallies(groups).values()
    return {key_of(record): record for record in found}


@dataclass(frozen=True, slots=True)
class State:
    """
    What a store holds after a write.

    Args:
        begun, ended: when the write was asked for and when it was acknowledged, in *moment*'s unit.
    """

    begun: int
    ended: int
    jobs: Mapping[str, Job]
    records: Mapping[RecordKey, Record]

    def is_in(
        self, store: jobcore.JobStore, ids: Sequence[str], keys: Collection[RecordKey]
    ) -> bool:
        """Tell whether *store* holds just this, of all *ids* and *keys* that were ever written."""
        return store.get(ids) == self.jobs and read_records(store, keys) == self.records


class Witness:
    """
    Passes every call to a `jobcore.JobStore`, and keeps the *states* that it acknowledged.

    What a write that raised `jobcore.Unavailable` would have made of the last state is kept in
    *perhaps*: it may have taken effect as a whole, or not at all.

    Args:
        store: the store; it may be replaced by another one on the same file.
        moment: what time it is, such as the number of changes that the disk was asked for.
        before: what the store holds.
    """

    def __init__(
        self,
        store: jobcore.JobStore,
        moment: Callable[[], int] = lambda: 0,
        before: State | None = None,
    ) -> None:
        self.store = store
        self.moment = moment
        self.states = [replace(before or State(0, 0, {}, {}), begun=0, ended=0)]
        self.perhaps: list[State] = []
        self.ids = dict.fromkeys(self.states[0].jobs)
        self.keys = dict.fromkeys(self.states[0].records)

    @property
    def last(self) -> State:
        """What was acknowledged last."""
        return self.states[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def add(self, jobs: Sequence[Job]) -> Sequence[Added]:
        self.ids.update(dict.fromkeys(job.job_id for job in jobs))
        here = self.last
        new = {job.job_id: job for job in jobs if job.job_id not in here.jobs}
        added = self._write(
            lambda: self.store.add(jobs),
            State(self.moment(), 0, {**here.jobs, **new}, here.records),
        )
        assert [a is Added.CREATED for a in added] == [job.job_id in new for job in jobs]
        return added

    def save(self, jobs: Sequence[Job]) -> Sequence[Job | None]:
        here = self.last
        won = {
            job.job_id: replace(job, version=job.version + 1)
            for job in jobs
            if here.jobs[job.job_id].version == job.version
        }
        saved = self._write(
            lambda: self.store.save(jobs),
            State(self.moment(), 0, {**here.jobs, **won}, here.records),
        )
        assert list(saved) == [won.get(job.job_id) for job in jobs]
        return saved

    def save_pool(self, state: PoolState) -> bool:
        return self._save([state], lambda: [self.store.save_pool(state)])[0]

    def save_shares(self, usages: Sequence[ShareUsage]) -> Sequence[bool]:
        return self._save(usages, lambda: self.store.save_shares(usages))

    def save_tally(self, tally: GroupTally) -> bool:
        return self._save([tally], lambda: [self.store.save_tally(tally)])[0]

    def _save(
        self, records: Sequence[Record], call: Callable[[], Sequence[bool]]
    ) -> Sequence[bool]:
        here = self.last
        won: dict[RecordKey, Record] = {}
        expected = []
        for record in records:
            key = key_of(record)
            known = here.records.get(key)
            expected.append(record.version == (known.version if known is not None else 0))
            if expected[-1]:
                won[key] = replace(record, version=record.version + 1)
        self.keys.update(dict.fromkeys(won))
        done = self._write(call, State(self.moment(), 0, here.jobs, {**here.records, **won}))
        assert list(done) == expected
        return expected

    def _write(self, call: Callable[[], Any], after: State) -> Any:
        try:
            answer = call()
        except jobcore.Unavailable:
            self.perhaps.append(after)
            raise
        self.states.append(replace(after, ended=self.moment()))
        return answer

    def settle(self) -> bool:
        """
        Find out whether what raised took effect; call it when the store answers again.

        Returns:
            Whether it had.

        Raises:
            AssertionError: the store holds neither the last state nor one that may follow it.
        """
        if not self.perhaps:
            return False
        ids, keys = list(self.ids), list(self.keys)
        perhaps, self.perhaps = self.perhaps, []
        if self.last.is_in(self.store, ids, keys):
            return False
        found = next((state for state in perhaps if state.is_in(self.store, ids, keys)), None)
        assert found is not None, "something acknowledged is lost, or half of a write was applied"
        self.states.append(replace(found, ended=self.moment()))
        return True
