"""The production ticks over days: an old backlog shuts out no other share, and a stream no priority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jobcore
from jobcore.lifecycle import training_name
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, STEP = timedelta(hours=1), timedelta(minutes=5)
JOB = Script(runs=HOUR)


class World:
    """One pool; every job runs for an hour; a tick of each kind every five minutes."""

    def __init__(self, slots, **limits):
        self.clock, self.store = ManualClock(NOW), MemoryStore()
        self.trainer = MemoryTrainer(clock=self.clock, slots={"gpu": slots})
        self.settings = jobcore.Settings(limits=jobcore.Limits(**limits))
        self.submitted = 0

    def submit(self, owner, count=1, *, priority=0):
        ids = [
            jobcore.job_id_from_token(owner, str(self.submitted + number))
            for number in range(count)
        ]
        place = (jobcore.Placement("gpu"),)
        spec = jobcore.Spec(name="n", owner=owner, placements=place, priority=priority)
        jobcore.submit([spec] * count, ids, store=self.store, now=self.clock.now())
        self.trainer.scripts |= {training_name(job_id, 1): JOB for job_id in ids}
        self.submitted += count
        return ids

    def tick(self):
        jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)
        jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)
        self.clock.advance(STEP)

    def run(self, duration):
        until = self.clock.now() + duration
        while self.clock.now() < until:
            self.tick()

    def waited(self, job_id, at_most):
        """Run until the job has started; return how long it waited, at most *at_most*."""
        while True:
            job = self.store.get([job_id])[job_id]
            if job.current is not None:
                return job.current.launching_at - job.submitted_at
            if self.clock.now() - job.submitted_at > at_most:
                return self.clock.now() - job.submitted_at
            self.tick()


def test_a_newcomer_beside_a_backlog_of_days_starts_within_one_job_length():
    """Age comes after the shares' loads: 530 jobs that have waited for 7 hours do not go before one."""
    world = World(slots=10)
    world.submit("ada", 600)
    world.run(7 * HOUR + STEP)
    (job_id,) = world.submit("bob")
    assert world.waited(job_id, at_most=10 * HOUR) <= HOUR


def test_a_second_share_gets_half_of_the_slots_that_become_free():
    world = World(slots=10)
    world.submit("ada", 600)
    world.run(7 * HOUR + STEP)
    ids = world.submit("bob", 100)
    world.run(3 * HOUR)
    started = [job for job in world.store.get(ids).values() if job.attempts or job.current]
    assert 15 <= len(started) < 30, "of 30 in three hours"


def test_a_stream_of_a_higher_priority_does_not_starve_a_job_of_another_share():
    """Age lifts a job by one priority in six hours, up to the highest that waits: from 0 to 3 in 18."""
    world = World(slots=1)
    world.submit("ada", 3, priority=3)
    (job_id,) = world.submit("bob")
    for _ in range(30):
        world.run(HOUR)
        world.submit("ada", priority=3)  # there are always some that wait
    job = world.store.get([job_id])[job_id]
    (attempt,) = job.attempts
    waited = attempt.launching_at - job.submitted_at
    assert 18 * HOUR <= waited <= 19 * HOUR


def test_without_aging_priorities_are_strict():
    world = World(slots=1, aging=None)
    world.submit("ada", 3, priority=3)
    (job_id,) = world.submit("bob")
    for _ in range(30):
        world.run(HOUR)
        world.submit("ada", priority=3)
    assert world.store.get([job_id])[job_id].status is jobcore.Status.NEW
