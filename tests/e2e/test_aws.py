"""
The whole product on an emulated AWS: deployed by `jobcore deploy`, driven by its own triggers.

MiniStack plays AWS, with IAM switched on: each function runs under its role, and what the
template does not allow is refused. The sandbox plays SageMaker. Nobody calls a tick: schedules,
the table's stream and SageMaker's events do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aws_fixtures import FAKE_ACCOUNT, MINISTACK, _wait_for, connect, free_port
from jobcore_simulation._pools import PoolConfig, Shortage
from jobcore_simulation._training import Script
from jobcore_simulation.sandbox import SandboxConfig, serve
from patience import SECONDS

ACCOUNT = "000000000000"
POOL = "us-east-1/ml.m5.large/on-demand"
JOBS, SLOTS = 200, 40
SPEED = 100.0  # the sandbox's seconds in a second
#: MiniStack refuses events from aws.*, as AWS does; the template lets an emulator name another.
SOURCE = "sandbox.sagemaker"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not MINISTACK.exists():
        pytest.skip(f"no {MINISTACK.parent.parent.name}: run make test")
    port = free_port()
    folder = tmp_path_factory.mktemp("aws")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "AUTH": "true",  # functions have their role's credentials, and policies are enforced
    } | FAKE_ACCOUNT
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(MINISTACK)],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_ministack/health", server, folder / "log")
        yield address
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def sagemaker(aws: str) -> Iterator[Any]:
    events = connect("events", aws)

    def forward(event: Any) -> None:
        entry = {
            "Source": SOURCE,
            "DetailType": event["detail-type"],
            "Resources": list(event["resources"]),
            "Detail": json.dumps(event["detail"]),
        }
        events.put_events(Entries=[entry])

    config = SandboxConfig(
        speed=SPEED,
        account=ACCOUNT,
        pools={POOL: PoolConfig(quota=SLOTS, capacity=SLOTS, shortage=Shortage.REFUSE)},
        scripts=(
            Script(
                name="jc-*-1",
                where={"HyperParameters.act": "flaky"},
                failure_rate=1.0,
                failures=(
                    "InternalServerError: We encountered an internal error. Please try again.",
                ),
            ),
            Script(where={"HyperParameters.act": "bad"}, failure_rate=1.0),
        ),
        on_event=forward,
        events_lost=0.1,
        events_twice=0.1,
    )
    with serve(config) as server:
        yield server


@pytest.fixture(scope="module")
def run(aws: str, sagemaker: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JOBCORE_", "AWS_"))}
    environ = kept | {
        "JOBCORE_HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "no-config"),
        "AWS_ENDPOINT_URL": aws,
        "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker.url,
        **FAKE_ACCOUNT,
    }

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jobcore_cli", *words],
            cwd=home,
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return call


@pytest.fixture(scope="module")
def deployed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    config = tmp_path_factory.mktemp("config") / "aws.json"
    config.write_text(
        json.dumps(
            {
                "output": "s3://models/jobcore",
                "roles": {"default": f"arn:aws:iam::{ACCOUNT}:role/train"},
                "pools": {POOL: None},
                "create_rate": 50,
                "limits": {"pool_backoff": "1s", "pool_backoff_max": "5s"},
            }
        )
    )
    runtime = _ministack_runtime()
    done = run(
        "deploy", "--json", "--config", str(config), "--runtime", runtime,
        "--set", f"EventSource={SOURCE}", "--set", "RepeatSeconds=10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["outputs"]


def _ministack_runtime() -> str:
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    python = MINISTACK.parent / "python"
    return subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _subscribed_queue(aws: str, topic: str) -> str:
    sqs = connect("sqs", aws)
    url = sqs.create_queue(QueueName="people")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:people"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    connect("sns", aws).subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    return url


def _job(number: int) -> dict[str, Any]:
    act = "bad" if number % 20 == 0 else "flaky" if number % 20 == 1 else "good"
    return {
        "name": f"job-{number:03d}",
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1",
        "pool": POOL,
        "hyperparameters": {"act": act},
        "environment": {"API_KEY": "canary-in-the-environment"},
        "retry": {"backoff": "1s", "backoff_max": "5s"},
    }


def _invoke(aws: str, function: str, event: object) -> Any:
    answer = connect("lambda", aws).invoke(
        FunctionName=function, Payload=json.dumps(event).encode()
    )
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    return body


def _receive(aws: str, url: str) -> list[dict[str, Any]]:
    sqs = connect("sqs", aws)
    found = []
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in batch:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


@pytest.mark.long
def test_200_jobs_through_a_shortage_and_failures_told_once_each_and_then_destroyed(
    aws: str, sagemaker: Any, run: Run, deployed: dict[str, str]
) -> None:
    queue = _subscribed_queue(aws, deployed["TopicArn"])
    event = {"jobs": [_job(n) for n in range(JOBS)], "token": "e2e", "group": "e2e"}
    end = time.monotonic() + 2 * SECONDS  # twenty times what it takes on an idle machine
    answer = _invoke(aws, deployed["SubmitFunctionName"], event)
    assert answer["created"] == JOBS
    assert _invoke(aws, deployed["SubmitFunctionName"], event)["known"] == JOBS
    messages: list[dict[str, Any]] = []
    while len({m["job_id"] for m in messages}) < JOBS:
        messages += _receive(aws, queue)
        assert time.monotonic() < end, _state(aws, deployed, messages)
        time.sleep(0.5)
    # Every job, once, with the right end.
    assert {m["job_id"] for m in messages} == set(answer["ids"])
    ends = Counter(m["status"] for m in {m["event_id"]: m for m in messages}.values())
    assert ends == {"Completed": JOBS - JOBS // 20, "Failed": JOBS // 20}
    # One training for each attempt, never two at once, and the pool was never overdrawn.
    trainings = Counter(
        name for op, name, said in sagemaker.log if op == "CreateTrainingJob" and said == "ok"
    )
    assert set(trainings.values()) == {1}
    assert len(trainings) == JOBS + JOBS // 20  # the flaky ones twice
    done = run("status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["jobs"] == {"Completed": JOBS - JOBS // 20, "Failed": JOBS // 20}
    assert status["lost_hints"] == 0
    assert _logs(aws, "canary") == []
    _destroy(aws, run, deployed)


def _state(aws: str, deployed: dict[str, str], messages: list[Any]) -> str:
    """Say how far it has come, and what went wrong on the way."""
    lines = [json.loads(line) for line in _logs(aws, '"trouble"') if line.startswith("{")]
    kinds = Counter((m["function"], m["error"], m.get("text", "")[:200]) for m in lines)
    return f"{len(messages)} messages; troubles: {kinds.most_common(5)}"


def _logs(aws: str, text: str) -> list[str]:
    logs = connect("logs", aws)
    found = []
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
        name = group["logGroupName"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
            found += [e["message"] for e in page["events"] if text in e["message"]]
    return found


def _destroy(aws: str, run: Run, deployed: dict[str, str]) -> None:
    """Take the deployment away; the jobs stay."""
    done = run("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert deployed["TableName"] in done.stdout
    assert connect("lambda", aws).list_functions()["Functions"] == []
    kept = connect("dynamodb", aws).scan(TableName=deployed["TableName"], Limit=5)
    assert kept["Count"] == 5
    assert run("status").returncode == 3
    assert run("destroy", "--yes").returncode == 3
