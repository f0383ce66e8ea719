"""What the trainer of this machine says of failures, and the class that follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import jobcore_aws
from jobcore import FailureClass, classify
from jobcore.failures import Rules
from jobcore.lifecycle import Retryable, Scope
from jobcore.ports import Evidence
from jobcore_local import failure_rules

OURS = Path(__file__).parent / "failure_texts.jsonl"
RETRY = {True: Retryable.YES, False: Retryable.NO, "depends": Retryable.LIMITED}
#: By itself, and as the command combines it: scripts on this machine quote boto3's errors, too.
RULES = {"alone": failure_rules(), "laptop": failure_rules(jobcore_aws.failure_rules())}
ROWS = [json.loads(line) for line in OURS.read_text("utf-8").splitlines()]


def _evidence(row: dict[str, Any]) -> Evidence:
    fields = ("where", "error_code", "status", "secondary_status", "text")
    return Evidence(**{field: row[field] for field in fields})


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:50])
def test_our_texts(row: dict[str, Any], rules: Rules) -> None:
    failure = classify(_evidence(row), rules)
    assert failure.failure_class == FailureClass(row["class"]), failure.rule
    assert failure.retryable is RETRY[row["transient"]], failure.rule


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_no_rule_of_this_machine_is_dead(rules: Rules) -> None:
    reached = {classify(_evidence(row), rules).rule for row in ROWS}
    ours = [rule.name for rule in rules.rules if rule.name.startswith("local: ")]
    assert len(ours) == 8
    assert [name for name in ours if name not in reached] == []


def test_a_full_disk_of_the_machine_blames_no_job() -> None:
    (row,) = (row for row in ROWS if "free some space" in row["text"])
    assert classify(_evidence(row), RULES["alone"]).scope is Scope.ACCOUNT


def test_a_damaged_record_concerns_its_job() -> None:
    (row,) = (row for row in ROWS if "cannot be read" in row["text"])
    assert classify(_evidence(row), RULES["alone"]).scope is Scope.JOB


def test_a_script_that_quotes_an_error_of_boto3() -> None:
    text = (
        'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "botocore.exceptions.'
        'ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden"'
    )
    failure = classify(Evidence(where="describe", text=text), RULES["laptop"])
    assert failure.failure_class is FailureClass.PERMISSION
