"""The trainer and the notifier of AWS keep the promises of their ports, on stand-ins."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from aws_fixtures import FAKE_ACCOUNT, connect, table_name
from jobcore import Notifier, Placement, Trainer
from jobcore.failures import Rules
from jobcore.ports import LaunchRequest, Training
from jobcore_aws import (
    SageMakerSettings,
    SageMakerTrainer,
    SnsNotifier,
    client,
    failure_rules,
)
from jobcore_conformance import NotifierContract, TrainerContract
from jobcore_simulation import PoolConfig, Script
from jobcore_simulation.sandbox import SandboxConfig, serve
from patience import until

POOL = "us-east-1/ml.m5.large/on-demand"
SETTINGS = SageMakerSettings(
    pools={POOL: 2},
    roles={"default": "arn:aws:iam::123456789012:role/training"},
    images={"default": "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"},
    output="s3://bucket/jobcore",
    create_rate=1000.0,
)


class CpuIsAPool(SageMakerTrainer):
    """The suite calls its pool "cpu"; on SageMaker it has a longer name."""

    def launch(self, requests):
        return super().launch(
            [replace(r, placement=Placement(POOL, r.placement.count)) for r in requests]
        )

    def capacity(self):
        return {name.replace(POOL, "cpu"): size for name, size in super().capacity().items()}


class TestSageMakerTrainerOnTheSandbox(TrainerContract):
    """Unmodified boto3 speaks to it over HTTP; its time runs 600 times as fast."""

    @pytest.fixture(autouse=True)
    def _sandbox(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        for name, value in FAKE_ACCOUNT.items():
            monkeypatch.setenv(name, value)
        config = SandboxConfig(pools={POOL: PoolConfig(quota=2)}, speed=600.0)
        with serve(config) as self.sandbox:
            yield

    def failure_rules(self) -> Rules:
        return failure_rules()

    def make_trainer(self) -> Trainer:
        sagemaker = client("sagemaker", endpoint_url=self.sandbox.url, mutating=True)
        return CpuIsAPool(SETTINGS, client=sagemaker)

    def prepare(self, trainer: Trainer, request: LaunchRequest) -> LaunchRequest:
        acts = {
            "complete": Script(name=request.name, training=60.0),
            "measure": Script(name=request.name, training=60.0, metrics={"loss": 0.25}),
            "fail": Script(
                name=request.name,
                training=60.0,
                failure_rate=1.0,
                failures=("AlgorithmError: ExecuteUserScriptError: boom, exit code: 1",),
            ),
            "long": Script(name=request.name, training=1e6),
        }
        self.sandbox.script(acts[str(request.args["act"])])
        return replace(request, args={"script": "train.py"})

    def settle(self, trainer: Trainer, name: str) -> Training:
        def over() -> Training | None:
            training = trainer.describe([name])[name]
            assert training is not None
            return training if training.state.is_terminal else None

        return until(over)


class TestSnsNotifierOnMiniStack(NotifierContract):
    @pytest.fixture(autouse=True)
    def _topic(self, ministack: str) -> None:
        self.sns, self.sqs = connect("sns", ministack), connect("sqs", ministack)
        name = table_name()
        self.topic = self.sns.create_topic(Name=name)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        asked = {"QueueUrl": self.queue, "AttributeNames": ["QueueArn"]}
        arn = self.sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        raw = {"RawMessageDelivery": "true"}
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn, Attributes=raw)

    def make_notifier(self) -> Notifier:
        return SnsNotifier(self.topic, client=self.sns)

    def delivered(self, notifier: Notifier) -> Sequence[str]:
        ids = []
        asked = {"QueueUrl": self.queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        while found := self.sqs.receive_message(**asked).get("Messages"):
            ids += [json.loads(m["Body"])["event_id"] for m in found]
        return ids
