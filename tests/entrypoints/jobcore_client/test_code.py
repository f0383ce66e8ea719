"""The code of jobs on AWS: packed before the check, uploaded once and for valid jobs only."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

import jobcore
import jobcore_aws
import jobcore_client.session as client_session
from jobcore import Status
from jobcore.ports import JobQuery
from jobcore_aws import AwsSettings
from jobcore_aws._pools import pool_from
from jobcore_cli._app import main
from jobcore_cli._session import Session
from jobcore_client import Client, grid
from jobcore_memory import MemoryStore
from sagemaker_fixtures import CPU, settings


class S3:
    """A bucket that remembers what was put into it."""

    def __init__(self) -> None:
        self.puts: list[str] = []
        self.objects: dict[str, bytes] = {}

    def head_object(self, Bucket: str, Key: str) -> None:  # noqa: N803
        if Key not in self.objects:
            answer = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "HeadObject")

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.puts.append(f"s3://{Bucket}/{Key}")
        self.objects[Key] = Body


@pytest.fixture
def aws(tmp_path: Path, monkeypatch) -> SimpleNamespace:
    s3, store = S3(), MemoryStore()
    monkeypatch.setattr(jobcore_aws, "client", lambda service: s3)
    deployment = AwsSettings(table="jobs", bucket="code", sagemaker=settings())
    monkeypatch.setattr(Session, "aws", deployment)
    monkeypatch.setattr(Session, "store", store)
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.py").write_text("print(1)\n")
    (source / ".env").write_text("TOKEN=canary")
    (source / "job.toml").write_text('script = "train.py"\nimage = "torch"\npool = "cpu"\n')
    return SimpleNamespace(s3=s3, store=store, source=source, home=tmp_path / "home")


def call(aws: SimpleNamespace, *words: str) -> int:
    return main(["--backend", "aws", "--home", str(aws.home), "--owner", "ada", *words])


def test_a_sweep_uploads_one_archive_without_secrets(aws, capsys) -> None:
    assert call(aws, "sweep", str(aws.source / "job.toml"), "-p", "x=1:3", "--json") == 0
    (uri,) = aws.s3.puts
    (data,) = aws.s3.objects.values()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["job.toml", "train.py"]
    said = json.loads(capsys.readouterr().out)
    assert said["code"][0]["files"] == 2
    assert said["code"][0]["left_out"] == [{"path": ".env", "reason": "may hold secrets"}]
    jobs = aws.store.get(said["ids"]).values()
    assert {job.spec.args["source_dir"] for job in jobs} == {uri}
    assert {job.spec.args["code"]["snapshot"] for job in jobs} == {said["code"][0]["snapshot"]}
    assert {job.spec.args["code"]["folder"] for job in jobs} == {str(aws.source)}
    assert not (aws.home / "code").exists()


def test_the_archive_of_a_job_with_arguments_has_a_starter(aws, capsys) -> None:
    file = aws.source / "job.toml"
    file.write_text(file.read_text() + 'arguments = ["--fast"]\n')
    assert call(aws, "submit", str(file), "--json") == 0
    (uri,) = aws.s3.puts
    assert uri.endswith("/sourcedir-arguments.tar.gz")
    (data,) = aws.s3.objects.values()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert "_start_with_arguments.py" in archive.getnames()
        assert archive.getmember("_start_with_arguments.py").mode == 0o755
    (job,) = aws.store.get(json.loads(capsys.readouterr().out)["ids"]).values()
    assert (job.spec.args["script"], job.spec.args["arguments"]) == ("train.py", ["--fast"])
    (aws.source / "_start_with_arguments.py").touch()
    assert call(aws, "submit", str(file)) == 2
    assert "_start_with_arguments.py: jobcore adds a file of this name" in capsys.readouterr().err


def test_the_same_code_is_uploaded_once_and_is_the_same_job(aws, capsys) -> None:
    for _ in range(2):
        assert call(aws, "submit", str(aws.source / "job.toml"), "--key", "k") == 0
    assert len(aws.s3.puts) == 1
    assert "already submitted" in capsys.readouterr().out
    (aws.source / "train.py").write_text("print(2)\n")
    assert call(aws, "submit", str(aws.source / "job.toml"), "--key", "k") == 4


@pytest.mark.parametrize("words", [["--dry-run"], ["--pool", "nowhere"]])
def test_nothing_is_uploaded_for_a_dry_run_or_a_job_that_is_refused(aws, words) -> None:
    assert call(aws, "submit", str(aws.source / "job.toml"), *words) == (2 if words[1:] else 0)
    assert aws.s3.puts == []


def test_a_folder_that_is_too_large_is_refused(aws, capsys) -> None:
    with open(aws.source / "weights", "wb") as file:
        file.truncate(201 << 20)
    assert call(aws, "submit", str(aws.source / "job.toml")) == 2
    assert "200 MB at most (the largest file is weights" in capsys.readouterr().err
    assert aws.s3.puts == []


def test_a_script_that_is_left_out_is_refused(aws, capsys) -> None:
    (aws.source / ".gitignore").write_text("*.py\n")
    assert call(aws, "submit", str(aws.source / "job.toml")) == 2
    assert "script: train.py is not taken" in capsys.readouterr().err
    assert aws.s3.puts == []


def test_a_name_of_several_pools_is_stored_as_the_pools(aws, capsys, monkeypatch) -> None:
    both = {"cpu": CPU, "us-east-1/ml.m5.large/spot": pool_from("us-east-1/ml.m5.large/spot", 3)}
    names = {"small": tuple(reversed(both))}
    sagemaker = settings(pools=both, pool_names=names)
    monkeypatch.setattr(
        Session, "aws", AwsSettings(table="jobs", bucket="code", sagemaker=sagemaker)
    )
    assert call(aws, "submit", str(aws.source / "job.toml"), "--pool", "small:2", "--json") == 0
    (job,) = aws.store.get(json.loads(capsys.readouterr().out)["ids"]).values()
    assert [(p.pool, p.count) for p in job.spec.placements] == [(p, 2) for p in names["small"]]
    assert call(aws, "submit", str(aws.source / "job.toml"), "--pool", "tpu") == 2
    assert "there are: cpu, small, us-east-1/ml.m5.large/spot" in capsys.readouterr().err


def test_prune_is_for_this_machine(aws, capsys) -> None:
    assert call(aws, "prune") == 2
    assert "on this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("isolated", "own", "script", "said"),
    [
        (True, False, "train.py", "the deployment's setting network_isolation"),
        (False, True, "train.py", "sagemaker.EnableNetworkIsolation of the job file"),
        (False, False, "train.py", None),
        (False, False, "train.sh", "is not installed for train.sh"),
    ],
)
def test_requirements_that_sagemaker_cannot_install_are_named(
    aws, monkeypatch, capsys, isolated, own, script, said
) -> None:
    deployment = AwsSettings(
        table="jobs", bucket="code", sagemaker=settings(network_isolation=isolated)
    )
    monkeypatch.setattr(Session, "aws", deployment)
    (aws.source / "requirements.txt").write_text("torch\n")
    (aws.source / "train.sh").write_text("python train.py\n")
    table = f"[sagemaker]\nEnableNetworkIsolation = {str(own).lower()}\n" if own else ""
    (aws.source / "job.toml").write_text(
        f'script = "{script}"\nimage = "torch"\npool = "cpu"\n{table}'
    )
    for words in ([], ["--dry-run"]):
        assert call(aws, "submit", str(aws.source / "job.toml"), "--json", *words) == 0
        notes = [n for n in json.loads(capsys.readouterr().out)["notes"] if "requirements" in n]
        assert len(notes) == (said is not None)
        assert (said or "") in "".join(notes)
    if isolated:
        assert call(aws, "submit", str(aws.source / "job.toml")) == 0
        assert "so nothing can be downloaded" in capsys.readouterr().out


def test_the_client_packs_a_folder_once_a_submission_and_again_after_an_edit(
    aws, monkeypatch
) -> None:
    monkeypatch.setattr(client_session.Session, "aws", AwsSettings(
        table="jobs", bucket="code", sagemaker=settings()
    ))  # fmt: skip
    monkeypatch.setattr(client_session.Session, "store", aws.store)
    with Client(backend="aws", home=aws.home, owner="ada") as client:
        jobs = client.map(aws.source / "job.toml", grid(x=range(5)), group="g")
        assert len(aws.s3.puts) == 1
        assert {job.record.spec.args["source_dir"] for job in jobs} == set(aws.s3.puts)
        (aws.source / "train.py").write_text("print(2)\n")
        job = client.submit(aws.source / "job.toml")
        assert aws.s3.puts[1] == job.record.spec.args["source_dir"] != aws.s3.puts[0]
        places = job.artifacts()
        assert places.model.startswith("s3://")
        assert places.checkpoints.endswith(f"/{job.id}/checkpoints")
        assert client.stop(jobs).ignored == {}
        assert jobs.wait_counts() == {Status.STOPPED: 5}
        assert client.job(job.id[:10]) == job


def test_a_keyed_sweep_that_was_written_in_part_is_completed_by_the_same_call(aws, capsys) -> None:
    """DynamoDB has no transaction for a sweep: a client that is killed has written any of its jobs."""
    words = ("sweep", str(aws.source / "job.toml"), "--key", "k", "--json", "-p")
    add = aws.store.add

    def add_some(jobs):
        if len(jobs) > 1:
            add([jobs[1], jobs[3]])
            raise jobcore.Unavailable("the reply was lost")
        return add(jobs)

    aws.store.add = add_some
    assert call(aws, *words, "x=1:5") == 5
    assert sum(aws.store.counts().values()) == 3
    aws.store.add = add
    capsys.readouterr()
    assert call(aws, *words, "x=1:5") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["created"], done["known"]) == (2, 3)
    jobs = aws.store.find(JobQuery()).jobs
    assert {job.job_id for job in jobs} == set(done["ids"])
    assert sorted(job.spec.args["hyperparameters"]["x"] for job in jobs) == [1, 2, 3, 4, 5]
    assert call(aws, *words, "x=1:6") == 4
    assert "key 'k': used before for another submission" in capsys.readouterr().err
    assert sum(aws.store.counts().values()) == 5
