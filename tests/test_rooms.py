"""The core's rooms: which there are, what their doors offer, and how large a part may be."""

from __future__ import annotations

import ast
import io
import tokenize
from importlib import import_module
from pathlib import Path

import pytest

import jobcore

CORE = Path(jobcore.__file__).parent
ROOT = CORE.parents[1]
FILES = sorted(CORE.rglob("*.py"))
ROOMS = {
    "checks": set(),
    "documents": set(),
    "errors": set(),
    "failures": {"classify", "rules", "cause"},
    "jobfile": {"parse", "sweep", "durations"},
    "lifecycle": {
        "model", "events", "transitions", "effects", "retry", "names", "codec", "invariants",
    },
    "messages": set(),
    "metrics": set(),
    "port_values": set(),
    "ports": set(),
    "redact": set(),
    "scheduling": {"plan", "room", "explain", "pools", "fairness", "groups", "limits"},
    "ticks": {"submit", "launch", "monitor", "notify", "reap"},
}  # fmt: skip
LINES_MAX, FUNCTION_LINES_MAX, NAMES_MAX, LIFE_CYCLE_CODE_MAX = 500, 60, 50, 1700
EVERYWHERE = [
    path
    for place in ("src", "simulations", "proof", "benchmarks")
    for path in sorted((ROOT / place).rglob("*.py"))
]


def module_of(path: Path) -> str:
    parts = ("jobcore", *path.relative_to(CORE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def code_lines(path: Path) -> int:
    """Count lines that hold code: neither blank, nor a comment, nor a docstring."""
    source = path.read_text(encoding="utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            documented |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    skipped = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    }  # fmt: skip
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            used |= set(range(token.start[0], token.end[0] + 1))
    return len(used - documented)


def test_the_core_has_these_rooms():
    found = {path.stem for path in CORE.glob("*.py")} - {"__init__"}
    found |= {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert found == set(ROOMS)
    for room, modules in ROOMS.items():
        assert modules <= {path.stem for path in (CORE / room).glob("*.py")}, room


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_is_meant_to_be_read(path):
    assert path.stem == "__init__" or not path.stem.startswith("_")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_says_what_it_offers(path):
    """`__all__` is sorted, true, and no name of another module that is private is imported."""
    module = import_module(module_of(path))
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            assert not [alias.name for alias in node.names if alias.name.startswith("_")], path


@pytest.mark.parametrize("room", [name for name, modules in ROOMS.items() if modules])
def test_a_rooms_door_offers_names_of_its_own_modules(room):
    door = import_module(f"jobcore.{room}")
    inside = {path.stem for path in (CORE / room).glob("*.py")} - {"__init__"}
    # Adapters that use the codec need these three of the documents below it.
    offered = {"Json", "from_micros", "to_micros"} if room == "lifecycle" else set()
    for name in inside:
        offered |= set(import_module(f"jobcore.{room}.{name}").__all__)
    assert set(door.__all__) <= offered


def test_the_front_door_is_small_and_documented():
    assert 40 <= len(jobcore.__all__) <= NAMES_MAX
    assert list(jobcore.__all__) == sorted(jobcore.__all__)
    for name in jobcore.__all__:
        assert getattr(jobcore, name).__doc__, name


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_and_no_function_is_long(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= LINES_MAX
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


def test_the_life_cycle_is_small():
    assert sum(map(code_lines, (CORE / "lifecycle").glob("*.py"))) < LIFE_CYCLE_CODE_MAX


#: Modules whose tests are not at their own path, and where they are.
TESTED_ELSEWHERE = {
    "documents": "lifecycle/test_codec.py: the records that are written with them",
    "jobfile.fields": "jobfile/test_parse.py: the job files that are read with them",
    "lifecycle.events": "lifecycle/test_transitions.py: each event in each state",
    "lifecycle.handlers": "lifecycle/test_transitions.py: they are the cells of the table",
    "lifecycle.records": "lifecycle/test_codec_properties.py: plain values, written and read again",
    "port_values": "lifecycle/test_properties_model.py: plain values, with those of jobs",
    "ports": "conformance: protocols, and a suite for each",
}


@pytest.mark.parametrize("path", [p for p in FILES if p.stem != "__init__"], ids=module_of)
def test_a_module_is_tested_at_its_own_path(path):
    """tests/<room>/test_<module>*.py, or tests/test_<module>*.py for a room that is one module."""
    module = path.relative_to(CORE).with_suffix("")
    name = ".".join(module.parts)
    folder = ROOT / "tests" / module.parent
    own = [f for f in folder.glob(f"test_{module.stem}*.py") if "\ndef test_" in f.read_text()]
    if name in TESTED_ELSEWHERE:
        assert not own, "it has tests of its own now"
        assert (ROOT / "tests" / TESTED_ELSEWHERE[name].partition(":")[0]).exists()
    else:
        assert own, f"no {folder.relative_to(ROOT)}/test_{module.stem}*.py"
