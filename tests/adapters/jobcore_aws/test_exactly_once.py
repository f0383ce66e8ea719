"""
Every call that changes something, times everything that can become of its reply.

Real boto3, the real adapters and the real ticks; the table is DynamoDB's of a stand-in, SageMaker is
the sandbox, messages go to a queue. Whatever is lost, late or refused on the way: one training at a
time, one job, one message to be seen.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

import jobcore
from aws_fixtures import FAKE_ACCOUNT, connect, table_name
from faulty_proxy import KINDS, FaultyProxy, Rule
from jobcore import Status
from jobcore_aws import (
    DynamoStore,
    SageMakerSettings,
    SageMakerTrainer,
    SnsNotifier,
    create_table,
    failure_rules,
)
from jobcore_local import SystemClock
from jobcore_simulation import PoolConfig, Script
from jobcore_simulation.sandbox import SandboxConfig, serve
from late_replies import impatient

POOL = "us-east-1/ml.m5.large/on-demand"
SETTINGS = SageMakerSettings(
    pools={POOL: 4},
    roles={"default": "arn:aws:iam::123456789012:role/training"},
    images={"default": "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"},
    output="s3://bucket/jobcore",
    create_rate=1000.0,
)
TICKS = jobcore.Settings(
    rules=failure_rules(),
    launch_lease=timedelta(0),
    launches_together=4,
    limits=jobcore.Limits(
        pool_backoff=timedelta(milliseconds=50), pool_backoff_max=timedelta(milliseconds=100)
    ),
)
PASSES = 60


class World:
    """A deployment of stand-ins, each behind a proxy of its own."""

    def __init__(self, ministack: str) -> None:
        name = table_name()
        direct = connect("dynamodb", ministack)
        create_table(direct, name)
        self.aws = FaultyProxy(ministack)
        config = SandboxConfig(pools={POOL: PoolConfig(quota=4)}, manual=True)
        self.sandbox = serve(config)
        self.sandbox.script(Script(training=60.0))
        self.sagemaker = FaultyProxy(self.sandbox.url)
        self.direct = connect("sagemaker", self.sandbox.url)
        # Two shards are as good as eight for two jobs, and a quarter of the queries.
        client = impatient(connect("dynamodb", self.aws.url))
        self.store = DynamoStore(name, client=client, shards=2)
        client = impatient(connect("sagemaker", self.sagemaker.url))
        self.trainer = SageMakerTrainer(SETTINGS, client=client)
        sns, self.sqs = connect("sns", ministack), connect("sqs", ministack)
        topic = sns.create_topic(Name=name)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        asked = {"QueueUrl": self.queue, "AttributeNames": ["QueueArn"]}
        arn = self.sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
        self.notifier = SnsNotifier(topic, client=impatient(connect("sns", self.aws.url)))
        self.clock = SystemClock()

    def close(self) -> None:
        for part in (self.trainer, self.store, self.aws, self.sagemaker, self.sandbox):
            close = getattr(part, "close", None)
            if close is not None:
                close()

    def submit(self, count: int) -> list[str]:
        document = {"script": "train.py", "pool": POOL}
        specs = [
            jobcore.parse_job({**document, "name": f"j{n}"}, owner="ada") for n in range(count)
        ]
        ids = [jobcore.job_id_from_token("ada", f"{self.queue}{n}") for n in range(count)]
        while True:  # what a person or a client does: the same call again, with the same key
            try:
                jobcore.submit(specs, ids, store=self.store, now=self.clock.now())
            except jobcore.Unavailable:
                continue
            return ids

    def passes(self, ids: list[str], done: set[Status]) -> dict[str, jobcore.Job]:
        for _ in range(PASSES):
            for tick in (
                lambda: jobcore.monitor_tick(self.store, self.trainer, self.clock, TICKS),
                lambda: jobcore.launch_tick(self.store, self.trainer, self.clock, TICKS),
                lambda: jobcore.notify_tick(self.store, self.notifier, self.clock, TICKS),
                lambda: jobcore.reap_tick(self.store, self.trainer, self.clock, TICKS),
            ):
                try:
                    tick()
                except jobcore.Unavailable:
                    continue
                self.never_two_alive()
            jobs = self.jobs(ids)
            if all(job.status in done and not job.outbox for job in jobs.values()):
                return jobs
            self.sandbox.advance(40)
        raise AssertionError({job.job_id: (job.status, job.outbox) for job in jobs.values()})

    def jobs(self, ids: list[str]) -> dict[str, jobcore.Job]:
        while True:
            try:
                return dict(self.store.get(ids))
            except jobcore.Unavailable:
                continue

    def trainings(self) -> Counter[str]:
        """Count the trainings that SageMaker has, by job."""
        listed = self.direct.list_training_jobs(MaxResults=100)
        names = [row["TrainingJobName"] for row in listed["TrainingJobSummaries"]]
        return Counter(jobcore.lifecycle.parse_training_name(name).job_id for name in names)

    def never_two_alive(self) -> None:
        listed = self.direct.list_training_jobs(MaxResults=100, StatusEquals="InProgress")
        alive = listed["TrainingJobSummaries"]
        jobs = [
            jobcore.lifecycle.parse_training_name(row["TrainingJobName"]).job_id for row in alive
        ]
        assert len(jobs) == len(set(jobs)), "two trainings of one job are alive"

    def messages(self) -> list[str]:
        ids = []
        asked = {"QueueUrl": self.queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        while found := self.sqs.receive_message(**asked).get("Messages"):
            ids += [json.loads(message["Body"])["event_id"] for message in found]
        return ids


@pytest.fixture
def world(ministack: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in FAKE_ACCOUNT.items():
        monkeypatch.setenv(name, value)
    made = World(ministack)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "operation",
    ["CreateTrainingJob", "PutItem", "UpdateItem", "TransactWriteItems", "Publish"],
)
def test_a_life_survives(world: World, operation: str, kind: str) -> None:
    proxy = world.sagemaker if operation == "CreateTrainingJob" else world.aws
    proxy.rules = [Rule(operation, kind, times=3)]
    ids = world.submit(2)
    jobs = world.passes(ids, {Status.COMPLETED})
    assert {job.status for job in jobs.values()} == {Status.COMPLETED}
    assert world.trainings() == dict.fromkeys(ids, 1)
    assert len(set(world.messages())) == 2
    if operation in proxy.calls:
        assert proxy.rules[0].hits > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["StopTrainingJob", "UpdateItem", "CreateTrainingJob"])
def test_a_stop_survives(world: World, operation: str, kind: str) -> None:
    world.sandbox.script(Script(training=1e6))
    proxy = world.aws if operation == "UpdateItem" else world.sagemaker
    ids = world.submit(1)
    if operation == "CreateTrainingJob":  # the stop meets a launch whose outcome is not known
        proxy.rules = [Rule(operation, kind, times=2)]
        with contextlib.suppress(jobcore.Unavailable):
            jobcore.launch_tick(world.store, world.trainer, world.clock, TICKS)
    else:
        jobcore.launch_tick(world.store, world.trainer, world.clock, TICKS)
        proxy.rules = [Rule(operation, kind, times=3)]
    while True:
        try:
            stop = jobcore.StopRequested(by="ada")
            jobcore.ticks.apply_request(ids[0], stop, store=world.store, now=world.clock.now())
        except jobcore.Unavailable:
            continue
        break
    jobs = world.passes(ids, {Status.STOPPED})
    assert jobs[ids[0]].status is Status.STOPPED
    assert world.trainings()[ids[0]] <= 1
    alive = world.direct.list_training_jobs(StatusEquals="InProgress")
    assert alive["TrainingJobSummaries"] == []
    assert len(set(world.messages())) == 1
