"""A job that cannot be read, or that makes the trainer raise, takes no room from others, in a shortage neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import jobcore
from jobcore import CorruptRecord, Status
from jobcore.ports import Evidence
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHORT = Evidence(
    where="create", error_code="CapacityError", text="CapacityError: Unable to provision"
)


class RaisingTrainer(MemoryTrainer):
    raises = ""

    def launch(self, requests):
        if any(request.job_id == self.raises for request in requests):
            raise ValueError("args: not what the trainer expected")
        return super().launch(requests)


class World:
    def __init__(self, jobs=4):
        self.clock, self.store = ManualClock(NOW), MemoryStore()
        self.trainer = RaisingTrainer(clock=self.clock, slots={"cpu": 4})
        place = (jobcore.Placement("cpu"),)
        specs = [jobcore.Spec(name=f"j{n}", owner="t", placements=place) for n in range(jobs)]
        self.ids = [jobcore.job_id_from_token("t", str(n)) for n in range(jobs)]
        jobcore.submit(specs, self.ids, store=self.store, now=NOW)

    def minutes(self, count):
        settings = jobcore.Settings(rules=failure_rules())
        for _ in range(count):
            jobcore.launch_tick(self.store, self.trainer, self.clock, settings)
            self.clock.advance(timedelta(minutes=1))
            jobcore.monitor_tick(self.store, self.trainer, self.clock, settings)

    def status(self, job_id):
        return self.store.get([job_id])[job_id].status


@pytest.mark.parametrize("poisoned", [1, 3])
def test_jobs_that_cannot_be_read_do_not_get_the_one_probe_of_a_closed_pool(poisoned) -> None:
    world = World(jobs=poisoned + 2)
    world.trainer.trouble = [SHORT]
    world.minutes(1)
    first = world.ids[:poisoned]
    world.store.get = lambda ids: _without(world.store, first, ids)
    world.minutes(30)
    assert [world.status(job_id) for job_id in world.ids[poisoned:]] == [Status.COMPLETED] * 2


def _without(store, corrupt, job_ids):
    for job_id in corrupt:
        if job_id in job_ids:
            raise CorruptRecord(job_id, "it is not JSON")
    return MemoryStore.get(store, job_ids)


def test_a_launch_that_is_never_answered_does_not_close_a_pool_for_ever() -> None:
    world = World()
    world.trainer.raises = world.ids[0]
    world.trainer.trouble = [SHORT]
    world.minutes(90)
    assert [world.status(job_id) for job_id in world.ids[1:]] == [Status.COMPLETED] * 3
    assert world.status(world.ids[0]) is Status.LAUNCHING


def test_what_was_not_answered_for_an_hour_leaves_room_for_a_large_job_too() -> None:
    state = jobcore.lifecycle.PoolState(
        name="cpu", bets=1, growth=0, rounds=1, refusals=1, bet_at=NOW, refused_at=NOW
    )

    def may(minutes):
        now = NOW + timedelta(minutes=minutes)
        return jobcore.scheduling.allowance(
            state, size=None, in_flight=1, running=0, waiting=1, now=now
        )

    assert (may(30).bets, may(30).oversize) == (0, False)
    assert (may(61).bets, may(61).oversize) == (1, True)
