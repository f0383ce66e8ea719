"""Targets: scenarios, traces, and the calls and controls of the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jobcore_simulation._texts import Refused
from jobcore_simulation.sandbox import SandboxConfig
from jobcore_simulation.sandbox._answers import Denied
from jobcore_simulation.sandbox._clock import SandboxClock
from jobcore_simulation.sandbox._control import Control, NotFound
from jobcore_simulation.sandbox._sandbox import Sandbox
from jobcore_simulation.sandbox._service import OPERATIONS
from jobcore_simulation.sandbox._validation import Malformed
from jobcore_simulation.simulator import _scenario, _traces
from proof._source import Source, toml

from ._values import ACCOUNT, Bytes

__all__ = ["sandbox_control", "sandbox_wire", "scenario", "traces"]


SCENARIO: dict[str, Any] = {
    "title": "t", "horizon": 86400.0, "clock_jump": [3600.0, -7200.0],
    "jobs": {"count": 20, "shares": 2, "run": [600.0, 0.5], "sizes": {"1": 0.9, "2": 0.1}, "pools": ["a"], "fails": 0.1},
    "pool": [{"name": "a", "capacity": [[0.0, 2], [60.0, 0]], "flips": [60.0, 60.0], "quota": 4, "spot": True},
             {"name": "b", "capacity": 3}],
    "provider": {"rate": 2.0, "burst": 20, "start_up": [90.0, 240.0], "listens": True},
    "outage": [{"port": "store", "begins": 10, "ends": 20}],
}  # fmt: skip


def scenario(data: bytes) -> None:
    source = Source(data)
    if source.below(4):
        text = toml(source.changed(SCENARIO))
    else:
        text = source.rest().decode("utf-8", "replace")
    try:
        found = _scenario.parse(text, "x")
    except ValueError as error:
        assert str(error).startswith("scenario x: "), error
        return
    assert found.pools
    assert all(isinstance(pool.name, str) for pool in found.pools)


_CSV = (
    b"trace_id,t_s,available\na,0,1\na,60,0\nb,0,4\n",
    b"submit_s,duration_s,gpus,user\n0,60,8,ada\n5,30,,\n",
)


def traces(data: bytes) -> None:
    source = Source(data)
    kind = source.below(4)
    if kind == 0:
        changed = source.changed({"metadata": {"gap_seconds": 300}, "data": [1, 0, 2, 2]})
        raw = json.dumps(changed).encode()
    else:
        raw = _CSV[kind % 2]
        for _ in range(source.below(5)):
            cut = source.below(len(raw) + 1)
            raw = raw[:cut] + source.bytes(12) + raw[cut + source.below(4) :]
        if kind == 3:
            raw = source.rest()
    path: Any = Bytes(source.one_of(("t.csv", "t.json", "t.csv.gz")), raw)
    for read in (
        lambda: _traces.capacity_from([path]),
        lambda: _traces.work_from(path),
        lambda: _traces.scenario_from([path], None),
        lambda: _traces.scenario_from([_good_trace()], path),
    ):
        try:
            read()
        except ValueError as error:
            assert path.name in str(error), error


def _good_trace() -> Any:
    return Bytes("good.csv", _CSV[0])


CREATE: dict[str, Any] = {
    "TrainingJobName": "jc-x-1", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/training",
    "AlgorithmSpecification": {"TrainingImage": "a/b:1", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    "HyperParameters": {"lr": "1"}, "Environment": {"A": "b"}, "Tags": [{"Key": "k", "Value": "v"}],
    "InputDataConfig": [{"ChannelName": "c", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/i"}}}],
}  # fmt: skip
_ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/jc-x-1"
_WIRE: Mapping[str, Any] = {
    "CreateTrainingJob": CREATE,
    "DescribeTrainingJob": {"TrainingJobName": "jc-x-1"},
    "StopTrainingJob": {"TrainingJobName": "jc-x-1"},
    "DeleteTrainingJob": {"TrainingJobName": "jc-x-1"},
    "ListTrainingJobs": {"NameContains": "jc", "MaxResults": 1, "SortBy": "Name", "NextToken": "WyItTmFtZSIsMV0="},
    "Search": {
        "Resource": "TrainingJob", "MaxResults": 1, "SortBy": "CreationTime",
        "SearchExpression": {"Filters": [
            {"Name": "TrainingJobName", "Operator": "In", "Value": "jc-x-1,b"},
            {"Name": "CreationTime", "Operator": "GreaterThan", "Value": "2026-01-01T00:00:00Z"},
            {"Name": "Tags.k", "Operator": "Exists"}], "Operator": "Or"},
    },
    "AddTags": {"ResourceArn": _ARN, "Tags": [{"Key": "a", "Value": "b"}]},
    "ListTags": {"ResourceArn": _ARN},
    "DeleteTags": {"ResourceArn": _ARN, "TagKeys": ["a"]},
}  # fmt: skip
_AUTH = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sagemaker/aws4_request"


@cache
def _sandbox() -> tuple[Sandbox, Control]:
    config = SandboxConfig(manual=True, start=0.0, account=ACCOUNT)
    sandbox = Sandbox(config)
    return sandbox, Control(sandbox)


def _fresh_sandbox() -> tuple[Sandbox, Control]:
    """Give the one sandbox, emptied and at time 0; a new one would load botocore's model again."""
    sandbox, control = _sandbox()
    sandbox.service.regions.clear()
    sandbox.service.region("us-east-1")
    sandbox.clock = SandboxClock(start=0.0, speed=1.0, manual=True)
    sandbox.service.now = sandbox.clock.now
    sandbox.faults.clear()
    sandbox.buckets, sandbox.latency = {}, 0.0
    sandbox.calls.clear()
    return sandbox, control


