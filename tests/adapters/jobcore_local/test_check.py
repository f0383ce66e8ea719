"""What this machine cannot hand to a script is refused at submit, and settled if it is launched all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jobcore import Placement, Spec, job_id_from_token, parse_job
from jobcore.errors import Problem
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest, TrainingState
from jobcore_local import Checker, LocalTrainer, write_pools
from jobcore_local import check as check_in_home
from jobcore_local._check import STRING_BYTES_MAX
from patience import until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit of one string is Linux's")


def job(folder: Path, **fields: object) -> Spec:
    (folder / "train.py").write_text("")
    return parse_job({"script": "train.py", "source_dir": str(folder), **fields}, owner="ada")


def check(spec: Spec) -> list[Problem]:
    return Checker({"cpu": 2, "gpu": 1, "closed": 0})(spec)


def starts(environment: dict[str, str]) -> bool:
    """Say whether the system starts a process with *environment*."""
    try:
        pid = os.posix_spawnp("true", ["true"], {"PATH": os.environ["PATH"], **environment})
    except OSError:
        return False
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hyperparameters": {f"h{i}": i for i in range(500)}},
        {"hyperparameters": {"h": "v" * 3000}},
        {"hyperparameters": {"n" * 300: 1}},
        {"environment": {f"E{i}": "v" * 600 for i in range(150)}},
        {"tags": {f"t{i}": "v" * 300 for i in range(60)}},
        {"channels": {f"c{i}": "/" for i in range(30)}},
        {"pools": ["cpu"] * 9},
    ],
)
def test_the_limits_of_sagemaker_do_not_hold_here(tmp_path, fields):
    assert check(job(tmp_path, **fields)) == []


@on_linux
def test_more_hosts_than_the_environment_can_name_are_the_pools_problem(tmp_path: Path) -> None:
    checker = Checker({"cpu": 4096})
    for count in (1, 500):
        assert checker(job(tmp_path, pool={"pool": "cpu", "count": count})) == []
    (problem,) = checker(job(tmp_path, pool={"pool": "cpu", "count": 4096}))
    assert problem.field == "pools"
    assert problem.message.startswith("got a count of 4,096: the names of so many hosts do not fit")
    large = {"pool": {"pool": "cpu", "count": 2}, "environment": {"A": "x" * 200_000}}
    assert [one.field for one in checker(job(tmp_path, **large))] == ["environment.A"]


@on_linux
def test_the_limit_of_one_string_is_where_the_system_has_it(tmp_path):
    most = STRING_BYTES_MAX - len("A=")
    for size, fits in ((most, True), (most + 1, False)):
        value = "v" * size
        assert starts({"A": value}) is fits
        assert (check(job(tmp_path, environment={"A": value})) == []) is fits


@on_linux
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"hyperparameters": {"x": "v" * 140_000}}, "hyperparameters"),
        ({"hyperparameters": {f"h{i}": "v" * 20_000 for i in range(10)}}, "hyperparameters"),
        ({"arguments": ["v" * 140_000]}, "arguments"),
        ({"environment": {"A": "v" * 140_000}}, "environment.A"),
    ],
)
def test_what_is_too_large_for_a_process_is_named(tmp_path, fields, field):
    (problem,) = check(job(tmp_path, **fields))
    assert problem.field == field
    assert problem.message.endswith(
        "this machine allows 131,071 (put large values into a file of a channel)"
    )


def test_the_sum_is_limited_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_ARG_MAX": 60_000}.__getitem__)
    many = {f"E{i}": "v" * 500 for i in range(100)}
    (problem,) = check(job(tmp_path, environment=many))
    assert problem.field == "environment"
    assert "this machine allows 60,000" in problem.message
    assert check(job(tmp_path, environment={"A": "v" * 500})) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"hyperparameters": {"x": "secret\ud800"}}, "hyperparameters"),
        ({"arguments": ["secret\ud800"]}, "arguments"),
        ({"environment": {"A": "secret\ud800"}}, "environment.A"),
    ],
)
def test_half_a_character_is_no_text_for_a_process(tmp_path, fields, field):
    found = check(job(tmp_path, **fields))
    assert found == [
        Problem(field, "contains a lone surrogate, which is half a character; remove it")
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"hyperparameters": {"data": "${SM_CHANNEL_TRAIN}"}}, "hyperparameters.data"),
        ({"arguments": ["${SM_TYPO}"]}, "arguments[0]"),
        ({"environment": {"SAGEMAKER_REGION": "x"}}, "environment.SAGEMAKER_REGION"),
        ({"script": "../train.py"}, "script"),
        ({"script": "my train.py"}, "script"),
    ],
)
def test_what_the_toolkit_would_refuse_is_refused_here(tmp_path, fields, field):
    (problem,) = check(job(tmp_path, **fields))
    assert problem.field == field


# --- what can never run here ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"pool": "tpu"}, "pools", "there is no pool 'tpu' on this machine; there are: closed, cpu, gpu"),
        ({"pools": ["cpu", "tpu"]}, "pools", "there is no pool 'tpu' on this machine; there are: closed, cpu, gpu"),
        ({"pool": {"pool": "cpu", "count": 64}}, "pools", "pool 'cpu' has 2 slots, got a count of 64"),
        ({"channels": {"train": "/nowhere"}}, "channels.train", "/nowhere does not exist on this machine"),
        ({"channels": {"train": "file:///nowhere"}}, "channels.train", "/nowhere does not exist on this machine"),
        ({"channels": {"train": "s3://bucket/data"}}, "channels.train",
         "s3://bucket/data: a training on this machine reads folders only; copy it, and name the folder"),
        ({"source_dir": "s3://bucket/code.tar.gz"}, "source_dir", "s3://bucket/code.tar.gz is not a folder on this machine"),
        ({"source_dir": "/nowhere"}, "source_dir", "/nowhere is not a folder on this machine"),
        ({"image": "torch"}, "image", "this machine runs scripts and starts no containers; leave it out, or write it under [backend.aws]"),
        ({"role": "research"}, "role", "trainings on this machine run as you and have no role; leave it out, or write it under [backend.aws]"),
        ({"volume_gb": 3}, "volume_gb", "trainings on this machine share its disk; leave it out, or write it under [backend.aws]"),
        ({"service": {"A": 1}}, "service", "of no use on this machine; leave it out, or write it under [backend.aws]"),
    ],
)  # fmt: skip
def test_what_can_never_run_here_is_refused_by_its_field(tmp_path, fields, field, message):
    (tmp_path / "train.py").write_text("")
    document = {"script": "train.py", "source_dir": str(tmp_path), **fields}
    assert check(parse_job(document, owner="ada", service_tables=["service"])) == [
        Problem(field, message)
    ]


def test_an_image_alone_is_refused_with_the_way_to_run_here():
    (problem,) = check(parse_job({"image": "torch"}, owner="ada"))
    assert problem.field == "image"
    assert problem.message.endswith('name a script, such as script = "train.py"')


def test_a_script_that_is_not_there_is_refused(tmp_path):
    spec = job(tmp_path)
    (tmp_path / "train.py").unlink()
    assert check(spec) == [Problem("script", f"{tmp_path}/train.py does not exist")]


def test_what_cannot_run_now_is_no_problem(tmp_path):
    """A pool without slots is closed for a while; its jobs wait."""
    assert check(job(tmp_path, pool="closed")) == []
    assert check(job(tmp_path, pool={"pool": "cpu", "count": 2})) == []


def test_the_pools_are_those_of_the_home(tmp_path):
    write_pools(tmp_path, {"big": 9})
    assert check_in_home(job(tmp_path, pool={"pool": "big", "count": 9}), tmp_path) == []
    assert [p.field for p in check_in_home(job(tmp_path, pool="cpu"), tmp_path)] == ["pools"]


def test_every_problem_is_found_at_once(tmp_path):
    spec = job(
        tmp_path, pools=["a", "b"], role="r", channels={"x": "/nowhere"}, python="no-such-python"
    )
    fields = [problem.field for problem in check(spec)]
    assert fields == ["pools", "pools", "role", "channels.x", "python"]


def test_a_sweep_looks_at_the_files_once(tmp_path, monkeypatch):
    """10,000 compiles would take ten minutes, and 10,000 looks at a network drive as well."""
    counts = Counter()
    check_jobs = Checker({"cpu": 2})
    specs = [
        parse_job(
            {
                "script": "train.py",
                "source_dir": str(tmp_path),
                "channels": {"train": str(tmp_path)},
                "hyperparameters": {"x": number, "name": "v" * 50},
            },
            owner="ada",
        )
        for number in range(10_000)
    ]
    (tmp_path / "train.py").write_text("x = 1")

    def counted(name, function):
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(subprocess, "Popen", counted("run", subprocess.Popen))
    monkeypatch.setattr(os, "stat", counted("stat", os.stat))
    monkeypatch.setattr(os, "lstat", counted("stat", os.lstat))
    assert all(check_jobs(spec) == [] for spec in specs)
    monkeypatch.undo()
    assert counts["run"] == 1
    assert counts["stat"] < 100


def test_a_large_job_of_a_sweep_is_measured(tmp_path):
    """The others of it are small, and none of them is measured but the first."""
    check_jobs = Checker({"cpu": 2})
    small, half, large = (
        job(tmp_path, hyperparameters={"x": value}) for value in ("v", "\ud800", "v" * 140_000)
    )
    assert check_jobs(small) == []
    assert [p.field for p in check_jobs(half)] == ["hyperparameters"]
    assert [p.field for p in check_jobs(large)] == (
        ["hyperparameters"] if sys.platform == "linux" else []
    )
    assert check_jobs(small) == []


# --- what is launched all the same ------------------------------------------------------------


def ended(trainer, name):
    training = trainer.describe([name])[name]
    return training if training is not None and training.state.is_terminal else None


@pytest.mark.parametrize("value", ["\ud800", "a\0b"])
def test_a_training_that_no_process_can_be_given_fails_for_good(tmp_path, value):
    """The shim died of a ValueError once, which looked like a spot interruption: 20 retries."""
    write_pools(tmp_path, {"cpu": 1})
    (tmp_path / "train.py").write_text("")
    job_id = job_id_from_token("tests", "text")
    request = LaunchRequest(
        name=training_name(job_id, 1),
        job_id=job_id,
        attempt=1,
        spec_hash="5" * 64,
        placement=Placement("cpu"),
        args={
            "script": "train.py",
            "source_dir": str(tmp_path),
            "hyperparameters": {"x": value},
        },
    )
    trainer = LocalTrainer(tmp_path)
    try:
        trainer.launch([request])
        training = until(lambda: ended(trainer, request.name))
    finally:
        trainer.close()
    assert training.state is TrainingState.FAILED
    assert training.evidence is not None
    assert training.evidence.text.startswith("LocalBadInput: ")
