"""The SageMaker trainer through real boto3 and HTTP, against the sandbox and its faults."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobcore
from jobcore import FailureClass, Placement, Status, StopRequested, Unavailable
from jobcore.ports import LaunchResult, TrainingState
from jobcore_aws import Pool, SageMakerTrainer, failure_rules
from jobcore_aws._sagemaker import _filter_values
from jobcore_memory import ManualClock, MemoryStore, RecordingNotifier
from jobcore_simulation import Script
from jobcore_simulation.sandbox import SandboxConfig, serve
from late_replies import hurried, settle
from sagemaker_fixtures import ARGS, CPU, IMAGE, ROLE, client, request, settings

POOL = "us-east-1/ml.m5.large/on-demand"
ACCEPTED, EXISTS, REFUSED, UNCLEAR = (
    LaunchResult.ACCEPTED,
    LaunchResult.EXISTS,
    LaunchResult.REFUSED,
    LaunchResult.UNCLEAR,
)


@pytest.fixture
def sandbox():
    with serve(SandboxConfig(manual=True)) as server:
        yield server


@pytest.fixture
def trainer(sandbox):
    made = SageMakerTrainer(settings(), client=hurried(client(sandbox.url), sandbox))
    yield made
    made.close()


def results(replies: Any) -> list[LaunchResult]:
    return [reply.result for reply in replies]


def failure_of(reply: Any) -> jobcore.Failure:
    assert reply.evidence is not None
    return jobcore.classify(reply.evidence, failure_rules())


# --- launching ----------------------------------------------------------------------------


def test_a_batch_is_answered_in_order_and_each_for_itself(sandbox, trainer) -> None:
    sandbox.control.handle("POST", "pools", {POOL: {"quota": 3}})
    asked = [request(str(n)) for n in range(5)]
    asked[1] = replace(asked[1], args={"image": "unknown"})
    asked[3] = replace(asked[3], placement=Placement("tpu"))
    replies = trainer.launch([asked[0], *asked])
    assert sorted(results(replies[:2])) == [ACCEPTED, EXISTS]
    assert results(replies[2:]) == [REFUSED, ACCEPTED, REFUSED, ACCEPTED]
    assert failure_of(replies[2]).failure_class is FailureClass.BAD_INPUT
    assert "image: there is no image 'unknown'" in failure_of(replies[2]).text
    assert "pools: there is no pool 'tpu'" in failure_of(replies[4]).text
    (full,) = trainer.launch([request("more")])
    assert full.result is REFUSED
    assert failure_of(full).failure_class is FailureClass.QUOTA
    assert set(sandbox.world.trainings) == {asked[n].name for n in (0, 2, 4)}


def test_throttling_is_a_refusal_if_it_lasts(sandbox, trainer) -> None:
    """A throttled call was certainly not applied, so it may be asked again at once."""
    sandbox.fault("throttle", operation="CreateTrainingJob", times=5)
    (reply,) = trainer.launch([request()])
    assert reply.result is REFUSED
    assert failure_of(reply).failure_class is FailureClass.THROTTLE
    assert sandbox.calls["CreateTrainingJob"] == 3
    assert results(trainer.launch([request()])) == [ACCEPTED]


@pytest.mark.parametrize(
    ("kind", "exists"),
    [
        ("fail-before", False),
        ("fail-after", True),
        ("reset-before", False),
        ("reset-after", True),
        ("lose-reply", True),
        ("late-reply", True),
    ],
)
def test_what_is_not_certain_is_unclear_and_asked_once(sandbox, trainer, kind, exists) -> None:
    sandbox.fault(kind, operation="CreateTrainingJob", seconds=3.0)
    (reply,) = trainer.launch([request()])
    assert reply.result is UNCLEAR
    assert reply.evidence is not None
    settle(sandbox)
    assert sandbox.calls["CreateTrainingJob"] == 1
    assert (request().name in sandbox.world.trainings) is exists
    (again,) = trainer.launch([request()])
    assert again.result is (EXISTS if exists else ACCEPTED)


def test_credentials_that_fail_are_no_answer_to_the_job(sandbox, trainer) -> None:
    sandbox.fault("error", code="ExpiredTokenException", text="expired", status=400)
    (reply,) = trainer.launch([request()])
    assert reply.result is UNCLEAR


def test_an_endpoint_that_is_away_is_unclear() -> None:
    trainer = SageMakerTrainer(settings(), client=client("http://127.0.0.1:9"))
    (reply,) = trainer.launch([request()])
    assert reply.result is UNCLEAR
    with pytest.raises(Unavailable):
        trainer.describe([request().name])
    with pytest.raises(Unavailable):
        trainer.stop(request().name)
    with pytest.raises(Unavailable):
        list(trainer.running())


def test_a_stop_that_is_refused_by_a_full_quota_still_finds_the_training(sandbox, trainer) -> None:
    """The service may name the quota before it looks at the name."""
    trainer.launch([request()])
    text = (
        "The account-level service limit 'x' is 1 Instances, with current utilization of 1 "
        "Instances and a request delta of 1 Instances."
    )
    sandbox.fault(
        "error", operation="CreateTrainingJob", code="ResourceLimitExceeded", text=text, status=400
    )
    (reply,) = trainer.launch([request(to_stop=True)])
    assert reply.result is EXISTS
    sandbox.fault(
        "error", operation="CreateTrainingJob", code="ResourceLimitExceeded", text=text, status=400
    )
    sandbox.fault("throttle", operation="DescribeTrainingJob")
    (reply,) = trainer.launch([request(to_stop=True)])
    assert reply.result is UNCLEAR
    gone = replace(request("b"), placement=Placement("no such pool"), to_stop=True)
    assert results(trainer.launch([gone])) == [REFUSED]


def test_creates_keep_to_the_rate_however_many_threads_there_are(sandbox) -> None:
    rate = 50.0
    sandbox.set_rates({"CreateTrainingJob": (rate, 5.0)})
    paced = settings(create_rate=rate * 0.9, create_burst=1, at_once=16)
    trainer = SageMakerTrainer(paced, client=client(sandbox.url))
    begun = sandbox.clock.real()
    replies = trainer.launch([request(str(n)) for n in range(40)])
    assert results(replies) == [ACCEPTED] * 40
    # Not sooner: a lower bound holds on a slow machine too.
    assert sandbox.clock.real() - begun >= 39 / (rate * 0.9)
    trainer.close()


# --- reading ------------------------------------------------------------------------------


def test_a_strangers_training_is_known_as_one(sandbox, trainer) -> None:
    stranger = client(sandbox.url)
    stranger.create_training_job(
        TrainingJobName=request().name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://x/y"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    assert results(trainer.launch([request()])) == [EXISTS]
    found = trainer.describe([request().name])[request().name]
    assert found is not None
    assert (found.job_id, found.attempt, found.spec_hash) == (None, None, None)
    assert list(trainer.running()) == []


def test_a_failed_read_is_no_status(sandbox, trainer) -> None:
    names = [request(str(n)).name for n in range(3)]
    trainer.launch([request("0"), request("1")])
    sandbox.fault("throttle", operation="DescribeTrainingJob", name=names[0], times=None)
    found = trainer.describe(names)
    assert names[0] not in found
    assert found[names[1]] is not None
    assert found[names[2]] is None
    sandbox.fault("fail-before", operation="DescribeTrainingJob", times=None)
    with pytest.raises(Unavailable, match=r"InternalFailure|Throttling"):
        trainer.describe(names)


def test_only_the_right_words_mean_that_there_is_no_training(sandbox, trainer) -> None:
    trainer.launch([request()])
    sandbox.fault(
        "error",
        operation="DescribeTrainingJob",
        code="ValidationException",
        text="1 validation error detected: Value 'x' at 'trainingJobName' failed",
        status=400,
    )
    with pytest.raises(Unavailable, match="validation error"):
        trainer.describe([request().name])
    sandbox.fault("error", code="AccessDeniedException", text="not yet", status=400)
    with pytest.raises(Unavailable, match="AccessDenied"):
        trainer.describe([request().name])


def test_many_are_read_with_few_searches_and_the_rest_by_name(sandbox) -> None:
    trainer = SageMakerTrainer(settings(search_from=10), client=client(sandbox.url))
    asked = [request(str(n)) for n in range(60)]
    trainer.launch(asked)
    missing = request("missing").name
    found = trainer.describe([*(one.name for one in asked), missing])
    assert found[missing] is None
    for one in asked:
        training = found[one.name]
        assert training is not None
        assert (training.job_id, training.spec_hash) == (one.job_id, one.spec_hash)
    assert sandbox.calls["Search"] == 2
    assert sandbox.calls["DescribeTrainingJob"] == 1
    sandbox.fault("throttle", operation="Search", times=None)
    assert all(trainer.describe([one.name for one in asked]).values())
    trainer.close()


def test_a_search_index_that_lags_hides_nothing() -> None:
    with serve(SandboxConfig(manual=True, search_lag=30.0)) as sandbox:
        trainer = SageMakerTrainer(settings(search_from=1), client=client(sandbox.url))
        trainer.launch([request()])
        assert trainer.describe([request().name])[request().name] is not None
        trainer.close()


def test_names_are_joined_up_to_the_limit_of_a_filter() -> None:
    names = [request(str(n)).name for n in range(100)]
    parts = list(_filter_values(names))
    assert all(len(part) <= 1024 for part in parts)
    assert ",".join(parts).split(",") == names
    assert list(_filter_values([])) == []


# --- stopping -----------------------------------------------------------------------------


def test_stop_is_done_when_there_is_nothing_to_stop(sandbox, trainer) -> None:
    trainer.stop(request().name)
    trainer.launch([request()])
    sandbox.advance(9000)
    trainer.stop(request().name)
    for text in (
        "Could not find job to update with name jc-x",
        "Requested resource not found.",
        "The request was rejected because the training job is in status Stopped.",
    ):
        sandbox.fault("error", code="ValidationException", text=text, status=400)
        trainer.stop(request().name)


@pytest.mark.parametrize(
    "kind", ["throttle", "fail-before", "fail-after", "reset-after", "late-reply", "lose-reply"]
)
def test_a_stop_that_is_not_certain_says_so(sandbox, trainer, kind) -> None:
    trainer.launch([request()])
    sandbox.fault(kind, operation="StopTrainingJob", seconds=3.0)
    with pytest.raises(Unavailable):
        trainer.stop(request().name)
    settle(sandbox)
    assert sandbox.calls["StopTrainingJob"] == 1
    trainer.stop(request().name)
    sandbox.advance(300)
    found = trainer.describe([request().name])[request().name]
    assert found is not None
    assert found.state is TrainingState.STOPPED


def test_another_refusal_of_a_stop_is_not_taken_for_done(sandbox, trainer) -> None:
    sandbox.fault("error", code="ValidationException", text="1 validation error", status=400)
    with pytest.raises(Unavailable, match="1 validation error"):
        trainer.stop(request().name)


# --- listing ------------------------------------------------------------------------------


def test_running_walks_all_pages_the_empty_ones_too(sandbox, trainer) -> None:
    """Two hundred that are over fill whole pages between those that live."""
    alive = [request("first"), request("last")]
    trainer.launch(alive[:1])
    sandbox.script(Script(name=alive[1].name, training=9e6))
    over = [request(f"over {n}") for n in range(210)]
    trainer.launch(over)
    for one in over:
        sandbox.world.stop(sandbox.world.now, one.name)
    trainer.launch(alive[1:])
    sandbox.advance(200)
    other = client(sandbox.url)
    foreign = {
        **_plain_request(),
        "TrainingJobName": "their-jc-training",
    }
    other.create_training_job(**foreign)
    assert {training.name for training in trainer.running()} == {one.name for one in alive}
    assert sandbox.calls["ListTrainingJobs"] == 3


def test_a_list_that_breaks_off_is_said(sandbox, trainer) -> None:
    trainer.launch([request()])
    sandbox.fault("throttle", operation="ListTrainingJobs")
    with pytest.raises(Unavailable):
        list(trainer.running())
    sandbox.fault("throttle", operation="DescribeTrainingJob")
    with pytest.raises(Unavailable):
        list(trainer.running())


class StuckClient:
    """A service that gives the same page for ever."""

    def list_training_jobs(self, **_: Any) -> dict[str, Any]:
        return {"TrainingJobSummaries": [], "NextToken": "again"}


def test_a_list_that_does_not_move_on_ends() -> None:
    trainer = SageMakerTrainer(settings(), client=StuckClient())  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="same page twice"):
        list(trainer.running())


def _plain_request() -> dict[str, Any]:
    return {
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://x/y"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


# --- regions ------------------------------------------------------------------------------


@pytest.fixture
def two_regions(sandbox, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    there = Pool(name="there", instance_types=("ml.m5.large",), region="eu-west-1", slots=4)
    config = settings(pools={"cpu": CPU, "there": there}, endpoint_url=sandbox.url)
    trainer = SageMakerTrainer(config)
    yield trainer
    trainer.close()


def test_trainings_are_found_in_whatever_region_they_are(sandbox, two_regions) -> None:
    here, there = request("here"), replace(request("there"), placement=Placement("there"))
    assert results(two_regions.launch([here, there])) == [ACCEPTED, ACCEPTED]
    assert {
        name: len(region.world.trainings) for name, region in sandbox.service.regions.items()
    } == {
        "us-east-1": 1,
        "eu-west-1": 1,
    }
    fresh = SageMakerTrainer(two_regions.settings)  # it has no memory of the launches
    names = [here.name, there.name, request("neither").name]
    found = fresh.describe(names)
    assert [found[name] is not None for name in names] == [True, True, False]
    assert {training.name for training in fresh.running()} == {here.name, there.name}
    SageMakerTrainer(two_regions.settings).stop(there.name)
    stopping = fresh.describe([there.name])[there.name]
    assert stopping is not None
    assert stopping.state is TrainingState.STOPPING
    fresh.close()


def test_a_pool_in_the_clients_own_region_is_asked_for_there(sandbox) -> None:
    """The settings need not say where the deployment is."""
    here = Pool(name="cpu", instance_types=("ml.m5.large",), region="us-east-1")
    config = settings(pools={"cpu": here}, region=None)
    trainer = SageMakerTrainer(config, client=client(sandbox.url))
    assert results(trainer.launch([request()])) == [ACCEPTED]
    assert len(sandbox.world.trainings) == 1


def test_a_region_that_cannot_be_read_hides_whether_there_is_a_training(
    sandbox, two_regions
) -> None:
    sandbox.fault("throttle", operation="DescribeTrainingJob", times=3)  # boto3 asks three times
    with pytest.raises(Unavailable):
        two_regions.describe([request().name])


def test_a_refusal_is_looked_at_twice_where_the_job_may_go_elsewhere_next(
    sandbox, two_regions
) -> None:
    two_regions.launch([request()])
    sandbox.fault(
        "error",
        operation="CreateTrainingJob",
        code="ResourceLimitExceeded",
        text="full",
        status=400,
    )
    assert results(two_regions.launch([request()])) == [EXISTS]


# --- with the ticks -----------------------------------------------------------------------

LEASE = timedelta(seconds=60)


class World:
    """The real ticks on a store in memory, over boto3, with time that stands still between rounds."""

    def __init__(self, sandbox: Any, trainer: SageMakerTrainer) -> None:
        self.sandbox, self.trainer = sandbox, trainer
        self.store, self.notifier = MemoryStore(), RecordingNotifier()
        self.clock = ManualClock(datetime.fromtimestamp(sandbox.clock.now(), UTC))
        self.settings = jobcore.Settings(
            rules=failure_rules(), launch_lease=LEASE, launches_together=8
        )
        self.job_id = jobcore.job_id_from_token("tests", "matrix")
        spec = jobcore.Spec(
            name="job", owner="ada", group="g", placements=(Placement("cpu"),), args=ARGS
        )
        jobcore.submit([spec], [self.job_id], store=self.store, now=self.clock.now())

    def round(self) -> jobcore.Job:
        jobcore.launch_tick(self.store, self.trainer, self.clock, self.settings)
        jobcore.monitor_tick(self.store, self.trainer, self.clock, self.settings)
        jobcore.notify_tick(self.store, self.notifier, self.clock, self.settings)
        jobcore.reap_tick(self.store, self.trainer, self.clock, self.settings)
        self.clock.advance(LEASE * 2)
        self.sandbox.advance(LEASE.total_seconds() * 2)
        return self.job

    @property
    def job(self) -> jobcore.Job:
        return self.store.get([self.job_id])[self.job_id]

    def stop(self) -> None:
        event = StopRequested(by="ada")
        jobcore.ticks.apply_request(self.job_id, event, store=self.store, now=self.clock.now())

    def finish(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            if self.round().status.is_terminal and not self.job.outbox:
                return
        raise AssertionError(f"it hangs in {self.job.status}")

    def check(self, status: Status) -> None:
        """One training, one job, one message; and nothing of it lives."""
        assert self.job.status is status
        assert sum(self.store.counts().values()) == 1
        assert len(self.sandbox.world.trainings) == 1
        assert len(self.job.attempts) <= 1
        assert len(set(self.notifier.event_ids)) == 1
        assert list(self.trainer.running()) == []


FAULTS = [
    "throttle",
    "fail-before",
    "fail-after",
    "reset-before",
    "reset-after",
    "lose-reply",
    "late-reply",
    "late-apply",
]


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_create_leaves_one_training_and_one_message(sandbox, trainer, kind, times) -> None:
    world = World(sandbox, trainer)
    sandbox.fault(kind, operation="CreateTrainingJob", seconds=1.4, times=times)
    world.finish()
    settle(sandbox)
    world.check(Status.COMPLETED)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_stop_after_a_faulty_create_leaves_nothing_running(sandbox, trainer, kind) -> None:
    """Rule B: the name is used up before the job is called stopped."""
    sandbox.script(Script(training=9e6))
    world = World(sandbox, trainer)
    sandbox.fault(kind, operation="CreateTrainingJob", seconds=1.4)
    jobcore.launch_tick(world.store, trainer, world.clock, world.settings)
    world.stop()
    world.finish()
    settle(sandbox)
    world.check(Status.STOPPED)


def test_a_stop_after_a_refused_create_makes_no_training(sandbox, trainer) -> None:
    world = World(sandbox, trainer)
    sandbox.fault("throttle", operation="CreateTrainingJob", times=3)
    jobcore.launch_tick(world.store, trainer, world.clock, world.settings)
    assert world.job.status is Status.NEW
    world.stop()
    world.finish()
    assert world.job.status is Status.STOPPED
    assert not sandbox.world.trainings


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_stop_is_asked_again(sandbox, trainer, kind, times) -> None:
    sandbox.script(Script(training=9e6))
    world = World(sandbox, trainer)
    world.round()
    world.stop()
    sandbox.fault(kind, operation="StopTrainingJob", seconds=1.4, times=times)
    world.finish()
    settle(sandbox)
    world.check(Status.STOPPED)


@pytest.mark.parametrize("kind", ["throttle", "fail-before", "reset-before", "late-reply"])
def test_reads_that_fail_change_no_job(sandbox, trainer, kind) -> None:
    world = World(sandbox, trainer)
    world.round()
    before = world.job
    sandbox.fault(kind, operation="DescribeTrainingJob", seconds=1.4)
    jobcore.monitor_tick(world.store, trainer, world.clock, world.settings)
    assert world.job == before
    world.finish()
    world.check(Status.COMPLETED)


def test_two_launchers_make_one_training(sandbox) -> None:
    """Both act on the same intent at once."""
    trainer = SageMakerTrainer(settings(), client=client(sandbox.url))  # it waits for each answer
    world = World(sandbox, trainer)
    replies: list[Any] = []
    threads = [
        threading.Thread(target=lambda: replies.extend(trainer.launch([request()])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results(replies)) == [ACCEPTED] + [EXISTS] * 7
    assert len(sandbox.world.trainings) == 1
    assert world.job.status is Status.NEW


def test_a_name_taken_by_a_stranger_holds_the_job(sandbox, trainer) -> None:
    world = World(sandbox, trainer)
    stranger = _plain_request() | {"TrainingJobName": world.job.training_name}
    client(sandbox.url).create_training_job(**stranger)
    world.round()
    assert world.job.status is Status.HELD
    assert "in use by a training that is not jobcore's" in world.job.timeline[-1].note


def test_a_wait_for_capacity_that_ran_out_sends_the_job_back(sandbox) -> None:
    """MaxPendingTimeInSeconds ends in Stopped; nobody asked for that, and it never ran."""
    gpu = Pool(name="cpu", instance_types=("ml.g5.2xlarge",))
    sandbox.control.handle("POST", "pools", {"us-east-1/ml.g5.2xlarge/on-demand": {"capacity": 0}})
    config = settings(pools={"cpu": gpu}, pending_at_most=timedelta(minutes=30))
    trainer = SageMakerTrainer(config, client=client(sandbox.url))
    world = World(sandbox, trainer)
    for _ in range(20):
        if world.round().attempts:
            break
    (attempt,) = world.job.attempts
    assert attempt.outcome is Status.STOPPED
    assert attempt.failure is not None
    assert attempt.failure.failure_class is FailureClass.CAPACITY
    assert attempt.started_at is None
    assert world.job.status is Status.NEW
    sandbox.control.handle("POST", "pools", {"us-east-1/ml.g5.2xlarge/on-demand": {"capacity": 1}})
    world.finish()
    assert world.job.status is Status.COMPLETED
    assert world.job.attempt_number == 2
    trainer.close()
