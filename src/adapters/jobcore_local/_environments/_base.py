"""The interpreter below an environment: its version, its packages, and programs that ask it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jobcore_contract import BadInput

__all__ = ["Base", "look_at", "run_program"]

_SECONDS_MAX = 60.0  # for an interpreter with thousands of packages on a slow network drive
_PYTHON_MIN = (3, 8)  # importlib.metadata
_PACKAGES = (".dist-info", ".egg-info", ".egg-link", ".egg", ".pth")

# Python 2, too, so that its version can be told. Folders in the order of sys.path.
_LOOK = """
import json, os, site, sys
sites = []
if getattr(site, "ENABLE_USER_SITE", None):
    sites.append(site.getusersitepackages())
if hasattr(site, "getsitepackages"):
    sites += site.getsitepackages()
sites = [p for p in sys.path if p in sites] + [p for p in sites if p not in sys.path]
print(json.dumps({
    "executable": sys.executable, "version": sys.version, "number": list(sys.version_info[:2]),
    "sites": [p for p in sites if os.path.isdir(p)],
}))
"""


class Base(NamedTuple):
    """
    An interpreter whose packages an environment builds on.

    Attributes:
        sites: its folders of packages, the first found first.
    """

    executable: str
    version: str
    sites: Sequence[str]

    def packages(self) -> list[str]:
        """List its packages and their versions by the names of their records."""
        found: list[str] = []
        for site in self.sites:
            with contextlib.suppress(OSError):
                found += sorted(name for name in os.listdir(site) if name.endswith(_PACKAGES))
        return found


def look_at(python: str, inherited: Mapping[str, str]) -> Base:
    """
    Ask an interpreter for its version and its folders of packages.

    Raises:
        BadInput: it cannot be started, or is too old.
    """
    found = run_program(python, _LOOK, inherited)
    if tuple(found["number"]) < _PYTHON_MIN:
        number = ".".join(map(str, found["number"]))
        message = (
            f"{python} is Python {number}, and installing it needs 3.8 or newer; install the "
            "packages into that environment yourself and remove the file, or name another python"
        )
        raise BadInput(field="requirements.txt", message=message)
    return Base(found["executable"] or python, found["version"], found["sites"])


def run_program(python: str, program: str, inherited: Mapping[str, str], *words: str) -> Any:
    """
    Run a program under an interpreter, with its packages; return the JSON that it prints last.

    Raises:
        BadInput: the interpreter cannot be started, or prints something else.
    """
    try:
        done = subprocess.run(
            [python, "-c", program, *words],
            env=dict(inherited),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS_MAX,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except OSError as error:
        why: object = error.strerror
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode("utf-8", "replace").strip().splitlines()
        why = last[-1][:300] if last else f"it ended with {error.returncode}"
    except (subprocess.TimeoutExpired, ValueError, LookupError) as error:
        why = str(error)[:300]
    raise BadInput(field="python", message=f"{python} cannot be run: {why}")
