"""Submitting on this machine: whose Python, what is refused, and what a job waits for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jobcore_cli import main
from jobcore_local import WakeSocket


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "JOBCORE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("print('ran')\n")
    write()


def write(*lines: str, script: str = "train.py") -> None:
    Path("job.toml").write_text("\n".join([f'script = "{script}"', *lines, ""]))


def environment(folder: Path) -> Path:
    """Make an environment with a Python; `find_python` asks for no more than the link."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_interpreter_is_told_and_kept_with_the_job(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VIRTUAL_ENV", str(environment(tmp_path / "mine")))
    mine = f"{tmp_path}/mine/bin/python"
    assert main(["submit", "job.toml"]) == 0
    said = capsys.readouterr().out
    assert f"  runs under {mine} (the active environment, VIRTUAL_ENV)\n" in said
    document = answer(capsys, "submit", "job.toml")
    assert document["pythons"] == [mine]
    (job_id,) = document["ids"]
    assert answer(capsys, "show", job_id)["args"]["python"] == mine
    assert main(["show", job_id]) == 0
    assert "\n  python      /" in capsys.readouterr().out


def test_the_source_folder_is_told_without_dots(tmp_path, capsys):
    for name in ("jobs", "code", "far/away"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "code" / "train.py").write_text("")
    job = tmp_path / "jobs" / "job.toml"
    job.write_text('script = "train.py"\nsource_dir = "../code"\n')
    assert main(["submit", str(job)]) == 0
    assert f"of {tmp_path}/code" in capsys.readouterr().err
    # behind a link, ".." is another folder than it seems
    (tmp_path / "far" / "code").mkdir()
    (tmp_path / "far" / "code" / "train.py").write_text("")
    job.rename(tmp_path / "far" / "away" / "job.toml")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert main(["submit", str(tmp_path / "link" / "job.toml")]) == 0
    assert f"of {tmp_path}/link/../code" in capsys.readouterr().err


