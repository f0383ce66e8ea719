"""The user's own failure rules decide in the functions, and a wrong file is named."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta

import pytest

import jobcore_aws
from jobcore import Status, classify
from jobcore.ports import Evidence, TrainingState
from jobcore_cli._bundle import build_zip
from jobcore_lambda import _wiring, launch, monitor, submit
from jobcore_lambda._wiring import RULES_FILE, Wiring
from jobcore_memory import Script
from lambda_fixtures import FakeContext, FakeWiring

RULES = """
[[rule]]
name = "licence server full"
class = "capacity"
scope = "pool"
retry = "yes"
error = 'flexlm\\w*error: .{0,80}no free licence'
"""
TEXT = 'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "FlexlmError: no free licence"'


def _life(wired: FakeWiring) -> tuple[Status, str]:
    """Fail a job by TEXT; its status afterwards, and the rule that decided."""
    _wiring.use(wired)
    try:
        job = {"image": "trainer", "pool": "cpu", "name": "digits"}
        (job_id,) = submit.handler({"jobs": [job]}, FakeContext())["ids"]
        (name,) = (f"jc-{job_id}-1",)
        wired.trainer.scripts[name] = Script(outcome=TrainingState.FAILED, text=TEXT)
        launch.handler({}, FakeContext())
        wired.clock.advance(timedelta(minutes=5))
        monitor.handler({}, FakeContext())
        after = wired.store.get([job_id])[job_id]
        return after.status, after.attempts[-1].failure.rule
    finally:
        _wiring.use(None)


def test_without_a_file_the_adapters_rules_decide():
    assert Wiring({}).rules is jobcore_aws.failure_rules()
    assert _life(FakeWiring()) == (Status.FAILED, "training: failed")


def test_a_users_rule_decides_in_the_functions(tmp_path):
    (tmp_path / RULES_FILE).write_text(RULES)
    wired = FakeWiring({"LAMBDA_TASK_ROOT": str(tmp_path)})
    assert _life(wired) == (Status.NEW, "licence server full")


def test_a_root_without_a_file_has_the_adapters_rules(tmp_path):
    assert Wiring({"LAMBDA_TASK_ROOT": str(tmp_path)}).rules is jobcore_aws.failure_rules()


def test_the_file_of_the_bundle_is_the_one_that_is_read(tmp_path):
    code = build_zip("python3.13", rules=RULES.encode())
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        archive.extract(RULES_FILE, tmp_path)
    rules = Wiring({"LAMBDA_TASK_ROOT": str(tmp_path)}).rules
    assert classify(Evidence(where="describe", text=TEXT), rules).rule == "licence server full"


def test_a_wrong_file_is_named(tmp_path):
    (tmp_path / RULES_FILE).write_text('[[rule]]\nname = "a"\nclass = "nope"\n')
    with pytest.raises(ValueError, match=rf"{RULES_FILE}: rule 'a': class: 'nope' is not one of"):
        _ = Wiring({"LAMBDA_TASK_ROOT": str(tmp_path)}).rules
