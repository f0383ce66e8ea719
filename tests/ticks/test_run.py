"""What the ticks share: records that cannot be read, conflicts, what a change names, and calls that are not made."""

from __future__ import annotations

from dataclasses import replace

from core_strategies import T0, accepted, decided, make_job
from jobcore import (
    Clocks,
    CorruptRecord,
    FailureClass,
    Status,
    TimePassed,
    TrainingEnded,
)
from jobcore.lifecycle import (
    Tick,
)
from jobcore.ports import (
    Evidence,
    TrainingState,
)
from jobcore.ticks import Change
from jobcore_memory import MemoryStore, RecordingNotifier
from ticks_world import MINUTE, RUN, STOP, Contended, World, counted, looked_at, notify


def test_a_change_names_the_event_that_made_it():
    """The log's reason and failure class are made of it; the look at the clocks comes after each."""
    evidence = Evidence(
        where="describe", status="Failed", text="AlgorithmError: boom, exit code: 1"
    )
    world = World()
    looked_at(world, world.training(state=TrainingState.FAILED, evidence=evidence))
    event = world.changes[-1].event
    assert isinstance(event, TrainingEnded)
    assert event.failure.failure_class is FailureClass.ALGORITHM
    world = World(jobs=[make_job(clocks=Clocks(finish_by=T0 + MINUTE))])
    looked_at(world, world.training())
    assert world.states() == ["Stopping"]
    assert isinstance(world.changes[-1].event, TimePassed), "the last that changed something"
    no_line = replace(world.get(), timeline=())
    assert Change(job=no_line, before=Status.NEW, event=TimePassed()).note == ""


class Torn(MemoryStore):
    """Some records cannot be read."""

    def __init__(self, *torn):
        super().__init__()
        self.torn = set(torn)

    def get(self, job_ids):
        for job_id in job_ids:
            if job_id in self.torn:
                raise CorruptRecord(job_id, "torn")
        return super().get(job_ids)


def test_a_record_that_cannot_be_read_is_reported_and_the_others_go_on():
    world = World(3)
    world.store.__class__ = Torn
    world.store.torn = {world.ids[1]}
    report = world.launch()
    assert (report.launched, report.troubles) == (2, 1)
    ((job_id, what),) = world.troubles
    assert job_id == world.ids[1]
    assert what == f"CorruptRecord: job {job_id}: stored record cannot be read: torn"


def test_a_store_that_blames_a_job_that_was_not_asked_for_is_not_asked_for_ever():
    world = World(2)

    class Confused(MemoryStore):
        def get(self, job_ids):
            raise CorruptRecord("another", "torn")

    world.store.__class__ = Confused
    report = world.launch()
    assert (report.launched, report.troubles) == (0, 1)


def test_a_tick_that_loses_reads_again_and_applies_its_facts_anew():
    world = World()
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    world.store.__class__ = Contended
    world.store.losses, world.store.saves = 5, 0
    report = world.monitor()
    assert (world.states(), report.changed, world.store.saves) == (["InProgress"], 1, 6)
    world.trainer.trainings[world.names[0]] = world.training(detail="x")
    world.store.losses, world.store.saves = 6, 0
    report = world.monitor()
    assert (report.changed, report.troubles, world.store.saves) == (0, 1, 6)
    assert world.troubles == [
        (world.ids[0], "Unavailable: it kept changing; left for the next tick")
    ]


def test_what_another_tick_has_done_meanwhile_is_not_done_again():
    world = World()
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    seen = world.store.save

    def faster(jobs):
        world.store.save = seen
        world.put(0, RUN)
        return [None] * len(jobs)

    world.store.save = faster
    report = world.monitor()
    assert (report.changed, world.states()) == (0, ["InProgress"])


def test_each_tick_takes_up_what_is_due_for_it():
    world = World(2)
    world.put(0, decided())
    world.put(1, STOP)
    due = {tick: [d.job_id for d in world.store.due(tick, before=T0, limit=9)] for tick in Tick}
    assert due == {Tick.LAUNCH: [world.ids[0]], Tick.MONITOR: [], Tick.NOTIFY: [world.ids[1]]}


def test_a_tick_with_nothing_to_do_reads_no_job_and_writes_nothing():
    world = World(0)
    calls = counted(world)
    world.launch()
    world.monitor()
    notify(world, RecordingNotifier())
    launch = ["due 1000", "tallies_to_pause", "usage", "pools", "next_wake"]
    assert calls == [*launch, "due 100000", "next_wake", "due 1000"]


def test_a_job_that_is_gone_meanwhile_is_left_as_it_was_known():
    world = World()
    world.put(0, decided(), accepted())
    world.trainer.trainings[world.names[0]] = world.training()
    real, counts = world.store.get, iter(range(9))
    world.store.get = lambda ids: real(ids) if next(counts) == 0 else {}
    world.store.save = lambda jobs: [None] * len(jobs)
    report = world.monitor()
    assert (report.changed, report.troubles) == (0, 0)