def test_the_job_file_names_another_relative_to_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VIRTUAL_ENV", str(environment(tmp_path / "mine")))
    environment(tmp_path / "other")
    write('python = "other/bin/python"')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    document = answer(capsys, "submit", "../job.toml", "--dry-run")
    assert [Path(python).resolve() for python in document["pythons"]] == [
        Path(sys.executable).resolve()
    ]
    (python,) = document["pythons"]
    assert python.endswith("/other/bin/python")
    assert document["jobs"][0]["JobArgs"]["python"] == python
    assert main(["submit", "../job.toml", "--dry-run"]) == 0
    assert "(the job file)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "field", "words"),
    [
        (['pool = "tpu"'], "pools", "there is no pool 'tpu' on this machine; there are: cpu"),
        (["pool = { pool = 'cpu', count = 64 }"], "pools", "has 2 slots, got a count of 64"),
        (['channels = { train = "data" }'], "channels.train", "/data does not exist"),
        (
            ['channels = { train = "https://b/x" }'],
            "channels.train",
            "https://b/x: a training on this",
        ),
        (['python = "/nowhere/python"'], "python", "/nowhere/python does not exist"),
        (['image = "torch"'], "image", "starts no containers; leave it out"),
        (['role = "research"'], "role", "leave it out"),
        (["volume_gb = 30"], "volume_gb", "leave it out"),
        (["[sagemaker]", "EnableNetworkIsolation = true"], "sagemaker", "leave it out"),
        (['output = "s3://b/x"'], "output", "unknown field; the backend's settings decide it"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("command", ["submit", "sweep"])
def test_what_can_never_run_is_refused_and_nothing_is_kept(
    capsys, lines, field, words, more, command
):
    assert main(["pools", "set", "cpu=2"]) == 0
    write(*lines)
    more = [*more, *(["-p", "x=1:3"] if command == "sweep" else [])]
    capsys.readouterr()
    assert main([command, "job.toml", *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"jobcore: job.toml: {field}: ")
    assert words in error
    assert error.count("\n") == 1
    assert answer(capsys, "list", "--all")["jobs"] == []


def test_a_script_that_does_not_compile_is_refused_with_its_line(capsys):
    Path("train.py").write_text("x = 1\ny = = 2\n")
    assert main(["submit", "job.toml"]) == 2
    assert "line 2: invalid syntax: y = = 2" in capsys.readouterr().err


def test_a_sweep_compiles_its_script_once(monkeypatch, capsys):
    runs = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: runs.append(a) or real(*a, **k))
    assert main(["sweep", "job.toml", "-p", "x=1:300", "--dry-run"]) == 0
    assert len(runs) == 1
    assert "300 valid" in capsys.readouterr().out


def test_what_cannot_run_now_is_taken_with_a_sentence(tmp_path, capsys):
    assert main(["pools", "set", "cpu=0"]) == 0
    capsys.readouterr()
    document = answer(capsys, "submit", "job.toml")
    assert document["notes"] == [
        "no manager runs here; jobcore run (or jobcore tick) starts it",
        "waits for now: the job asks for 1 slots of pool 'cpu', which has 0",
    ]
    with WakeSocket(tmp_path / "home" / "wake.sock"):
        assert main(["submit", "job.toml"]) == 0
        said = capsys.readouterr().out
        assert "no manager" not in said
        assert "  waits for now: the job asks for 1 slots of pool 'cpu', which has 0\n" in said
        assert main(["pools", "set", "cpu=8"]) == 0
        capsys.readouterr()
        assert answer(capsys, "submit", "job.toml")["notes"] == []
        assert answer(capsys, "submit", "job.toml", "--hold")["notes"] == []


def test_a_count_above_a_limit_of_the_planner_is_refused(tmp_path, capsys):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("[limits]\nshare_default = 1\n")
    assert main(["pools", "set", "cpu=8"]) == 0
    capsys.readouterr()
    assert main(["submit", "job.toml", "--pool", "cpu:2"]) == 2
    assert "share: share 'ada' may use 1 slots at once" in capsys.readouterr().err


def test_a_wrong_sweep_names_its_file(capsys):
    write("[sweep.grid]", "x = { from = 0.1, to = 1.0 }")
    assert main(["sweep", "job.toml"]) == 2
    assert capsys.readouterr().err.startswith("jobcore: job.toml: sweep.grid.x.count: missing")


def test_pools_that_cannot_be_read_are_told(tmp_path, capsys):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "pools.toml").write_text("[pools.cpu]\nslots = -1\n")
    assert main(["submit", "job.toml"]) == 2
    error = capsys.readouterr().err
    assert "pools.toml: pools.cpu.slots: expected a whole number from 0 to 4096, got -1" in error


def test_a_pool_may_have_the_name_that_a_deployment_gives_it(capsys):
    name = "us-east-1/ml.m5.large/spot"
    assert main(["pools", "set", f"{name}=2"]) == 0
    assert main(["submit", "job.toml", "--pool", name]) == 0
    capsys.readouterr()
    assert name in [one["pool"] for one in answer(capsys, "pools")["pools"]]


@pytest.mark.parametrize("kind", ["toml", "yaml", "json"])
def test_a_file_has_parts_for_the_backends(tmp_path, capsys, kind):
    environment(tmp_path / "mine")
    parts = {
        "script": "train.py",
        "hyperparameters": {"x": 1, "y": 2},
        "backend": {
            "local": {"python": "mine", "hyperparameters": {"y": 3}},
            "aws": {
                "image": "torch",
                "role": "research",
                "sagemaker": {"EnableNetworkIsolation": True},
            },
        },
    }
    text = {
        "json": json.dumps(parts),
        "yaml": yaml.safe_dump(parts),
        "toml": (
            'script = "train.py"\nhyperparameters = { x = 1, y = 2 }\n'
            '[backend.local]\npython = "mine"\nhyperparameters = { y = 3 }\n'
            '[backend.aws]\nimage = "torch"\nrole = "research"\nsagemaker = { EnableNetworkIsolation = true }\n'
        ),
    }
    (tmp_path / f"both.{kind}").write_text(text[kind])
    (job_id,) = answer(capsys, "submit", f"both.{kind}")["ids"]
    args = answer(capsys, "show", job_id)["args"]
    assert args["hyperparameters"] == {"x": 1, "y": 3}
    assert args["python"] == f"{tmp_path}/mine/bin/python"
    assert not {"image", "role", "sagemaker", "backend"}.intersection(args)


def test_a_part_is_checked_on_every_backend(capsys):
    write("[backend.aws]", 'imagee = "torch"', "[backend.cloud]")
    assert main(["submit", "job.toml"]) == 2
    error = capsys.readouterr().err
    assert "job.toml: backend.cloud: unknown field; known: aws, local" in error
    assert "backend.aws.imagee: unknown field; did you mean 'image'?" in error
