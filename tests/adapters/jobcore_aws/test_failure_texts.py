"""The rules of SageMaker against real failure texts, ours and (where it is at hand) the shared corpus.

``failure_texts.jsonl`` holds short excerpts of public failure reports, each with its source and
the label we gave it by the definitions in docs/reference/failures.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from jobcore import Failure, FailureClass, classify
from jobcore.failures import GENERIC_RULES, parse_rules
from jobcore.failures.rules import compiled
from jobcore.lifecycle import Retryable
from jobcore.ports import Evidence
from jobcore_aws import failure_rules

OURS = Path(__file__).parent / "failure_texts.jsonl"
SHARED = Path(__file__).parents[3].parent / "shared" / "failures" / "corpus.jsonl"
RULES = failure_rules()
RETRY = {True: Retryable.YES, False: Retryable.NO, "depends": Retryable.LIMITED}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _evidence(row: dict[str, Any]) -> Evidence:
    return Evidence(
        where=row["where"],
        error_code=row["error_code"],
        status=row["status"],
        secondary_status=row["secondary_status"],
        text=row["text"],
    )


def _name(row: dict[str, Any]) -> str:
    return f"{row['class']}-{re.sub(r'[^a-zA-Z0-9]+', '-', row['text'])[:50].strip('-')}"


@pytest.mark.parametrize("row", _rows(OURS), ids=_name)
def test_our_texts(row: dict[str, Any]) -> None:
    failure = classify(_evidence(row), RULES)
    assert failure.failure_class == FailureClass(row["class"]), failure.rule
    assert failure.retryable is RETRY[row["transient"]], failure.rule


def test_our_texts_have_sources_and_every_class() -> None:
    rows = _rows(OURS)
    assert {row["class"] for row in rows} == {str(item) for item in FailureClass}
    assert all(row["source"] for row in rows)
    keys = [tuple(row[k] for k in ("where", "error_code", "status", "text")) for row in rows]
    assert len({*zip(keys, (row["secondary_status"] for row in rows), strict=True)}) == len(rows)


def test_the_shared_corpus() -> None:
    if not SHARED.exists():
        pytest.skip(f"{SHARED}: not on this machine")
    rows = _rows(SHARED)
    failures = [classify(_evidence(row), RULES) for row in rows]
    wrong = [
        f"{row['class']} -> {failure.failure_class}: {row['text'][:80]}"
        for row, failure in zip(rows, failures, strict=True)
        if failure.failure_class != row["class"]
    ]
    assert len(wrong) <= 0.03 * len(rows), wrong
    assert not [
        row["text"]
        for row, failure in zip(rows, failures, strict=True)
        if _harmful(row["transient"], failure)
    ]


def _harmful(transient: bool | str, failure: Failure) -> bool:
    """Tell whether a permanent failure would be retried freely, or a passing one given up."""
    return (transient is False and failure.retryable is Retryable.YES) or (
        transient is True and failure.retryable is Retryable.NO
    )


def test_no_rule_is_dead() -> None:
    reached = {classify(_evidence(row), RULES).rule for row in _rows(OURS)}
    assert [rule.name for rule in RULES.rules if rule.name not in reached] == []


def test_every_rule_compiles_and_is_named_once() -> None:
    names = [rule.name for rule in RULES.rules]
    assert len(set(names)) == len(names)
    for rule in RULES.rules:
        for pattern in (rule.pattern, rule.error):
            if pattern is not None:
                _check_case(pattern, rule.name)


def test_the_document_is_read_whole_and_each_of_its_patterns_compiles() -> None:
    text = files("jobcore_aws").joinpath("failure_rules.toml").read_text("utf-8")
    rules = parse_rules(tomllib.loads(text), GENERIC_RULES)
    assert (rules.rules, rules.reading) == (RULES.rules, RULES.reading)
    for pattern in (*rules.reading.wrappers, *rules.reading.codes, *rules.reading.quotas):
        _check_case(pattern, "reading")


def _check_case(pattern: str, name: str) -> None:
    plain = compiled(pattern).pattern.replace("\\S", "").replace("(?P<", "")
    assert plain == plain.casefold(), f"{name}: the text it is matched with is case-folded"


def test_the_generic_rules_are_all_put_in_order() -> None:
    # What no document puts in order is tried last, after rules that take nearly anything.
    text = files("jobcore_aws").joinpath("failure_rules.toml").read_text("utf-8")
    used = [rule["use"] for rule in tomllib.loads(text)["rule"] if "use" in rule]
    assert sorted(used) == sorted(rule.name for rule in GENERIC_RULES.rules)


def test_reading_the_rules_loads_no_sdk() -> None:
    code = "import sys, jobcore_aws; jobcore_aws.failure_rules(); print({'boto3', 'botocore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_rule_says_something_checkable() -> None:
    for rule in RULES.rules:
        conditions = (
            rule.codes,
            rule.statuses,
            rule.own,
            rule.pattern,
            rule.error,
            rule.quota_fits,
        )
        assert any(condition not in ((), None) for condition in conditions), rule.name


PREFIXES = (
    "",
    "AlgorithmError: ",
    "AlgorithmError: framework error: ",
    "ClientError: ",
    "ClientError: Data download failed: ",
    "The account-level service limit '",
    "An error occurred (ValidationException) when calling the X operation: ",
    "Error for training job ",
    "operation error A: B, ",
    "Traceback (most recent",
)
PIECES = (
    "a", "a.", "a:", "a::", "::a", "(", "[", '"', " ", "1", "error: ", "clienterror: ", "the ",
    "An error occurred (", "Failed. Reason: ", "exit code: 137 ", '"ValueError: ', "access ",
    "no such ", "out of ", "spot ", "instance ", "hyper", "insufficient capacity ", "nccl ",
    "s3 ", "unable to provision ", "does not have ", "job has exceeded ", "failed to ", "max ",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_text_of_the_longest_kind_makes_a_pattern_backtrack(prefix: str) -> None:
    # A pattern that backtracks exponentially would not come back in a lifetime.
    for piece in PIECES:
        text = (prefix + piece * 1024)[:1024]
        for where, code in (("describe", None), ("create", "ValidationException")):
            failure = classify(Evidence(where=where, error_code=code, text=text), RULES)
            assert isinstance(failure.failure_class, FailureClass)
