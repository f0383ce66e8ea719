"""The reap tick stops only trainings that no job wants."""

from __future__ import annotations

from dataclasses import replace

from core_strategies import accepted, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    reap_tick,
)
from jobcore.lifecycle import (
    training_name,
)
from jobcore.ports import (
    Training,
    TrainingState,
)
from ticks_world import STOP, World


def reap(world, *listed):
    world.trainer.listed = listed
    return reap_tick(world.store, world.trainer, world.clock, world.settings)


def test_only_what_no_job_wants_is_stopped():
    world = World(4, jobs=[make_job(str(n)) for n in range(4)])
    world.put(0, decided(), accepted())
    world.put(1, STOP)
    world.put(2, decided(), accepted(), ended(failure=make_failure(FailureClass.ALGORITHM)))
    ours = [world.training(number) for number in range(4)]
    report = reap(world, *ours)
    assert world.trainer.stopped == [world.names[1], world.names[2]]
    assert (report.stopped, report.looked_at, report.troubles) == (2, 4, 0)


def test_what_is_not_ours_is_not_looked_at_and_what_has_no_job_is_reported():
    world = World()
    strangers = [
        Training(name="theirs", state=TrainingState.RUNNING, job_id="x"),
        world.training(job_id="another"),
    ]
    lost = training_name("0" * 26, 1)
    unknown = Training(name=lost, state=TrainingState.RUNNING, job_id="0" * 26)
    report = reap(world, *strangers, unknown)
    assert (report.looked_at, report.stopped, report.troubles) == (1, 0, 1)
    assert world.troubles == [("0" * 26, f"LookupError: training {lost} has no job here")]


def test_a_training_ahead_of_its_job_is_left_alone():
    """The job may have been restored from a backup; it will come to that attempt."""
    world = World()
    name = training_name(world.ids[0], 2)
    report = reap(world, replace(world.training(), name=name, attempt=2))
    assert (report.looked_at, report.stopped) == (1, 0)
