"""Channels at submit: local folders go to the bucket once, data in S3 comes to this machine once."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import jobcore
import jobcore_aws
from aws_fixtures import connect
from jobcore.ports import JobQuery
from jobcore_aws import AwsSettings
from jobcore_cli._app import main
from jobcore_cli._session import Session
from jobcore_client import _data_upload, data_fetch
from jobcore_client._data_upload import read_data, upload_data
from jobcore_client.data_fetch import data_ids
from jobcore_client.errors import RequestError
from jobcore_memory import MemoryStore
from sagemaker_fixtures import settings

pytestmark = pytest.mark.usefixtures("moto")


class Counting:
    """A client of S3 that counts its calls, and can fail one of them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[str] = []
        self.before: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        if name not in ("put_object", "get_object", "get_paginator", "delete_object"):
            return function

        def call(*args: Any, **given: Any) -> Any:
            self.calls.append(name)
            if name in self.before:
                self.before[name](**given)
            return function(*args, **given)

        return call


@pytest.fixture
def s3(monkeypatch) -> Counting:
    client = Counting(connect("s3", ""))
    client.create_bucket(Bucket="code")
    monkeypatch.setattr(jobcore_aws, "client", lambda service: client)
    return client


@pytest.fixture
def world(tmp_path: Path, s3, monkeypatch) -> SimpleNamespace:
    source, data, store = tmp_path / "source", tmp_path / "data set é", MemoryStore()
    source.mkdir()
    (source / "train.py").write_text("print(1)\n")
    (data / "sub").mkdir(parents=True)
    (data / "a.csv").write_text("1,2\n")
    (data / "sub" / "b é.csv").write_text("3")
    (data / ".env").write_text("TOKEN=canary")
    monkeypatch.setattr(
        Session, "aws", AwsSettings(table="jobs", bucket="code", sagemaker=settings())
    )
    world = SimpleNamespace(
        s3=s3, store=store, source=source, data=data, home=tmp_path / "home", file=source / "job.toml"
    )  # fmt: skip
    world.file.write_text(
        'script = "train.py"\npool = "cpu"\n[channels]\ntrain = "../data set é"\n'
    )
    return world


@pytest.fixture
def aws(world, monkeypatch) -> SimpleNamespace:
    monkeypatch.setattr(Session, "store", world.store)
    world.file.write_text('image = "torch"\n' + world.file.read_text())
    return world


def call(world: SimpleNamespace, backend: str, *words: str) -> int:
    return main(["--backend", backend, "--home", str(world.home), "--owner", "ada", *words])


def keys(world: SimpleNamespace, prefix: str) -> list[str]:
    found = world.s3.list_objects_v2(Bucket="code", Prefix=prefix)
    return sorted(entry["Key"] for entry in found.get("Contents", ()))


def put(s3: Any, **objects: str) -> None:
    for key, text in objects.items():
        s3.put_object(Bucket="code", Key=key, Body=text.encode())


# --- to AWS -------------------------------------------------------------------------------


def test_a_sweep_uploads_a_folder_once_without_secrets(aws, capsys) -> None:
    words = ("sweep", str(aws.file), "-p", "x=1:20", "--json")
    assert call(aws, "aws", *words) == 0
    said = json.loads(capsys.readouterr().out)
    (data,) = said["data"]
    assert data["left_out"] == [{"path": ".env", "reason": "may hold secrets"}]
    assert (data["files"], data["bytes"], data["moved"]) == (2, 5, True)
    names = keys(aws, "data/")
    assert names == [f"data/{data['id']}/a.csv", f"data/{data['id']}/sub/b é.csv"]
    jobs = aws.store.get(said["ids"]).values()
    uri = f"s3://code/data/{data['id']}/"
    assert {job.spec.args["channels"]["train"] for job in jobs} == {uri}
    assert {job.spec.args["data"]["train"]["folder"] for job in jobs} == {str(aws.data)}

    aws.s3.calls.clear()
    assert call(aws, "aws", "submit", str(aws.file)) == 0
    assert aws.s3.calls == ["get_paginator"]  # a listing
    assert "2 files, 5 bytes of" in (shown := capsys.readouterr().err)
    assert "is in the bucket" in shown


