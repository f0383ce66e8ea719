"""What a tick says of each change: the event that made it."""

from __future__ import annotations

from datetime import timedelta

import jobcore
from core_strategies import T0, make_job
from jobcore import (
    LaunchAccepted,
    LaunchDecided,
    MessagePublished,
    Settings,
    StopRequested,
    TimePassed,
    TrainingEnded,
    TrainingSeen,
)
from jobcore.ports import TrainingState
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier, Script


def test_a_change_names_the_event_that_made_it_and_not_the_last_one_tried():
    store, clock, changes = MemoryStore(), ManualClock(T0), []
    job = make_job("1", placements=(jobcore.Placement("cpu"),))
    trainer = MemoryTrainer(clock=clock)
    script = Script(
        pending=timedelta(minutes=1),
        outcome=TrainingState.FAILED,
        text="AlgorithmError: ExecuteUserScriptError: ExitCode 1",
    )
    trainer.scripts |= {f"jc-{job.job_id}-{attempt}": script for attempt in (1, 2)}
    settings = Settings(on_change=changes.append)
    store.add([job])
    jobcore.launch_tick(store, trainer, clock, settings)
    for _ in range(2):
        clock.advance(timedelta(minutes=1))
        jobcore.monitor_tick(store, trainer, clock, settings)
    assert [type(c.event) for c in changes] == [
        LaunchDecided,
        LaunchAccepted,
        TrainingSeen,
        TrainingEnded,
    ]
    assert changes[-1].event.failure.failure_class == "algorithm"


def test_a_change_that_time_made_says_so():
    store, clock, changes = MemoryStore(), ManualClock(T0), []
    clocks = jobcore.Clocks(wait_at_most=timedelta(minutes=5))
    job = make_job("1", placements=(jobcore.Placement("cpu"),), clocks=clocks)
    trainer = MemoryTrainer(clock=clock, slots={"cpu": 0})
    settings = Settings(on_change=changes.append)
    store.add([job])
    clock.advance(timedelta(minutes=6))
    jobcore.monitor_tick(store, trainer, clock, settings)
    jobcore.notify_tick(store, RecordingNotifier(), clock, settings)
    assert [type(c.event) for c in changes] == [TimePassed, MessagePublished]


def test_a_stop_asked_for_is_told_with_what_the_trainer_said():
    store, clock, changes = MemoryStore(), ManualClock(T0), []
    job = make_job("1", placements=(jobcore.Placement("cpu"),))
    trainer = MemoryTrainer(clock=clock)
    settings = Settings(on_change=changes.append)
    store.add([job])
    jobcore.launch_tick(store, trainer, clock, settings)
    jobcore.ticks.apply_request(job.job_id, StopRequested(by="ada"), store=store, now=clock.now())
    for _ in range(2):
        jobcore.monitor_tick(store, trainer, clock, settings)
        clock.advance(timedelta(minutes=1))
    assert [type(c.event) for c in changes] == [LaunchDecided, LaunchAccepted, TrainingEnded]
