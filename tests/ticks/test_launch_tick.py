"""The launch tick: batches, refusals that concern others, and when it has to be called again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import jobcore
from jobcore import Status
from jobcore.lifecycle import FailureClass, Tick
from jobcore.ports import Evidence, JobQuery, LaunchReply, LaunchResult
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHORTAGE = Evidence(where="create", error_code="CapacityError", text="Insufficient capacity")
THROTTLED = Evidence(where="create", error_code="ThrottlingException", text="Rate exceeded")


class Refusing(MemoryTrainer):
    """Refuses the launches into some pools, and remembers what it was asked."""

    def __init__(self, clock, refusals):
        super().__init__(clock=clock, slots={"full": 100, "free": 100})
        self.refusals, self.requested = refusals, []

    def capacity(self):
        return dict.fromkeys(self.slots)  # as a cloud, it does not tell

    def launch(self, requests):
        self.requested += [request.job_id for request in requests]
        return [self._reply(request) for request in requests]

    def _reply(self, request):
        evidence = self.refusals.get(request.placement.pool)
        if evidence is not None:
            return LaunchReply(LaunchResult.REFUSED, evidence)
        return super().launch([request])[0]


class World:
    def __init__(self, refusals, **settings):
        self.clock = ManualClock(NOW)
        self.store = MemoryStore()
        self.trainer = Refusing(self.clock, refusals)
        self.settings = jobcore.Settings(rules=failure_rules(), **settings)

    def submit(self, name, pool, count=1, **spec):
        job_id = jobcore.job_id_from_token("ada", name)
        places = (jobcore.Placement(pool, count),)
        request = jobcore.Spec(name=name, owner="ada", placements=places, **spec)
        jobcore.submit([request], [job_id], store=self.store, now=self.clock.now())
        return job_id

    def launch(self):
        return jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)

    def job(self, job_id):
        return self.store.get([job_id])[job_id]


@pytest.mark.parametrize("together", [1, 3])
def test_a_job_whose_launch_was_not_requested_is_left_as_it_is(together):
    world = World({"full": SHORTAGE}, launches_together=together)
    ids = [world.submit(f"j{n}", "full") for n in range(10)]
    before = {job_id: world.job(job_id) for job_id in ids}
    world.launch()
    assert len(world.trainer.requested) == together
    for job_id in ids:
        if job_id in world.trainer.requested:
            assert world.job(job_id).charges == {FailureClass.CAPACITY: 1}
        else:
            assert world.job(job_id) == before[job_id]


def test_a_refusal_by_one_pool_leaves_launches_into_another_alone():
    world = World({"full": SHORTAGE})
    refused = [world.submit(f"f{n}", "full") for n in range(3)]
    accepted = [world.submit(f"a{n}", "free") for n in range(3)]
    world.launch()
    assert {world.job(i).status for i in accepted} == {Status.LAUNCHED}
    assert len(set(refused) & set(world.trainer.requested)) == 1


def test_a_smaller_job_is_still_requested_after_a_larger_one_was_refused():
    world = World({"full": SHORTAGE})
    large = world.submit("large", "full", count=4, priority=1)
    small = world.submit("small", "full")
    world.launch()
    assert world.trainer.requested == [large, small]


def test_after_a_throttled_request_no_other_is_made_in_the_tick():
    world = World({"full": THROTTLED})
    world.submit("throttled", "full", priority=1)
    others = [world.submit(f"a{n}", "free") for n in range(3)]
    world.launch()
    assert len(world.trainer.requested) == 1
    assert {world.job(i).version for i in others} == {0}
    world.trainer.refusals.clear()
    world.clock.advance(timedelta(minutes=10))
    world.launch()
    assert {world.job(i).status for i in others} == {Status.LAUNCHED}


# --- wake_at ----------------------------------------------------------------------------


def test_nothing_to_wait_for_is_no_time_to_wake():
    world = World({})
    assert world.launch().wake_at is None


def backing_off(world):
    """Submit a job whose first attempt fails with a bug that may be retried; give when it may go on."""
    policy = jobcore.RetryPolicy(budgets={FailureClass.ALGORITHM: 3})
    job_id = world.submit("again", "free", retry=policy)
    world.launch()
    job = world.job(job_id)
    failure = jobcore.Failure(
        failure_class=FailureClass.ALGORITHM,
        scope=jobcore.lifecycle.Scope.JOB,
        retryable=jobcore.lifecycle.Retryable.NO,
        rule="r",
        text="boom",
    )
    ended = jobcore.TrainingEnded(attempt=1, outcome=Status.FAILED, failure=failure)
    (saved,) = world.store.save([jobcore.step(job, ended, now=world.clock.now()).job])
    assert saved.status is Status.NEW
    return saved.state.not_before


def test_the_end_of_a_back_off_is_told_for_as_long_as_it_lasts():
    world = World({})
    until = backing_off(world)
    assert world.launch().wake_at == until
    assert world.launch().wake_at == until, "whichever tick is called"
    world.clock.advance(until - world.clock.now())
    report = world.launch()
    assert (report.launched, report.wake_at) == (1, None)


def test_a_pool_that_closed_is_told():
    world = World({"full": SHORTAGE})
    world.submit("a", "full")
    world.submit("b", "full")
    world.launch()
    (state,) = world.store.pools().values()
    assert world.launch().wake_at == state.closed_until


def test_the_deadline_of_a_waiting_job_is_told_by_the_monitor():
    world = World({"full": SHORTAGE})
    clocks = jobcore.Clocks(wait_at_most=timedelta(hours=3))
    job_id = world.submit("late", "full", clocks=clocks)
    world.submit("later", "full", clocks=jobcore.Clocks(wait_at_most=timedelta(hours=5)))

    def monitor():
        return jobcore.monitor_tick(world.store, world.trainer, world.clock, world.settings)

    assert monitor().wake_at == NOW + timedelta(hours=3)
    world.clock.advance(timedelta(hours=3))
    assert monitor().wake_at == NOW + timedelta(hours=5)
    assert world.job(job_id).status is Status.FAILED


def test_the_deadline_of_a_running_training_is_told_by_the_monitor():
    world = World({})
    world.submit("long", "free", clocks=jobcore.Clocks(finish_by=NOW + timedelta(hours=1)))
    world.launch()
    report = jobcore.monitor_tick(world.store, world.trainer, world.clock, world.settings)
    assert report.wake_at == NOW + timedelta(hours=1)


def test_a_scheduler_that_sleeps_until_wake_at_misses_nothing():
    """A loop that calls the ticks only when they say so brings a job with a back-off to its end."""
    world = World({})
    until = backing_off(world)
    woken = []
    for _ in range(10):
        wakes = [
            world.launch().wake_at,
            jobcore.monitor_tick(world.store, world.trainer, world.clock, world.settings).wake_at,
        ]
        times = [at for at in wakes if at is not None]
        if not times:
            break
        woken.append(min(times))
        world.clock.advance(min(times) - world.clock.now())
    assert woken == [until]
    page = world.store.find(JobQuery())
    assert [job.status for job in page.jobs] == [Status.IN_PROGRESS]
    assert world.store.next_wake(Tick.LAUNCH, after=world.clock.now()) is None


# --- shares -----------------------------------------------------------------------------


def charged(world, *shares):
    return {name: usage.hours for name, usage in world.store.shares(shares).items()}


def test_with_one_share_nothing_is_charged():
    world = World({})
    world.submit("a", "free", share="x")
    world.launch()
    assert charged(world, "x") == {}


def test_a_share_is_charged_for_what_it_launches_and_what_it_runs():
    world = World({})
    for name, share in (("a", "x"), ("b", "y"), ("c", "x")):
        world.submit(name, "free", share=share)
    world.launch()
    assert charged(world, "x", "y") == {"x": 2.0, "y": 1.0}
    jobcore.monitor_tick(world.store, world.trainer, world.clock, world.settings)
    world.clock.advance(timedelta(minutes=5))
    world.submit("d", "free", share="x")
    world.launch()
    versions = {name: usage.version for name, usage in world.store.shares(["x", "y"]).items()}
    assert versions == {"x": 2, "y": 1}, "a share that only runs is charged each quarter of an hour"
    world.clock.advance(timedelta(minutes=10))
    world.submit("e", "free", share="x")
    world.launch()
    assert world.store.shares(["y"])["y"].version == 2
