"""The sandbox as unmodified clients see it: boto3, the AWS CLI, and a browser that should not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

import jobcore
from jobcore_aws import failure_rules
from jobcore_simulation import PoolConfig, Refusal, Script
from jobcore_simulation.sandbox import SandboxConfig, Server, parse_pool, serve
from jobcore_simulation.sandbox._config import load_config
from jobcore_simulation.sandbox._limits import Bucket
from jobcore_simulation.sandbox._service import OPERATIONS
from jobcore_simulation.sandbox._validation import Malformed, matches
from late_replies import hurried, settle
from patience import SECONDS, until

CPU = "us-east-1/ml.m5.large/on-demand"
SPOT = "us-east-1/ml.g5.xlarge/spot"
PLAIN = Script(starting=10.0, downloading=10.0, training=100.0, uploading=10.0)

Client = Any


def client_of(server: Server, *, region: str = "us-east-1") -> Client:
    return boto3.client(
        "sagemaker",
        endpoint_url=server.url,
        region_name=region,
        aws_access_key_id="000000000000",
        aws_secret_access_key="x",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            read_timeout=SECONDS,
            connect_timeout=SECONDS,
        ),
    )


AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=x/20250101/us-east-1/sagemaker/aws4_request"


def request(name: str = "a", **changes: Any) -> dict[str, Any]:
    asked = {
        "TrainingJobName": name,
        "RoleArn": "arn:aws:iam::123456789012:role/trainer",
        "AlgorithmSpecification": {"TrainingImage": "image:1", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    return {k: v for k, v in (asked | changes).items() if v is not None}


def spot(name: str = "a", **changes: Any) -> dict[str, Any]:
    resources = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10}
    times = {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    return request(
        name,
        ResourceConfig=resources,
        StoppingCondition=times,
        EnableManagedSpotTraining=True,
        **changes,
    )


def told(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    said = error.value.response["Error"]
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return said["Code"], said["Message"]


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(SandboxConfig(manual=True, scripts=(PLAIN,), start=1_700_000_000.0)) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    made = client_of(server)
    yield made
    made.close()


def control(server: Server, path: str, document: Any = None, method: str = "POST") -> Any:
    body = None if document is None else json.dumps(document).encode()
    asked = urllib.request.Request(f"{server.url}/_sandbox/{path}", data=body, method=method)
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
        return json.load(answer)


# --- the life of a training ----------------------------------------------------------------


def test_a_training_lives_and_is_described(server: Server, client: Client) -> None:
    made = client.create_training_job(
        **request(HyperParameters={"lr": "0.1"}, Tags=[{"Key": "team", "Value": "vision"}])
    )
    arn = "arn:aws:sagemaker:us-east-1:000000000000:training-job/a"
    assert made["TrainingJobArn"] == arn
    seen = []
    for seconds in (0, 10, 10, 100, 10):
        server.advance(seconds)
        told_now = client.describe_training_job(TrainingJobName="a")
        seen.append((told_now["TrainingJobStatus"], told_now["SecondaryStatus"]))
    assert seen == [
        ("InProgress", "Starting"),
        ("InProgress", "Downloading"),
        ("InProgress", "Training"),
        ("InProgress", "Uploading"),
        ("Completed", "Completed"),
    ]
    assert told_now["HyperParameters"] == {"lr": "0.1"}
    assert told_now["ModelArtifacts"]["S3ModelArtifacts"] == (
        "s3://bucket/out/a/output/model.tar.gz"
    )
    assert told_now["BillableTimeInSeconds"] == 120
    assert (told_now["TrainingEndTime"] - told_now["CreationTime"]).total_seconds() == 130
    assert "FailureReason" not in told_now
    assert "Tags" not in told_now


def test_a_name_is_used_once_until_its_training_is_deleted(server: Server, client: Client) -> None:
    client.create_training_job(**request())
    code, text = told(lambda: client.create_training_job(**request()))
    assert code == "ResourceInUse"
    assert text.endswith("(arn:aws:sagemaker:us-east-1:000000000000:training-job/a)")
    with pytest.raises(client.exceptions.ResourceInUse):
        client.delete_training_job(TrainingJobName="a")
    server.advance(130)
    client.delete_training_job(TrainingJobName="a")
    assert told(lambda: client.describe_training_job(TrainingJobName="a")) == (
        "ValidationException",
        "Requested resource not found.",
    )
    client.create_training_job(**request())
    assert len(server.world.trainings) == 1


def test_stopping_a_training_and_stopping_it_again(server: Server, client: Client) -> None:
    client.create_training_job(**request())
    server.advance(30)
    client.stop_training_job(TrainingJobName="a")
    assert client.describe_training_job(TrainingJobName="a")["TrainingJobStatus"] == "Stopping"
    server.advance(10)
    assert client.describe_training_job(TrainingJobName="a")["SecondaryStatus"] == "Stopped"
    assert told(lambda: client.stop_training_job(TrainingJobName="a")) == (
        "ValidationException",
        "The request was rejected because the training job is in status Stopped.",
    )
    assert told(lambda: client.stop_training_job(TrainingJobName="b"))[1] == (
        "Requested resource not found."
    )


def test_a_failure_is_told_by_describe_and_search_and_not_by_list(
    server: Server, client: Client
) -> None:
    control(
        server,
        "script",
        {"where": {"HyperParameters.x": "3"}, "failure_rate": 1, "failures": ["ClientError: no"]},
    )
    client.create_training_job(**request("a", HyperParameters={"x": "3"}))
    client.create_training_job(**request("b", HyperParameters={"x": "4"}))
    control(server, "advance", {"seconds": 2000})
    failed = client.describe_training_job(TrainingJobName="a")
    assert (failed["TrainingJobStatus"], failed["FailureReason"]) == ("Failed", "ClientError: no")
    assert client.describe_training_job(TrainingJobName="b")["TrainingJobStatus"] == "Completed"
    assert all(
        "FailureReason" not in s for s in client.list_training_jobs()["TrainingJobSummaries"]
    )
    found = client.search(
        Resource="TrainingJob",
        SearchExpression={"Filters": [{"Name": "TrainingJobStatus", "Value": "Failed"}]},
    )
    assert [r["TrainingJob"]["FailureReason"] for r in found["Results"]] == ["ClientError: no"]


def test_regions_know_nothing_of_each_other(server: Server, client: Client) -> None:
    client.create_training_job(**request())
    other = client_of(server, region="eu-west-1")
    assert "eu-west-1" in other.create_training_job(**request())["TrainingJobArn"]
    other.close()


# --- shortage ------------------------------------------------------------------------------


def test_a_full_quota_answers_with_a_sentence_that_jobcore_reads(
    server: Server, client: Client
) -> None:
    control(server, "pools", {"ml.m5.large": {"quota": 1}, "ml.g5.xlarge/spot": {"quota": 0}})
    client.create_training_job(**request("a"))
    code, text = told(lambda: client.create_training_job(**request("b")))
    assert code == "ResourceLimitExceeded"
    quota = jobcore.failures.find_quota(text, failure_rules())
    assert quota == jobcore.lifecycle.Quota(
        name="ml.m5.large for training job usage", limit=1, used=1, requested=1
    )
    text = told(lambda: client.create_training_job(**spot("c")))[1]
    quota = jobcore.failures.find_quota(text, failure_rules())
    assert quota is not None
    assert (quota.name, quota.limit) == ("ml.g5.xlarge for spot training job usage", 0)
    server.advance(130)
    client.create_training_job(**request("b"))


def test_a_shortage_shows_as_pending_and_ends_as_stopped(server: Server, client: Client) -> None:
    control(server, "pools", {"ml.g5.xlarge": {"capacity": 0}})
    resources = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10}
    times = {"MaxRuntimeInSeconds": 3600, "MaxPendingTimeInSeconds": 1800}
    client.create_training_job(**request(ResourceConfig=resources, StoppingCondition=times))
    server.advance(60)
    shown = client.describe_training_job(TrainingJobName="a")
    assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("InProgress", "Pending")
    last = shown["SecondaryStatusTransitions"][-1]
    assert last["StatusMessage"] == "Training job waiting for capacity"
    server.advance(1800)
    shown = client.describe_training_job(TrainingJobName="a")
    assert shown["TrainingJobStatus"] == "Stopped"
    assert "TrainingStartTime" not in shown
    assert shown["SecondaryStatusTransitions"][-2]["Status"] == "Pending"


def test_instance_preferences_take_the_first_type_that_is_there(
    server: Server, client: Client
) -> None:
    control(server, "pools", {"ml.g5.xlarge": {"capacity": 0}})
    preferences = [{"InstanceType": "ml.g5.xlarge"}, {"InstanceType": "ml.g5.2xlarge"}]
    resources = {"InstancePreferences": preferences, "InstanceCount": 2, "VolumeSizeInGB": 10}
    client.create_training_job(**request(ResourceConfig=resources))
    shown = client.describe_training_job(TrainingJobName="a")["ResourceConfig"]
    assert (shown["SelectedInstanceType"], shown["SelectedInstanceCount"]) == ("ml.g5.2xlarge", 2)


def test_spot_is_interrupted_and_goes_on(server: Server, client: Client) -> None:
    control(server, "pools", {"ml.g5.xlarge/spot": {"capacity": 1}})
    client.create_training_job(**spot(CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"}))
    server.advance(50)
    control(server, "pools", {"ml.g5.xlarge/spot": {"capacity": 0}})
    shown = client.describe_training_job(TrainingJobName="a")
    assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("InProgress", "Interrupted")
    control(server, "pools", {"ml.g5.xlarge/spot": {"capacity": 1}})
    server.advance(300)
    assert client.describe_training_job(TrainingJobName="a")["TrainingJobStatus"] == "Completed"


# --- requests that are refused -----------------------------------------------------------------


LONG = "x" * 2501
BAD = [
    ({"TrainingJobName": "a_b"}, "'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern"),
    ({"TrainingJobName": "x" * 64}, "Member must have length less than or equal to 63"),
    ({"RoleArn": "arn:aws:iam::1:role/trainer"}, "at 'roleArn' failed"),
    ({"HyperParameters": {"k": LONG}}, "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 2500]"),
    ({"HyperParameters": {str(n): "" for n in range(101)}}, "Member must have length less than or equal to 100"),
    ({"Environment": {"a b": "1"}}, "Map key must satisfy constraint"),
    ({"ResourceConfig": {"InstanceType": "ml.none", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum value set"),
    ({"ResourceConfig": {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}, "InstanceCount must be at least 1"),
    ({"ResourceConfig": None}, "Value null at 'resourceConfig' failed"),
    ({"StoppingCondition": {"MaxPendingTimeInSeconds": 2419201}}, "Member must have value less than or equal to 2419200"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}}, "can only be used with managed spot"),
    ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds must be specified"),
    ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "either TrainingImage or AlgorithmName"),
    ({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "Fax"}}, "[Pipe, File, FastFile]"),
    ({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "Duplicate tag keys"),
    ({"Tags": [{"Key": "aws:x", "Value": "1"}]}, "reserved"),
    ({"Tags": [{"Key": "a*", "Value": "1"}]}, "at 'tags.1.member.key' failed"),
    ({"ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.m5.large"}], "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "cannot be used together with InstanceType"),
    ({"ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.m5.large", "InstanceCount": 1}, {"InstanceType": "ml.m5.xlarge"}], "VolumeSizeInGB": 1}}, "for all InstancePreferences, or for none"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "part"), BAD)
def test_a_bad_request_is_refused_and_nothing_is_created(
    server: Server, client: Client, changes: dict[str, Any], part: str
) -> None:
    code, text = told(lambda: client.create_training_job(**request(**changes)))
    assert code == "ValidationException"
    assert part in text
    assert not server.world.trainings


def test_a_secret_hyperparameter_is_not_repeated(client: Client) -> None:
    secret = "hunter2" * 400
    _, text = told(lambda: client.create_training_job(**request(HyperParameters={"k": secret})))
    assert "hunter2" not in text


def test_several_mistakes_are_told_at_once(client: Client) -> None:
    bad = request("a_b", HyperParameters={"k": LONG})
    assert told(lambda: client.create_training_job(**bad))[1].startswith("2 validation errors ")


def test_what_is_at_the_limit_is_accepted(client: Client) -> None:
    hyperparameters = {f"k{n}": "x" * 2500 for n in range(100)}
    tags = [{"Key": f"Clé {n}", "Value": "größe: 1+2=3 @ñ/日本"} for n in range(50)]
    client.create_training_job(**request("x" * 63, HyperParameters=hyperparameters, Tags=tags))


def test_more_instances_than_a_training_may_have(client: Client) -> None:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 21, "VolumeSizeInGB": 10}
    code, text = told(lambda: client.create_training_job(**request(ResourceConfig=resources)))
    assert code == "ResourceLimitExceeded"
    assert jobcore.failures.find_quota(text, failure_rules()) is not None


def _post(server: Server, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    signed = "AWS4-HMAC-SHA256 Credential=x/20250101/us-east-1/sagemaker/aws4_request"
    given = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Authorization": signed} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    asked = urllib.request.Request(server.url, data=body, headers=given, method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "SerializationException"),
        (b"[]", {}, 400, "SerializationException"),
        (b'{"TrainingJobName": 1}', {}, 400, "SerializationException"),
        (b'{"Nonsense": 1}', {}, 400, "ValidationException"),
        (b"{}", {"X_Amz_Target": "SageMaker.CreateModel"}, 400, "UnknownOperationException"),
        (b"{}", {"Authorization": ""}, 403, "MissingAuthenticationTokenException"),
        (b"{}", {"Host": "evil.example:80"}, 403, "AccessDeniedException"),
        (b"{}", {"Origin": "http://evil.example"}, 403, "AccessDeniedException"),
    ],
)
def test_what_is_no_proper_call_is_refused(
    server: Server, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answered, document = _post(server, body, **headers)
    assert (answered, document["__type"]) == (status, code)
    assert not server.world.trainings


def test_a_web_page_cannot_reach_the_controls(server: Server) -> None:
    asked = urllib.request.Request(
        f"{server.url}/_sandbox/faults", data=b"[]", headers={"Origin": "http://evil.example"}
    )
    with pytest.raises(urllib.error.HTTPError, match="403") as error:
        urllib.request.urlopen(asked, timeout=SECONDS)
    error.value.close()


def test_every_pattern_of_the_model_can_be_checked() -> None:
    import botocore.session

    model: Any = botocore.session.get_session().get_service_model("sagemaker")
    met: set[str] = set()

    def walk(shape: Any) -> None:
        if shape is None or shape.name in met:
            return
        met.add(shape.name)
        if pattern := shape.metadata.get("pattern"):
            matches(pattern, "x")
            matches(pattern, "ß")
        for inner in getattr(shape, "members", {}).values():
            walk(inner)
        for part in ("member", "key", "value"):
            walk(getattr(shape, part, None))

    for name in OPERATIONS:
        walk(model.operation_model(name).input_shape)
    assert "TagKey" in met


# --- listing and searching ---------------------------------------------------------------------


def _names(answer: dict[str, Any]) -> list[str]:
    return [entry["TrainingJobName"] for entry in answer["TrainingJobSummaries"]]


def _several(server: Server, client: Client, count: int) -> None:
    for n in range(count):
        client.create_training_job(**request(f"t{n:03}", Tags=[{"Key": "n", "Value": str(n % 3)}]))
        server.advance(1)


def test_a_list_is_ten_to_a_page_newest_first(server: Server, client: Client) -> None:
    _several(server, client, 25)
    first = client.list_training_jobs()
    assert _names(first) == [f"t{n:03}" for n in range(24, 14, -1)]
    pages = client.get_paginator("list_training_jobs").paginate()
    assert [n for page in pages for n in _names(page)] == [f"t{n:03}" for n in range(24, -1, -1)]
    by_name = client.list_training_jobs(SortBy="Name", SortOrder="Ascending", MaxResults=3)
    assert _names(by_name) == ["t000", "t001", "t002"]
    again = client.list_training_jobs(
        SortBy="Name", SortOrder="Ascending", MaxResults=3, NextToken=by_name["NextToken"]
    )
    assert _names(again) == ["t003", "t004", "t005"]


def test_a_filter_leaves_short_and_empty_pages_that_go_on(server: Server, client: Client) -> None:
    client.create_training_job(**request("old"))
    server.advance(130)
    _several(server, client, 20)
    page = client.list_training_jobs(StatusEquals="Completed")
    assert _names(page) == []
    assert page["NextToken"]
    pages = client.get_paginator("list_training_jobs").paginate(StatusEquals="Completed")
    assert [n for page in pages for n in _names(page)] == ["old"]


def test_a_token_that_is_not_for_this_list_is_refused(server: Server, client: Client) -> None:
    _several(server, client, 3)
    by_name = client.list_training_jobs(SortBy="Name", MaxResults=1)["NextToken"]
    for token in ("nonsense", "WzFd", "ew==", "é", by_name):
        assert told(lambda token=token: client.list_training_jobs(NextToken=token))[0] == (
            "ValidationException"
        )


def test_a_list_by_time(server: Server, client: Client) -> None:
    _several(server, client, 3)
    middle = client.describe_training_job(TrainingJobName="t001")["CreationTime"]
    assert _names(client.list_training_jobs(CreationTimeAfter=middle)) == ["t002", "t001"]


def test_search_by_name_tag_and_more(server: Server, client: Client) -> None:
    _several(server, client, 12)
    server.advance(115)

    def names(*filters: tuple[str, str, str | None], operator: str = "And") -> list[str]:
        listed = [
            {"Name": n, "Operator": o} | ({} if v is None else {"Value": v}) for n, o, v in filters
        ]
        answer = client.search(
            Resource="TrainingJob",
            SearchExpression={"Filters": listed, "Operator": operator},
            SortBy="TrainingJobName",
            SortOrder="Ascending",
        )
        return [r["TrainingJob"]["TrainingJobName"] for r in answer["Results"]]

    assert names(("TrainingJobName", "In", "t001,t005,none")) == ["t001", "t005"]
    assert names(("TrainingJobName", "Equals", "t001")) == ["t001"]
    assert names(("Tags.n", "Equals", "0")) == ["t000", "t003", "t006", "t009"]
    assert names(("Tags.n", "Equals", "0"), ("TrainingJobName", "Contains", "9")) == ["t009"]
    assert len(names(("Tags.none", "NotExists", None))) == 12
    assert names(("TrainingJobName", "Equals", "t001"), ("TrainingJobName", "Equals", "t002"), operator="Or") == ["t001", "t002"]  # fmt: skip
    assert names(("ResourceConfig.InstanceCount", "GreaterThan", "1")) == []
    created = "2023-11-14T22:13:30"  # ten seconds after the start
    assert names(("CreationTime", "GreaterThanOrEqualTo", created)) == ["t010", "t011"]
    with pytest.raises(ClientError, match="Invalid property name"):
        names(("Nonsense", "Equals", "1"))


def test_search_gives_a_hundred_at_once_with_reasons_and_tags(
    server: Server, client: Client
) -> None:
    _several(server, client, 105)
    first = client.search(Resource="TrainingJob")
    assert len(first["Results"]) == 100
    rest = client.search(Resource="TrainingJob", NextToken=first["NextToken"])
    assert len(rest["Results"]) == 5
    assert "NextToken" not in rest
    record = rest["Results"][-1]["TrainingJob"]
    assert record["Tags"]
    assert record["SecondaryStatusTransitions"]


def test_search_can_lag_behind() -> None:
    with serve(SandboxConfig(manual=True, scripts=(PLAIN,), search_lag=30)) as server:
        client = client_of(server)
        client.create_training_job(**request())
        assert client.search(Resource="TrainingJob")["Results"] == []
        server.advance(31)
        found = client.search(Resource="TrainingJob")["Results"][0]["TrainingJob"]
        assert found["SecondaryStatus"] == "Starting"
        assert client.describe_training_job(TrainingJobName="a")["SecondaryStatus"] == "Training"
        server.advance(30)
        found = client.search(Resource="TrainingJob")["Results"][0]["TrainingJob"]
        assert found["SecondaryStatus"] == "Training"
        client.close()


def test_tags_are_added_listed_and_removed(client: Client) -> None:
    arn = client.create_training_job(**request(Tags=[{"Key": "a", "Value": "1"}]))["TrainingJobArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    client.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    assert told(lambda: client.list_tags(ResourceArn=f"{arn}x"))[0] == "ValidationException"


# --- rates and faults --------------------------------------------------------------------------


def test_a_bucket_lets_so_many_through() -> None:
    bucket = Bucket(rate=2.0, burst=3.0)
    taken = [bucket.take(0.1 * n) for n in range(101)]
    assert sum(taken) == 3 + 20
    assert taken[:4] == [True, True, True, False]


def test_too_many_calls_are_throttled_and_do_nothing(server: Server, client: Client) -> None:
    control(server, "settings", {"rates": {"CreateTrainingJob": [0.001, 2]}})
    for name in ("a", "b"):
        client.create_training_job(**request(name))
    assert told(lambda: client.create_training_job(**request("c"))) == (
        "ThrottlingException",
        "Rate exceeded",
    )
    assert set(server.world.trainings) == {"a", "b"}


FAULTS = {  # kind: what the client sees, whether the training is there
    "throttle": (ClientError, False),
    "error": (ClientError, False),
    "fail-before": (ClientError, False),
    "fail-after": (ClientError, True),
    "reset-before": (Exception, False),
    "reset-after": (Exception, True),
    "lose-reply": (ConnectionClosedError, True),
    "late-reply": (ReadTimeoutError, True),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_befalls_one_call_and_the_next_one_tells_the_truth(
    server: Server, kind: str
) -> None:
    client = hurried(client_of(server), server)
    error, applied = FAULTS[kind]
    control(server, "faults", {"kind": kind, "operation": "Create*", "seconds": 2})
    with pytest.raises(error):
        client.create_training_job(**request())
    settle(server)
    assert ("a" in server.world.trainings) is applied
    if applied:
        assert told(lambda: client.create_training_job(**request()))[0] == "ResourceInUse"
    else:
        client.create_training_job(**request())
    assert server.calls["CreateTrainingJob"] == 2
    client.close()


def test_a_reset_is_a_reset(server: Server) -> None:
    import socket

    server.fault("reset-after")
    body = json.dumps(request()).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: SageMaker.CreateTrainingJob\r\n"
        "Authorization: Credential=x/20250101/us-east-1/sagemaker/aws4_request\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        connection.sendall(head.encode() + body)
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    assert "a" in server.world.trainings


def test_a_call_can_be_carried_out_after_its_client_has_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = hurried(client_of(server), server)
    late, waits = threading.Event(), []
    monkeypatch.setattr(server.closing, "wait", lambda s: waits.append(s) or late.wait(SECONDS))
    server.fault("late-apply", seconds=1.5)
    with pytest.raises(ReadTimeoutError):
        client.create_training_job(**request())
    assert "a" not in server.world.trainings
    late.set()
    until(lambda: "a" in server.world.trainings)
    assert waits == [1.5]
    client.close()


def test_a_fault_can_wait_and_choose(server: Server, client: Client) -> None:
    server.fault("throttle", operation="Describe*", name="b", skip=1, times=2)
    for name in ("a", "b"):
        client.create_training_job(**request(name))
    answers = []
    for name in ("a", "b", "b", "b", "b", "a"):
        try:
            client.describe_training_job(TrainingJobName=name)
            answers.append("ok")
        except ClientError as error:
            answers.append(error.response["Error"]["Code"])
    throttled = "ThrottlingException"
    assert answers == ["ok", "ok", throttled, throttled, "ok", "ok"]
    assert control(server, "faults", method="GET")[0]["hits"] == 2
    outcomes = [outcome for _, _, outcome in control(server, "calls", method="GET")]
    assert outcomes == ["ok", "ok", *answers]


def test_a_scripted_refusal_is_an_answer_of_the_service(server: Server, client: Client) -> None:
    no = Refusal(code="AccessDeniedException", text="User: x is not authorized")
    server.script(Script(refusal=no, times=1))
    assert told(lambda: client.create_training_job(**request()))[0] == "AccessDeniedException"
    client.create_training_job(**request())


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("faults", {"kind": "nonsense"}),
        ("faults", {"kind": "throttle", "nonsense": 1}),
        ("script", {"nonsense": 1}),
        ("script", {"training": -1}),
        ("pools", {"nonsense": {}}),
        ("pools", {"ml.m5.large": {"capacity": "many"}}),
        ("advance", {"seconds": -1}),
        ("advance", {"seconds": 1e300}),
        ("advance", {"seconds": "nan"}),
        ("faults", {"kind": "throttle", "operation": 1}),
        ("faults", {"kind": "throttle", "times": "all"}),
        ("script", {"name": 1}),
        ("script", {"training": [1]}),
        ("script", {"training": 1e300}),
        ("script", {"where": {"Tags.k": 1}}),
        ("script", {"failures": "x"}),
        ("pools", {"ml.m5.large": 3}),
        ("pools", {"ml.m5.large": {"quota": "x"}}),
        ("settings", {"rates": []}),
        ("settings", {"rates": {"Search": 10**400}}),
        ("settings", {"rates": {"Search": []}}),
        ("settings", {"latency": 10**400}),
        ("pools", {"ml.m5.large": {"quota": 10**400}}),
        ("advance", {"seconds": 10**400}),
        ("advance", []),
        ("settings", {"rates": {"Search": 0}}),
        ("settings", {"nonsense": 1}),
    ],
)
def test_controls_refuse_nonsense(server: Server, path: str, document: Any) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400") as error:
        control(server, path, document)
    assert json.load(error.value)["error"]
    error.value.close()


@pytest.mark.parametrize("depth", [400, 900, 100_000])
def test_a_request_that_nests_too_deeply_is_malformed(server: Server, depth: int) -> None:
    inner = '{"SubExpressions": [' * depth + "]}" * depth
    body = f'{{"Resource": "TrainingJob", "SearchExpression": {inner}}}'.encode()
    with pytest.raises(Malformed):
        server.answer("SageMaker.Search", AUTHORIZATION, body)
    deep: Any = {}
    for _ in range(min(depth, 400)):
        deep = {"where": deep}
    with pytest.raises(urllib.error.HTTPError, match="400") as error:
        control(server, "script", deep)
    error.value.close()


def test_members_that_are_null_are_members_not_given(server: Server) -> None:
    server.answer("SageMaker.CreateTrainingJob", AUTHORIZATION, json.dumps(request()).encode())
    for operation, body in (
        ("ListTrainingJobs", {"SortBy": None, "SortOrder": None, "MaxResults": None, "NextToken": None}),
        ("Search", {"Resource": "TrainingJob", "SearchExpression": None, "SortBy": None}),
        ("CreateTrainingJob", request("b", Tags=None, HyperParameters=None, InputDataConfig=None)),
    ):  # fmt: skip
        assert server.answer(f"SageMaker.{operation}", AUTHORIZATION, json.dumps(body).encode())


def test_the_state_can_be_seen(server: Server, client: Client) -> None:
    client.create_training_job(**request())
    state = control(server, "state", method="GET")
    assert state["trainings"] == {"InProgress": 1}
    assert state["pools"][CPU]["used"] == 1
    assert state["next_event_at"] == 1_700_000_010.0
    state = control(server, "advance", {"to_next_event": True})
    assert state["now"] == 1_700_000_010.0


# --- time, events, scripts ---------------------------------------------------------------------


def test_time_passes_by_itself_and_faster() -> None:
    done: list[dict[str, Any]] = []
    config = SandboxConfig(speed=1000, scripts=(PLAIN,), on_event=done.append)
    with serve(config) as server:
        client = client_of(server)
        client.create_training_job(**request(Tags=[{"Key": "team", "Value": "vision"}]))
        until(lambda: len(done) == 5)  # nobody asks; the world goes on
        assert client.describe_training_job(TrainingJobName="a")["TrainingJobStatus"] == "Completed"
        client.close()
    assert [e["detail"]["SecondaryStatus"] for e in done] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    last = done[-1]
    assert last["source"] == "aws.sagemaker"
    assert last["detail-type"] == "SageMaker Training Job State Change"
    assert last["resources"] == [last["detail"]["TrainingJobArn"]]
    assert last["detail"]["Tags"] == {"team": "vision"}
    assert last["detail"]["CreationTime"].isdigit()
    assert len({e["id"] for e in done}) == 5


def test_events_can_be_lost_and_doubled() -> None:
    counts = {}
    for name, settings in {"lost": {"events_lost": 1.0}, "twice": {"events_twice": 1.0}}.items():
        got: list[Any] = []
        config = SandboxConfig(manual=True, scripts=(PLAIN,), on_event=got.append, **settings)
        with serve(config) as server:
            client = client_of(server)
            client.create_training_job(**request())
            server.advance(1000)
            client.close()
            assert len(server.events) == 5
        counts[name] = len(got)
    assert counts == {"lost": 0, "twice": 10}


SCRIPT = """
import json, os, pathlib, signal, sys, time
hps = json.loads(os.environ["SM_HPS"])
pathlib.Path(os.environ["SM_MODEL_DIR"], "model").write_text("weights")
assert sys.argv[sys.argv.index("--mode") + 1] == os.environ["SM_HP_MODE"] == hps["mode"]
if hps["mode"] == "fail":
    pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("ValueError: nan" + "x" * 2000)
    sys.exit(3)
