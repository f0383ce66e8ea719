"""The monitor tick: a training that says nothing about its job is reported, and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

import jobcore
from jobcore import Status
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Describing(MemoryTrainer):
    """Changes what it says of some trainings, by name: a function of the true description."""

    def __init__(self, clock):
        super().__init__(clock=clock, slots={"cpu": 10})
        self.changes = {}

    def describe(self, names):
        found = dict(super().describe(names))
        for name, change in self.changes.items():
            if name in found:
                description = change(found.pop(name))
                if description is not LEFT_OUT:
                    found[name] = description
        return found


LEFT_OUT = object()
UNMARKED = {"job_id": None, "attempt": None, "spec_hash": None}
OTHER_ID = jobcore.job_id_from_token("bob", "other")
# What is said of the training of a job, and the report.
CASES = {
    "left out": (lambda training: LEFT_OUT, "Unavailable: the trainer could not read training {}"),
    "a Search hit without Environment": (
        lambda training: replace(training, **UNMARKED),
        "LookupError: training {} was not made for this job; its marks name none of jobcore's jobs",
    ),
    "another job's": (
        lambda training: replace(training, job_id=OTHER_ID),
        f"LookupError: training {{}} was not made for this job; its marks name job {OTHER_ID}",
    ),
    "another spec's": (
        lambda training: replace(training, spec_hash="0" * 64),
        "LookupError: training {} was not made for this job; its marks name job {job}",
    ),
}


class World:
    def __init__(self, page=1000):
        self.clock = ManualClock(NOW)
        self.store = MemoryStore()
        self.trainer = Describing(self.clock)
        self.troubles = []
        self.settings = jobcore.Settings(
            page=page, on_trouble=lambda job_id, what: self.troubles.append((job_id, what))
        )
        self.ids = [jobcore.job_id_from_token("ada", str(number)) for number in range(3)]
        place = (jobcore.Placement("cpu"),)
        specs = [jobcore.Spec(name=f"j{n}", owner="ada", placements=place) for n in range(3)]
        jobcore.submit(specs, self.ids, store=self.store, now=NOW)
        jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)
        self.names = {i: jobcore.lifecycle.training_name(i, 1) for i in self.ids}

    def monitor(self):
        self.troubles.clear()
        return jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)

    def jobs(self):
        return self.store.get(self.ids)


@pytest.mark.parametrize("page", [1, 1000])
@pytest.mark.parametrize("case", CASES)
def test_a_training_that_says_nothing_about_its_job_is_reported_once_a_tick(case, page):
    change, said = CASES[case]
    world = World(page)
    bad, *good = world.ids
    before = world.jobs()[bad]
    name = world.names[bad]
    world.trainer.changes[name] = change
    for _ in range(2):
        report = world.monitor()
        assert world.troubles == [(bad, said.format(name, job=bad))]
        assert report.troubles == 1
        assert world.jobs()[bad] == before
        assert {world.jobs()[job_id].status for job_id in good} == {Status.IN_PROGRESS}
    world.trainer.changes.clear()
    assert world.monitor().troubles == 0
    assert world.jobs()[bad].status is Status.IN_PROGRESS


def test_a_call_that_fails_is_reported_once_and_not_for_each_job():
    world = World()
    world.trainer.unavailable.add("describe")
    before = world.jobs()
    assert world.monitor().troubles == 1
    assert world.troubles == [("", "Unavailable: describe: Rate exceeded")]
    assert world.jobs() == before
