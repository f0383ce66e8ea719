"""
The calls that the functions make and the calls that their roles allow: the same, both ways.

The handlers run on the real adapters, against MiniStack and the sandbox; every request that
botocore sends is written down as an action of IAM.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

import jobcore
from aws_fixtures import FAKE_ACCOUNT, connect, table_name
from iam_tools import Call, allowed
from jobcore_aws import _clients, create_table
from jobcore_lambda import _wiring, launch, monitor, notify, reap, stream, submit
from jobcore_memory import ManualClock
from jobcore_simulation._pools import PoolConfig
from jobcore_simulation._training import Script
from jobcore_simulation.sandbox import SandboxConfig, Server, serve
from lambda_fixtures import FakeContext, http, state_change
from patience import SECONDS
from template_tools import render

POOL = "us-east-1/ml.m5.large/on-demand"
FULL, SHORT = "us-east-1/ml.c5.2xlarge/on-demand", "us-east-1/ml.c5.4xlarge/on-demand"
BUGGY = "us-east-1/ml.c5.9xlarge/on-demand"
CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
BUG = "AlgorithmError: ExecuteUserScriptError: KeyError: 'lr', exit code: 1"
SANDBOX = SandboxConfig(
    manual=True,
    pools={FULL: PoolConfig(quota=1)},
    scripts=(
        Script(pool=SHORT, training=1.0, failure_rate=1.0, failures=(CAPACITY,)),
        Script(pool=BUGGY, training=1.0, failure_rate=1.0, failures=(BUG,)),
        Script(training=5000.0),
    ),
)
# Checked by AWS beside another call, or made by Lambda itself and not by the function's code.
NOT_OURS = {
    "iam:PassRole",
    "s3:ListBucket",  # beside GetObject of a missing key
    "sagemaker:AddTags",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
    "sqs:SendMessage",
}
_NAMES = {"lambda:Invoke": "lambda:InvokeFunction"}


def _allowed(role: str) -> set[str]:
    found: set[str] = set()
    for statement in render().statements(role):
        if statement["Effect"] == "Allow":
            actions = statement["Action"]
            found |= set(actions if isinstance(actions, list) else [actions])
    return found


@pytest.fixture(scope="module")
def puts() -> dict[str, set[str]]:
    """The partitions into which each function put whole items."""
    return defaultdict(set)


@pytest.fixture(scope="module")
def calls(ministack: str, puts: dict[str, set[str]]) -> Iterator[dict[str, set[str]]]:
    """Every function at work; what each called."""
    with pytest.MonkeyPatch.context() as patch, serve(SANDBOX) as sandbox:
        for name, value in FAKE_ACCOUNT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", ministack)
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", sandbox.url)
        _clients._session.cache_clear()
        made: dict[str, set[str]] = defaultdict(set)
        now = ["set-up"]

        def note(model: Any, params: Any, **_: Any) -> None:
            action = f"{model.service_model.signing_name}:{model.name}"
            made[now[0]].add(_NAMES.get(action, action))
            if action == "dynamodb:PutItem":
                puts[now[0]].add(json.loads(params["body"])["Item"]["pk"]["S"])

        _clients._session().register("before-call.*.*", note)
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register("before-call.*.*", note)
        try:
            _work(ministack, now, sandbox)
        finally:
            _wiring.use(None)
            boto3.DEFAULT_SESSION = None
            _clients._session.cache_clear()
        yield made


def _work(address: str, now: list[str], sandbox: Server) -> None:
    own = table_name()  # workers may share a server of one's own
    create_table(connect("dynamodb", address), own)
    connect("s3", address).create_bucket(Bucket=f"{own}-specs")
    topic = connect("sns", address).create_topic(Name=own)["TopicArn"]
    client = connect("lambda", address)
    for name in (f"{own}-launch", f"{own}-notify"):
        client.create_function(
            FunctionName=name,
            Role="arn:aws:iam::000000000000:role/x",
            Runtime="python3.11",
            Handler="x.y",
            Code={"ZipFile": _empty_zip()},
        )
    config = {
        "output": "s3://models/x",
        "roles": {"default": "arn:aws:iam::000000000000:role/train"},
        "pools": {POOL: 50, FULL: None, SHORT: 5, BUGGY: 5},
        "create_rate": 100,
    }
    wired = _wiring.Wiring(
        {
            "JOBCORE_TABLE": own,
            "JOBCORE_BUCKET": f"{own}-specs",
            "JOBCORE_TOPIC_ARN": topic,
            "JOBCORE_CONFIG": json.dumps(config),
            "JOBCORE_LAUNCH_FUNCTION": f"{own}-launch",
            "JOBCORE_NOTIFY_FUNCTION": f"{own}-notify",
        }
    )
    _wiring.use(wired)
    job = {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/t:1", "pool": POOL}
    large = {**job, "name": "large", "hyperparameters": {f"p{n}": "x" * 2400 for n in range(99)}}
    large |= {"environment": {f"E{n}": "y" * 500 for n in range(96)}}
    words = {"ContainerArguments": ["z" * 250] * 100}
    large |= {"sagemaker": {"AlgorithmSpecification": words}}

    def of(function: str, handler: Any, event: Any) -> Any:
        now[0] = function
        wired.__dict__.pop("store", None)  # each function has a process, and clients, of its own
        answer = handler(event, FakeContext(left_ms=600_000))
        now[0] = "set-up"
        return answer

    many = {"jobs": [{**job, "name": f"j{n}"} for n in range(12)], "token": "t"}
    ids = of("Submit", submit.handler, many)["ids"]
    of("Submit", submit.handler, many)
    status = of("Submit", submit.handler, http("POST", "/jobs", {"jobs": [large, job]}))
    assert status["statusCode"] == 201, status["body"]
    large_id, stopped_id = json.loads(status["body"])["ids"]
    for query in ({}, {"status": "New"}, {"group": "g"}, {"status": "Completed"}):
        answer = of("Submit", submit.handler, http("GET", "/jobs", query=query))
        assert answer["statusCode"] == 200, answer["body"]
    assert of("Submit", submit.handler, http("GET", f"/jobs/{large_id}"))["statusCode"] == 200
    assert of("Launch", launch.handler, {})["launched"] == 14
    # What pools teach is kept: one that is full at the call, one whose training finds no capacity
    # (its size is told, so the launch learned nothing, and the monitor is the first to write).
    # A job of a group that fails is counted.
    pools = [{**job, "pool": FULL, "name": "f"}, {**job, "pool": FULL}, {**job, "pool": SHORT}]
    pools.append({**job, "pool": BUGGY, "group": "sweep"})
    assert of("Submit", submit.handler, {"jobs": pools})["created"] == 4
    assert any(of("Launch", launch.handler, {})["refused"] for _ in range(5))
    # An unclear launch is described; one that was stopped meanwhile is stopped in SageMaker.
    _adopt_and_stop(wired, of, job)
    answer = of("Submit", submit.handler, http("POST", f"/jobs/{stopped_id}/stop"))
    assert answer["statusCode"] == 200, answer["body"]
    of("Reap", reap.handler, {})
    _orphan(wired, of, ids[0])
    sandbox.advance(2000)  # the pool that was short has failed its training; the others go on
    of("Monitor", monitor.handler, {})
    of("Monitor", monitor.handler, state_change(jobcore.lifecycle.training_name(ids[1], 1)))
    end = time.monotonic() + SECONDS
    told = 0
    while told < 14:
        told += of("Notify", notify.handler, {})["published"]
        assert time.monotonic() < end
        sandbox.advance(1000)
        of("Monitor", monitor.handler, {})
    image = {"JobId": {"S": ids[0]}, "JobStatus": {"S": "Completed"}, "_notify": {"S": "x"}}
    record = {"dynamodb": {"SequenceNumber": "1", "NewImage": image}}
    assert of("Stream", stream.handler, {"Records": [record]}) == {"batchItemFailures": []}


def _adopt_and_stop(wired: Any, of: Any, job: dict[str, Any]) -> None:
    """Let the reply to a launch be lost while a stop arrives, and a job end while it is launched."""
    trainer = wired.trainer
    launch_truly = type(trainer).launch

    def meanwhile(event: jobcore.lifecycle.Event) -> None:
        jobcore.ticks.apply_request(job_id, event, store=wired.store, now=wired.clock.now())

    def lose_the_reply(requests: Any) -> Any:
        launch_truly(trainer, requests)
        meanwhile(jobcore.StopRequested(by="somebody"))
        return [jobcore.ports.LaunchReply(jobcore.ports.LaunchResult.UNCLEAR) for _ in requests]

    def end_first(requests: Any) -> Any:
        meanwhile(jobcore.TrainingEnded(attempt=1, outcome=jobcore.Status.COMPLETED))
        return launch_truly(trainer, requests)

    for trouble in (lose_the_reply, end_first):
        name = trouble.__name__.replace("_", "-")
        (job_id,) = of("Submit", submit.handler, {"jobs": [{**job, "name": name}]})["ids"]
        trainer.launch = trouble
        of("Launch", launch.handler, {})
        del trainer.launch
    wired.clock = ManualClock(datetime.now(UTC) + timedelta(minutes=2))
    of("Launch", launch.handler, {})
    wired.clock = _wiring.SystemClock()


def _orphan(wired: Any, of: Any, job_id: str) -> None:
    """Let a job end whose training runs on, for the reaper to stop."""
    ended = jobcore.TrainingEnded(attempt=1, outcome=jobcore.Status.COMPLETED)
    jobcore.ticks.apply_request(job_id, ended, store=wired.store, now=wired.clock.now())
    assert of("Reap", reap.handler, {})["stopped"] >= 1


def _empty_zip() -> bytes:
    import io
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("x.py", "def y(event, context): return None\n")
    return data.getvalue()


FUNCTIONS = ("Submit", "Launch", "Monitor", "Notify", "Stream", "Reap")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_calls_nothing_that_its_role_does_not_allow(calls, function):
    assert calls[function]
    assert calls[function] <= _allowed(f"{function}Role")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_nothing_that_its_function_does_not_call(calls, function):
    assert _allowed(f"{function}Role") - NOT_OURS - calls[function] == set()


TABLE = render().arn("Table")


@pytest.mark.parametrize(
    ("function", "partitions"),
    [("Launch", {"#pools", "#shares"}), ("Monitor", {"#pools", "#group/sweep"})],
)
def test_a_tick_puts_the_records_that_its_role_lets_it_put(calls, puts, function, partitions):
    assert calls[function]
    assert puts[function] == partitions
    for key in partitions:
        call = Call("dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": [key]})
        assert allowed(render().statements(f"{function}Role"), call)
