"""A suite that no adapter can fail proves nothing: each of these has one bug, and must be found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from conformance.test_adapters import TestMemoryTrainer as _MemorySuite
from jobcore.ports import Added, LaunchReply, LaunchResult, TrainingState
from jobcore_conformance import StoreContract, TrainerContract
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer

LATER = timedelta(days=400)


class OverwritesOnAdd(MemoryStore):
    def add(self, jobs):
        super().add(jobs)
        return [Added.CREATED for _ in jobs]


class SavesBlindly(MemoryStore):
    def save(self, jobs):
        current = self.get([job.job_id for job in jobs])
        return super().save([replace(job, version=current[job.job_id].version) for job in jobs])


class LosesWritesQuietly(MemoryStore):
    def save(self, jobs):
        return [replace(job, version=job.version + 1) for job in jobs]


class ForgetsBackOff(MemoryStore):
    def waiting(self, *, now, depth):
        return super().waiting(now=now + LATER, depth=depth)


class ListsAllWaiting(MemoryStore):
    def waiting(self, *, now, depth):
        return super().waiting(now=now, depth=1000)


class DueTooEarly(MemoryStore):
    def due(self, tick, *, before, limit):
        return super().due(tick, before=before + LATER, limit=limit)


class DueUnbounded(MemoryStore):
    def due(self, tick, *, before, limit):
        return super().due(tick, before=before, limit=1000)


class NoUsage(MemoryStore):
    def usage(self):
        return []


class OldestFirst(MemoryStore):
    def find(self, query):
        page = super().find(query)
        return replace(page, jobs=tuple(reversed(page.jobs)))


class NoCursor(MemoryStore):
    def find(self, query):
        return replace(super().find(query), cursor=None)


class IgnoresFilters(MemoryStore):
    def find(self, query):
        return super().find(replace(query, owner=None))


class PoolsBlindly(MemoryStore):
    def save_pool(self, state):
        known = self.pools().get(state.name)
        return super().save_pool(replace(state, version=known.version if known else 0))


class NamesAgain(MemoryTrainer):
    def _launch(self, request):
        self._entries.pop(request.name, None)
        return super()._launch(request)


class AnswersInAnotherOrder(MemoryTrainer):
    def launch(self, requests):
        return super().launch(requests)[::-1]


class NothingIsFailed(MemoryTrainer):
    def describe(self, names):
        return {n: t for n, t in super().describe(names).items() if t is not None}


class StopsNothing(MemoryTrainer):
    def stop(self, name):
        pass


class ForgetsWhose(MemoryTrainer):
    def describe(self, names):
        found = super().describe(names)
        return {n: t and replace(t, spec_hash=None) for n, t in found.items()}


class NeverFull(MemoryTrainer):
    def _launch(self, request):
        self.slots["cpu"] += 1
        reply = super()._launch(request)
        self.slots["cpu"] -= 1
        return reply


class SaysNotWhy(MemoryTrainer):
    def _launch(self, request):
        reply = super()._launch(request)
        return LaunchReply(LaunchResult.UNCLEAR) if reply.result == "refused" else reply


class ListsTheDead(MemoryTrainer):
    def running(self):
        return iter(self._describe(name) for name in sorted(self._entries))


class StoppedIsFailed(MemoryTrainer):
    def describe(self, names):
        return {
            n: replace(t, state=TrainingState.FAILED)
            if t is not None and t.state is TrainingState.STOPPED
            else t
            for n, t in super().describe(names).items()
        }


def failures(suite) -> list[str]:
    """Run every test of a suite; name those that fail."""
    failed = []
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except Exception:
                failed.append(name)
    return failed


STORES = [
    OverwritesOnAdd, SavesBlindly, LosesWritesQuietly, ForgetsBackOff, ListsAllWaiting, DueTooEarly,
    DueUnbounded, NoUsage, OldestFirst, NoCursor, IgnoresFilters, PoolsBlindly,
]  # fmt: skip
TRAINERS = [
    NamesAgain, AnswersInAnotherOrder, NothingIsFailed, StopsNothing, ForgetsWhose, NeverFull, SaysNotWhy, ListsTheDead,
    StoppedIsFailed,
]  # fmt: skip


@pytest.mark.parametrize("broken", STORES)
def test_a_broken_store_fails_the_suite(broken) -> None:
    class Suite(StoreContract):
        def make_store(self):
            return broken()

    assert failures(Suite())


@pytest.mark.parametrize("broken", TRAINERS)
def test_a_broken_trainer_fails_the_suite(broken) -> None:
    class Suite(_MemorySuite):
        def make_trainer(self):
            self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
            return broken(clock=self.clock, slots={"cpu": 2})

    assert issubclass(Suite, TrainerContract)
    assert failures(Suite())


def test_the_suites_pass_where_nothing_is_broken() -> None:
    class Suite(StoreContract):
        def make_store(self):
            return MemoryStore()

    assert failures(Suite()) == []
    assert failures(_MemorySuite()) == []
