"""What AWS cannot run is refused when it is submitted, by functions and command alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from jobcore import parse_job
from jobcore.errors import Problem
from jobcore_aws import JOB_TABLES, AwsSettings, check, check_item_size
from jobcore_aws._dynamodb._specs import SPEC_BYTES_MAX
from jobcore_cli import main
from jobcore_lambda._wiring import Wiring
from sagemaker_fixtures import CPU, IMAGE, ROLE, settings

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
    ({"metrics": {f"m{i}": "(.)" for i in range(41)}}, "metrics"),
    ({"metrics": {"m": "x" * 498 + "(.)"}}, "metrics"),
    ({"metrics": {"m": {"goal": "minimize"}}}, "metrics.m"),
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
    {"metrics": {f"m{i}": "x" * 497 + "(.)" for i in range(40)}},
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
    """A dry run for AWS names SageMaker's limit; the same values are fine for this machine."""
    (deployment / "train.py").write_text("")
    many = {f"h{i}": i for i in range(101)}
    axis = {"sweep": {"grid": {"h0": [1, 2]}}} if command == "sweep" else {}
    image = {"image": "torch", "pool": "cpu", "hyperparameters": many, **axis}
    (deployment / "aws.json").write_text(json.dumps(image))
    here = {"script": "train.py", "pool": "cpu", "hyperparameters": many, **axis}
    (deployment / "here.json").write_text(json.dumps(here))
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


# --- what can never run in this deployment ----------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"pool": "gpu"}, "pools", "there is no pool 'gpu'; there are: cpu"),
        ({"pool": {"pool": "cpu", "count": 500}}, "pools", "pool 'cpu' has 2 instances, got a count of 500"),
        ({"role": "research"}, "role", "there is no role 'research'; name one of: train"),
        ({"image": "jax"}, "image", "there is no image 'jax'; name a URI or one of: torch"),
        ({"channels": {"train": "/data"}}, "channels.train", "expected an S3 URI, got '/data'"),
        ({"python": "/usr/bin/python3"}, "python", "the image has its Python; leave it out"),
        ({"stop_grace": "30s"}, "stop_grace", "120 s after a stop, got 30 s"),
        ({"arguments": ["x" * 300]}, "arguments", "300 characters"),
        ({"script": "a.py", "arguments": ["--x"]}, "arguments", "is not in the image; name a local source_dir"),
        ({"source_dir": "s3://code/app.tar.gz"}, "source_dir", "there is no script to run from it"),
    ],
)  # fmt: skip
def test_what_the_deployment_does_not_have_is_refused_with_what_it_has(fields, field, words):
    document = {**IMAGE_JOB, "pools": ["cpu"], **fields}
    if "pool" in fields:
        del document["pools"]
    problems = check(parse_job(document, owner="ada", service_tables=JOB_TABLES), AWS)
    assert [problem.field for problem in problems] == [field]
    assert words in problems[0].message


def test_arguments_of_a_script_are_refused_too():
    spec = parse_job({**SCRIPT_JOB, "pools": ["cpu"], "arguments": ["--x"]}, owner="ada")
    assert [problem.field for problem in check(spec, AWS)] == ["arguments"]


def test_a_known_quota_bounds_the_count_and_a_closed_pool_does_not():
    pools = {
        "open": evolve(CPU, name="open", slots=None),
        "closed": evolve(CPU, name="closed", slots=0),
    }
    aws = evolve(AWS, sagemaker=settings(pools=pools))

    def job(pool: str, count: int) -> Any:
        return parse_job({**IMAGE_JOB, "pools": [{"pool": pool, "count": count}]}, owner="ada")

    assert check(job("open", 5), aws) == []
    assert check(job("open", 4), aws, quotas={"open": 4}) == []
    (problem,) = check(job("open", 5), aws, quotas={"open": 4})
    assert problem == Problem(
        "pools",
        "the account's quota for pool 'open' is 4, got a count of 5; ask for fewer, or for a "
        "higher quota",
    )
    assert check(job("closed", 5), aws) == []
