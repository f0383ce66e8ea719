"""What this machine cannot hand to a script is refused at submit, and settled if it is launched all the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from jobcore import Placement, Spec, job_id_from_token, parse_job
from jobcore.errors import Problem
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest, TrainingState
from jobcore_local import LocalTrainer, check, write_pools
from jobcore_local._check import STRING_BYTES_MAX
from patience import until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit of one string is Linux's")


def job(folder: Path, **fields: object) -> Spec:
    (folder / "train.py").write_text("")
    return parse_job({"script": "train.py", "source_dir": str(folder), **fields}, owner="ada")


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
        {"pools": [f"p{i}" for i in range(9)]},
    ],
)
def test_the_limits_of_sagemaker_do_not_hold_here(tmp_path, fields):
    assert check(job(tmp_path, **fields)) == []


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


def test_what_does_not_exist_yet_is_no_problem(tmp_path):
    spec = job(tmp_path, channels={"train": "/nowhere"})
    assert check(spec) == []
    (tmp_path / "train.py").unlink()
    assert check(spec) == []


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
