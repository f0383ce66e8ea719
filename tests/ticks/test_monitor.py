"""The monitor tick, call by call: what it looks at, which clocks count, and what it stops."""

from __future__ import annotations

from dataclasses import replace

from core_strategies import T0, accepted, decided, make_job
from jobcore import (
    Clocks,
    Status,
    Unavailable,
)
from jobcore.ports import (
    Evidence,
    TrainingState,
)
from ticks_world import MINUTE, RUN, SECOND, STOP, World, counted, looked_at


def test_a_look_moves_the_job_and_a_second_one_writes_nothing():
    world = World()
    report = looked_at(world, world.training(detail="Training", started_at=T0 + SECOND))
    job = world.get()
    assert (job.status, job.state.detail) == (Status.IN_PROGRESS, "Training")
    assert job.current.started_at == T0 + SECOND
    assert (report.looked_at, report.changed) == (1, 1)
    again = world.monitor()
    assert (again.looked_at, again.changed, world.get()) == (1, 0, job)


def test_a_training_that_is_gone_is_missed_and_one_that_was_not_read_is_not():
    world = World()
    assert looked_at(world, None).changed == 1
    assert world.get().state.missing_since == T0 + MINUTE
    world = World()
    world.put(0, decided(), accepted())
    assert world.monitor().changed == 0


def test_where_the_trainer_is_away_the_clocks_still_count():
    world = World(2, jobs=[make_job("0"), make_job("1", clocks=Clocks(finish_by=T0 + MINUTE))])
    for number in range(2):
        world.put(number, decided(), accepted())
    world.trainer.broken["describe"] = Unavailable("away")
    world.clock.advance(MINUTE)
    report = world.monitor()
    assert (report.troubles, world.troubles) == (1, [("", "Unavailable: away")])
    assert world.states() == ["Launched", "Stopping"]
    assert (world.trainer.stopped, report.stopped) == ([world.names[1]], 1)


def test_a_waiting_job_whose_time_is_up_ends_without_a_look():
    world = World(jobs=[make_job(clocks=Clocks(wait_at_most=MINUTE))])
    assert world.monitor().looked_at == 0
    world.clock.advance(MINUTE)
    assert world.monitor().looked_at == 1
    assert (world.states(), world.trainer.described) == (["Failed"], [])


def test_a_stop_is_asked_for_until_it_is_so_and_may_fail():
    world = World()
    world.trainer.broken["stop"] = Unavailable("busy")
    report = looked_at(world, world.training(), STOP)
    assert (report.stopped, report.troubles) == (0, 1)
    assert world.troubles == [(world.ids[0], "Unavailable: busy")]
    world.trainer.broken.clear()
    assert world.monitor().stopped == 1
    world.trainer.trainings[world.names[0]] = world.training(
        state=TrainingState.STOPPED,
        evidence=Evidence(where="describe", status="Stopped", text=""),
    )
    report = world.monitor()
    assert (report.stopped, world.states()) == (0, ["Stopped"])


def test_pages_follow_each_other_and_begin_elsewhere_each_minute():
    world = World(5, page=2)
    for number in range(5):
        world.put(number, decided(), accepted())
    world.monitor()
    assert [len(names) for names in world.trainer.described] == [2, 2, 1]
    first = world.trainer.described[0]
    world.trainer.described.clear()
    world.clock.advance(MINUTE)
    world.monitor()
    assert world.trainer.described[-1] == first or world.trainer.described[1] == first
    assert sorted(n for page in world.trainer.described for n in page) == sorted(world.names)


def test_where_there_is_no_time_one_page_is_looked_at():
    times = iter([False])
    world = World(5, page=2, go_on=lambda: next(times))
    for number in range(5):
        world.put(number, decided(), accepted())
    assert world.monitor().looked_at == 2


def test_a_look_at_what_has_not_changed_reads_the_job_and_writes_nothing():
    world = World()
    world.put(0, decided(), accepted(), replace(RUN, detail="x"))
    world.trainer.trainings[world.names[0]] = world.training(detail="x")
    calls = counted(world)
    world.monitor()
    assert calls == ["due 100000", "next_wake", "get"]