def test_an_upload_that_was_cut_short_is_completed(aws, capsys) -> None:
    def refuse(**given: Any) -> None:
        if given["Key"].endswith("b é.csv"):
            raise ConnectionError("cut")

    aws.s3.before["put_object"] = refuse
    assert call(aws, "aws", "submit", str(aws.file)) == 5
    assert "channels.train" in capsys.readouterr().err
    assert aws.store.find(JobQuery()).jobs == ()
    aws.s3.before.clear()
    aws.s3.calls.clear()
    assert call(aws, "aws", "submit", str(aws.file)) == 0
    assert len(keys(aws, "data/")) == 2
    missing = keys(aws, "data/")[0]
    aws.s3.delete_object(Bucket="code", Key=missing)
    assert call(aws, "aws", "submit", str(aws.file)) == 0
    assert missing in keys(aws, "data/")


def test_changed_data_has_another_place(aws) -> None:
    assert call(aws, "aws", "submit", str(aws.file)) == 0
    before = keys(aws, "data/")
    (aws.data / "a.csv").write_text("9,9\n")
    assert call(aws, "aws", "submit", str(aws.file)) == 0
    assert len(keys(aws, "data/")) == 4
    assert set(before) < set(keys(aws, "data/"))


def test_a_repeated_key_is_the_same_job_though_the_folder_moved(aws, capsys) -> None:
    words = ("submit", str(aws.file), "--key", "k")
    assert call(aws, "aws", *words) == 0
    aws.data.rename(aws.data.with_name("moved"))
    aws.file.write_text(aws.file.read_text().replace("data set é", "moved"))
    assert call(aws, "aws", *words) == 4  # the job file is code as well, and has changed
    (aws.source / ".jobcoreignore").write_text("job.toml\n.jobcoreignore\n")
    assert call(aws, "aws", "submit", str(aws.file), "--key", "other") == 0
    (aws.data.with_name("moved")).rename(aws.data)
    aws.file.write_text(aws.file.read_text().replace("moved", "data set é"))
    assert call(aws, "aws", "submit", str(aws.file), "--key", "other") == 0
    assert "already submitted" in capsys.readouterr().out


def test_one_file_is_a_channel(aws) -> None:
    aws.file.write_text(aws.file.read_text().replace("data set é", "data set é/a.csv"))
    assert call(aws, "aws", "submit", str(aws.file)) == 0
    (key,) = keys(aws, "data/")
    assert key.endswith("/a.csv")


def test_a_dry_run_and_a_refused_job_upload_nothing(aws, capsys) -> None:
    assert call(aws, "aws", "submit", str(aws.file), "--dry-run") == 0
    assert "to upload" in capsys.readouterr().err
    assert call(aws, "aws", "submit", str(aws.file), "--pool", "none") == 2
    assert aws.s3.calls == []


def test_what_cannot_be_uploaded_is_refused_in_words(aws, capsys, monkeypatch) -> None:
    monkeypatch.setattr(_data_upload, "BYTES_MAX", 4)
    assert call(aws, "aws", "submit", str(aws.file)) == 2
    assert "name its s3:// URI" in (said := capsys.readouterr().err)
    assert "channels.train: " in said
    monkeypatch.setattr(_data_upload, "BYTES_MAX", 400)
    monkeypatch.setattr(_data_upload, "FILES_MAX", 1)
    assert call(aws, "aws", "submit", str(aws.file)) == 2
    assert "1 files and" in capsys.readouterr().err
    aws.file.write_text(aws.file.read_text().replace("data set é", "nowhere"))
    assert call(aws, "aws", "submit", str(aws.file)) == 2
    assert "channels.train: " in (said := capsys.readouterr().err)
    assert "does not exist on this machine" in said
    assert aws.s3.calls == []


def test_a_file_that_changes_is_not_uploaded(aws, capsys) -> None:
    def change(**given: Any) -> None:
        (aws.data / given["Key"].partition("/")[2].partition("/")[2]).write_text("another text")

    aws.s3.before["put_object"] = change
    assert call(aws, "aws", "submit", str(aws.file)) == 2
    assert "changes while it is read" in capsys.readouterr().err
    assert keys(aws, "data/") == []


def test_a_missing_deployment_is_no_fault_of_a_channel(aws, capsys, monkeypatch) -> None:
    def none(self: Session) -> None:
        msg = "--backend aws: no deployment"
        raise RequestError(msg)

    monkeypatch.setattr(Session, "aws", property(none))
    assert call(aws, "aws", "submit", str(aws.file)) == 2
    assert "channels" not in capsys.readouterr().err


def test_objects_of_someone_else_are_not_trained_with(tmp_path, s3) -> None:
    (tmp_path / "a").write_text("1")
    data = read_data(str(tmp_path / "a"), tmp_path / "cache")
    put(s3, **{f"data/{data.id}/": "", f"data/{data.id}/sub/": ""})  # as consoles make folders
    assert upload_data(data, s3, "code", lambda *_: None) == 1
    put(s3, **{f"data/{data.id}/b": "2"})
    with pytest.raises(RequestError, match="/b: not part of the data"):
        upload_data(data, s3, "code", lambda *_: None)


