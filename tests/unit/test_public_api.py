"""What `import jobcore` offers, and what it costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

import jobcore

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(jobcore.__file__).parent
MODULES = sorted(path.stem for path in PACKAGE.glob("_*.py") if path.stem != "__init__")
# What a pure module may use; a clock or chance inside them is banned by the linter.
PURE = {
    "__future__", "collections", "dataclasses", "datetime", "enum", "fnmatch", "functools",
    "hashlib", "heapq", "importlib", "itertools", "json", "math", "operator", "re", "types", "typing",
}  # fmt: skip


def test_all_is_sorted_and_is_what_the_modules_say():
    assert list(jobcore.__all__) == sorted(jobcore.__all__)
    said = {
        name
        for module in MODULES
        for name in getattr(import_module(f"jobcore.{module}"), "__all__", ())
    }
    assert set(jobcore.__all__) == said
    assert set(dir(jobcore)) >= said


@pytest.mark.parametrize("name", jobcore.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(jobcore, name)
    if isinstance(value, type) or callable(value):
        assert value.__doc__


def test_a_name_that_is_not_there_says_so():
    with pytest.raises(AttributeError, match="no attribute 'Jbo'"):
        jobcore.Jbo  # noqa: B018


def test_star_import_gives_the_public_names():
    namespace: dict = {}
    exec("from jobcore import *", namespace)  # noqa: S102
    assert set(namespace) >= set(jobcore.__all__)


def imports_of(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("module", [*MODULES, "__init__"])
def test_the_core_imports_pure_modules_only(module):
    source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert imports_of(source) <= PURE


def test_the_import_check_can_fail():
    assert not imports_of("def f():\n    from os.path import join") <= PURE


def loaded_by(code: str) -> set[str]:
    """Run *code* in an interpreter without site-packages; give the modules that it added."""
    script = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); before = set(sys.modules)\n"
        f"{code}\nimport json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return set(json.loads(done.stdout))


def test_all_of_the_core_loads_the_standard_library_only():
    loaded = loaded_by("import jobcore\nfor name in jobcore.__all__: getattr(jobcore, name)")
    tops = {name.split(".")[0] for name in loaded}
    assert "jobcore" in tops
    assert tops - {"jobcore"} <= set(sys.stdlib_module_names)
    heavy = {"asyncio", "logging", "sqlite3", "socket", "subprocess", "threading", "uuid", "random"}
    assert not tops & heavy


def test_import_jobcore_alone_loads_none_of_its_modules():
    assert {name for name in loaded_by("import jobcore") if name.startswith("jobcore.")} == set()


def test_the_project_requires_nothing_without_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == []


def test_the_installed_package_requires_nothing_without_an_extra():
    try:
        requires = metadata.requires("jobcore-scheduler") or []
    except metadata.PackageNotFoundError:
        pytest.skip("jobcore-scheduler is not installed here")
    assert [line for line in requires if "extra ==" not in line] == []