if hps["mode"] == "sleep":
    pathlib.Path(hps["started"]).write_text("")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    time.sleep(600)
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def _script_request(name: str, mode: str, folder: str, program: str = "train.py") -> dict[str, Any]:
    return request(
        name,
        # The longest that is legal: time passes fast here, and a script starts at the machine's pace.
        StoppingCondition={"MaxRuntimeInSeconds": 28 * 86_400},
        HyperParameters={
            "sagemaker_program": json.dumps(program),
            "sagemaker_submit_directory": folder,
            "mode": mode,
            "started": f"{folder}/started",
        },
    )


def test_scripts_really_run(scripts: Path) -> None:
    config = SandboxConfig(speed=1000, run_scripts=scripts)
    with serve(config) as server:
        client = client_of(server)
        client.create_training_job(**_script_request("good", "ok", f"file://{scripts}"))
        client.create_training_job(**_script_request("bad", "fail", str(scripts)))
        client.create_training_job(**_script_request("far", "ok", "/etc"))
        client.create_training_job(**_script_request("out", "ok", str(scripts), "../../bin/true"))
        names = ("good", "bad", "far", "out")
        until(
            lambda: all(
                client.describe_training_job(TrainingJobName=n)["TrainingJobStatus"] != "InProgress"
                for n in names
            )
        )
        shown = {n: client.describe_training_job(TrainingJobName=n) for n in names}
        client.close()
    assert shown["good"]["TrainingJobStatus"] == "Completed"
    reason = shown["bad"]["FailureReason"]
    assert reason.startswith("AlgorithmError: ValueError: nanxxx")
    assert len(reason) == 1024
    assert "is not below" in shown["far"]["FailureReason"]
    assert "is not in" in shown["out"]["FailureReason"]


