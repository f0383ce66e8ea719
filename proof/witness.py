"""A store that remembers what the real one has acknowledged, so that it can be held against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jobcore
from jobcore import Job
from jobcore.lifecycle import PoolState
from jobcore.ports import Added

__all__ = ["State", "Witness"]


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
    pools: Mapping[str, PoolState]

    def is_in(self, store: jobcore.JobStore, ids: Sequence[str]) -> bool:
        """Tell whether *store* holds just this, of all *ids* that were ever submitted."""
        return store.get(ids) == self.jobs and store.pools() == self.pools


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
            State(self.moment(), 0, {**here.jobs, **new}, here.pools),
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
            State(self.moment(), 0, {**here.jobs, **won}, here.pools),
        )
        assert list(saved) == [won.get(job.job_id) for job in jobs]
        return saved

    def save_pool(self, state: PoolState) -> bool:
        here = self.last
        known = here.pools.get(state.name)
        wins = state.version == (known.version if known is not None else 0)
        new = {state.name: replace(state, version=state.version + 1)} if wins else {}
        done = self._write(
            lambda: self.store.save_pool(state),
            State(self.moment(), 0, here.jobs, {**here.pools, **new}),
        )
        assert done == wins
        return done

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
        ids = list(self.ids)
        perhaps, self.perhaps = self.perhaps, []
        if self.last.is_in(self.store, ids):
            return False
        found = next((state for state in perhaps if state.is_in(self.store, ids)), None)
        assert found is not None, "something acknowledged is lost, or half of a write was applied"
        self.states.append(replace(found, ended=self.moment()))
        return True
