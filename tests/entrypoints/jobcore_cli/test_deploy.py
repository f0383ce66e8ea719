"""`jobcore deploy` and what it uploads: the same bytes from the same sources, nothing that is not needed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aws_fixtures import FAKE_ACCOUNT, connect
from jobcore_cli import main
from jobcore_cli._bundle import build_zip, content_key, find_template, runtime_here
from jobcore_cli._deploy import _parameters, _region_of
from jobcore_cli._destroy import delete_bucket
from jobcore_cli._errors import CliError
from jobcore_cli._rules import RULES_FILE
from patience import SECONDS

HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def bundle() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(build_zip(HERE)))


def test_the_same_sources_give_the_same_bytes_in_every_process():
    code = (
        "from jobcore_cli._bundle import *; import sys;"
        f"sys.stdout.write(content_key(build_zip({HERE!r})))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert keys == {content_key(build_zip(HERE))}


def test_the_zip_file_holds_the_functions_and_nothing_of_this_machine(bundle):
    names = bundle.namelist()
    assert {f"jobcore_lambda/{n}.py" for n in ("submit", "launch", "stream")} <= set(names)
    assert [name for name in names if name.endswith(".toml")] == ["jobcore_aws/failure_rules.toml"]
    tops = {name.split("/")[0] for name in names} - {"__pycache__"}
    assert tops == {
        "jobcore", "jobcore_aws", "jobcore_config", "jobcore_contract", "jobcore_lambda",
        "attr", "attrs", "aws_lambda_powertools", "cattrs", "jmespath", "typing_extensions.py",
    }  # fmt: skip
    assert {info.date_time for info in bundle.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.external_attr >> 16 for info in bundle.infolist()} == {0o100644}
    here = os.getcwd().encode()
    assert not [name for name in names if here in bundle.read(name)]


def test_the_functions_run_from_the_zip_file_alone(bundle, tmp_path):
    bundle.extractall(tmp_path)
    code = (
        "import jobcore_lambda.submit as s, jobcore_lambda._http, jobcore_lambda.launch;"
        "import jobcore_aws; assert len(jobcore_aws.failure_rules().rules) > 50;"
        "print(s.__file__); print(s.__cached__)"
    )
    import boto3

    site = os.path.dirname(os.path.dirname(boto3.__file__))
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({site!r}); {code}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    module, cached = done.stdout.split()
    assert module.startswith(str(tmp_path))
    # What was compiled for the zip file is what was run: nothing was compiled anew beside it.
    assert bundle.read(os.path.relpath(cached, tmp_path)) == Path(cached).read_bytes()


def test_the_users_rules_are_part_of_the_zip_file(bundle):
    rules = b'[[rule]]\nname = "a"\nclass = "oom"\n'
    with zipfile.ZipFile(io.BytesIO(build_zip(HERE, rules=rules))) as archive:
        assert set(archive.namelist()) - set(bundle.namelist()) == {RULES_FILE}
        assert archive.read(RULES_FILE) == rules


def test_another_python_gets_sources_only():
    other = "python3.13" if HERE != "python3.13" else "python3.12"
    names = zipfile.ZipFile(io.BytesIO(build_zip(other))).namelist()
    assert not [name for name in names if name.endswith(".pyc")]


def test_a_pinned_sdk_brings_the_models_that_the_functions_call_and_no_others():
    names = zipfile.ZipFile(io.BytesIO(build_zip("python3.13", pin_sdk=True))).namelist()
    models = {n.split("/")[2] for n in names if n.startswith("botocore/data/") and n.count("/") > 2}
    assert models == {"dynamodb", "lambda", "s3", "sagemaker", "sns", "sts"}
    assert "boto3/__init__.py" in names


def test_the_runtime_is_one_that_lambda_has():
    assert runtime_here() in find_template()


def test_the_config_becomes_parameters(tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in FAKE_ACCOUNT.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "aws.toml"
    path.write_text(
        'output = "s3://models/x"\nrules = "x.toml"\n[roles]\na = "arn:1"\nb = "arn:2"\n'
        '[pools]\n"eu-west-1/ml.m5.large/spot" = 3\n"ml.m5.large" = 1\n'
    )
    found = _parameters(path, ["Paused=true"], None)
    assert json.loads(found["Config"])["pools"] == {
        "eu-west-1/ml.m5.large/spot": 3,
        "ml.m5.large": 1,
    }
    assert "rules" not in json.loads(found["Config"])  # they go into the zip file
    assert found["TrainingRoleArns"] == "arn:1,arn:2"
    assert found["TrainingRegions"] == "eu-west-1,us-east-1"
    assert found["Paused"] == "true"
    assert "EndpointUrl" not in found
    with pytest.raises(CliError, match="--set"):
        _parameters(None, ["Paused"], None)
    path.write_text(f'output = "s3://models/{"x" * 4000}"\n')
    with pytest.raises(CliError, match="takes 3,000"):
        _parameters(path, [], None)


@pytest.mark.parametrize(
    ("pool", "region"),
    [("us-east-1/ml.g5.xlarge/spot", "us-east-1"), ("ml.g5.xlarge/spot", ""), ("ml.g5.xlarge", "")],
)
def test_a_pools_region_is_the_first_part_of_its_name(pool, region):
    assert _region_of(pool) == region


def test_a_config_that_the_functions_would_refuse_is_refused_before_aws_is_asked(tmp_path, capsys):
    path = tmp_path / "aws.toml"
    path.write_text('output = "s3://models/x"\nat_once = 0\n[limits]\naging = "0s"\n')
    assert main(["deploy", "--config", str(path)]) == 2
    said = f"{path}: at_once: expected 1 or more, got 0; limits.aging: expected at least 1 second, got 0 seconds"
    assert capsys.readouterr().err == f"jobcore: {said}\n"


# --- the command ------------------------------------------------------------------------


@pytest.fixture
def jobcore(ministack, tmp_path):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "JOBCORE_"))}
    environ |= {"JOBCORE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), **FAKE_ACCOUNT}
    environ["AWS_ENDPOINT_URL"] = ministack

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jobcore_cli", *words],
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


ROLE = ("--set", "TrainingRoleArns=arn:aws:iam::000000000000:role/train")


def test_a_dry_run_of_a_new_stack_makes_nothing(jobcore, ministack):
    done = jobcore("deploy", "--stack", "dry", "--dry-run", *ROLE)
    assert done.returncode == 0, done.stderr
    assert "add       Table  AWS::DynamoDB::Table" in done.stdout
    assert "nothing was changed" in done.stdout
    assert jobcore("status", "--stack", "dry").returncode == 3


def test_a_deployment_is_made_kept_changed_and_taken_away_with_its_data(jobcore, ministack):
    name = ("--stack", "life")
    made = jobcore("deploy", *name, "--json", *ROLE, "--set", "LaunchConcurrency=0")
    assert made.returncode == 0, made.stderr
    outputs = json.loads(made.stdout)["outputs"]
    assert jobcore("status", *name).returncode == 0
    dry = json.loads(jobcore("deploy", *name, "--dry-run", "--json", "--set", "Paused=true").stdout)
    assert {"TableChanges", "LaunchSchedule"} <= {c["resource"] for c in dry["changes"]}
    paused = jobcore("deploy", *name, "--set", "Paused=true")
    assert paused.returncode == 0, paused.stderr
    status = json.loads(jobcore("status", *name, "--json").stdout)
    assert (status["paused"], status["outputs"]["TableName"]) == (True, outputs["TableName"])
    assert set(status["functions"]) == {"Submit", "Launch", "Monitor", "Notify", "Stream", "Reap"}
    asked = jobcore("destroy", *name)  # nobody answers the question
    assert asked.returncode != 0
    gone = jobcore("destroy", *name, "--yes", "--delete-data")
    assert gone.returncode == 0, gone.stderr
    tables = connect("dynamodb", ministack).list_tables()["TableNames"]
    buckets = [b["Name"] for b in connect("s3", ministack).list_buckets()["Buckets"]]
    assert outputs["TableName"] not in tables
    assert outputs["SpecBucketName"] not in buckets


def test_a_bucket_is_deleted_with_all_versions_of_its_objects(moto):
    s3 = connect("s3", "")
    s3.create_bucket(Bucket="specs")
    versioned = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="specs", VersioningConfiguration=versioned)
    for key in ("specs/a", "specs/a", "specs/b"):
        s3.put_object(Bucket="specs", Key=key, Body=b"{}")
    s3.delete_object(Bucket="specs", Key="specs/b")  # leaves a marker over the version
    delete_bucket(s3, "specs")
    assert s3.list_buckets()["Buckets"] == []
    delete_bucket(s3, "specs")  # that it is gone is no error


def test_rules_are_checked_deployed_and_kept(jobcore, ministack, tmp_path):
    name = ("--stack", "rules")
    config, rules = tmp_path / "aws.toml", tmp_path / "rules.toml"
    config.write_text('rules = "rules.toml"\n')
    rules.write_text('[[rule]]\nname = "mine"\nclass = "nope"\n')
    wrong = jobcore("deploy", *name, *ROLE, "--config", str(config))
    assert (wrong.returncode, "rule 'mine': class" in wrong.stderr) == (2, True)
    assert jobcore("status", *name).returncode == 3
    rules.write_text('[[rule]]\nname = "mine"\nclass = "oom"\npattern = "x"\n')

    def deployed() -> list[str]:
        stack = connect("cloudformation", ministack).describe_stacks(StackName="rules")["Stacks"][0]
        given = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
        code = connect("s3", ministack).get_object(Bucket=given["CodeBucket"], Key=given["CodeKey"])
        with zipfile.ZipFile(io.BytesIO(code["Body"].read())) as archive:
            return [name for name in archive.namelist() if name == RULES_FILE]

    try:
        made = jobcore("deploy", *name, *ROLE, "--config", str(config))
        assert made.returncode == 0, made.stderr
        assert deployed() == [RULES_FILE]
        assert jobcore("deploy", *name, "--set", "Paused=true").returncode == 0
        assert deployed() == [RULES_FILE]
        config.write_text("")
        assert jobcore("deploy", *name, "--config", str(config)).returncode == 0
        assert deployed() == []
    finally:
        jobcore("destroy", *name, "--yes", "--delete-data")


@pytest.mark.parametrize("command", ["status", "destroy"])
def test_a_stack_that_is_not_there_is_said_to_be_absent(jobcore, command):
    done = jobcore(command, "--stack", "absent")
    assert done.returncode == 3
    assert "there is no stack absent" in done.stderr


def test_without_an_answer_from_aws_the_error_is_one_line(jobcore, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    environ = {**os.environ, **FAKE_ACCOUNT}
    done = subprocess.run(
        [sys.executable, "-m", "jobcore_cli", "status"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
