"""The code that runs is the code that was submitted: the command with real trainings on one machine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

import jobcore
from jobcore_cli._app import main
from jobcore_client import aws_code
from jobcore_local import write_pools
from jobcore_sqlite import SqliteStore

CANARY = "canary-4f1d"  # in the file that must not travel


class World:
    """A home, a source folder with a job file, and the command."""

    def __init__(self, folder: Path, capsys) -> None:
        self.home = folder / "my home é"
        self.source = folder / "source"
        self.source.mkdir()
        self.capsys = capsys
        self.home.mkdir(mode=0o700)
        write_pools(self.home, {"cpu": 2})
        self.script("echo old")
        (self.source / "job.toml").write_text('name = "a"\nscript = "train.sh"\n')

    def script(self, text: str) -> None:
        (self.source / "train.sh").write_text(f"{text}\n")

    def call(self, *words: str) -> tuple[int, str, str]:
        code = main(["--home", str(self.home), "--owner", "ada", *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def json(self, *words: str) -> dict:
        code, out, err = self.call(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    def submit(self, *words: str) -> str:
        return self.json("submit", str(self.source / "job.toml"), *words)["ids"][0]

    def run(self) -> int:
        return self.call("run", "--until-done", "--quiet")[0]

    def log(self, job: str) -> str:
        return self.call("logs", job)[1]

    def show(self, job: str) -> dict:
        return self.json("show", job)

    def folder(self, job: str) -> Path:
        """The folder that the script of the job's last attempt ran in."""
        return Path(self.show(job)["places"]["log"]).parent / "code"


@pytest.fixture
def world(tmp_path: Path, capsys) -> World:
    return World(tmp_path, capsys)


def test_an_edit_after_the_submit_is_not_seen(world: World) -> None:
    job = world.submit("--hold")
    world.script("echo new")
    world.call("release", job)
    assert world.run() == 0
    assert world.log(job) == "old\n"
    later = world.submit()
    assert world.run() == 0
    assert world.log(later) == "new\n"


def test_a_checkout_that_is_deleted_does_not_matter(world: World) -> None:
    job = world.submit()
    shutil.rmtree(world.source)
    assert world.run() == 0
    assert world.log(job) == "old\n"


def test_a_retry_after_an_edit_runs_the_frozen_code(world: World) -> None:
    world.script("echo old; exit 3")
    job = world.submit()
    assert world.run() == 1
    world.script("echo new")
    (again,) = world.json("retry", job)["submitted"]
    assert world.run() == 1
    assert world.log(again["id"]) == "old\n"


def test_jobs_of_a_sweep_have_files_of_their_own(world: World) -> None:
    """As LightGBM's examples do: write model.txt into the working directory, then read it."""
    (world.source / "model.txt").write_text("none")
    world.script("echo $SM_HP_X > model.txt; sleep 0.2; cat model.txt; echo >> train.sh")
    answer = world.json("sweep", str(world.source / "job.toml"), "-p", "x=1:4", "--group", "g")
    assert world.run() == 0
    assert [world.log(job) for job in answer["ids"]] == ["1\n", "2\n", "3\n", "4\n"]
    assert (world.source / "model.txt").read_text() == "none"
    (snapshot,) = (world.home / "code" / "trees").iterdir()  # one for the whole sweep
    assert snapshot.stem == answer["code"][0]["snapshot"]


def test_scripts_have_the_umask_of_sagemaker(world: World) -> None:
    world.script("umask; touch new; mkdir -p sub; stat -c %a new sub train.sh .")
    job = world.submit()
    assert world.run() == 0
    assert world.log(job).split() == ["0022", "644", "755", "755", "755"]
    training = world.folder(job).parent
    assert training.stat().st_mode & 0o077 == 0  # keeps other users out
    assert (training / "exit.json").stat().st_mode & 0o077 == 0


def test_secrets_do_not_travel(world: World) -> None:
    for name in (".env", ".env.local", "server.pem", "id_rsa", "sub/.netrc", ".aws/credentials"):
        (world.source / name).parent.mkdir(exist_ok=True)
        (world.source / name).write_text(CANARY)
    (world.source / ".jobcoreignore").write_text("!.env\n!*.pem\n")
    world.script("ls -aR")
    code, _, err = world.call("submit", str(world.source / "job.toml"))
    assert code == 0
    assert ".env (may hold secrets)" in err
    assert world.run() == 0
    for path in world.home.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_secrets_do_not_travel_to_aws(world: World, monkeypatch) -> None:
    (world.source / ".env").write_text(CANARY)
    (world.source / ".gitignore").write_text("data/\n")
    (world.source / "data").mkdir()
    (world.source / "data" / "x").write_text(CANARY)
    settings = SimpleNamespace(bucket="b")
    session = SimpleNamespace(aws=settings, home_path=world.home)
    document = {"script": "train.sh", "source_dir": str(world.source)}
    archive = aws_code.archive_of(document, session, {})
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive.data)) as packed:
        assert packed.getnames() == [".gitignore", "job.toml", "train.sh"]
    assert set(archive.taken.facts) >= {"snapshot", "folder"}
    assert dict(archive.taken.tree.left_out) == {
        ".env": "may hold secrets",
        "data/": ".gitignore line 1",
    }


