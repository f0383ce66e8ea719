"""What `import jobcore` loads: the standard library only, and none of its heavy parts."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import jobcore

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(jobcore.__file__).parent
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))
# What a pure module may use; a clock or chance inside them is banned by the linter.
PURE = {
    "__future__", "collections", "dataclasses", "datetime", "enum", "fnmatch", "functools",
    "hashlib", "heapq", "importlib", "itertools", "json", "math", "operator", "re", "types", "typing",
}  # fmt: skip


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


@pytest.mark.parametrize("module", MODULES)
def test_the_core_imports_pure_modules_only(module):
    source = (PACKAGE / module).read_text(encoding="utf-8")
    assert imports_of(source) <= PURE | {"jobcore"}


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


def test_the_project_requires_nothing_without_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == []


def test_the_installed_package_requires_nothing_without_an_extra():
    try:
        requires = metadata.requires("jobcore-scheduler") or []
    except metadata.PackageNotFoundError:
        pytest.skip("jobcore-scheduler is not installed here")
    assert [line for line in requires if "extra ==" not in line] == []
