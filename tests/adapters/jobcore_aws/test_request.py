"""What a job becomes as a CreateTrainingJob request, and what is refused before it is made."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import botocore.session
import pytest
from attrs import evolve
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

import jobcore_aws
from core_strategies import clean
from jobcore import Clocks, Placement, Spec
from jobcore_aws import (
    BadRequest,
    Market,
    Pool,
    build_request,
    check_request,
    create_shape,
    validate_request,
)
from jobcore_aws._pools import pool_named
from jobcore_aws._request import identity_of
from jobcore_aws._validate import _compiled
from sagemaker_fixtures import ARGS, IMAGE, ROLE, request, settings

CODE = "s3://code/app/source.tar.gz"
SCRIPT = {**ARGS, "script": "train.py", "source_dir": CODE}
PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/reserved"
POOLS = {
    "cpu": Pool(name="cpu", instance_types=("ml.m5.large",), slots=2),
    "gpu": Pool(name="gpu", instance_types=("ml.g5.2xlarge", "ml.g6.2xlarge")),
    "us-east-1/ml.g5.2xlarge/spot": pool_named("us-east-1/ml.g5.2xlarge/spot"),
    "plan": Pool(name="plan", instance_types=("ml.p5.48xlarge",), market=Market.PLAN, plan=PLAN),
}
ALL = settings(pools=POOLS)


def built(pool: str = "cpu", config: Any = ALL, **changes: Any) -> dict[str, Any]:
    """Build a request that the service would take."""
    made = build_request(request(**{"placement": Placement(pool), **changes}), config)
    assert check_request(made) == []
    validate_parameters(made, create_shape())
    return made


def problems(config: Any = ALL, pool: str = "cpu", **args: Any) -> list[str]:
    clocks = args.pop("clocks", Clocks())
    tags = args.pop("tags", {})
    spec = Spec(
        name="job",
        owner="ada",
        placements=(Placement(pool),),
        args={**ARGS, **args},
        clocks=clocks,
        tags=tags,
    )
    return validate_request(config, spec)


# --- what is asked for ------------------------------------------------------------------


def test_a_job_without_a_script_runs_its_image_with_plain_hyperparameters() -> None:
    made = built(args={**ARGS, "hyperparameters": {"objective": "binary:logistic", "n": 3}})
    assert made["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert made["HyperParameters"] == {"objective": "binary:logistic", "n": "3"}
    assert made["RoleArn"] == ROLE
    assert "InputDataConfig" not in made


def test_a_script_gets_its_hyperparameters_as_the_toolkit_reads_them() -> None:
    """The toolkit applies json.loads to each, and finds script and code among them."""
    given = {"lr": 0.1, "name": "0123", "layers": [1, 2], "flag": True, "nothing": None}
    made = built(
        config=evolve(ALL, network_isolation=False), args={**SCRIPT, "hyperparameters": given}
    )
    read = {name: json.loads(value) for name, value in made["HyperParameters"].items()}
    assert {name: read[name] for name in given} == given
    assert read["sagemaker_program"] == "train.py"
    assert read["sagemaker_submit_directory"] == CODE
    assert read["sagemaker_region"] == "us-east-1"
    assert made["EnableNetworkIsolation"] is False


def test_values_name_folders_of_the_container() -> None:
    args = {
        **SCRIPT,
        "channels": {"train": "s3://data/a"},
        "hyperparameters": {"a": ["${SM_CHANNEL_TRAIN}/x"], "b": {"c": "${SM_MODEL_DIR}"}},
        "environment": {"CACHE": "${SM_CHECKPOINT_DIR}/cache"},
        "sagemaker": {
            "CheckpointConfig": {"LocalPath": "/opt/ml/saved"},
            "InputDataConfig": [
                {
                    "ChannelName": "more",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b"}},
                }
            ],
        },
    }
    args["hyperparameters"]["d"] = "${SM_CHANNEL_MORE}"
    made = built(args=args)
    read = {name: json.loads(value) for name, value in made["HyperParameters"].items()}
    assert read["a"] == ["/opt/ml/input/data/train/x"]
    assert read["b"] == {"c": "/opt/ml/model"}
    assert read["d"] == "/opt/ml/input/data/more"
    assert made["CheckpointConfig"]["LocalPath"] == "/opt/ml/saved"
    assert made["Environment"]["SM_CHECKPOINT_DIR"] == "/opt/ml/saved"
    assert made["Environment"]["CACHE"] == "/opt/ml/saved/cache"
    plain = built(args={**ARGS, "hyperparameters": {"out": "${SM_OUTPUT_DATA_DIR}"}})
    assert plain["HyperParameters"] == {"out": "/opt/ml/output/data"}


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"hyperparameters": {"a": ["", "${SM_CHANNEL_X}"]}}, "hyperparameters.a[1]"),
        ({"environment": {"A": "${SM_X}"}}, "environment.A"),
        ({"script": "my train.py"}, "script"),
        ({"script": "../train.py"}, "script"),
        ({"arguments": ["${SM_CHANNEL_X}"]}, "arguments[0]"),
        ({"arguments": ["x"], "sagemaker": {"AlgorithmSpecification": {"ContainerArguments": ["y"]}}}, "arguments"),
        ({"script": "train.py", "arguments": ["x"]}, "arguments"),
        ({"script": "train.py", "flags": ["x"]}, "flags"),
        ({"script": "train.py", "source_dir": "s3://code/a.tar.gz", "arguments": ["x"]}, "arguments"),
        (
            {
                "script": "train.py",
                "source_dir": "s3://code/sourcedir-arguments.tar.gz",
                "arguments": ["x"],
                "hyperparameters": {"sagemaker_torch_distributed_enabled": True},
            },
            "arguments",
        ),
        ({"hyperparameters": {"sagemaker_region": "x"}, "script": "a.py"}, "hyperparameters.sagemaker_region"),
    ],
)  # fmt: skip
def test_what_the_toolkit_cannot_start_is_refused(args: dict[str, Any], field: str) -> None:
    assert [line.partition(": ")[0] for line in problems(**args)] == [field]


def test_arguments_without_a_script_are_those_of_the_container() -> None:
    made = built(args={**ARGS, "arguments": ["train", "${SM_MODEL_DIR}/a"]})
    assert made["AlgorithmSpecification"]["ContainerArguments"] == ["train", "/opt/ml/model/a"]


@pytest.mark.parametrize("args", [ARGS, SCRIPT])
def test_metrics_are_those_that_the_service_finds_in_the_log(args: dict[str, Any]) -> None:
    metrics = {"loss": {"regex": "loss=(.)", "goal": "minimize"}, "acc": {"regex": "acc=(.)"}}
    made = built(args={**args, "metrics": metrics})["AlgorithmSpecification"]
    assert made["MetricDefinitions"] == [
        {"Name": "loss", "Regex": "loss=(.)"},
        {"Name": "acc", "Regex": "acc=(.)"},
    ]
    assert "MetricDefinitions" not in built(args=args)["AlgorithmSpecification"]


def test_metrics_are_given_once_and_need_a_regex() -> None:
    raw = {"AlgorithmSpecification": {"MetricDefinitions": [{"Name": "a", "Regex": "(.)"}]}}
    assert problems(sagemaker=raw) == []
    (problem,) = problems(sagemaker=raw, metrics={"loss": {"regex": "(.)"}})
    assert problem == "metrics: give either metrics or MetricDefinitions, not both"
    (problem,) = problems(metrics={"loss": {"goal": "minimize"}})
    assert problem.startswith("metrics.loss: has no regex, and SageMaker finds metrics in the log")


def test_a_script_with_arguments_is_started_by_its_starter() -> None:
    args = {"image": "torch", "script": "a/b.py", "source_dir": "s3://c/sourcedir-arguments.tar.gz"}
    made = built(args={**args, "arguments": ["--out", "${SM_MODEL_DIR}"], "flags": ["amp"]})
    assert json.loads(made["HyperParameters"]["sagemaker_program"]) == "_start_with_arguments.py"
    assert json.loads(made["Environment"]["JOBCORE_START_0"]) == [
        "a/b.py",
        ["--out", "/opt/ml/model"],
        ["amp"],
    ]
    without = built(args=args)
    assert json.loads(without["HyperParameters"]["sagemaker_program"]) == "a/b.py"
    assert "JOBCORE_START_0" not in without["Environment"]


def test_a_folder_of_checkpoints_that_are_not_kept_is_refused() -> None:
    config = evolve(ALL, checkpoints=False)
    found = problems(config, hyperparameters={"a": "${SM_CHECKPOINT_DIR}"})
    assert found == ["hyperparameters.a: ${SM_CHECKPOINT_DIR}: checkpoints are not kept here"]


def test_an_isolated_script_gets_its_code_as_a_channel() -> None:
    made = built(args={**SCRIPT, "channels": {"train": "s3://data/a"}})
    assert made["EnableNetworkIsolation"] is True
    places = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in made["InputDataConfig"]
    }
    assert places == {"train": "s3://data/a", "code": CODE}
    submitted = json.loads(made["HyperParameters"]["sagemaker_submit_directory"])
    assert submitted == "/opt/ml/input/data/code/source.tar.gz"


def test_models_are_kept_by_attempt_and_checkpoints_by_job() -> None:
    first, second = built(), built(attempt=2)
    assert first["OutputDataConfig"] != second["OutputDataConfig"]
    assert first["CheckpointConfig"] == second["CheckpointConfig"]
    assert "CheckpointConfig" not in built(config=evolve(ALL, checkpoints=False))


def test_whose_a_training_is_can_be_read_back_without_its_tags() -> None:
    made = built(args={**ARGS, "environment": {"MODE": "fast"}})
    assert made["Environment"]["MODE"] == "fast"
    asked = request()
    assert identity_of(made) == (asked.job_id, 1, asked.spec_hash)


@pytest.mark.parametrize(
    "environment",
    [
        None,
        {},
        {"JOBCORE_JOB_ID": "../x", "JOBCORE_ATTEMPT": "1", "JOBCORE_SPEC_HASH": "5"},
        {"JOBCORE_JOB_ID": "0" * 26, "JOBCORE_ATTEMPT": "one", "JOBCORE_SPEC_HASH": "5"},
        {"JOBCORE_JOB_ID": "0" * 26, "JOBCORE_ATTEMPT": "٣", "JOBCORE_SPEC_HASH": "5"},
        {"JOBCORE_JOB_ID": "0" * 26, "JOBCORE_ATTEMPT": "1"},
    ],
)
def test_a_strangers_training_has_no_identity(environment: dict[str, str] | None) -> None:
    assert identity_of({"Environment": environment}) == (None, None, None)


def test_tags_say_who_and_what_for_policies_and_bills() -> None:
    made = built(
        config=evolve(ALL, tags={"cost-centre": "42"}),
        owner="ada@example.org; drop",
        group="sweep",
        tags={"project": "x"},
    )
    tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert tags == {
        "project": "x",
        "cost-centre": "42",
        "jobcore:managed": "true",
        "jobcore:job-id": request().job_id,
        "jobcore:attempt": "1",
        "jobcore:spec-hash": "5" * 64,
        "jobcore:owner": "ada@example.org_ drop",
        "jobcore:group": "sweep",
    }


# --- markets and times ------------------------------------------------------------------


def test_a_cpu_pool_has_neither_a_wait_nor_a_pending_bound() -> None:
    made = built()
    assert made["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert made["ResourceConfig"]["InstanceType"] == "ml.m5.large"


def test_several_types_are_left_to_sagemaker_with_one_bound_on_the_wait() -> None:
    made = built("gpu", placement=Placement("gpu", 2))
    assert made["ResourceConfig"]["InstancePreferences"] == [
        {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 2},
        {"InstanceType": "ml.g6.2xlarge", "InstanceCount": 2},
    ]
    assert "InstanceType" not in made["ResourceConfig"]
    assert made["StoppingCondition"]["MaxPendingTimeInSeconds"] == 7200
    assert made["EnableManagedSpotTraining"] is False


def test_spot_may_wait_beyond_its_run_time() -> None:
    made = built("us-east-1/ml.g5.2xlarge/spot", run_at_most=timedelta(seconds=90.5))
    assert made["EnableManagedSpotTraining"] is True
    assert made["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 91,
        "MaxWaitTimeInSeconds": 91 + 7200,
    }


def test_a_plan_is_named_by_its_arn() -> None:
    assert built("plan")["ResourceConfig"]["TrainingPlanArn"] == PLAN


def test_what_is_only_to_be_stopped_may_run_for_a_minute() -> None:
    assert built(to_stop=True)["StoppingCondition"]["MaxRuntimeInSeconds"] == 60


def test_network_and_keys_are_the_deployments() -> None:
    config = evolve(
        ALL,
        subnets=("subnet-1",),
        security_groups=("sg-1",),
        kms_key="k1",
    )
    made = built(config=config)
    assert made["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert made["OutputDataConfig"]["KmsKeyId"] == "k1"
    assert made["ResourceConfig"]["VolumeKmsKeyId"] == "k1"


def test_the_job_file_may_say_more_of_the_request() -> None:
    raw = {
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "ResourceConfig": {"KeepAlivePeriodInSeconds": 600},
        "OutputDataConfig": {"CompressionType": "NONE"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "InputMode": "FastFile",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/b"}},
            }
        ],
    }
    made = built(
        args={**ARGS, "volume_gb": 100, "channels": {"train": "s3://data/a"}, "sagemaker": raw}
    )
    assert made["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    assert made["ResourceConfig"]["VolumeSizeInGB"] == 100
    assert made["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert made["OutputDataConfig"]["S3OutputPath"].startswith("s3://models/jobcore/")
    (channel,) = made["InputDataConfig"]
    assert channel["InputMode"] == "FastFile"


# --- what is refused, and by which name ---------------------------------------------------


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"role": "admin"}, "role: there is no role 'admin'"),
    ({"role": ROLE}, "role: there is no role 'arn:"),
    ({"image": "unknown"}, "image: there is no image 'unknown'"),
    ({"image": None}, "image: missing"),
    ({"image": "x.example/" + "i" * 250}, "image: 260 characters; at most 255"),
    ({"script": "train.py", "source_dir": "/home/ada/src"}, "source_dir: expected the S3 URI"),
    ({"script": "train.py", "source_dir": "s3://code/x.zip"}, "source_dir: expected a .tar.gz"),
    ({**SCRIPT, "arguments": ["-v"]}, "arguments: SageMaker passes hyperparameters"),
    ({**SCRIPT, "hyperparameters": {"sagemaker_program": 1}}, "hyperparameters.sagemaker_program"),
    ({"hyperparameters": {"x": "y" * 2501}}, "hyperparameters.x: 2,501 characters; at most 2,500"),
    ({"hyperparameters": {f"h{i}": 1 for i in range(101)}}, "hyperparameters: 101 entries"),
    ({"hyperparameters": {"text": "two\nlines"}}, "hyperparameters.text: the value does"),
    ({"environment": {f"E{i}": "1" for i in range(98)}}, "environment: 102 entries; at most 100"),
    ({"environment": {"AWS_SECRET_ACCESS_KEY": "x"}}, "environment.AWS_SECRET_ACCESS_KEY: reserved"),
    ({"environment": {"JOBCORE_JOB_ID": "x"}}, "environment.JOBCORE_JOB_ID: reserved"),
    ({"environment": {"a-b": "x"}}, "environment.a-b: the value does not"),
    ({"channels": {"train": "/data"}}, "channels.train: expected an S3 URI"),
    ({**SCRIPT, "channels": {"code": "s3://d/a"}}, "channels.code: reserved"),
    ({"channels": {"bad name": "s3://d/a"}}, "channels: 'bad name' does not match"),
    ({"channels": {f"c{i}": "s3://d/a" for i in range(21)}}, "channels: 21 entries; at most 20"),
    ({"volume_gb": 0}, "volume_gb: at least 1"),
    ({"clocks": Clocks(run_at_most=timedelta(days=6))}, "clocks.run_at_most: 6 days, 0:00:00; at"),
    ({"tags": {"jobcore:managed": "false"}}, "tags.jobcore:managed: reserved"),
    ({"tags": {"aws:x": "1"}}, "tags.aws:x: reserved"),
    ({"tags": {"k": "what?"}}, "tags: 'what?' does not match"),
    ({"tags": {f"t{i}": "1" for i in range(46)}}, "tags: 51 entries; at most 50"),
    ({"pool": "tpu"}, "pools: there is no pool 'tpu'; there are: cpu, gpu"),
    ({"sagemaker": {"RoleArn": ROLE}}, "sagemaker.RoleArn: not yours to set"),
    ({"sagemaker": {"Tags": []}}, "sagemaker.Tags: not yours"),
    ({"sagemaker": {"TrainingJobName": "x"}}, "sagemaker.TrainingJobName: not yours"),
    ({"sagemaker": {"RemoteDebugConfig": {"EnableRemoteDebug": True}}}, "sagemaker.RemoteDebugConfig"),
    ({"sagemaker": {"VpcConfig": {}}}, "sagemaker.VpcConfig: not yours"),
    ({"sagemaker": {"EnableNetworkIsolation": False}}, "sagemaker.EnableNetworkIsolation: can only"),
    ({"sagemaker": {"ResourceConfig": {"InstanceType": "ml.p5.48xlarge"}}}, "sagemaker.ResourceConfig.Ins"),
    ({"sagemaker": {"AlgorithmSpecification": {"TrainingImage": "x"}}}, "sagemaker.AlgorithmSpecificat"),
    ({"sagemaker": {"TensorBoardOutputConfig": {"S3OutputPath": "s3://else/"}}}, "sagemaker.TensorBoard"),
    ({"sagemaker": {"ExperimentConfig": {"ExperimentName": "arn:aws:x"}}}, "sagemaker.ExperimentConfig.E"),
    ({"sagemaker": {"StoppingCondition": {"MaxWaitTimeInSeconds": 90000}}}, "sagemaker.StoppingCondition"),
    ({"sagemaker": {"RetryStrategy": {"MaximumRetryAttempts": 31}}}, "sagemaker.RetryStrategy.Maximum"),
    ({"sagemaker": {"RetryStrategy": {"Max": 3}}}, "sagemaker.RetryStrategy.MaximumRetryAttempts: mis"),
    ({"sagemaker": {"RetryStrategy": []}}, "sagemaker.RetryStrategy: expected a table, got list"),
    ({"sagemaker": {"OutputDataConfig": {"CompressionType": "ZIP"}}}, "sagemaker.OutputDataConfig.Comp"),
    ({"sagemaker": {"InputDataConfig": {}}}, "sagemaker.InputDataConfig: expected a list"),
    ({"sagemaker": {"InputDataConfig": [{"ChannelName": "a"}]}}, "channels: missing"),
    ({"sagemaker": []}, "sagemaker: expected a table, got list"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "expected"), WRONG, ids=[text[:40] for _, text in WRONG])
def test_each_mistake_is_named_by_the_job_files_field(args: dict[str, Any], expected: str) -> None:
    found = problems(**args)
    assert any(line.startswith(expected) for line in found), found


def test_all_mistakes_are_told_at_once_and_each_once() -> None:
    found = problems(role="admin", channels={"a": "/x"}, volume_gb=1)
    assert sorted(line.split(":")[0] for line in found) == ["channels.a", "role"]
    spec = Spec(
        name="job",
        owner="ada",
        placements=(Placement("cpu"), Placement("gpu")),
        args={"image": "no"},
    )
    assert len(validate_request(ALL, spec)) == 1


def test_every_pool_of_a_job_is_looked_at() -> None:
    spec = Spec(name="job", owner="ada", placements=(Placement("cpu"), Placement("tpu")), args=ARGS)
    assert [line.split(":")[0] for line in validate_request(ALL, spec)] == ["pools"]


def test_allow_lists_hold_for_whole_path_parts() -> None:
    config = evolve(ALL, allowed_images=("1.dkr.example/team",), allowed_inputs=("s3://data",))
    assert problems(config, image="1.dkr.example/team/x:1", channels={"a": "s3://data/x"}) == []
    assert problems(config, image="1.dkr.example/teammate/x:1")
    assert problems(config, channels={"a": "s3://data-of-others/x"})
    assert problems(config, channels={"a": "s3://other/x"})
    file_system = {
        "ChannelName": "a",
        "DataSource": {
            "FileSystemDataSource": {
                "FileSystemId": "fs-0123456789",
                "FileSystemAccessMode": "ro",
                "FileSystemType": "EFS",
                "DirectoryPath": "/",
            }
        },
    }
    raw = {"InputDataConfig": [file_system]}
    assert problems(config, sagemaker=raw)
    assert problems(evolve(config, allowed_inputs=("fs-0123456789",)), sagemaker=raw) == []


def test_no_secret_is_in_a_complaint() -> None:
    secret = "hunter2\n" * 400
    for field in ("hyperparameters", "environment"):
        found = problems(**{field: {"token": secret}})
        assert found
        assert "hunter2" not in "".join(found)


def test_a_deployment_may_take_its_own_images_only() -> None:
    config = evolve(ALL, any_image=False)
    assert problems(config) == []
    assert problems(config, image="1.dkr.example/team/x:1")


# --- the service's rules beside the model -------------------------------------------------


def changed(**members: Any) -> list[str]:
    """Validate a good request of which some members are changed; None takes one away."""
    made = {**built(), **members}
    return check_request({name: value for name, value in made.items() if value is not None})


RESOURCES = {"VolumeSizeInGB": 30}
TYPE = {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 1}
PREFERENCES = [{"InstanceType": "ml.g5.2xlarge"}, {"InstanceType": "ml.g6.2xlarge"}]
RULES: list[tuple[dict[str, Any], str]] = [
    ({"StoppingCondition": None}, "missing"),
    ({"ResourceConfig": None}, "missing"),
    ({"TrainingJobName": "a" * 64}, "64 characters; at most 63"),
    ({"TrainingJobName": "a_b"}, "does not match"),
    ({"TrainingJobName": "a-"}, "does not match"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 28 * 86400 + 1}}, "at most 28 days"),
    ({"EnableManagedSpotTraining": True}, "needed on spot"),
    (
        {
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 8},
        },
        "less than the run time",
    ),
    ({"StoppingCondition": {"MaxPendingTimeInSeconds": 1799}}, "at least 1800"),
    ({"StoppingCondition": {"MaxPendingTimeInSeconds": 7200}}, "without accelerators"),
    ({"ResourceConfig": {**RESOURCES, **TYPE, "InstanceCount": 0}}, "at least 1"),
    ({"ResourceConfig": {**RESOURCES, **TYPE, "InstanceType": "ml.t2.medium"}}, "not a known one"),
    ({"ResourceConfig": {**RESOURCES, **TYPE, "InstancePreferences": PREFERENCES}}, "exactly one"),
    ({"ResourceConfig": RESOURCES}, "exactly one"),
    (
        {
            "ResourceConfig": {**RESOURCES, "InstancePreferences": PREFERENCES},
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 9},
        },
        "not possible on spot",
    ),
    (
        {"ResourceConfig": {**RESOURCES, "InstancePreferences": [TYPE, PREFERENCES[1]]}},
        "for all of the instance types or for none",
    ),
    ({"ResourceConfig": {**RESOURCES, **TYPE, "KeepAlivePeriodInSeconds": 21601}}, "at most 21,600"),
    ({"Environment": {"A": 1}}, "expected a string, got int"),
    ({"EnableNetworkIsolation": "yes"}, "expected true or false"),
    ({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "given twice"),
    ({"RoleArn": "role"}, "at least 20"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), RULES, ids=[text for _, text in RULES])
def test_the_services_rules(members: dict[str, Any], expected: str) -> None:
    found = changed(**members)
    assert any(expected in line for line in found), found


def test_a_wait_without_spot_is_right_where_sagemaker_retries() -> None:
    times = {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 10}
    assert changed(StoppingCondition=times, RetryStrategy={"MaximumRetryAttempts": 2}) == []


def test_every_pattern_of_the_model_can_be_used() -> None:
    """They are written for Java; whichever Python cannot read would be a crash at submit."""
    shape, seen = create_shape(), set()

    def walk(part: Any) -> None:
        if part.name in seen:
            return
        seen.add(part.name)
        if pattern := part.metadata.get("pattern"):
            _compiled(pattern)
        for inner in (*getattr(part, "members", {}).values(),):
            walk(inner)
        for name in ("member", "key", "value"):
            if part.type_name in ("list", "map") and hasattr(part, name):
                walk(getattr(part, name))

    walk(shape)
    assert len(seen) > 100
    assert _compiled(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("Projekt Ä 1/2")
    assert not _compiled(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("a\tb")


TEXT = st.text(clean, max_size=12)  # a spec refuses the rest
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from(["arn:aws:iam::1:role/x", "s3://x/y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
MEMBERS = sorted(create_shape().members)


@given(
    st.dictionaries(
        st.sampled_from(["image", "script", "source_dir", "role", "volume_gb", "arguments"]), JSON
    ),
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4),
    st.dictionaries(TEXT, JSON, max_size=3),
)
def test_no_spec_makes_it_raise_and_none_brings_in_an_arn(
    args: dict[str, Any], raw: dict[str, Any], environment: dict[str, Any]
) -> None:
    """Whatever is submitted: what is refused is said in lines, and what is asked for is allowed."""
    document = {**ARGS, **args, "sagemaker": raw, "environment": environment}
    for line in problems(**document):
        assert isinstance(line, str)
    try:
        made = build_request(request(args=document), ALL)
    except BadRequest:
        return
    assert made["RoleArn"] == ROLE
    assert made["TrainingJobName"] == request().name
    assert made["OutputDataConfig"]["S3OutputPath"].startswith("s3://models/jobcore/")
    assert made["EnableNetworkIsolation"] is True
    assert "arn:aws:iam::1:role/x" not in json.dumps(
        {k: v for k, v in made.items() if k not in ("HyperParameters", "Environment")}
    )


def test_the_bundled_model_is_the_one_that_boto3_checks_with() -> None:
    session = botocore.session.get_session()
    shape = session.get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    assert set(shape.members) == set(create_shape().members)


def test_the_public_names_are_what_they_say() -> None:
    assert {*jobcore_aws._HOMES, "JOB_TABLES"} == set(jobcore_aws.__all__)
    for name in jobcore_aws.__all__:
        assert getattr(jobcore_aws, name) is not None
    with pytest.raises(AttributeError):
        jobcore_aws.nothing  # noqa: B018
