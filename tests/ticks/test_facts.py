"""What a tick concludes from a trainer's words: whose a training is, how it ended, and what is adopted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_strategies import T0, make_failure, make_job
from jobcore import (
    FailureClass,
    LaunchRefused,
    Status,
)
from jobcore.failures import Rule, Rules
from jobcore.lifecycle import (
    HoldCode,
    Retryable,
)
from jobcore.metrics import Metric
from jobcore.ports import (
    Evidence,
    LaunchReply,
    LaunchResult,
    TrainingState,
)
from jobcore_aws import failure_rules
from ticks_world import MINUTE, SECOND, Scripted, World, looked_at


@pytest.mark.parametrize("running", [True, False])
def test_a_training_that_exists_and_is_ours_is_adopted(running):
    world = World()
    state = TrainingState.RUNNING if running else TrainingState.PENDING
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training(state=state, detail="x", started_at=T0)
    report = world.launch()
    assert world.trainer.described == [[world.names[0]]]
    assert world.states() == ["InProgress" if running else "Launched"]
    assert report.launched == 1
    assert world.get().state.detail == "x"


def test_a_training_that_exists_and_is_over_ends_the_job():
    world = World()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    over = world.training(state=TrainingState.COMPLETED, started_at=T0 - MINUTE, ended_at=T0)
    world.trainer.trainings[world.names[0]] = over
    world.launch()
    (attempt,) = world.get().attempts
    assert (attempt.started_at, attempt.ended_at) == (T0 - MINUTE, T0)
    assert attempt.failure is None
    assert world.states() == ["Completed"]


@pytest.mark.parametrize(
    ("stranger", "whose"),
    [
        ({"job_id": "other"}, "job other"),
        ({"job_id": None}, "a training that is not jobcore's"),
        ({"attempt": 2}, None),
        ({"spec_hash": "x"}, None),
    ],
)
def test_a_training_of_a_strangers_is_left_alone_and_named(stranger, whose):
    world = World()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training(**stranger)
    report = world.launch()
    held = world.get().state
    assert held.code is HoldCode.NAME_TAKEN
    whose = whose or f"job {world.ids[0]}"
    assert held.reason == f"the training name {world.names[0]} is in use by {whose}"
    assert (report.launched, world.trainer.stopped) == (0, [])


@pytest.mark.parametrize("state", [TrainingState.FAILED, TrainingState.STOPPED])
def test_an_end_is_classified_by_what_the_trainer_says(state):
    world = World()
    looked_at(world, world.training(state=state))
    failure = world.get().attempts[0].failure
    assert failure.text == ""
    assert world.get().attempts[0].outcome == Status(state.value)
    evidence = Evidence(
        where="describe", status="Failed", text="AlgorithmError: boom, exit code: 1"
    )
    world = World()
    looked_at(world, world.training(state=state, evidence=evidence))
    assert world.get().attempts[0].failure.text == evidence.text


@pytest.mark.parametrize("stranger", [{"job_id": "x"}, {"attempt": 2}, {"spec_hash": None}])
def test_a_look_at_a_strangers_training_says_nothing(stranger):
    world = World()
    assert looked_at(world, world.training(**stranger)).changed == 0


def test_a_refusal_without_evidence_is_one_at_create():
    only = Rule(name="mine", failure_class=FailureClass.BAD_INPUT, where="create")
    world = World(rules=Rules((only,)))
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.REFUSED)
    world.launch()
    assert world.get().state.failure.rule == "mine"


@pytest.mark.parametrize("state", [TrainingState.FAILED, TrainingState.STOPPED])
def test_an_end_without_evidence_is_judged_by_its_status(state):
    rules = (
        Rule(
            name="mine",
            failure_class=FailureClass.BAD_INPUT,
            where="describe",
            statuses=(state.value,),
            pattern="$",
        ),
    )
    world = World(rules=Rules(rules, failure_rules().reading))
    looked_at(world, world.training(state=state, ended_at=T0 + SECOND))
    (attempt,) = world.get().attempts
    assert (attempt.failure.rule, attempt.ended_at) == ("mine", T0 + SECOND)


def test_what_is_found_under_the_name_is_adopted_even_if_the_job_was_refused_meanwhile():
    world = World()

    class Refused(Scripted):
        def describe(self, names):
            failure = make_failure(FailureClass.CAPACITY, Retryable.YES)
            world.put(0, LaunchRefused(attempt=1, failure=failure))
            return super().describe(names)

    world.trainer = Refused()
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    world.trainer.trainings[world.names[0]] = world.training(started_at=T0)
    world.launch()
    assert (world.states(), world.get().attempt_number) == (["InProgress"], 1)


def test_a_secret_in_the_name_of_a_metric_is_not_kept():
    world = World(jobs=[make_job(args={"environment": {"PASSWORD": "hunter2-hunter2"}})])
    metrics = (
        Metric(name="loss", final=1.0),
        Metric(name="of hunter2-hunter2", final=2.0),
    )
    world.trainer.replies[world.names[0]] = LaunchReply(LaunchResult.EXISTS)
    over = world.training(state=TrainingState.COMPLETED, started_at=T0, ended_at=T0)
    world.trainer.trainings[world.names[0]] = replace(over, metrics=metrics)
    world.launch()
    assert [metric.name for metric in world.get().metrics] == ["loss", "of ***"]