METRICS_SCRIPT = """
import json, os, sys
for value in (3, 1, 2):
    print(f"loss={value}", flush=True)
open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json"), "w").write('{"loss": 9}')
sys.exit(json.loads(os.environ["SM_HPS"])["mode"] == "fail")
"""


def test_metrics_of_a_script_are_the_last_values_in_its_log(scripts: Path) -> None:
    (scripts / "measure.py").write_text(METRICS_SCRIPT)
    definitions = [
        {"Name": "loss", "Regex": "loss=([0-9.]+)"},
        {"Name": "none", "Regex": "accuracy=(.)"},
        {"Name": "slow", "Regex": "(l|lo|o|s)+=x(.)"},
    ]
    with serve(SandboxConfig(speed=1000, run_scripts=scripts)) as server:
        client = client_of(server)
        shown = {}
        for mode in ("ok", "fail"):
            asked = _script_request(mode, mode, str(scripts), "measure.py")
            asked["AlgorithmSpecification"]["MetricDefinitions"] = definitions
            client.create_training_job(**asked)

            def ended(name: str = mode) -> Any:
                found = client.describe_training_job(TrainingJobName=name)
                return found if found["TrainingJobStatus"] != "InProgress" else None

            shown[mode] = until(ended)
        client.close()
    assert shown["ok"]["TrainingJobStatus"] == "Completed"
    assert shown["fail"]["TrainingJobStatus"] == "Failed"
    for found in shown.values():
        (metric,) = found["FinalMetricDataList"]
        assert (metric["MetricName"], metric["Value"]) == ("loss", 2.0)


