"""One job file on a laptop and on an emulated SageMaker, unedited: examples/both."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aws_fixtures import FAKE_ACCOUNT, connect
from jobcore_aws import create_table
from jobcore_cli._app import main
from jobcore_local import write_pools
from jobcore_simulation.sandbox import SandboxConfig, serve
from patience import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example: nothing of a run may get into the repository."""
    shutil.copytree(ROOT / "examples/both", tmp_path / "both")
    return tmp_path / "both"


@pytest.fixture
def sandbox(ministack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example deployment on an emulated AWS, without functions: the test calls the ticks."""
    for name, value in FAKE_ACCOUNT.items():
        monkeypatch.setenv(name, value)
    s3 = connect("s3", ministack)
    table, bucket = f"jobs-{uuid4()}", f"code-{uuid4()}"
    create_table(connect("dynamodb", ministack), table)
    s3.create_bucket(Bucket=bucket)
    config = tomllib.loads((ROOT / "examples/sagemaker/deployment.toml").read_text())
    config["output"] = f"s3://{bucket}/output"
    with serve(SandboxConfig(speed=1000, run_scripts=tmp_path, aws_endpoint=ministack)) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": ministack,
            "AWS_ENDPOINT_URL_SAGEMAKER": server.url,
            "JOBCORE_TABLE": table,
            "JOBCORE_BUCKET": bucket,
            "JOBCORE_CONFIG": json.dumps(config),
        }.items():
            monkeypatch.setenv(name, value)
        yield s3, bucket


def call(capsys, home: Path, backend: str, *words: str) -> Any:
    code = main(["--home", str(home), "--owner", "ada", "--backend", backend, *words, "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out)


def run_on_laptop(capsys, example: Path, home: Path) -> dict[str, Any]:
    home.mkdir(mode=0o700)
    write_pools(home, {"cpu": 1})
    (job_id,) = call(capsys, home, "local", "submit", "--group", "both", str(example / "job.toml"))[
        "ids"
    ]
    assert main(["--home", str(home), "run", "--until-done", "--quiet"]) == 0
    capsys.readouterr()
    shown = call(capsys, home, "local", "show", job_id)
    log = Path(shown["places"]["log"]).read_text()
    assert "epoch 200  y = " in log
    return result(capsys, home, "local", job_id)


def result(capsys, home: Path, backend: str, job_id: str) -> dict[str, Any]:
    """Give the model of a job and its loss, each by the command that has it."""
    target = home.with_name(f"model-{home.name}-{backend}")
    call(capsys, home, backend, "download", job_id, "model", "--to", str(target))
    (row,) = call(capsys, home, backend, "results", "both")["jobs"]
    assert row["id"] == job_id
    model = json.loads((target / "model.json").read_text())
    return {**model, "loss": row["metrics"]["loss"]["final"]}


def run_in_sandbox(capsys, example: Path, home: Path) -> dict[str, Any]:
    (job_id,) = call(capsys, home, "aws", "submit", "--group", "both", str(example / "job.toml"))[
        "ids"
    ]

    def is_over() -> Any:
        call(capsys, home, "aws", "tick")
        shown = call(capsys, home, "aws", "show", job_id)
        return shown if shown["status"] in ("Completed", "Failed", "Held") else None

    shown = until(is_over)
    assert shown["status"] == "Completed", shown
    return result(capsys, home, "aws", job_id)


def test_the_same_file_gives_the_same_model_on_both(example, sandbox, tmp_path, capsys) -> None:
    s3, bucket = sandbox
    on_laptop = run_on_laptop(capsys, example, tmp_path / "home")
    in_sandbox = run_in_sandbox(capsys, example, tmp_path / "other")
    assert on_laptop == in_sandbox
    assert on_laptop["points"] == 40
    assert 0 < on_laptop["loss"] < 0.1
    uploaded = s3.list_objects_v2(Bucket=bucket, Prefix="data/")["Contents"]
    assert [os.path.basename(entry["Key"]) for entry in uploaded] == ["points.csv"]
    # And the data that was uploaded for AWS, named by its URI, is fetched by the laptop.
    uri = f"s3://{bucket}/" + os.path.dirname(uploaded[0]["Key"]) + "/"
    file = example / "job.toml"
    file.write_text(file.read_text().replace('train = "data"', f'train = "{uri}"'))
    assert run_on_laptop(capsys, example, tmp_path / "third") == on_laptop
