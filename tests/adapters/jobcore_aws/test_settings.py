"""What a deployment may say in its environment, and what is said when it is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jobcore import Limits, Placement, Spec
from jobcore.errors import InvalidSetting
from jobcore_aws import (
    Market,
    Pool,
    SageMakerSettings,
    settings_from,
    validate_request,
)
from jobcore_aws._pace import TokenBucket
from jobcore_aws._pools import is_accelerated, pool_named
from sagemaker_fixtures import ROLE, settings

PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/reserved"


def read(**config: Any) -> Any:
    return settings_from({"JOBCORE_CONFIG": json.dumps(config)})


def test_everything_is_read() -> None:
    environ = {
        "JOBCORE_TABLE": "jobs",
        "JOBCORE_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:jobs",
        "JOBCORE_BUCKET": "specs",
        "JOBCORE_CONFIG": json.dumps(
            {
                "output": "s3://models/jobcore/",
                "pools": {
                    "us-east-1/ml.g5.2xlarge/spot": 8,
                    "ml.m5.large/on-demand": None,
                    "gpu": {"instance_types": ["ml.g5.2xlarge", "ml.g6.2xlarge"], "slots": 4},
                    "reserved": {"instance_type": "ml.p5.48xlarge", "market": "plan", "plan": PLAN},
                    "eu-west-1/ml.p5.48xlarge/plan": {"plan": PLAN, "slots": 2},
                },
                "roles": {"train": ROLE},
                "run_at_most": "12h",
                "create_rate": 0.9,
                "subnets": ["subnet-1"],
                "security_groups": ["sg-1"],
                "network_isolation": False,
                "limits": {
                    "pools": {"gpu": 2},
                    "shares": {"ada": 1},
                    "share_default": None,
                    "launches_max": 50,
                    "pool_backoff": "30s",
                },
            }
        ),
    }
    found = settings_from(environ)
    assert (found.table, found.bucket) == ("jobs", "specs")
    assert found.topic_arn.endswith(":jobs")
    assert found.limits == Limits(
        pools={"gpu": 2}, shares={"ada": 1}, launches_max=50, pool_backoff=timedelta(seconds=30)
    )
    sagemaker = found.sagemaker
    assert sagemaker.output == "s3://models/jobcore"
    assert sagemaker.run_at_most == timedelta(hours=12)
    assert sagemaker.network_isolation is False
    assert sagemaker.subnets == ("subnet-1",)
    pools = sagemaker.pools
    assert pools["us-east-1/ml.g5.2xlarge/spot"].is_spot
    assert pools["us-east-1/ml.g5.2xlarge/spot"].slots == 8
    assert pools["ml.m5.large/on-demand"].region is None
    assert pools["ml.m5.large/on-demand"].slots is None
    assert pools["gpu"].instance_types == ("ml.g5.2xlarge", "ml.g6.2xlarge")
    assert pools["reserved"].plan == PLAN
    assert pools["eu-west-1/ml.p5.48xlarge/plan"].market is Market.PLAN
    assert sagemaker.regions() == (None, "eu-west-1", "us-east-1")


def test_a_function_that_makes_no_trainings_needs_no_config() -> None:
    found = settings_from({"JOBCORE_TABLE": "jobs"})
    assert found.table == "jobs"
    spec = Spec(name="job", owner="ada", placements=(Placement("cpu"),))
    assert any("there is no pool" in line for line in validate_request(found.sagemaker, spec))
    found = settings_from({"JOBCORE_CONFIG": '{"pools": {"ml.m5.large": 1}}'})
    spec = replace(spec, placements=(Placement("ml.m5.large"),))
    assert any(line.startswith("output: ") for line in validate_request(found.sagemaker, spec))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"outputpath": "s3://x/"}, "outputpath: unknown field; known: allowed_images"),
    ({"output": "/tmp/x"}, "output: expected s3://bucket/prefix"),
    ({"output": 3}, "output: expected a string, got 3"),
    ({"pools": ["a"]}, "pools: expected a table, got a list"),
    ({"pools": {"gpu": 4}}, "pools.gpu: expected a name such as"),
    ({"pools": {"ml.g5.2xlarge/spto": 4}}, "pools.ml.g5.2xlarge/spto: expected a name such as"),
    ({"pools": {"a/b/c/spot": 4}}, "pools.a/b/c/spot: expected a name"),
    ({"pools": {"x": {"instance_type": "g5.2xlarge"}}}, "pools.x.instance_type: expected a type"),
    ({"pools": {"x": {"instance_types": []}}}, "pools.x: expected a name such as"),
    ({"pools": {"x": {"instance_types": "ml.g5.2xlarge"}}}, "pools.x.instance_types: expected a list"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "slots": -1}}}, "pools.x.slots: expected 0"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "slots": True}}}, "pools.x.slots: expected a"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "market": "spott"}}}, "pools.x.market: expected one of on-demand, spot, plan, got 'spott'"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "market": "plan"}}}, "pools.x.plan: give"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "plan": PLAN}}}, "pools.x.plan: only for"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "region": "useast"}}}, "pools.x.region: expec"),
    ({"pools": {"x": {"instance_type": "ml.g5.xlarge", "size": 3}}}, "pools.x.size: unknown field"),
    ({"pools": {"x": {"instance_types": ["ml.g5.xlarge"] * 2}}}, "pools.x.instance_types: the same type is there twice"),
    ({"pools": {"x": True}}, "pools.x: expected a number of slots"),
    (
        {"pools": {"x": {"instance_types": ["ml.g5.xlarge", "ml.g6.xlarge"], "market": "spot"}}},
        "pools.x.instance_types: SageMaker takes one type only on spot",
    ),
    ({"roles": {"a": "role"}}, "roles.a: expected the ARN of an IAM role"),
    ({"roles": {"a": 1}}, "roles.a: expected a string, got 1"),
    ({"subnets": ["subnet-1"]}, "subnets: give subnets and security_groups"),
    ({"subnets": "subnet-1"}, "subnets: expected a list, got 'subnet-1'"),
    ({"input_mode": "Stream"}, "input_mode: expected File, FastFile or Pipe, got 'Stream'"),
    ({"run_at_most": "1 day"}, "run_at_most: expected a duration"),
    ({"run_at_most": "6d"}, "run_at_most: expected at most run_at_most_max, got 6d"),
    ({"run_at_most_max": "29d"}, "run_at_most_max: expected 1s to 28d, got 29d"),
    ({"pending_at_most": "10m"}, "pending_at_most: expected 30m to 28d, got 10m"),
    ({"create_rate": 0}, "create_rate: expected more than 0"),
    ({"create_rate": "1"}, "create_rate: expected a number"),
    ({"at_once": 1.5}, "at_once: expected a whole number"),
    ({"network_isolation": "no"}, "network_isolation: expected true or false"),
    ({"limits": []}, "limits: expected a table"),
    ({"limits": {"pool": {}}}, "limits.pool: unknown field"),
    ({"limits": {"launches_max": -1}}, "limits.launches_max: expected 0 or more, got -1"),
    ({"limits": {"pools": {"gpu": "2"}}}, "limits.pools.gpu: expected a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "expected"), WRONG, ids=[text[:50] for _, text in WRONG])
def test_each_mistake_is_named(config: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        _ = read(**{"output": "s3://models/x", **config}).sagemaker
    wrong = [f"{raised.value.where}: {field}: {said}" for field, said in raised.value.problems]
    assert any(line.startswith(f"JOBCORE_CONFIG: {expected}") for line in wrong), wrong


def test_null_is_the_default_but_for_search() -> None:
    assert read(region=None, search_from=None).sagemaker == SageMakerSettings(search_from=None)


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_what_is_not_an_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="JOBCORE_CONFIG: "):
        settings_from({"JOBCORE_CONFIG": text})


def test_settings_are_checked_in_code_too() -> None:
    with pytest.raises(InvalidSetting) as raised:
        SageMakerSettings(output="x", create_rate=-1, pools={"gpu": 1})
    assert len(raised.value.problems) == 3


def test_a_pool_in_the_deployments_own_region_needs_no_further_client() -> None:
    here = Pool(name="a", instance_types=("ml.m5.large",), region="us-east-1")
    assert settings(pools={"a": here}).regions() == (None,)
    nowhere = settings(pools={"a": here}, region=None)
    assert nowhere.regions() == ("us-east-1",)
    assert nowhere.regions("us-east-1") == (None,)
    assert settings(pools={}).regions() == (None,)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ml.g5.2xlarge", True),
        ("ml.p4d.24xlarge", True),
        ("ml.trn1.2xlarge", True),
        ("ml.m5.large", False),
        ("ml.c5.large", False),
        ("ml.r5.large", False),
    ],
)
def test_accelerated_types_are_known_by_their_family(kind: str, expected: bool) -> None:
    assert is_accelerated(kind) is expected
    assert pool_named(f"{kind}/on-demand").is_accelerated is expected


# --- the pace -----------------------------------------------------------------------------


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def taken(bucket: TokenBucket, time: Time, calls: int) -> list[float]:
    at = []
    for _ in range(calls):
        bucket.take()
        at.append(round(time.now - 100.0, 6))
    return at


def test_calls_are_spread_at_the_rate() -> None:
    time = Time()
    bucket = TokenBucket(2.0, clock=time.clock, sleep=time.sleep)
    assert taken(bucket, time, 4) == [0.0, 0.5, 1.0, 1.5]


def test_a_burst_is_saved_up_and_no_more() -> None:
    time = Time()
    bucket = TokenBucket(2.0, 3, clock=time.clock, sleep=time.sleep)
    assert taken(bucket, time, 5) == [0.0, 0.0, 0.0, 0.5, 1.0]
    time.now += 100
    assert [at - 101.0 for at in taken(bucket, time, 4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_refusal_slows_down_and_success_takes_it_back() -> None:
    time = Time()
    bucket = TokenBucket(2.0, 3, clock=time.clock, sleep=time.sleep)
    bucket.take()
    bucket.slow_down()
    assert taken(bucket, time, 3) == [0.5, 1.01, 1.52]
    for _ in range(200):
        bucket.recover()
    begun = time.now
    bucket.take()
    bucket.take()
    assert time.now - begun == pytest.approx(1.01)
    for _ in range(200):
        bucket.slow_down()
    begun = time.now
    bucket.take()
    bucket.take()
    assert time.now - begun <= 2.0