def test_links_are_followed_and_what_is_no_file_is_left_out(tmp_path) -> None:
    folder, other = tmp_path / "d", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "x").write_text("1")
    (folder / "linked").symlink_to(other)
    (folder / "file").symlink_to(other / "x")
    (folder / "broken").symlink_to("nowhere")
    (folder / "self").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    data = read_data(str(folder), tmp_path / "cache")
    assert [file.path for file in data.files] == ["file", "linked/x"]
    assert [path for path, _ in data.left_out] == ["broken", "pipe", "self"]
    (folder / "empty only").mkdir()
    with pytest.raises(RequestError, match="there is no file in it"):
        read_data(str(folder / "empty only"), tmp_path / "cache")
    (folder / os.fsdecode(b"\xff")).touch()
    with pytest.raises(RequestError, match="not UTF-8"):
        read_data(str(folder), tmp_path / "cache")


def test_unchanged_files_are_not_read_again(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "x").write_text("1")
    os.utime(folder / "x", (1, 1))
    read: list[str] = []
    hash_one = _data_upload._hash
    monkeypatch.setattr(
        _data_upload, "_hash", lambda place, file: read.append(place) or hash_one(place, file)
    )
    first = read_data(str(folder), tmp_path / "cache")
    assert len(read) == 1
    assert read_data(str(folder), tmp_path / "cache").id == first.id
    # The time of the inode is that of now, so that the file is read until it has settled.
    assert len(read) <= 2


# --- to this machine ------------------------------------------------------------------------


@pytest.fixture
def remote(world) -> SimpleNamespace:
    put(world.s3, **{"set/a.csv": "1,2\n", "set/sub/b.csv": "3", "set/": "", "other": "4"})
    world.file.write_text('script = "train.py"\n[channels]\ntrain = "s3://code/set"\n')
    world.s3.calls.clear()
    return world


def jobs(world: SimpleNamespace) -> list[jobcore.Job]:
    session = Session()
    session.home, session.backend = str(world.home), "local"
    found = list(session.store.find(JobQuery()).jobs)
    session.close()
    return found


def test_data_in_s3_is_fetched_once(remote, capsys) -> None:
    assert call(remote, "local", "sweep", str(remote.file), "-p", "x=1:20") == 0
    assert remote.s3.calls == ["get_paginator", "get_object", "get_object"]
    assert "2 files, 5 bytes of s3://code/set; fetched" in capsys.readouterr().err
    folders = {job.spec.args["channels"]["train"] for job in jobs(remote)}
    (folder,) = map(Path, folders)
    assert folder.parent == remote.home / "data" / "fetched"
    assert (folder / "a.csv").read_text() == "1,2\n"
    assert (folder / "sub/b.csv").read_text() == "3"
    (args,) = {json.dumps(job.spec.args["data"]) for job in jobs(remote)}
    assert json.loads(args)["train"] == {"uri": "s3://code/set", "id": folder.name}
    remote.s3.calls.clear()
    assert call(remote, "local", "submit", str(remote.file)) == 0
    assert remote.s3.calls == ["get_paginator"]
    assert "is on this machine" in capsys.readouterr().err
    assert call(remote, "local", "show", jobs(remote)[0].job_id) == 0
    assert "s3://code/set (in " in capsys.readouterr().out


def test_changed_data_is_fetched_again(remote) -> None:
    assert call(remote, "local", "submit", str(remote.file)) == 0
    put(remote.s3, **{"set/a.csv": "9,9\n"})
    assert call(remote, "local", "submit", str(remote.file)) == 0
    folders = {Path(job.spec.args["channels"]["train"]) for job in jobs(remote)}
    assert sorted((folder / "a.csv").read_text() for folder in folders) == ["1,2\n", "9,9\n"]


def test_one_object_is_one_file_and_a_prefix_may_end_in_a_name(remote) -> None:
    put(remote.s3, **{"setting.csv": "5"})
    for uri, names in (
        ("s3://code/other", {"other"}),
        ("s3://code/set", {"a.csv", "sub", "setting.csv"}),
        ("s3://code/set/", {"a.csv", "sub"}),
        ("s3://code", {"set", "setting.csv", "other"}),
    ):
        remote.file.write_text(f'script = "train.py"\n[channels]\ntrain = "{uri}"\n')
        assert call(remote, "local", "submit", str(remote.file), "--name", "one") == 0
        last = max(jobs(remote), key=lambda job: job.submitted_at)
        assert {p.name for p in Path(last.spec.args["channels"]["train"]).iterdir()} == names


