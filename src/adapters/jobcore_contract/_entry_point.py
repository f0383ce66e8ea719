"""The command of an entry point: a Python script, a Python package, or an executable.

After ``process.py``, ``entry_point.py`` and ``_entry_point_type.py`` of ``sagemaker-training``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from ._errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._+-]*(/[A-Za-z0-9._+-]+)*")


def check_entry_point(script: str) -> None:
    """
    Check the name of an entry point by the toolkit's rule.

    Raises:
        BadInput: the toolkit would refuse it.
    """
    parts = script.split("/")
    if not _NAME.fullmatch(script) or "." in parts or ".." in parts:
        message = (
            f"{script!r} is not a path inside source_dir of letters, digits and . _ + - / "
            "that starts with none of + - /; SageMaker's training toolkit starts no other"
        )
        raise BadInput(field="script", message=message)


def is_package(code: str, script: str) -> bool:
    """Check whether the toolkit starts *script* as a module of the package in the folder *code*."""
    return not script.endswith(".sh") and os.path.exists(os.path.join(code, "setup.py"))


def is_executable(code: str, script: str) -> bool:
    """Check whether the toolkit starts *script* by itself, and makes it executable before."""
    return not script.endswith(".py") and not is_package(code, script)


def command_of(code: str, script: str, arguments: Sequence[str], python: str) -> list[str]:
    """
    Write the command that starts an entry point in the folder *code*.

    Raises:
        BadInput: the toolkit could not start it.
    """
    check_entry_point(script)
    if is_package(code, script):
        return [python, "-m", _module(script), *arguments]
    if script.endswith(".py"):
        return [python, "--", script, *arguments]
    _check_inside(code, script)
    # The shell runs a script without a first line of "#!" itself.
    return ["/bin/sh", "-c", f"./{shlex.join([script, *arguments])}"]


def _module(script: str) -> str:
    module = script.removesuffix(".py")
    if "/" in module:
        message = (
            f"{script!r} is in a subfolder of a package: because source_dir has a setup.py, "
            f"SageMaker's training toolkit starts `python -m {module}`, which is no module; set "
            "source_dir to the script's folder, or name a module of the package"
        )
        raise BadInput(field="script", message=message)
    return module


def _check_inside(code: str, script: str) -> None:
    folder = os.path.realpath(code)
    target = os.path.realpath(os.path.join(folder, script))
    if os.path.commonpath([folder, target]) != folder:
        raise BadInput(
            field="script", message=f"{script!r} is a link to a place outside source_dir"
        )