def sandbox_wire(data: bytes) -> None:
    source = Source(data)
    sandbox, _ = _fresh_sandbox()
    calls = [("CreateTrainingJob", CREATE)] if source.flag() else []
    for _ in range(1 + source.below(3)):
        operation = source.one_of(OPERATIONS)
        calls.append((operation, source.changed(_WIRE[operation])))
    for operation, request in calls:
        target = f"SageMaker.{operation}" if source.below(16) else source.text()
        body = json.dumps(request).encode() if source.below(8) else source.bytes(100)
        try:
            answer = sandbox.answer(target, _AUTH if source.below(16) else source.text(), body)
        except (Refused, Malformed, Denied) as error:
            assert str(error) is not None
        else:
            assert answer == b"" or isinstance(json.loads(answer), dict)


_CONTROLS: Sequence[tuple[str, str, Any]] = (
    ("POST", "script", [{"name": "*", "training": [1, 2], "failure": "x", "where": {"Tags.k": "v"}}]),
    ("POST", "pools", {"ml.m5.large": {"quota": 2, "capacity": [[0, 1], [60, 0]], "shortage": "wait"}}),
    ("POST", "faults", [{"kind": "throttle", "operation": "Search", "count": 2}]),
    ("POST", "settings", {"rates": {"Search": [1.0, 2]}}),
    ("POST", "advance", {"seconds": 60}),
    ("POST", "advance", {"to_next_event": True}),
    ("GET", "state", None), ("GET", "trainings", None), ("GET", "faults", None), ("GET", "calls", None),
)  # fmt: skip


def sandbox_control(data: bytes) -> None:
    source = Source(data)
    sandbox, control = _fresh_sandbox()
    for _ in range(1 + source.below(4)):
        method, path, document = source.one_of(_CONTROLS)
        changed = source.changed(document)
        if isinstance(changed, dict):
            changed.pop("latency", None)  # waits for as long as it is told
        if not source.below(16):
            path = source.text(20)
        try:
            json.dumps(control.handle(method, path, changed))
        except (NotFound, ValueError, TypeError, KeyError):
            continue
    # A refused control has changed nothing: the sandbox still answers.
    json.dumps(control.handle("GET", "state", None))
    sandbox.faults.clear()
    sandbox.buckets = {}
    try:
        sandbox.answer("SageMaker.CreateTrainingJob", _AUTH, json.dumps(CREATE).encode())
    except Refused:
        return