def test_a_dry_run_lists_and_fetches_nothing(remote, capsys) -> None:
    assert call(remote, "local", "submit", str(remote.file), "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [(one["uri"], one["files"], one["moved"]) for one in said["data"]] == [
        ("s3://code/set", 2, None)
    ]
    assert remote.s3.calls == ["get_paginator"]
    assert not (remote.home / "data").exists()


@pytest.mark.parametrize(
    ("objects", "uri", "words"),
    [
        ({}, "s3://code/nothing", "there is no object whose key begins so"),
        ({}, "s3://nowhere-at-all/set", "there is no such bucket"),
        ({}, "s3://", "expected s3://bucket/prefix"),
        ({"bad/../x": "1"}, "s3://code/bad/", "is no path in a folder"),
        ({"bad//x": "1"}, "s3://code/bad/", "is no path in a folder"),
        ({"bad/x": "1", "bad/x/y": "2"}, "s3://code/bad/", "a file and a folder"),
        ({f"bad/{'x' * 300}": "1"}, "s3://code/bad/", "more than 255 bytes"),
        ({"bad/badly": "1", "badly": "2"}, "s3://code/bad", "two keys give the same path"),
        ({}, "https://example.com/x", "folders only"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_folder_is_refused(remote, capsys, objects, uri, words) -> None:
    put(remote.s3, **objects)
    remote.file.write_text(f'script = "train.py"\n[channels]\ntrain = "{uri}"\n')
    assert call(remote, "local", "submit", str(remote.file)) == 2
    said = capsys.readouterr().err
    assert words in said
    assert f"channels.train: {uri}" in said
    assert not (remote.home / "data").exists()


def test_a_fetch_that_fails_leaves_nothing_that_is_used(remote, capsys) -> None:
    def fail(**given: Any) -> None:
        if given["Key"].endswith("b.csv"):
            raise KeyboardInterrupt

    remote.s3.before["get_object"] = fail
    assert call(remote, "local", "submit", str(remote.file)) != 0
    assert jobs(remote) == []
    assert list((remote.home / "data" / "fetched").iterdir()) == []
    assert list((remote.home / "data" / "tmp").iterdir()) == []
    remote.s3.before.clear()
    assert call(remote, "local", "submit", str(remote.file)) == 0


def test_another_submit_that_was_faster_is_no_error(remote) -> None:
    """Both download; the second finds the folder in its place, and uses it."""

    def other(**given: Any) -> None:
        remote.s3.before.clear()
        assert call(remote, "local", "submit", str(remote.file)) == 0

    remote.s3.before["get_object"] = other
    assert call(remote, "local", "submit", str(remote.file)) == 0
    one, two = (job.spec.args["channels"]["train"] for job in jobs(remote))
    assert one == two
    assert sorted(p.name for p in Path(one).iterdir()) == ["a.csv", "sub"]
    assert list((remote.home / "data" / "tmp").iterdir()) == []


def test_a_connection_that_breaks_off_is_made_again(remote) -> None:
    from botocore.exceptions import ReadTimeoutError

    def cut(**given: Any) -> None:
        if len(cuts) < 2:
            cuts.append(given["Key"])
            raise ReadTimeoutError(endpoint_url="s3")

    cuts: list[str] = []
    remote.s3.before["get_object"] = cut
    assert call(remote, "local", "submit", str(remote.file)) == 0
    cuts.clear()
    put(remote.s3, **{"set/a.csv": "new"})

    def always(**given: Any) -> None:
        raise ReadTimeoutError(endpoint_url="s3")

    remote.s3.before["get_object"] = always
    assert call(remote, "local", "submit", str(remote.file)) == 5
    assert len(list((remote.home / "data" / "fetched").iterdir())) == 1


def test_the_files_of_fetched_data_cannot_be_written_to(remote) -> None:
    assert call(remote, "local", "submit", str(remote.file)) == 0
    (job,) = jobs(remote)
    folder = Path(job.spec.args["channels"]["train"])
    assert {file.stat().st_mode & 0o222 for file in folder.rglob("*.csv")} == {0}


def test_data_that_changes_meanwhile_is_refused(remote, capsys) -> None:
    def change(**given: Any) -> None:
        remote.s3.before.clear()
        put(remote.s3, **{"set/a.csv": "new", "set/sub/b.csv": "new"})

    remote.s3.before["get_object"] = change
    assert call(remote, "local", "submit", str(remote.file)) == 2
    assert (
        "channels.train: s3://code/set: it was changed while it was read" in capsys.readouterr().err
    )


def test_more_than_the_disk_has_is_refused(remote, capsys, monkeypatch) -> None:
    usage = SimpleNamespace(free=4)
    monkeypatch.setattr(data_fetch.shutil, "disk_usage", lambda _: usage)
    assert call(remote, "local", "submit", str(remote.file), "--dry-run") == 2
    assert "0 MB free: free some space" in capsys.readouterr().err


def test_without_boto3_or_credentials_the_words_say_what_to_do(remote, capsys, monkeypatch) -> None:
    def none(service: str) -> None:
        raise ImportError

    with monkeypatch.context() as patch:
        patch.setattr(jobcore_aws, "client", none)
        assert call(remote, "local", "submit", str(remote.file)) == 2
        assert "pip install 'jobcore-scheduler[aws]'" in capsys.readouterr().err
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    session = boto3.Session()
    monkeypatch.setattr(jobcore_aws, "client", session.client)
    assert call(remote, "local", "submit", str(remote.file)) == 2
    assert "there are no AWS credentials; set AWS_PROFILE" in capsys.readouterr().err


def test_a_prune_keeps_the_data_of_waiting_jobs(remote, capsys) -> None:
    assert call(remote, "local", "submit", str(remote.file)) == 0
    (job,) = jobs(remote)
    folder = Path(job.spec.args["channels"]["train"])
    leftover = remote.home / "data" / "tmp" / "1-abc"
    leftover.mkdir(parents=True)
    assert call(remote, "local", "prune", "--days", "0", "--json") == 0
    assert folder.exists()
    assert not leftover.exists()
    assert data_ids(job.spec.args) == {folder.name}
    assert call(remote, "local", "stop", job.job_id) == 0
    assert call(remote, "local", "prune", "--dry-run", "--days", "0") == 0
    assert "would remove 1 of 1 folders of data (5 bytes)" in capsys.readouterr().out
    assert call(remote, "local", "prune", "--days", "1") == 0
    assert folder.exists()
    assert call(remote, "local", "prune", "--days", "0") == 0
    assert not folder.exists()


def test_a_job_whose_data_was_removed_is_not_retried(remote, capsys) -> None:
    assert call(remote, "local", "submit", str(remote.file)) == 0
    (job,) = jobs(remote)
    assert call(remote, "local", "stop", job.job_id) == 0
    shutil.rmtree(job.spec.args["channels"]["train"])
    assert call(remote, "local", "retry", job.job_id) == 4
    assert "the data that it had fetched was removed by jobcore prune" in capsys.readouterr().err


def test_waiting_jobs_with_channels_move_to_aws(remote, monkeypatch, capsys) -> None:
    assert call(remote, "local", "submit", str(remote.file)) == 0
    other = remote.source / "other.toml"
    other.write_text('script = "train.py"\n[channels]\ntrain = "../data set é"\n')
    assert call(remote, "local", "submit", str(other)) == 0
    monkeypatch.setattr(Session, "store", remote.store)
    aws = AwsSettings(
        table="jobs", bucket="code", sagemaker=settings(images={"default": "1.dkr.ecr.us-east-1.amazonaws.com/i"})
    )  # fmt: skip
    monkeypatch.setattr(Session, "aws", aws)
    assert call(remote, "local", "migrate", "--dry-run") == 0
    assert keys(remote, "data/") == []
    assert call(remote, "local", "migrate") == 0
    moved = {job.spec.args["channels"]["train"] for job in remote.store.find(JobQuery()).jobs}
    uploaded = {
        "s3://code/" + key.rpartition("/a.csv")[0] + "/"
        for key in keys(remote, "data/")
        if "a.csv" in key
    }
    assert moved == {"s3://code/set", *uploaded}
    assert all("data" not in job.spec.args for job in remote.store.find(JobQuery()).jobs)


def test_the_endpoint_of_the_environment_is_used(remote, ministack, monkeypatch) -> None:
    """`jobcore sandbox` and emulators are named so; the client is the one that the command makes."""
    monkeypatch.undo()
    for name, value in (
        ("AWS_ENDPOINT_URL", ministack), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    bucket = f"data-{os.getpid()}"
    client = connect("s3", ministack)
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="x/y", Body=b"7")
    remote.file.write_text(f'script = "train.py"\n[channels]\ntrain = "s3://{bucket}/x"\n')
    assert call(remote, "local", "submit", str(remote.file)) == 0
    (job,) = jobs(remote)
    assert (Path(job.spec.args["channels"]["train"]) / "y").read_text() == "7"
    assert sys.modules["botocore"]
