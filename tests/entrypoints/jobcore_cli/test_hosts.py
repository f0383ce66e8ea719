"""Jobs of several hosts on this machine: their logs, and pools with several GPUs in a slot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobcore_cli import main

SCRIPT = 'echo "step of $SM_CURRENT_HOST"\n'


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.delenv("JOBCORE_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capfd.readouterr()
    assert main([*words]) == code
    return capfd.readouterr().out


def submit(capfd: pytest.CaptureFixture[str], script: str) -> str:
    Path("train.sh").write_text(script)
    Path("job.toml").write_text('script = "train.sh"\npool = { pool = "cpu", count = 2 }\n')
    run(capfd, "pools", "set", "cpu=2")
    (job_id,) = json.loads(run(capfd, "submit", "job.toml", "--json"))["ids"]
    return job_id


def test_logs_are_those_of_one_host_and_name_the_others(capfd) -> None:
    job_id = submit(capfd, SCRIPT)
    run(capfd, "run", "--until-done")
    assert run(capfd, "logs", job_id, "--host", "2") == "step of algo-2\n"
    assert main(["logs", job_id]) == 0
    said = capfd.readouterr()
    assert said.out == "step of algo-1\n"
    assert said.err == "jobcore: host 1 of 2; --host shows another\n"
    assert (
        json.loads(run(capfd, "logs", job_id, "--host", "2", "--json"))["text"]
        == "step of algo-2\n"
    )
    assert main(["logs", job_id, "--host", "3"]) != 0
    assert "has written nothing" in capfd.readouterr().err


def test_a_host_can_be_followed(capfd) -> None:
    job_id = submit(capfd, SCRIPT)
    run(capfd, "run", "--until-done")
    assert run(capfd, "logs", "-f", job_id, "--host", "2") == "step of algo-2\n"


def test_slots_have_gpus(tmp_path: Path, capfd) -> None:
    said = run(capfd, "pools", "set", "cpu=3", "gpu=1", "gpu-pair=2x2")
    assert said == "cpu: 3 slots, gpu: 1 slots, gpu-pair: 2 slots of 2 GPUs\n"
    run(capfd, "pools", "set", "gpu-pair=4", "cpu=2")  # the GPUs of a slot stay
    assert (tmp_path / "home/pools.toml").read_text() == (
        "[pools.cpu]\nslots = 2\n\n[pools.gpu]\nslots = 1\n\n[pools.gpu-pair]\nslots = 4\ngpus = 2\n\n"
    )
    table = [line.split()[:2] for line in run(capfd, "pools").splitlines()]
    assert table == [["POOL", "SLOTS"], ["cpu", "2"], ["gpu", "1"], ["gpu-pair", "4x2"]]
    pools = json.loads(run(capfd, "pools", "--json"))["pools"]
    assert [(one["slots"], one["gpus"]) for one in pools] == [(2, 0), (1, 1), (4, 2)]
    run(capfd, "pools", "set", "gpu-pair=1x1")
    assert "gpus" not in (tmp_path / "home/pools.toml").read_text()


@pytest.mark.parametrize("word", ["gpu=2x", "gpu=x2", "gpu=2x2x2", "gpu=-1", "gpu"])
def test_sizes_that_are_none_are_refused(word: str, capfd) -> None:
    assert main(["pools", "set", word]) == 2
    error = capfd.readouterr().err
    assert error.startswith(
        f"jobcore: {word!r}: expected POOL=SLOTS, such as cpu=4, or POOL=SLOTSxGPUS"
    )
    assert not Path("home/pools.toml").exists()
