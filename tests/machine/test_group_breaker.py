"""A sweep with one bug in it: its first jobs fail alike, the rest is held, and its owner is told once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import jobcore
from jobcore import Status
from jobcore.lifecycle import HoldCode
from jobcore.ports import JobQuery, NextStep, TrainingState
from jobcore_aws import failure_rules
from jobcore_client.wording import next_step_words
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer, RecordingNotifier, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUG = Script(
    outcome=TrainingState.FAILED,
    text="AlgorithmError: ExecuteUserScriptError: exit code 1: KeyError: 'lr' at step {}",
)


class World:
    def __init__(self, jobs=40, slots=4, group="sweep", *, bad=lambda n: True, **limits):
        self.clock = ManualClock(NOW)
        self.store, self.notifier = MemoryStore(), RecordingNotifier()
        self.trainer = MemoryTrainer(clock=self.clock, slots={"cpu": slots})
        self.settings = jobcore.Settings(limits=jobcore.Limits(**limits), rules=failure_rules())
        self.ids = self.submit(jobs, group, bad)

    def submit(self, jobs, group, bad, name="j"):
        ids = [jobcore.job_id_from_token(str(group), f"{name}{n}") for n in range(jobs)]
        place = (jobcore.Placement("cpu"),)
        specs = [
            jobcore.Spec(name=f"{name}{n}", owner="ada", group=group, placements=place)
            for n in range(jobs)
        ]
        jobcore.submit(specs, ids, store=self.store, now=self.clock.now())
        for n, job_id in enumerate(ids):
            if bad(n):
                script = replace(BUG, text=BUG.text.format(n))
                self.trainer.scripts[jobcore.lifecycle.training_name(job_id, 1)] = script
        return ids

    def round(self, times=1):
        for _ in range(times):
            jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)
            self.clock.advance(timedelta(minutes=1))
            jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)
            jobcore.notify_tick(self.store, self.notifier, self.clock, self.settings)

    def counts(self):
        return {status: number for status, number in self.store.counts().items() if number}

    def told(self):
        return Counter(message.status for message in self.notifier.messages)


def test_the_rest_of_a_broken_sweep_is_held_and_its_owner_told_once():
    world = World()
    world.round(6)
    counts = world.counts()
    assert counts[Status.HELD] == 40 - counts[Status.FAILED]
    assert counts[Status.FAILED] <= 12
    assert world.told() == {Status.FAILED: counts[Status.FAILED], Status.HELD: 1}
    (held,) = [m for m in world.notifier.messages if m.status is Status.HELD]
    assert "failed alike" in held.body
    assert "KeyError" in held.body
    assert held.next_step is NextStep.RELEASE_GROUP
    assert "jobcore release --group sweep" in next_step_words(held)
    page = world.store.find(JobQuery(statuses=frozenset({Status.HELD}), limit=1000))
    assert {job.state.code for job in page.jobs} == {HoldCode.GROUP}
    world.round(20)
    assert world.counts() == counts


def test_a_release_tries_again_and_a_bug_that_is_still_there_pauses_again():
    world = World()
    world.round(6)
    before = world.counts()[Status.FAILED]
    for job_id in world.ids:
        jobcore.ticks.apply_request(
            job_id,
            jobcore.ReleaseRequested(by="ada"),
            store=world.store,
            now=world.clock.now(),
        )
    world.round(6)
    counts = world.counts()
    assert before < counts[Status.FAILED] <= before + 12
    assert counts[Status.HELD] == 40 - counts[Status.FAILED]
    assert world.told()[Status.HELD] == 2


def test_after_a_release_of_a_mended_sweep_all_complete():
    world = World()
    world.round(6)
    failed = world.counts()[Status.FAILED]
    world.trainer.scripts.clear()
    for job_id in world.ids:
        release = jobcore.ReleaseRequested(by="ada")
        jobcore.ticks.apply_request(job_id, release, store=world.store, now=world.clock.now())
    world.round(20)
    assert world.counts() == {Status.FAILED: failed, Status.COMPLETED: 40 - failed}


@pytest.mark.parametrize(
    "options",
    [
        {"group": None},
        {"group_breaker": 0},
        {"bad": lambda n: n % 3 == 0},  # others complete
        {"bad": lambda n: n != 4},  # one of the first has completed: not all are broken
    ],
)
def test_other_jobs_are_left_alone(options):
    world = World(**options)
    world.round(25)
    assert Status.HELD not in world.counts()
    assert sum(world.counts().values()) == 40
    assert not world.counts().keys() & {Status.NEW, Status.IN_PROGRESS}


def test_fast_failures_say_nothing_of_jobs_that_still_run():
    """A third dies at once, the others train for hours: none has completed, more run than have failed."""
    world = World(jobs=60, slots=40, bad=lambda n: n % 3 == 0)
    long = Script(runs=timedelta(hours=3))
    for n, job_id in enumerate(world.ids):
        if n % 3:
            world.trainer.scripts[jobcore.lifecycle.training_name(job_id, 1)] = long
    world.round(30)
    assert Status.HELD not in world.counts()


def test_another_group_and_ungrouped_jobs_go_on():
    world = World(jobs=20)
    other = world.submit(10, "other", lambda n: False, name="o")
    alone = world.submit(5, None, lambda n: False, name="a")
    world.round(20)
    jobs = world.store.get([*other, *alone])
    assert {job.status for job in jobs.values()} == {Status.COMPLETED}
    assert world.counts()[Status.HELD] >= 8


def test_different_failures_are_not_one_bug():
    world = World(jobs=12)
    for n, job_id in enumerate(world.ids):
        text = f"AlgorithmError: {'abcdefghijkl'[n]}Error: no"
        script = Script(outcome=TrainingState.FAILED, text=text)
        world.trainer.scripts[jobcore.lifecycle.training_name(job_id, 1)] = script
    world.round(20)
    assert world.counts() == {Status.FAILED: 12}


def test_a_pause_that_was_cut_short_goes_on():
    """The tick has time for one page of two; the next one holds the rest, and tells nobody again."""
    world = World(jobs=60, slots=5)
    world.settings = replace(world.settings, page=10)
    while not world.store.tallies_to_pause():
        jobcore.launch_tick(world.store, world.trainer, world.clock, world.settings)
        world.clock.advance(timedelta(minutes=1))
        jobcore.monitor_tick(world.store, world.trainer, world.clock, world.settings)
    answers = iter([True, True, False, False])  # for the group, for its first page, and no more
    hurried = replace(world.settings, go_on=lambda: next(answers))
    jobcore.launch_tick(world.store, world.trainer, world.clock, hurried)
    assert world.counts()[Status.HELD] == 10
    assert world.counts()[Status.NEW] == 60 - 10 - world.counts()[Status.FAILED]
    world.round()
    assert set(world.counts()) == {Status.HELD, Status.FAILED}
    assert world.told()[Status.HELD] == 1


def test_a_cause_is_the_same_whatever_numbers_and_paths_it_names():
    def failure(text):
        return jobcore.classify(
            jobcore.ports.Evidence(where="describe", status="Failed", text=text),
            failure_rules(),
        )

    one = failure("AlgorithmError: KeyError: 'a' in /opt/ml/x.py line 3 at 0x7f")
    assert jobcore.failures.cause_of(one) == jobcore.failures.cause_of(
        failure("AlgorithmError: KeyError: 'b' in /opt/ml/y.py line 31 at 0x8a")
    )
    assert jobcore.failures.cause_of(one) != jobcore.failures.cause_of(
        failure("AlgorithmError: ValueError: 'a'")
    )
