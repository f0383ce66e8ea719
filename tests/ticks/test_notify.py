"""The notify tick: each message is published once, and one that was not taken is published again."""

from __future__ import annotations

from core_strategies import decided
from jobcore import (
    HoldRequested,
    ReleaseRequested,
    Status,
)
from jobcore_memory import RecordingNotifier
from ticks_world import MINUTE, STOP, World, notify


def test_what_is_owed_is_published_and_cleared():
    world, notifier = World(2), RecordingNotifier()
    for number in range(2):
        world.put(number, STOP)
    report = notify(world, notifier)
    assert (report.published, report.looked_at, report.changed) == (2, 2, 2)
    assert {m.job_id for m in notifier.messages} == set(world.ids)
    assert all(world.get(n).outbox == () for n in range(2))
    assert notify(world, notifier).looked_at == 0


def test_a_message_that_was_not_taken_is_owed_and_the_next_one_is_published():
    world, notifier = World(2), RecordingNotifier()
    for number in range(2):
        world.put(number, STOP)
    notifier.fail_next()
    report = notify(world, notifier)
    assert (report.published, report.looked_at, report.changed, report.troubles) == (1, 2, 1, 1)
    assert sum(len(world.get(n).outbox) for n in range(2)) == 1
    assert notify(world, notifier).published == 1


def test_of_two_messages_of_a_job_each_counts():
    world, notifier = World(), RecordingNotifier()
    world.put(0, HoldRequested(by="x", notify=True), STOP)
    notifier.fail_next()
    report = notify(world, notifier)
    assert (report.published, report.troubles) == (1, 1)
    assert [entry.status for entry in world.get().outbox] == [Status.HELD]


def test_where_there_is_no_time_nothing_is_published():
    times = iter([False])
    world, notifier = World(2, go_on=lambda: next(times)), RecordingNotifier()
    for number in range(2):
        world.put(number, STOP)
    report = notify(world, notifier)
    assert (report.published, report.looked_at, notifier.messages) == (0, 0, [])


def owing(world):
    """A job with a message of an earlier hold that has not been published yet."""
    world.put(0, HoldRequested(by="x", notify=True), ReleaseRequested(by="x"))


def test_a_message_that_is_owed_does_not_disturb_launch_and_look():
    world, notifier = World(), RecordingNotifier()
    owing(world)
    world.put(0, decided())
    world.clock.advance(MINUTE)
    assert world.launch().launched == 1
    world.trainer.trainings[world.names[0]] = world.training()
    report = world.monitor()
    assert (report.changed, world.states(), report.troubles) == (1, ["InProgress"], 0)
    report = notify(world, notifier)
    assert (report.published, report.troubles) == (1, 0)
    world.put(0, STOP)
    owed_still = World()
    owing(owed_still)
    owed_still.put(0, decided(), STOP)
    report = notify(owed_still, notifier)
    assert (report.published, report.troubles, report.looked_at) == (1, 0, 1)
