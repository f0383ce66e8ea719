"""From a job to CreateTrainingJob: what is asked for, what is refused at submit, and in which words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobcore
from jobcore import LaunchRequest, Placement
from jobcore_aws import (
    BadRequest,
    SageMakerSettings,
    build_request,
    create_shape,
    parse_pool,
    settings_from,
    validate_request,
)
from jobcore_aws._request import RESERVED

ROLE = "arn:aws:iam::123456789012:role/training"
ON_DEMAND, SPOT, GPU = "us-east-1/ml.m5.large/on-demand", "ml.m5.large/spot", "ml.g5.xlarge"
SETTINGS = SageMakerSettings(
    pools={ON_DEMAND: 4, SPOT: None, GPU: None, "ml.p5.48xlarge/plan": None},
    roles={"default": ROLE, "research": ROLE + "-2"},
    images={"default": "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"},
    output="s3://bucket/jobs/",
    pending_at_most=timedelta(hours=2),
)
SHAPE = create_shape()


def request(pool: str = ON_DEMAND, **args: object) -> LaunchRequest:
    job_id = jobcore.job_id_from_token("t", "1")
    return LaunchRequest(
        name=jobcore.training_name(job_id, 3),
        job_id=job_id,
        attempt=3,
        spec_hash="f" * 32,
        placement=Placement(pool, 2),
        args={"script": "train.py", "source_dir": "s3://bucket/code.tar.gz", **args},
        run_at_most=timedelta(hours=1),
    )


def spec(pool: str = ON_DEMAND, **fields: object) -> jobcore.Spec:
    return jobcore.parse_job({"script": "train.py", "pool": pool, **fields}, owner="ada")


def problems(*pools: str, settings: SageMakerSettings = SETTINGS, **fields: object) -> list[str]:
    return validate_request(settings, spec(*pools, **fields), shape=SHAPE)


def test_a_plain_job_is_what_sagemaker_takes() -> None:
    made = build_request(request(hyperparameters={"lr": 0.1, "on": True, "s": "x"}), SETTINGS)
    assert made["ResourceConfig"] == {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 2,
        "VolumeSizeInGB": 30,
    }
    assert made["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert made["HyperParameters"]["lr"] == "0.1"
    assert made["HyperParameters"]["on"] == "true"
    assert made["HyperParameters"]["s"] == "x"
    assert json.loads(made["HyperParameters"]["sagemaker_program"]) == "train.py"
    assert problems() == []


def test_attempts_share_checkpoints_and_nothing_else() -> None:
    first, second = (build_request(replace(request(), attempt=n), SETTINGS) for n in (1, 2))
    assert first["CheckpointConfig"] == second["CheckpointConfig"]
    assert first["OutputDataConfig"] != second["OutputDataConfig"]


def test_a_training_says_whose_it_is_twice() -> None:
    made = build_request(request(), SETTINGS)
    tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert tags["jobcore:managed"] == "true"
    assert tags["jobcore:job-id"] == made["Environment"]["JOBCORE_JOB_ID"] == request().job_id
    assert tags["jobcore:attempt"] == made["Environment"]["JOBCORE_ATTEMPT"] == "3"
    assert tags["jobcore:spec-hash"] == made["Environment"]["JOBCORE_SPEC_HASH"]


def test_spot_waits_and_only_spot_does() -> None:
    spot = build_request(request(SPOT), SETTINGS)
    assert spot["EnableManagedSpotTraining"] is True
    assert spot["StoppingCondition"]["MaxWaitTimeInSeconds"] == 7200
    assert "MaxWaitTimeInSeconds" not in build_request(request(), SETTINGS)["StoppingCondition"]


def test_a_wait_for_capacity_is_bounded_for_accelerators_alone() -> None:
    def pending(pool: str) -> int | None:
        stopping = build_request(request(pool), SETTINGS)["StoppingCondition"]
        return stopping.get("MaxPendingTimeInSeconds")

    assert pending(GPU) == 7200
    assert pending(ON_DEMAND) is None
    assert pending(SPOT) is None


def test_preferences_take_the_place_of_the_type() -> None:
    own = {"ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.m5.large"}]}}
    assert "InstanceType" not in build_request(request(sagemaker=own), SETTINGS)["ResourceConfig"]
    assert any("InstancePreferences" in text for text in problems(SPOT, sagemaker=own))


@pytest.mark.parametrize("member", sorted(RESERVED))
def test_what_the_deployment_decides_no_job_can_set(member: str) -> None:
    with pytest.raises(BadRequest, match=member):
        build_request(request(sagemaker={member: "x"}), SETTINGS)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"role": "admin"}, "role"),
        ({"role": ROLE}, "role"),
        ({"image": "x" * 300}, "image"),
        ({"pool": "cpu"}, "pools"),
        ({"pool": "ml.m5.large"}, "pools"),
        ({"pool": "ml.p5.48xlarge/plan"}, "TrainingPlanArn"),
        ({"channels": {"train": "/data"}}, "channels.train"),
        ({"clocks": {"run_at_most": "40d"}}, "clocks.run_at_most"),
        ({"sagemaker": {"ResourceConfig": {"KeepAlivePeriodInSeconds": 99999}}}, "keepAlive"),
        ({"sagemaker": {"RetryStrategy": {"MaximumRetryAttempts": 31}}}, "maximumRetryAttempts"),
        ({"sagemaker": {"Nonsense": 1}}, "nonsense"),
        ({"sagemaker": {"StoppingCondition": {"MaxWaitTimeInSeconds": 9}}}, "MaxWaitTime"),
        ({"pools": [{"pool": ON_DEMAND, "count": 21}]}, "20 instances"),
    ],
)
def test_what_sagemaker_would_refuse_is_told_at_submit(fields: dict, word: str) -> None:
    found = validate_request(SETTINGS, spec(**fields) if "pool" in fields else jobcore.parse_job(
        {"script": "t.py", "pool": ON_DEMAND} | fields
        if "pools" not in fields
        else {"script": "t.py"} | fields,
        owner="ada",
    ), shape=SHAPE)  # fmt: skip
    assert any(word in text for text in found), found


def test_no_secret_is_in_a_complaint() -> None:
    own = {"environment": {"TOKEN": "canary" * 80}, "hyperparameters": {"key": "canary" * 10}}
    assert "canary" not in " ".join(problems(**own))


def test_images_may_be_restricted_to_those_named() -> None:
    strict = replace(SETTINGS, any_image=False)
    assert problems(settings=strict) == []
    assert any("image" in text for text in problems(settings=strict, image="evil:1"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ml.g5.xlarge", ("", "ml.g5.xlarge", "on-demand")),
        ("ml.g5.xlarge/spot", ("", "ml.g5.xlarge", "spot")),
        ("eu-west-1/ml.g5.xlarge", ("eu-west-1", "ml.g5.xlarge", "on-demand")),
        ("eu-west-1/ml.trn1.2xlarge/plan", ("eu-west-1", "ml.trn1.2xlarge", "plan")),
    ],
)
def test_pools_are_named_region_type_market(name: str, parts: tuple[str, str, str]) -> None:
    pool = parse_pool(name)
    assert (pool.region, pool.instance_type, pool.market) == parts


@pytest.mark.parametrize("name", ["", "cpu", "spot", "a/b/c/d", "ml.g5.xlarge/cheap", "ML.G5.X"])
def test_what_is_no_pool_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="pool"):
        parse_pool(name)


words = st.text(max_size=20)
loose = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(SHAPE.members)) | words, loose, max_size=3))
def test_any_table_of_a_user_is_taken_or_refused_in_words(own: dict) -> None:
    job = replace(spec(), args={"script": "t.py", "sagemaker": own})
    found = validate_request(SETTINGS, job, shape=SHAPE)
    assert all(isinstance(text, str) and ": " in text for text in found)


@given(st.dictionaries(words, words, max_size=3), st.sampled_from(["role", "image"]), words)
def test_no_job_gets_a_role_that_is_not_named(environment: dict, field: str, value: str) -> None:
    try:
        made = build_request(request(environment=environment, **{field: value}), SETTINGS)
    except BadRequest:
        return
    assert made["RoleArn"] in SETTINGS.roles.values()
    assert made["Environment"]["JOBCORE_JOB_ID"] == request().job_id


# --- settings -----------------------------------------------------------------------------


def test_settings_come_from_the_environment() -> None:
    config = {
        "pools": {ON_DEMAND: 3},
        "roles": {"default": ROLE},
        "output": "s3://bucket/x",
        "run_at_most": "2h",
        "subnets": ["subnet-1"],
        "security_groups": ["sg-1"],
        "limits": {"launches_max": 7, "pool_backoff": "5s"},
    }
    read = settings_from({"JOBCORE_TABLE": "jobs", "JOBCORE_CONFIG": json.dumps(config)})
    assert read.sagemaker.pools == {ON_DEMAND: 3}
    assert read.sagemaker.run_at_most == timedelta(hours=2)
    assert read.limits.launches_max == 7
    assert read.bucket is None


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ('{"pool": {}}', "pool: unknown"),
        ('{"roles": {"a": "admin"}}', "roles.a"),
        ('{"output": "/tmp"}', "output"),
        ('{"pools": {"cpu": 1}}', "pool"),
        ('{"create_rate": 0}', "create_rate"),
        ('{"subnets": ["s"]}', "security_groups"),
        ('{"run_at_most": "soon"}', "duration"),
        ('{"limits": {"lauches_max": 1}}', "limits.lauches_max"),
        ('{"limits": 3}', "limits"),
    ],
)
def test_a_wrong_setting_is_named(config: str, word: str) -> None:
    with pytest.raises(ValueError, match="JOBCORE_CONFIG") as caught:
        settings_from({"JOBCORE_TABLE": "jobs", "JOBCORE_CONFIG": config})
    assert word in str(caught.value)


def test_a_table_is_needed() -> None:
    with pytest.raises(ValueError, match="JOBCORE_TABLE"):
        settings_from({})
