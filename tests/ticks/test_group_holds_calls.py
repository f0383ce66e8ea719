"""How the group breaker holds jobs and counts ends, call by call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_strategies import T0, accepted, decided, ended, make_failure, make_job
from jobcore import (
    FailureClass,
    Limits,
    Status,
)
from jobcore.failures import Rule, Rules
from jobcore.lifecycle import (
    GroupKey,
    HoldCode,
    Retryable,
)
from jobcore.ports import (
    Due,
    TrainingState,
)
from ticks_world import World, counted, looked_at

G = GroupKey("g", "ada")
FAILED = {"failed": 3, "cause": "x", "reason": "KeyError"}


def pausing_world(*groups, owner="ada", **settings):
    jobs = [make_job(str(n), group=group) for n, group in enumerate(groups)]
    world = World(jobs=jobs, **settings)
    for group in {group for group in groups if group not in (None, "ok")}:
        world.tally((group, owner), **FAILED | {"failed": 5, "pausing": True})
    return world


def told(world):
    return [len(world.get(n).outbox) for n in range(len(world.ids))]


def test_of_each_paused_group_one_job_tells_and_the_others_are_launched():
    world = pausing_world("g", "h", "ok", None, "g")
    report = world.launch()
    assert world.states() == ["Held", "Held", "Launched", "Launched", "Held"]
    assert sorted(told(world)) == [0, 0, 0, 1, 1]
    assert told(world)[1] == 1
    assert report.launched == 2
    assert {world.get(n).state.code for n in (0, 1, 4)} == {HoldCode.GROUP}
    assert world.store.tallies_to_pause() == []


@pytest.mark.parametrize(("owner", "held"), [("ada", True), ("bob", False)])
def test_a_pause_is_for_its_owners_jobs_alone(owner, held):
    """Two people may call their groups the same."""
    world = pausing_world("g", owner=owner)
    assert world.launch().launched == (not held)
    assert world.states() == ["Held" if held else "Launched"]


def test_a_pause_asks_for_pages_that_a_store_can_give():
    world = pausing_world("g", page=2000)
    calls = counted(world)
    world.launch()
    assert {one for one in calls if one.startswith("find")} == {"find 1000"}
    small = pausing_world("g", page=7)
    calls = counted(small)
    small.launch()
    assert [one for one in calls if one.startswith("find")] == ["find 7"] * 3


def test_a_pause_that_takes_all_the_time_ends_the_tick():
    times = iter([True, True, False, False])
    world = pausing_world("g", "ok", go_on=lambda: next(times))
    report = world.launch()
    assert (report.launched, report.changed, world.states()) == (0, 1, ["Held", "New"])


def ended_world(outcome=TrainingState.FAILED, losses=0, first=1, group="g"):
    rules = (Rule(name="bug", failure_class=FailureClass.ALGORITHM),)
    world = World(
        jobs=[make_job(group=group)], rules=Rules(rules), limits=Limits(group_breaker=first)
    )
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training(state=outcome)
    calls = counted(world)
    world.store.lost_tallies = losses
    world.monitor()
    return world.store.tallies([G]).get(G), calls.count("save_tally")


def test_an_end_is_counted_again_when_another_tick_was_faster_up_to_three_times():
    for losses, noted, saves in ((0, True, 1), (2, True, 3), (3, False, 3)):
        tally, calls = ended_world(losses=losses)
        assert (tally is not None, calls) == (noted, saves)


def test_a_job_that_goes_on_says_nothing_of_its_group():
    world = World(jobs=[make_job(group="g")])
    world.tally(G, **FAILED)
    before = world.store.tallies([G])
    looked_at(world, world.training())
    assert world.store.tallies([G]) == before


def test_a_completion_makes_its_group_sound_and_an_old_end_is_not_counted_again():
    world = World(jobs=[make_job(group="g")])
    bobs = GroupKey("g", "bob")
    for key in (G, bobs):
        world.tally(key, **FAILED)
    before = world.store.tallies([bobs])
    looked_at(world, world.training(state=TrainingState.COMPLETED))
    assert world.store.tallies([G])[G].sound
    assert world.store.tallies([bobs]) == before, "another owner's group of the same name"
    world = World(jobs=[make_job(group="g")])
    world.put(0, decided(), accepted(), ended(failure=make_failure(retryable=Retryable.NO)))
    stale = Due(world.ids[0], T0, Status.LAUNCHED, 1)
    world.store.due = lambda tick, *, before, limit: [stale]
    world.settings = replace(world.settings, limits=Limits(group_breaker=1))
    assert world.monitor().looked_at == 1
    assert (world.store.pools(), world.store.tallies([G])) == ({}, {})


def test_ends_that_say_nothing_of_a_group_cost_no_write():
    assert ended_world(TrainingState.COMPLETED) == (None, 0)
    assert ended_world(first=0) == (None, 0)
    assert ended_world(group=None) == (None, 0)
    tally, _ = ended_world()
    assert tally.failed == 1
    assert tally.pausing, "the first of its group, and it was to be one"
