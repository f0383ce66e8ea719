"""Where a job's files are, and copies of them: whole or not at all, and never over anything."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

import jobcore
import jobcore_aws
from aws_fixtures import connect
from ended_jobs import NOW, job
from jobcore_aws import AwsSettings
from jobcore_cli import main
from jobcore_cli._session import Session
from jobcore_local import LocalTrainer
from jobcore_memory import MemoryStore
from jobcore_sqlite import SqliteStore
from sagemaker_fixtures import settings

JOB = job(1)
NAME = jobcore.lifecycle.training_name(JOB.job_id, 1)
SHORT = JOB.job_id[:8]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def ended(store: jobcore.JobStore) -> None:
    store.add([jobcore.new_job(JOB.job_id, JOB.spec, now=NOW)])
    assert store.save([JOB])[0] is not None


@pytest.fixture
def ml(tmp_path: Path) -> Path:
    """The folder of a training that has ended on this machine, with a model."""
    trainer = LocalTrainer(tmp_path / "home")
    with SqliteStore(tmp_path / "home" / "jobcore.db") as store:
        ended(store)
    folder = trainer.directory(NAME)
    for path in (folder / "ml" / "model" / "sub", folder / "ml" / "output" / "data"):
        path.mkdir(parents=True)
    (folder / "ml" / "model" / "sub" / "model.bin").write_text("weights")
    (folder / "output.log").write_text("loss=1\n")
    return folder / "ml"


def call(capsys, *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(list(words))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_path_alone_is_printed(ml, capsys):
    assert call(capsys, "path", "j1") == (0, f"{ml / 'model'}\n", "")
    assert call(capsys, "path", SHORT, "output")[1] == f"{ml / 'output' / 'data'}\n"
    assert call(capsys, "path", SHORT, "logs")[1] == f"{ml.parent / 'output.log'}\n"


def test_what_is_not_there_is_said(ml, capsys):
    code, out, err = call(capsys, "path", "j1", "checkpoints")
    assert (code, out) == (3, "")
    assert f"attempt 1 of {SHORT} has no checkpoints" in err
    assert call(capsys, "path", "j1", "--attempt", "2")[0] == 3
    assert call(capsys, "path", "j1", "nonsense")[0] == 2


def test_a_folder_is_copied_whole(ml, capsys):
    (ml / "model" / "link").symlink_to("/etc/passwd")
    os.mkfifo(ml / "model" / "pipe")
    code, out, _ = call(capsys, "download", "j1")
    copy = Path(f"j1-{SHORT}-model").absolute()
    assert (code, out) == (0, f"{copy}\n")
    assert (copy / "sub" / "model.bin").read_text() == "weights"
    assert (copy / "link").is_symlink()
    assert not (copy / "pipe").exists()
    assert os.listdir() == [copy.name]


def test_a_log_is_a_file(ml, capsys):
    assert call(capsys, "download", "j1", "logs", "--to", "log.txt")[0] == 0
    assert Path("log.txt").read_text() == "loss=1\n"


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_nothing_is_overwritten(ml, capsys, make):
    make(Path("taken"))
    code, _, err = call(capsys, "download", "j1", "--to", "taken")
    assert code == 4
    assert "taken exists; name another place with --to" in err
    assert os.listdir() == ["taken"]


def test_nothing_is_left_where_there_is_nothing_to_copy(ml, capsys):
    assert (
        "is empty: the script has written no output" in call(capsys, "download", "j1", "output")[2]
    )
    assert "is not a folder" in call(capsys, "download", "j1", "--to", "no/where")[2]
    assert os.listdir() == []


def test_a_copy_that_fails_leaves_nothing(ml, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("shutil.copystat", fail)
    assert call(capsys, "download", "j1")[0] != 0
    assert os.listdir() == []


def test_a_folder_is_opened_by_the_desktops_program(ml, capsys, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", f"{program.parent}:/bin")
    assert call(capsys, "open", "j1")[0] == 0
    assert (tmp_path / "opened").read_text() == f"{ml / 'model'}\n"
    program.write_text("#!/bin/sh\necho no display >&2; exit 3\n")
    code, _, err = call(capsys, "open", "j1")
    assert (code, "cannot be opened" in err, "no display" in err) == (1, True, True)
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    assert f"no program here to open it with; it is {ml / 'model'}" in call(capsys, "open", "j1")[2]


# --- AWS ----------------------------------------------------------------------------------


class Bucket:
    def __init__(self, client) -> None:
        self.client = client

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket="models", Key=f"out/{JOB.job_id}/{key}", Body=body)

    def put_archive(self, key: str, *members: tuple[str, bytes]) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, body in members:
                info = tarfile.TarInfo(name)
                info.size = len(body)
                archive.addfile(info, io.BytesIO(body))
        self.put(key, packed.getvalue())


@pytest.fixture
def bucket(moto, monkeypatch) -> Bucket:
    """A deployment with the job, and a bucket for its output."""
    client = connect("s3", "")
    client.create_bucket(Bucket="models")
    monkeypatch.setattr(jobcore_aws, "client", lambda service: client)
    monkeypatch.setenv("JOBCORE_BACKEND", "aws")
    deployment = AwsSettings(sagemaker=settings(output="s3://models/out"))
    monkeypatch.setattr(Session, "aws", deployment)
    store = MemoryStore()
    ended(store)
    monkeypatch.setattr(Session, "store", store)
    return Bucket(client)


MODEL = f"1/{NAME}/output/model.tar.gz"


def test_on_aws_the_path_is_a_uri(bucket, capsys):
    assert call(capsys, "path", "j1")[1] == f"s3://models/out/{JOB.job_id}/{MODEL}\n"
    assert call(capsys, "path", "j1", "checkpoints")[1].startswith("s3://models/out/")
    code, _, err = call(capsys, "open", "j1")
    assert (code, f"jobcore download {SHORT} model copies it here" in err) == (2, True)


def test_an_archive_is_downloaded_and_unpacked(bucket, capsys):
    bucket.put_archive(MODEL, ("sub/model.bin", b"weights"), ("model.tar.gz", b"inner"))
    assert call(capsys, "download", "j1", "--to", "copy")[0] == 0
    assert Path("copy/sub/model.bin").read_bytes() == b"weights"
    assert Path("copy/model.tar.gz").read_bytes() == b"inner"
    assert os.listdir() == ["copy"]


def test_checkpoints_are_downloaded_as_they_are(bucket, capsys):
    bucket.put("checkpoints/a/last.pt", b"state")
    bucket.put("checkpoints-of-another/x", b"no")
    assert call(capsys, "download", "j1", "checkpoints", "--to", "copy")[0] == 0
    assert [str(p) for p in Path("copy").rglob("*") if p.is_file()] == ["copy/a/last.pt"]
    assert os.access("copy/a/last.pt", os.W_OK)


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out"])
def test_an_archive_cannot_lead_out_of_its_folder(bucket, capsys, name):
    bucket.put_archive(MODEL, (name, b"x"))
    code, _, err = call(capsys, "download", "j1", "--to", "copy")
    if name != "/etc/out":  # its leading slash is dropped
        assert (code, "cannot be unpacked" in err) == (1, True)
        assert os.listdir() == []
    assert not Path("out").exists()
    assert not Path("/etc/out").exists()


def test_what_is_no_archive_and_what_is_not_there_leave_nothing(bucket, capsys):
    assert "no object" in call(capsys, "download", "j1", "--to", "copy")[2]
    bucket.put(MODEL, b"no archive")
    assert "cannot be unpacked" in call(capsys, "download", "j1", "--to", "copy")[2]
    assert os.listdir() == []