OPT_ML_CODE = """
import json
assert json.load(open("/opt/ml/input/config/hyperparameters.json"))["mode"] == "opt"
open("/opt/ml/model/model", "w").write("weights")
open("/opt/ml/output/failure", "w").write("ValueError: it was there")
raise SystemExit(1)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.path.isdir("/opt/ml"),
    reason="mount namespaces are Linux's, and this machine has no /opt/ml of its own",
)
def test_code_with_opt_ml_in_it_finds_it(scripts: Path) -> None:
    unshared = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if unshared.returncode != 0 and os.getuid() != 0:
        pytest.skip("this kernel gives no mount namespaces to this user")
    # As containers of one's own have it, and with the path in a module.
    (scripts / "train").write_text("#!/usr/bin/env python\nimport work\n")
    (scripts / "work.py").write_text(OPT_ML_CODE)
    with serve(SandboxConfig(speed=1000, run_scripts=scripts)) as server:
        client = client_of(server)
        client.create_training_job(**_script_request("a", "opt", str(scripts), "train"))
        reason = until(
            lambda: client.describe_training_job(TrainingJobName="a").get("FailureReason")
        )
        client.close()
    assert reason == "AlgorithmError: ValueError: it was there, exit code: 1"


def test_a_script_is_told_to_stop(scripts: Path) -> None:
    with serve(SandboxConfig(speed=100, run_scripts=scripts)) as server:
        client = client_of(server)
        client.create_training_job(**_script_request("a", "sleep", str(scripts)))
        until((scripts / "started").exists)
        client.stop_training_job(TrainingJobName="a")
        until(
            lambda: (
                client.describe_training_job(TrainingJobName="a")["TrainingJobStatus"] == "Stopped"
            )
        )
        client.close()


def test_sixteen_clients_ask_for_one_name_and_one_gets_it(server: Server) -> None:
    client = client_of(server)

    def create(n: int) -> str:
        try:
            client.create_training_job(**request(f"t{n % 4}"))
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(create, range(160)))
    assert Counter(answers) == {"ok": 4, "ResourceInUse": 156}
    client.close()


# --- set-up ------------------------------------------------------------------------------------


def test_pools_are_read_from_a_short_text() -> None:
    assert parse_pool("ml.m5.large=4", "us-east-1") == (CPU, PoolConfig(quota=4))
    name, config = parse_pool(f"{SPOT}=quota:8,capacity:2", "eu-west-1")
    assert (name, config) == (SPOT, PoolConfig(quota=8, capacity=2))
    for bad in ("ml.m5.large", "m5=4", "ml.m5.large=x:1", "ml.m5.large=capacity:many"):
        with pytest.raises(ValueError, match=r"."):
            parse_pool(bad, "us-east-1")


def test_a_file_sets_everything_up(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text(
        "speed = 10\nregion = 'eu-west-1'\n[pools.'ml.g5.xlarge/spot']\n"
        "capacity = [[0, 4], [600, 0]]\nperiod = 1200\n[[scripts]]\nname = 'x-*'\n"
        "training = [1, 5]\n[rates]\nSearch = 3\n"
    )
    config = SandboxConfig(**load_config(file))
    assert config.pools["eu-west-1/ml.g5.xlarge/spot"].capacity == ((0.0, 4), (600.0, 0))
    assert config.scripts[0].training == (1, 5)
    assert config.rates == {"Search": (3.0, 3.0)}
    file.write_text("nonsense = 1\n")
    with pytest.raises(ValueError, match="nonsense: unknown field"):
        load_config(file)


# --- the AWS CLI, and the command ----------------------------------------------------------------


AWS = Path(sys.executable).with_name("aws")


def _aws(environment: dict[str, str], *words: str) -> tuple[int, Any]:
    done = subprocess.run(
        [str(AWS), "sagemaker", *words, "--output", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}") if done.returncode == 0 else done.stderr


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed")
def test_the_aws_cli_works(server: Server) -> None:
    environment = {
        "AWS_ENDPOINT_URL_SAGEMAKER": server.url,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    asked = json.dumps(request("from-cli"))
    code, made = _aws(environment, "create-training-job", "--cli-input-json", asked)
    assert code == 0, made
    assert made["TrainingJobArn"].endswith("/from-cli")
    name = ("--training-job-name", "from-cli")
    _, shown = _aws(environment, "describe-training-job", *name)
    assert shown["SecondaryStatus"] == "Starting"
    _, listed = _aws(environment, "list-training-jobs", "--status-equals", "InProgress")
    assert _names(listed) == ["from-cli"]
    expression = '{"Filters": [{"Name": "TrainingJobName", "Value": "from-cli"}]}'
    _, found = _aws(
        environment, "search", "--resource", "TrainingJob", "--search-expression", expression
    )
    assert found["Results"][0]["TrainingJob"]["TrainingJobName"] == "from-cli"
    assert _aws(environment, "stop-training-job", *name)[0] == 0
    server.advance(60)
    code, said = _aws(environment, "stop-training-job", *name)
    assert code != 0
    assert "in status Stopped." in said


def _start(*words: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return subprocess.Popen(
        [sys.executable, "-m", "jobcore_cli", "sandbox", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_the_command_starts_a_sandbox_and_tells_how_to_use_it(tmp_path: Path) -> None:
    file = tmp_path / "env"
    process = _start("--no-ministack", "--pool", "ml.m5.large=1", "--json", "--env-file", str(file))
    assert process.stdout is not None
    told_first = json.loads(process.stdout.readline())
    environment = told_first["environment"]
    assert file.read_text() == "".join(f"{k}={v}\n" for k, v in environment.items())
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    client = session.client("sagemaker", endpoint_url=environment["AWS_ENDPOINT_URL_SAGEMAKER"])
    client.create_training_job(**request())
    client.close()
    process.terminate()
    assert process.wait(timeout=SECONDS) == 0
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert not file.exists()


MINISTACK = Path(__file__).parents[3] / ".venv-ministack" / "bin" / "ministack"


@pytest.mark.skipif(not MINISTACK.exists(), reason="MiniStack is not installed (make test does)")
def test_events_reach_a_rule_in_ministack() -> None:
    from jobcore_simulation._command import MiniStack

    stack = MiniStack.start(program=str(MINISTACK))
    events, sqs = _of(stack, "events"), _of(stack, "sqs")
    try:
        queue = sqs.create_queue(QueueName="seen")["QueueUrl"]
        pattern = {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Training Job State Change"],
            "detail": {"TrainingJobStatus": ["Completed"], "Tags": {"team": ["vision"]}},
        }
        events.put_rule(Name="done", EventPattern=json.dumps(pattern))
        arn = "arn:aws:sqs:us-east-1:000000000000:seen"
        events.put_targets(Rule="done", Targets=[{"Id": "1", "Arn": arn}])
        config = SandboxConfig(manual=True, scripts=(PLAIN,), events_endpoint=stack.url)
        with serve(config) as server:
            client = client_of(server)
            client.create_training_job(**request(Tags=[{"Key": "team", "Value": "vision"}]))
            client.create_training_job(**request("b"))
            server.advance(130)
            client.close()
        assert server.events_undelivered == 0
        got: list[dict[str, Any]] = []
        until(lambda: got.extend(_received(sqs, queue)) or got)
        assert [message["detail"]["TrainingJobName"] for message in got] == ["a"]
        assert got[0]["source"] == "aws.sagemaker"
    finally:
        events.close()
        sqs.close()
        stack.close()
    assert stack.process.returncode is not None


def _of(stack: Any, service: str) -> Client:
    return boto3.client(
        service,
        endpoint_url=stack.url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="x",
    )


S3_SCRIPT = """
import os, pathlib
data = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"], "part", "1.txt").read_text()
checkpoint = pathlib.Path(os.environ["SM_CHECKPOINT_DIR"], "step")
step = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
checkpoint.write_text(str(step))
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(f"{data} {step}")
print("line 1\\n\\nline 2 ✓", flush=True)
os.execvp("python", ["python", "-c", "import sys; print(sys.executable, end='')"])
"""


@pytest.mark.skipif(not MINISTACK.exists(), reason="MiniStack is not installed (make test does)")
def test_code_data_checkpoints_and_models_are_in_s3(tmp_path: Path) -> None:
    from jobcore_simulation._command import MiniStack

    (tmp_path / "train.py").write_text(S3_SCRIPT)
    with tarfile.open(tmp_path / "code.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "train.py", "train.py")
    stack = MiniStack.start(program=str(MINISTACK))
    s3 = _of(stack, "s3")
    try:
        s3.create_bucket(Bucket="bucket")
        s3.upload_file(str(tmp_path / "code.tar.gz"), "bucket", "code.tar.gz")
        s3.put_object(Bucket="bucket", Key="data/part/1.txt", Body=b"numbers")
        source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data"}
        channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
        config = SandboxConfig(speed=1000, run_scripts=tmp_path, aws_endpoint=stack.url)
        with serve(config) as server:
            client = client_of(server)
            code = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/code.tar.gz"}
            code_channel = {"ChannelName": "code", "DataSource": {"S3DataSource": code}}
            folders = {
                "first": "s3://bucket/code.tar.gz",
                "second": "/opt/ml/input/data/code/code.tar.gz",
            }
            for name, folder in folders.items():
                asked = _script_request(name, "ok", folder) | {
                    "InputDataConfig": [channel, code_channel],
                    "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
                    "Environment": {"SM_CHECKPOINT_DIR": "/opt/ml/checkpoints"},
                }
                client.create_training_job(**asked)
                until(
                    lambda name=name: (
                        client.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
                        != "InProgress"
                    )
                )
            shown = client.describe_training_job(TrainingJobName="second")
            assert shown["TrainingJobStatus"] == "Completed", shown.get("FailureReason")
            client.close()
        key = shown["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://bucket/")
        s3.download_file("bucket", key, str(tmp_path / "model.tar.gz"))
        with tarfile.open(tmp_path / "model.tar.gz") as archive:
            model = archive.extractfile("model.txt")
            assert model is not None
            assert model.read() == b"numbers 2"
        logs = _of(stack, "logs")
        events = logs.filter_log_events(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="second/"
        )["events"]
        logs.close()
        mine = [event for event in events if event["logStreamName"].startswith("second/")]
        lines = [event["message"] for event in mine]
        assert lines[:2] == ["line 1", "line 2 ✓"]
        assert len(lines) == 3
        # "python" is the sandbox's own, as it is the image's on SageMaker
        assert Path(lines[2]).parent == Path(sys.executable).parent
    finally:
        s3.close()
        stack.close()


def _received(sqs: Client, queue: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", ())]


@pytest.mark.parametrize("words", [("--pool", "m5=1"), ("--config", "{file}")])
def test_the_command_refuses_nonsense_in_one_line(tmp_path: Path, words: tuple[str, str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("pools = 3")
    process = _start("--no-ministack", *(word.format(file=file) for word in words))
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert "unexpected" not in err


def test_the_command_says_what_it_needs() -> None:
    program = (
        "import sys; sys.modules['botocore'] = None; import jobcore_cli; "
        "sys.exit(jobcore_cli.main(['sandbox', '--no-ministack']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "jobcore: sandbox needs botocore: pip install 'jobcore-scheduler[sandbox]'\n"
    )
