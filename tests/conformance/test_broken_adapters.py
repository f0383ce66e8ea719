"""A suite that no adapter can fail proves nothing: each of these has one bug, and must be found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from conformance.test_adapters import TestMemoryStore as _MemoryStoreSuite
from conformance.test_adapters import TestMemoryTrainer as _MemorySuite
from jobcore import CorruptRecord
from jobcore.lifecycle import Tick
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


class RoundsMetrics(MemoryStore):
    def get(self, job_ids):
        return {
            job_id: replace(
                job, metrics=tuple(replace(m, final=round(m.final, 6)) for m in job.metrics)
            )
            for job_id, job in super().get(job_ids).items()
        }


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


class SharesBlindly(MemoryStore):
    def save_shares(self, usages):
        known = self.shares([usage.share for usage in usages])
        return super().save_shares(
            [replace(u, version=known[u.share].version if u.share in known else 0) for u in usages]
        )


class OneConflictSpoilsAllShares(MemoryStore):
    def save_shares(self, usages):
        known = self.shares([usage.share for usage in usages])
        if any((known[u.share].version if u.share in known else 0) != u.version for u in usages):
            return [False for _ in usages]
        return super().save_shares(usages)


class AnswersForSharesInAnotherOrder(MemoryStore):
    def save_shares(self, usages):
        return super().save_shares(usages)[::-1]


class ReadsAllShares(MemoryStore):
    def shares(self, names):
        return super().shares([*names, "ada", "bob", "eve"])


class ForgetsShares(MemoryStore):
    def shares(self, names):
        return {}


class TalliesBlindly(MemoryStore):
    def save_tally(self, tally):
        known = self.tallies([tally.key]).get(tally.key)
        return super().save_tally(replace(tally, version=known.version if known else 0))


class MixesOwnersUp(MemoryStore):
    def save_tally(self, tally):
        return super().save_tally(replace(tally, owner="ada"))


class JoinsKeys(MemoryStore):
    """As a key made of both names, joined by a letter that a name may have, would."""

    def __init__(self, joint, **options):
        super().__init__(**options)
        self.joint = joint
        self.names = {}

    def save_tally(self, tally):
        first = self.names.setdefault(self.joint.join(tally.key), tally.key)
        return super().save_tally(replace(tally, group=first.group, owner=first.owner))


class JoinsKeysByASlash(JoinsKeys):
    def __init__(self, **options):
        super().__init__("/", **options)


class JoinsKeysByALine(JoinsKeys):
    def __init__(self, **options):
        super().__init__("\n", **options)


class PausesNobody(MemoryStore):
    def tallies_to_pause(self):
        return []


class PausesForEver(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self.noted = {}

    def tallies_to_pause(self):
        self.noted |= {tally.key: tally for tally in super().tallies_to_pause()}
        return list(self.noted.values())


class PausesAllThatFail(MemoryStore):
    def save_tally(self, tally):
        return super().save_tally(replace(tally, pausing=tally.pausing or tally.failed > 0))


class NeverWakes(MemoryStore):
    def next_wake(self, tick, *, after):
        return None


class WakesForWhatIsPast(MemoryStore):
    def next_wake(self, tick, *, after):
        return super().next_wake(tick, after=after - LATER)


class WakesAnyTick(MemoryStore):
    def next_wake(self, tick, *, after):
        times = [super(WakesAnyTick, self).next_wake(each, after=after) for each in Tick]
        return min((at for at in times if at is not None), default=None)


class SaysNothingOfDamage(MemoryStore):
    def __init__(self, on_corrupt):
        super().__init__(on_corrupt=lambda error: None)


class SaysItTwice(MemoryStore):
    def __init__(self, on_corrupt):
        super().__init__(on_corrupt=lambda error: [on_corrupt(error) for _ in range(2)])


class TakesAllForJobs(MemoryStore):
    def __init__(self, on_corrupt):
        super().__init__(on_corrupt=lambda error: on_corrupt(CorruptRecord(error.key, error.why)))


class Raises(MemoryStore):
    """A damaged record of one kind stops whoever reads others."""

    KIND = ""

    def __init__(self, on_corrupt):
        super().__init__(on_corrupt=self.report)
        self.on_corrupt = on_corrupt

    def report(self, error):
        if error.kind == self.KIND:
            raise error
        self.on_corrupt(error)


class StoppedByAJob(Raises):
    KIND = "job"


class StoppedByAPool(Raises):
    KIND = "pool"


class StoppedByAShare(Raises):
    KIND = "share"


class StoppedByAGroup(Raises):
    KIND = "group"


class KeepsDamage(MemoryStore):
    """A damaged record still has its version, so that no save fits it."""

    KIND = ""

    def _save_record(self, kind, key, version, document):
        if kind == self.KIND and version == 0 and (kind, key) in self._records:
            return False
        return super()._save_record(kind, key, version, document)


class KeepsADamagedPool(KeepsDamage):
    KIND = "pool"


class KeepsADamagedShare(KeepsDamage):
    KIND = "share"


class KeepsADamagedTally(KeepsDamage):
    KIND = "group"


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


class MeasuresNothing(MemoryTrainer):
    def describe(self, names):
        return {n: t and replace(t, metrics=()) for n, t in super().describe(names).items()}


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
    OverwritesOnAdd, SavesBlindly, LosesWritesQuietly, RoundsMetrics, ForgetsBackOff, ListsAllWaiting, DueTooEarly,
    DueUnbounded, NoUsage, OldestFirst, NoCursor, IgnoresFilters, PoolsBlindly, SharesBlindly,
    OneConflictSpoilsAllShares, AnswersForSharesInAnotherOrder, ReadsAllShares, ForgetsShares,
    TalliesBlindly, MixesOwnersUp, JoinsKeysByASlash, JoinsKeysByALine, PausesNobody, PausesForEver,
    PausesAllThatFail, NeverWakes, WakesForWhatIsPast, WakesAnyTick, SaysNothingOfDamage,
    SaysItTwice, TakesAllForJobs, StoppedByAJob, StoppedByAPool, StoppedByAShare, StoppedByAGroup,
    KeepsADamagedPool, KeepsADamagedShare, KeepsADamagedTally,
]  # fmt: skip
TRAINERS = [
    NamesAgain, AnswersInAnotherOrder, NothingIsFailed, StopsNothing, ForgetsWhose, NeverFull, SaysNotWhy, ListsTheDead,
    StoppedIsFailed, MeasuresNothing,
]  # fmt: skip


@pytest.mark.parametrize("broken", STORES)
def test_a_broken_store_fails_the_suite(broken) -> None:
    class Suite(_MemoryStoreSuite):
        def make_store(self):
            return broken(on_corrupt=self.listener())

    assert issubclass(Suite, StoreContract)
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
    assert failures(_MemoryStoreSuite()) == []
    assert failures(_MemorySuite()) == []
