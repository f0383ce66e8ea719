"""A slow machine is no failure: bounds on waiting are minutes, and no test asserts how long something took."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob("*.py"))
BOUNDS = {"timeout", "read_timeout", "connect_timeout", "busy_seconds", "timeout_seconds"}
CLOCKS = {"monotonic", "perf_counter"}  # the CPU time of a process is its own
BRIEF_SECONDS = 60
#: Bounds that are short because the test is about running out of them, or polls.
ON_PURPOSE = {
    "adapters/jobcore_sqlite/test_migration.py": {"busy_seconds=0.05"},
    "adapters/jobcore_sqlite/test_store.py": {"busy_seconds=0.05"},
    "entrypoints/jobcore_lambda/test_runtime.py": {"timeout=1.5"},  # a function that hangs
    "runtime_api.py": {"timeout=0.02"},  # polls
}


def impatience(source: str) -> Iterator[str]:
    """Find short bounds on waiting, and asserts on how long something took."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            for word in node.keywords:
                value = word.value.value if isinstance(word.value, ast.Constant) else None
                if word.arg in BOUNDS and isinstance(value, int | float) and value < BRIEF_SECONDS:
                    yield f"{word.arg}={value}"
        elif isinstance(node, ast.Assert):
            yield from (f"assert on {clock}()" for clock in _clocks_in(node.test))


def _clocks_in(test: ast.expr) -> Iterator[str]:
    """Find clocks that are asked in an assert; comparing one with the `end` of a wait is fine."""
    for node in ast.walk(test):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            waits = isinstance(test, ast.Compare) and ast.unparse(test.comparators[0]) == "end"
            if name in CLOCKS and not waits:
                yield name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_depends_on_the_machines_speed(path):
    allowed = ON_PURPOSE.get(str(path.relative_to(TESTS)), set())
    found = set(impatience(path.read_text("utf-8")))
    assert found <= allowed
    assert found >= allowed, "nothing of the kind is there any more"


@pytest.mark.parametrize(
    "source",
    [
        "process.wait(timeout=10)",
        "client(url, read_timeout=0.5)",
        "SqliteStore(path, busy_seconds=10)",
        "assert time.monotonic() - begun < 10",
        "assert perf_counter() < begun + 1",
    ],
)
def test_the_check_finds_what_depends_on_it(source):
    assert list(impatience(source))


@pytest.mark.parametrize(
    "source",
    [
        "process.wait(timeout=SECONDS)",
        "process.wait(timeout=600)",
        "assert time.monotonic() < end, 'it hangs'",
        "began = time.monotonic()",
    ],
)
def test_the_check_leaves_patience_alone(source):
    assert not list(impatience(source))
