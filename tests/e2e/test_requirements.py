"""A job file and a requirements.txt: installed at submit, once, and used by the attempts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from jobcore_cli._app import main
from jobcore_local import write_pools
from wheels import UV, make_base, make_wheel, offline

SCRIPT = """
import alpha, beta, os, shutil, sys
print(alpha.VERSION, beta.VERSION, os.environ["VIRTUAL_ENV"] == sys.prefix, shutil.which("beta-says"))
"""


class World:
    """A home, a source folder with a job file, an interpreter that has alpha 1.0, and the command."""

    def __init__(self, folder: Path, wheels: Path, python: str, capsys) -> None:
        self.home = folder / "my home é"
        self.source = folder / "source"
        self.source.mkdir()
        self.python = python
        self.wheels = wheels
        self.capsys = capsys
        self.home.mkdir(mode=0o700)
        write_pools(self.home, {"cpu": 2})
        (self.source / "train.py").write_text(SCRIPT)
        (self.source / "requirements.txt").write_text("beta\n")
        self.job_file()

    def job_file(self, script: str = "train.py", **more: str) -> None:
        fields = {"name": "a", "script": script, "python": self.python, **more}
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        (self.source / "job.toml").write_text("\n".join(lines))

    def call(self, *words: str) -> tuple[int, str, str]:
        code = main(["--home", str(self.home), "--owner", "ada", *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def json(self, *words: str) -> dict:
        code, out, err = self.call(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def submit(self, *words: str) -> dict:
        return self.json("submit", str(self.source / "job.toml"), *words)

    def run(self) -> int:
        return self.call("run", "--until-done", "--quiet")[0]

    def environments(self) -> list[Path]:
        return [p for p in (self.home / "environments").glob("*") if p.is_dir()]

    def jobs(self) -> int:
        return len(self.json("list", "-a")["jobs"])


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("machine")
    wheels = folder / "wheels"
    alpha = make_wheel(wheels, "alpha", "1.0")
    make_wheel(wheels, "beta", "1.0", requires=["alpha"], commands={"beta-says": "beta:main"})
    return wheels, make_base(folder / "base", alpha)


@pytest.fixture
def world(machine, tmp_path: Path, monkeypatch, capsys) -> World:
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    for name, value in offline(machine[0], "pip", tmp_path).items():
        monkeypatch.setenv(name, value)
    return World(tmp_path, *machine, capsys)


def test_the_packages_are_installed_once_and_the_job_has_them(world: World) -> None:
    code, out, err = world.call("submit", str(world.source / "job.toml"))
    assert code == 0
    (folder,) = world.environments()
    said = [line for line in err.splitlines() if line.startswith("requirements.txt: ")]
    assert said[0].endswith(f"installing with pip into {folder}, on top of {world.python}")
    assert said[1].startswith("requirements.txt: installed 1 package in ")
    assert said[1].endswith(" s (beta==1.0)")
    assert f"runs under {world.python} (the job file)" in out
    assert world.run() == 0
    assert world.call("logs", "a")[1] == f"1.0 1.0 True {folder}/bin/beta-says\n"
    assert f"requirements.txt in {folder}"[:60] in world.call("show", "a")[1]
    again = world.submit()["requirements"]
    assert again == [
        {"python": world.python, "environment": folder.name, "installed": ["beta==1.0"],
         "new": False, "seconds": 0.0},
    ]  # fmt: skip
    err = world.call("submit", str(world.source / "job.toml"))[2]
    assert "requirements.txt: 1 package as installed before (beta==1.0)" in err


@pytest.mark.skipif(UV is None, reason="there is no uv")
def test_with_uv(world: World, monkeypatch, tmp_path: Path) -> None:
    for name, value in offline(world.wheels, "uv", tmp_path).items():
        monkeypatch.setenv(name, value)
    assert "installing with uv" in world.call("submit", str(world.source / "job.toml"))[2]
    assert world.run() == 0
    assert world.call("logs", "a")[1].startswith("1.0 1.0 True ")


def test_a_sweep_has_one_environment(world: World) -> None:
    said = world.json("sweep", str(world.source / "job.toml"), "-p", "x=1:50")
    assert len(said["ids"]) == 50
    assert len(said["requirements"]) == 1
    assert len(world.environments()) == 1


def test_a_dry_run_installs_nothing(world: World) -> None:
    words = ("submit", str(world.source / "job.toml"), "--dry-run")
    would = f"would install requirements.txt on top of {world.python}, unless that was done before"
    assert would in world.call(*words)[1]
    assert world.json(*words)["notes"] == [would]
    assert not (world.home / "environments").exists()


def test_requirements_that_cannot_be_installed_are_refused(world: World) -> None:
    (world.source / "requirements.txt").write_text("nosuch\n")
    code, out, err = world.call("submit", str(world.source / "job.toml"))
    assert (code, out) == (2, "")
    assert "\n  ERROR: No matching distribution found for nosuch\n" in err
    assert "\njobcore: requirements.txt: cannot be installed: a package, or this version" in err
    assert world.jobs() == 0
    assert world.environments() == []
    code, out, err = world.call("submit", str(world.source / "job.toml"), "--json")
    assert json.loads(err)["error"]["message"].startswith("requirements.txt: cannot be installed")


def test_offline_it_is_refused_and_shows_no_password(world: World, monkeypatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://ada:canary-4f1d@127.0.0.1:9/simple")
    (world.source / "requirements.txt").write_text("nosuch\n")
    code, _, err = world.call("submit", str(world.source / "job.toml"))
    assert code == 2
    assert "requirements.txt: cannot be installed: the package index cannot be reached" in err
    assert "canary" not in err
    assert world.jobs() == 0


def test_the_same_key_is_the_same_job_after_an_upgrade_of_the_base(
    world: World, tmp_path: Path
) -> None:
    world.python = make_base(tmp_path / "own", world.wheels / "alpha-1.0-py3-none-any.whl")
    world.job_file()
    first = world.submit("--key", "k")["ids"]
    site = next((tmp_path / "own" / "lib").glob("python*/site-packages"))
    (site / "other-1.0.dist-info").mkdir()
    second = world.submit("--key", "k")
    assert (second["ids"], second["known"]) == (first, 1)


def test_a_removed_environment_is_explained_and_retry_makes_it_again(world: World) -> None:
    (job,) = world.submit()["ids"]
    (folder,) = world.environments()
    shutil.rmtree(folder)
    _, out, _ = world.call("doctor", "--deep")
    assert "ok   packages    0 environments of requirements.txt" in out
    assert world.run() == 1
    shown = world.json("why", job)
    assert shown["facts"]["class"] == "bad_input"
    text = json.dumps(world.json("show", job), ensure_ascii=False)
    assert f"requirements.txt: its environment {folder} was removed; retry the job" in text
    (again,) = world.json("retry", job)["submitted"]
    assert world.environments() == [folder]
    assert world.run() == 0
    assert world.call("logs", again["id"])[1].startswith("1.0 1.0 True")


def test_a_missing_module_is_explained(world: World) -> None:
    (world.source / "train.py").write_text("import nosuch\n")
    (job,) = world.submit()["ids"]
    assert world.run() == 1
    why = world.json("why", job)
    (folder,) = world.environments()
    assert f"not installed in {folder}/bin/python"[:40] in why["sentence"]
    assert why["help"].startswith(
        "add the module to requirements.txt, and submit the job again; or"
    )
    assert world.python in why["help"]


def test_a_shell_script_gets_no_packages_and_is_told(world: World) -> None:
    (world.source / "train.sh").write_text("echo $VIRTUAL_ENV\n")
    world.job_file("train.sh")
    note = world.submit()["notes"][0]
    assert note.startswith("requirements.txt is not installed for train.sh: SageMaker's training")
    assert world.environments() == []
    assert world.run() == 0


def test_prune_removes_environments_that_no_job_needs(world: World) -> None:
    world.submit("--hold")
    kept = world.json("prune", "--days", "0")["environments"]
    assert kept == {"removed": 0, "kept": 1, "bytes": 0}
    world.call("stop", "a")
    out = world.call("prune", "--days", "0", "--dry-run")[1]
    assert "would remove 1 of 1 environments of requirements.txt (" in out
    assert len(world.environments()) == 1
    assert world.json("prune", "--days", "0")["environments"]["removed"] == 1
    assert world.environments() == []
