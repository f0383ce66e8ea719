"""The ticks die at every port call, before and after it took effect; the next ticks finish the work."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

import jobcore
from jobcore import Status
from jobcore.ports import Evidence, LaunchResult, TrainingState
from jobcore_aws import failure_rules
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = jobcore.Settings(launch_lease=timedelta(0), rules=failure_rules())


class Killed(BaseException):
    """The process dies here; nothing may catch it."""


class Dying:
    """A port that dies at the n-th call of all ports together, before or after the call."""

    def __init__(self, port, script):
        self._port, self._script = port, script

    def __getattr__(self, name):
        value = getattr(self._port, name)
        if not callable(value):
            return value

        def call(*args, **kwargs):
            self._script["calls"] += 1
            at = self._script["calls"] == self._script["die_at"]
            if at and self._script["before"]:
                raise Killed
            answer = value(*args, **kwargs)
            if at:
                raise Killed
            return answer

        return call


class World:
    def __init__(self, *, die_at=0, before=False):
        self.clock = ManualClock(NOW)
        self.store, self.notifier = MemoryStore(), RecordingNotifier()
        self.trainer = MemoryTrainer(clock=self.clock, slots={"cpu": 1})
        self.script = {"calls": 0, "die_at": die_at, "before": before}
        self.ids = [jobcore.job_id_from_token("t", str(n)) for n in range(3)]
        policy = jobcore.RetryPolicy(backoff=timedelta(seconds=1), backoff_max=timedelta(seconds=1))
        place = (jobcore.Placement("cpu"),)
        specs = [
            jobcore.Spec(name=f"j{n}", owner="t", placements=place, retry=policy) for n in range(3)
        ]
        jobcore.submit(specs, self.ids, store=self.store, now=NOW)
        self.trainer.scripts = {
            jobcore.lifecycle.training_name(self.ids[0], 1): Script(
                outcome=TrainingState.FAILED, text="InternalServerError: please try again"
            ),
            jobcore.lifecycle.training_name(self.ids[1], 1): Script(
                outcome=TrainingState.FAILED, text="AlgorithmError: boom, exit code: 1"
            ),
        }

    def round(self):
        ports = [Dying(port, self.script) for port in (self.store, self.trainer, self.notifier)]
        store, trainer, notifier = ports
        ticks = (
            lambda: jobcore.monitor_tick(store, trainer, self.clock, SETTINGS),
            lambda: jobcore.launch_tick(store, trainer, self.clock, SETTINGS),
            lambda: jobcore.notify_tick(store, notifier, self.clock, SETTINGS),
            lambda: jobcore.reap_tick(store, trainer, self.clock, SETTINGS),
        )
        for tick in ticks:
            with contextlib.suppress(Killed):
                tick()
            assert self.live_per_job() <= 1
        self.clock.advance(timedelta(seconds=40))

    def live_per_job(self):
        live = [training.job_id for training in self.trainer.running()]
        return max((live.count(job_id) for job_id in live), default=0)

    def run(self, rounds=40):
        for _ in range(rounds):
            self.round()
        return self.store.get(self.ids)

    def check(self):
        jobs = self.run()
        assert [jobs[i].status for i in self.ids] == [
            Status.COMPLETED,
            Status.FAILED,
            Status.COMPLETED,
        ]
        assert [jobs[i].attempt_number for i in self.ids] == [2, 1, 1]
        assert len(self.trainer._entries) == 4  # as many trainings as attempts, none lost
        told = {message.event_id for message in self.notifier.messages}
        assert told == {f"{i}/{jobs[i].attempt_number}/{jobs[i].status}" for i in self.ids}
        assert not any(job.outbox for job in jobs.values())


CALLS = 180  # beyond this the work is over; the test below holds the number against the truth


def test_the_deaths_cover_the_whole_life() -> None:
    """
    A life makes 168 calls in nine rounds.

    Eleven in each round with nothing to do (`tallies_to_pause` and two of `next_wake` among them,
    which ticks did not make before groups had records and reports told when to wake), and 69 for
    the four attempts.
    """
    world = World()
    for _ in range(40):
        if all(job.status.is_terminal for job in world.store.get(world.ids).values()):
            break
        world.round()
    assert world.script["calls"] <= CALLS


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("die_at", range(1, CALLS + 1))
def test_a_death_at_any_call_loses_nothing_and_doubles_nothing(die_at, before) -> None:
    World(die_at=die_at, before=before).check()


def test_an_applied_launch_whose_reply_was_lost_is_adopted() -> None:
    world = World()
    world.trainer.trouble = [LaunchResult.UNCLEAR]
    world.check()


def test_a_throttled_launch_changes_no_attempt_number() -> None:
    world = World()
    world.trainer.trouble = [
        Evidence(where="create", error_code="ThrottlingException", text="Rate exceeded")
    ] * 3
    world.check()


def test_a_read_that_failed_changes_no_job() -> None:
    world = World()
    world.round()
    before = world.store.get(world.ids)
    world.trainer.unavailable = {"describe", "capacity", "running"}
    for _ in range(5):
        jobcore.monitor_tick(world.store, world.trainer, world.clock, SETTINGS)
        jobcore.launch_tick(world.store, world.trainer, world.clock, SETTINGS)
    assert world.store.get(world.ids) == before
    world.trainer.unavailable = set()
    world.check()


def test_a_stop_that_meets_launching_uses_the_name_up() -> None:
    world = World()
    job = world.store.get(world.ids[:1])[world.ids[0]]
    decided = jobcore.LaunchDecided(attempt=1, placement=job.spec.placements[0])
    world.store.save([jobcore.step(job, decided, now=NOW).job])
    jobcore.ticks.apply_request(
        job.job_id, jobcore.StopRequested(by="t"), store=world.store, now=NOW
    )
    jobs = world.run()
    assert jobs[job.job_id].status is Status.STOPPED
    assert world.trainer._describe(job.training_name).state is TrainingState.STOPPED


def test_a_throttled_launch_does_not_use_a_name_up() -> None:
    """The create before may have been applied: who is asked too fast has not looked at the name."""
    world = World()
    job = world.store.get(world.ids[:1])[world.ids[0]]
    decided = jobcore.LaunchDecided(attempt=1, placement=job.spec.placements[0])
    world.store.save([jobcore.step(job, decided, now=NOW).job])
    jobcore.ticks.apply_request(
        job.job_id, jobcore.StopRequested(by="t"), store=world.store, now=NOW
    )
    throttled = Evidence(where="create", error_code="ThrottlingException", text="Rate exceeded")
    world.trainer.trouble = [throttled]
    jobcore.launch_tick(world.store, world.trainer, world.clock, SETTINGS)
    assert not world.trainer.trouble
    assert world.store.get(world.ids)[job.job_id].status is Status.STOPPING
    jobs = world.run()
    assert jobs[job.job_id].status is Status.STOPPED
    assert world.trainer._describe(job.training_name).state is TrainingState.STOPPED


def test_a_refusal_from_before_a_stop_does_not_use_a_name_up() -> None:
    """While the refusal is on its way the job is stopped, and another tick may launch it to use its name up."""
    world = World()
    job = world.store.get(world.ids[:1])[world.ids[0]]
    full = Evidence(where="create", error_code="CapacityError", text="CapacityError: none left")
    world.trainer.trouble = [full]

    class Late:
        """The second write of the tick comes after the user's stop."""

        saves = 0

        def __getattr__(self, name):
            return getattr(world.store, name)

        def save(self, jobs):
            self.saves += 1
            if self.saves == 2:
                stop = jobcore.StopRequested(by="t")
                jobcore.ticks.apply_request(job.job_id, stop, store=world.store, now=NOW)
            return world.store.save(jobs)

    jobcore.launch_tick(Late(), world.trainer, world.clock, SETTINGS)
    assert world.store.get(world.ids)[job.job_id].status is Status.STOPPING
    jobs = world.run()
    assert jobs[job.job_id].status is Status.STOPPED
    assert world.trainer._describe(job.training_name).state is TrainingState.STOPPED


