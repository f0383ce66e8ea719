"""What the tests of the documentation share: the scripts of docs/, and the pages as text."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def load(name: str) -> ModuleType:
    """Import a script of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def pages() -> dict[str, str]:
    """Read the pages that people write: all of docs/ but the generated API, and the files beside it."""
    files = [*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
    written = (file for file in files if "api" not in file.relative_to(ROOT).parts)
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in sorted(written)}


def exists(name: str) -> bool:
    """Tell whether a dotted name leads to something: modules first, then attributes."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False