def test_submit_says_what_it_takes(world: World) -> None:
    (world.source / ".gitignore").write_text("data/\n")
    (world.source / "data").mkdir()
    with open(world.source / "weights", "wb") as file:
        file.truncate(60_000_000)
    code, out, err = world.call("submit", str(world.source / "job.toml"))
    assert code == 0
    assert out.splitlines()[1].startswith("  runs under ")
    line, warning = err.splitlines()
    assert line.startswith(f"code: 4 files, 60 MB of {world.source}")
    assert line.endswith("; left out: data/ (.gitignore line 1)")
    assert "warning: 60 MB" in warning
    assert "weights" in warning


def test_a_dry_run_takes_nothing(world: World) -> None:
    code, out, err = world.call("submit", "--dry-run", str(world.source / "job.toml"))
    assert code == 0
    assert "1 valid; nothing was submitted" in out
    assert err.startswith("code: 2 files, ")
    assert not (world.home / "code").exists()
    said = world.json("submit", "--dry-run", str(world.source / "job.toml"))
    assert said["code"][0]["files"] == 2


def test_a_key_is_for_one_job_and_its_code(world: World) -> None:
    job = world.submit("--key", "k")
    assert world.submit("--key", "k") == job
    world.script("echo new")
    code, _, err = world.call("submit", str(world.source / "job.toml"), "--key", "k")
    assert code == 4
    assert "used before for another submission" in err


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_commit_meanwhile_leaves_it_the_same_job(world: World) -> None:
    git = ["git", "-C", str(world.source), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    world.script("echo changed")
    job = world.submit("--key", "k")
    code = world.show(job)["args"]["code"]
    assert (code["commit"], code["dirty"]) == (commit.stdout.strip(), True)
    shown = world.call("show", job)[1]
    assert f"snapshot {code['snapshot'][:12]} (commit {code['commit'][:10]}, with changes)" in shown
    subprocess.run([*git, "commit", "-qam", "y"], check=True)
    assert world.submit("--key", "k") == job
    moved = world.source.rename(world.source.parent / "elsewhere")
    answer = world.json("submit", str(moved / "job.toml"), "--key", "k")
    assert answer["ids"] == [job]


@pytest.mark.parametrize("script", ["ignored.sh", "../outside.sh", "{home}"])
def test_a_script_that_is_not_taken_is_refused(world: World, script: str) -> None:
    (world.source / ".gitignore").write_text("*.sh\n!train.sh\n")
    (world.source / "ignored.sh").write_text("")
    (world.source.parent / "outside.sh").write_text("")
    script = script.format(home=world.home / "pools.toml")
    (world.source / "job.toml").write_text(f'script = "{script}"\n')
    for words in ([], ["--dry-run"]):
        code, _, err = world.call("submit", str(world.source / "job.toml"), *words)
        assert code == 2
        assert "script: " in err
        assert "(.gitignore line 1)" in err or "not a path inside source_dir" in err
        assert len(err.splitlines()) == 1
    assert world.json("list")["jobs"] == []


def test_an_absolute_script_in_the_folder_is_frozen_too(world: World) -> None:
    (world.source / "job.toml").write_text(f'script = "{world.source / "train.sh"}"\n')
    job = world.submit()
    world.script("echo new")
    assert world.run() == 0
    assert world.log(job) == "old\n"


def test_damage_fails_the_attempt_in_words(world: World) -> None:
    job = world.submit()
    world.script("echo new")
    for path in (world.home / "code" / "objects").rglob("*"):
        if path.is_file() and path.read_bytes() == b"echo old\n":
            path.unlink()
    code, out, _ = world.call("doctor", "--deep")
    assert code == 1
    assert "BAD  code        train.sh: missing in snapshot" in out
    assert world.run() == 1
    failure = world.show(job)["failure"]
    assert failure["class"] == "bad_input"
    assert "train.sh is damaged or missing" in failure["text"]
    assert not world.folder(job).exists()


def test_a_job_without_a_snapshot_runs_in_its_source_folder(world: World) -> None:
    """As one that an earlier release submitted, or the library."""
    spec = jobcore.parse_job({"script": "train.sh", "source_dir": str(world.source)}, owner="ada")
    job = jobcore.job_id_from_token("ada", "1")
    world.script("pwd")
    with SqliteStore(world.home / "jobcore.db") as store:
        jobcore.submit([spec], [job], store=store, now=datetime.now(UTC))
    assert world.run() == 0
    assert world.log(job) == f"{world.source}\n"


def test_prune_keeps_what_jobs_need(world: World) -> None:
    over = world.submit()
    assert world.run() == 0
    world.script("echo held")
    held = world.submit("--hold")
    assert "removed 0 of 2 snapshots" in world.call("prune")[1]  # both are young
    assert "would remove 1 of 2" in world.call("prune", "--days", "0", "--dry-run")[1]
    assert world.json("prune", "--days", "0")["removed"] == 1
    assert world.json("prune", "--days", "0")["removed"] == 0
    code, _, err = world.call("retry", over)
    assert code == 4
    assert "was removed by jobcore prune; submit its job file again" in err
    world.call("release", held)
    assert world.run() == 0
    assert world.log(held) == "held\n"


def test_prune_removes_nothing_if_a_job_cannot_be_read(world: World) -> None:
    world.submit()
    job = world.submit("--hold")
    with contextlib.closing(sqlite3.connect(world.home / "jobcore.db")) as connection, connection:
        of_job = "WHERE n = (SELECT n FROM job WHERE job_id = ?)"
        connection.execute(f"UPDATE spec SET body = '?' {of_job}", (job,))
    code, _, err = world.call("prune", "--days", "0")
    assert (code, job in err) == (4, True), err
    assert len(os.listdir(world.home / "code" / "trees")) == 1
