"""What AWS cannot run is refused when it is submitted, by functions and command alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobcore import parse_job
from jobcore.errors import Problem
from jobcore_aws import JOB_TABLES, AwsSettings, check, check_item_size
from jobcore_aws._dynamodb._specs import SPEC_BYTES_MAX
from jobcore_cli import main
from jobcore_lambda._wiring import Wiring
from sagemaker_fixtures import IMAGE, ROLE, settings

AWS = AwsSettings(table="jobs", bucket="specs", sagemaker=settings())
IMAGE_JOB = {"image": "torch"}
SCRIPT_JOB = {**IMAGE_JOB, "script": "train.py", "source_dir": "s3://code/app.tar.gz"}

# Each was a limit of every job file; each is one more than SageMaker takes.
BEYOND: list[tuple[dict[str, Any], str]] = [
    ({"pools": ["cpu"] * 6}, "pools"),
    ({"hyperparameters": {f"h{i}": 1 for i in range(101)}}, "hyperparameters"),
    ({"hyperparameters": {"h" * 257: 1}}, "hyperparameters." + "h" * 40),
    ({"hyperparameters": {"h": "v" * 2501}}, "hyperparameters.h"),
    ({"hyperparameters": {"h": ["v" * 2497]}}, "hyperparameters.h"),
    ({"environment": {f"E{i}": "" for i in range(101)}}, "environment"),
    ({"environment": {"E" * 513: ""}}, "environment." + "E" * 40),
    ({"environment": {"E": "v" * 513}}, "environment.E"),
    ({"tags": {f"t{i}": "" for i in range(46)}}, "tags"),
    ({"tags": {"t" * 129: ""}}, "tags"),
    ({"tags": {"t": "v" * 257}}, "tags"),
    ({"channels": {f"c{i}": "s3://data/x" for i in range(21)}}, "channels"),
    ({"channels": {"c" * 65: "s3://data/x"}}, "channels"),
]
WITHIN: list[dict[str, Any]] = [
    {},
    {"pools": ["cpu"] * 5},
    {"hyperparameters": {f"h{i}": 1 for i in range(100)}},
    {"hyperparameters": {"h" * 256: "v" * 2500}},
    {"environment": {"E" * 512: "v" * 512}},
    {"tags": {f"t{i}": "" for i in range(44)}},
    {"tags": {"t" * 128: "v" * 256}},
    {"channels": {f"c{i}": "s3://data/x" for i in range(20)}},
    {"channels": {"c" * 64: "s3://data/x"}},
]


@pytest.mark.parametrize("base", [IMAGE_JOB, SCRIPT_JOB], ids=["image", "script"])
@pytest.mark.parametrize(("fields", "field"), BEYOND, ids=[field for _, field in BEYOND])
def test_what_is_beyond_a_limit_of_sagemaker_is_refused_by_its_field(base, fields, field):
    spec = parse_job({**base, "pools": ["cpu"], **fields}, owner="ada", service_tables=JOB_TABLES)
    problems = check(spec, AWS)
    assert field in {problem.field for problem in problems}
    assert all(problem.message for problem in problems)


@pytest.mark.parametrize("fields", WITHIN)
def test_what_is_within_is_not(fields):
    document = {**IMAGE_JOB, "pools": ["cpu"], **fields}
    assert check(parse_job(document, owner="ada", service_tables=JOB_TABLES), AWS) == []


def large(size: int) -> dict[str, Any]:
    filling = {f"h{i}": "v" * 2000 for i in range(size // 2000)}
    return {**IMAGE_JOB, "tags": {f"t{i}": "v" * 200 for i in range(9)}, "sagemaker": filling}


def test_a_spec_that_the_table_cannot_hold_is_refused_at_submit():
    spec = parse_job(large(SPEC_BYTES_MAX + 2000), owner="ada", service_tables=JOB_TABLES)
    (problem,) = check_item_size(spec, bucket=None)
    assert problem.field == "args"
    assert "the table holds at most 307,200" in problem.message
    assert check_item_size(spec, bucket="specs") == []
    half = parse_job(large(SPEC_BYTES_MAX // 2), owner="ada", service_tables=JOB_TABLES)
    assert check_item_size(half, bucket=None) == []
    without = AwsSettings(table="jobs", sagemaker=settings())
    assert problem in check(spec, without)
    assert problem not in check(spec, AWS)


def test_the_functions_ask():
    wired = Wiring({})
    wired.settings = AWS  # type: ignore[misc]
    spec = parse_job(
        {**IMAGE_JOB, "tags": {"t": "v" * 257}}, owner="ada", service_tables=JOB_TABLES
    )
    assert list(wired.check(spec)) == [Problem("tags", "257 characters; at most 256 allowed")]


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    config = {
        "output": "s3://models/jobcore",
        "pools": {"cpu": {"instance_types": ["ml.m5.large"]}},
        "roles": {"train": ROLE},
        "images": {"torch": IMAGE},
        "region": "us-east-1",
    }
    monkeypatch.setenv("JOBCORE_TABLE", "jobs")
    monkeypatch.setenv("JOBCORE_CONFIG", json.dumps(config))
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("JOBCORE_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["submit", "sweep"])
def test_the_command_asks_the_backend_that_the_job_is_for(deployment, capsys, command):
    """A dry run for AWS names SageMaker's limit; the same file is fine for this machine."""
    (deployment / "train.py").write_text("")
    many = {f"h{i}": i for i in range(101)}
    axis = {"sweep": {"grid": {"h0": [1, 2]}}} if command == "sweep" else {}
    image = {"image": "torch", "pool": "cpu", "hyperparameters": many, **axis}
    (deployment / "aws.json").write_text(json.dumps(image))
    (deployment / "here.json").write_text(json.dumps({**image, "script": "train.py"}))
    assert main([command, "aws.json", "--dry-run", "--backend", "aws", "--owner", "ada"]) == 2
    error = capsys.readouterr().err
    assert error == "jobcore: aws.json: hyperparameters: 101 entries; at most 100 allowed\n"
    assert main([command, "here.json", "--dry-run", "--backend", "local", "--owner", "ada"]) == 0
    assert "nothing was submitted" in capsys.readouterr().out


def test_the_command_asks_this_machine_too(deployment, capsys):
    (deployment / "train.py").write_text("")
    job = {"script": "train.py", "hyperparameters": {"x": "\ud800"}}
    (deployment / "here.json").write_text(json.dumps(job))
    assert main(["submit", "here.json", "--backend", "local", "--owner", "ada"]) == 2
    error = capsys.readouterr().err
    assert (
        error
        == "jobcore: here.json: hyperparameters: contains a lone surrogate, which is half a character; remove it\n"
    )