def test_a_stranger_under_our_name_is_left_alone_and_the_job_held() -> None:
    world = World()
    job = world.store.get(world.ids[:1])[world.ids[0]]
    stranger = jobcore.ports.LaunchRequest(
        name=job.training_name,
        job_id=job.job_id,
        attempt=1,
        spec_hash="another",
        placement=jobcore.Placement("cpu"),
        args={},
    )
    world.trainer.slots["cpu"] = 2
    world.trainer.launch([stranger])
    jobs = world.run()
    assert jobs[job.job_id].status is Status.HELD
    # It came to its own end (the one that its script has); nobody stopped it.
    assert world.trainer._describe(job.training_name).state is TrainingState.FAILED


def test_a_held_job_adopts_the_training_that_another_call_has_made() -> None:
    """One launch was refused for good and the job held; another, of the same name, was not."""
    world = World()
    job = world.store.get(world.ids[:1])[world.ids[0]]
    hold = jobcore.HoldRequested(by="t")
    world.store.save([jobcore.step(job, hold, now=NOW).job])
    request = jobcore.ports.LaunchRequest(
        name=job.training_name,
        job_id=job.job_id,
        attempt=1,
        spec_hash=jobcore.lifecycle.spec_hash(job.spec),
        placement=job.spec.placements[0],
        args={},
    )
    world.trainer.launch([request])
    jobcore.reap_tick(world.store, world.trainer, world.clock, SETTINGS)
    adopted = world.store.get([job.job_id])[job.job_id]
    assert adopted.status is Status.IN_PROGRESS or adopted.status is Status.LAUNCHED
    jobs = world.run()
    # That attempt fails by its script; the hold stands before the next one.
    assert jobs[job.job_id].status is Status.HELD
    assert jobs[job.job_id].attempt_number == 2
    assert not [t for t in world.trainer.running() if t.job_id == job.job_id]


def many_running(count: int) -> tuple[MemoryStore, MemoryTrainer, ManualClock]:
    clock, store = ManualClock(NOW), MemoryStore()
    trainer = MemoryTrainer(clock=clock, slots={"cpu": count})
    place = (jobcore.Placement("cpu"),)
    specs = [jobcore.Spec(name=f"j{n}", owner="t", placements=place) for n in range(count)]
    ids = [jobcore.job_id_from_token("many", str(n)) for n in range(count)]
    jobcore.submit(specs, ids, store=store, now=NOW)
    while jobcore.launch_tick(store, trainer, clock, SETTINGS).launched:
        pass
    return store, trainer, clock


def test_every_running_job_is_looked_at_however_many_there_are() -> None:
    store, trainer, clock = many_running(7)
    report = jobcore.monitor_tick(store, trainer, clock, replace(SETTINGS, page=2))
    assert report.looked_at == 7


def test_where_time_is_short_each_minute_begins_elsewhere() -> None:
    store, _, clock = many_running(7)
    seen: set[str] = set()
    trainer = SimpleNamespace(describe=lambda names: seen.update(names) or {})
    hurried = replace(SETTINGS, page=2, go_on=lambda: False)
    for _ in range(4):
        jobcore.monitor_tick(store, trainer, clock, hurried)
        clock.advance(timedelta(minutes=1))
    assert len(seen) == 7
