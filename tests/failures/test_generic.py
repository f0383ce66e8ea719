"""The generic rules: what they say without any adapter, and that they know no vendor."""

from __future__ import annotations

import re

import pytest

from jobcore import classify
from jobcore.failures import GENERIC_RULES, generic, parse_rules
from jobcore.failures.rules import compiled
from jobcore.ports import Evidence
from jobcore.ticks import Settings

#: Class, retry, text; "by user code" as Python itself opens such a text, and without.
TEXTS = [
    ("oom", "no", "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
    ("oom", "no", "MemoryError"),
    ("oom", "limited", "exit code 137"),
    ("oom", "limited", "process killed by SIGKILL (signal 9)"),
    ("data_access", "no", "OSError: [Errno 28] No space left on device: '/data/x'"),
    ("algorithm", "limited", "RuntimeError: NCCL error: unhandled system error"),
    ("algorithm", "limited", "torch.distributed.DistBackendError: timeout"),
    ("algorithm", "limited", "exit code 139"),
    ("algorithm", "limited", "Segmentation fault (core dumped)"),
    ("algorithm", "no", "ValueError: learning_rate must be positive"),
    ("algorithm", "no", "exited with code 3"),
]


@pytest.mark.parametrize(("kind", "retry", "text"), TEXTS)
def test_a_reason_by_itself(kind, retry, text):
    failure = classify(Evidence(where="describe", text=text), GENERIC_RULES)
    assert (failure.failure_class, failure.retryable, failure.scope) == (kind, retry, "job")


OWN = [
    ("oom", "no", "RuntimeError: CUDA out of memory"),
    ("oom", "limited", "went well, exit code: 137"),
    ("oom", "limited", "DataLoader worker is killed by signal: Killed"),
    ("data_access", "no", "RuntimeError: write failed: No space left on device"),
    ("algorithm", "limited", "RuntimeError: Gloo connectFullMesh failed"),
    ("algorithm", "limited", "ChildFailedError: train.py FAILED exitcode : -11 (pid: 3)"),
    ("algorithm", "limited", "went well, exit code: 134"),
    ("algorithm", "no", "ThrottlingException: Rate exceeded"),
    ("algorithm", "no", "exit code 137 is no reason here"),
]


@pytest.mark.parametrize(("kind", "retry", "text"), OWN)
@pytest.mark.parametrize(
    "opening",
    ["Traceback (most recent call last): File 'x' ", "uncaught exception during training: x "],
)
def test_a_text_that_the_training_wrote(kind, retry, text, opening):
    failure = classify(Evidence(where="describe", text=opening + text), GENERIC_RULES)
    assert (failure.failure_class, failure.retryable, failure.scope) == (kind, retry, "job")
    assert failure.rule.startswith("training: ")


@pytest.mark.parametrize(
    ("kind", "secondary"), [("timeout", "MaxRuntimeExceeded"), ("stopped_by_user", "Stopped")]
)
def test_the_statuses_of_the_port(kind, secondary):
    evidence = Evidence(where="describe", status="Stopped", secondary_status=secondary)
    assert classify(evidence, GENERIC_RULES).failure_class == kind


def test_a_text_that_nobody_knows_has_a_limited_retry():
    failure = classify(Evidence(where="create", text="no cards left in pool 7"), GENERIC_RULES)
    assert (failure.failure_class, failure.retryable) == ("unknown", "limited")


def test_the_document_compiles_and_is_what_is_used():
    document = {
        "fragments": generic._FRAGMENTS,
        "reading": generic._READING,
        "rule": generic._RULES,
    }
    rules = parse_rules(document)
    assert (rules.rules, rules.reading) == (GENERIC_RULES.rules, GENERIC_RULES.reading)
    assert Settings().rules is GENERIC_RULES
    for rule in rules.rules:
        for pattern in (rule.pattern, rule.error):
            assert pattern is None or pattern == compiled(pattern).pattern.casefold()


def test_no_generic_rule_is_dead():
    opening = "Traceback (most recent call last): x "
    said = [Evidence(where="describe", text=text) for _, _, text in TEXTS]
    said += [Evidence(where="describe", text=opening + text) for _, _, text in OWN]
    said += [Evidence(where="x", status=s) for s in ("MaxRuntimeExceeded", "Stopped")]
    reached = {classify(evidence, GENERIC_RULES).rule for evidence in said}
    assert reached == {rule.name for rule in GENERIC_RULES.rules}


def test_no_generic_pattern_names_a_vendor():
    words = re.compile(
        r"sagemaker|amazon|\baws|boto|s3\b|/opt/ml|\bec2|\bssh|slurm|kube|gcp|azure", re.IGNORECASE
    )
    assert not words.search(repr((generic._FRAGMENTS, generic._READING, generic._RULES)))
