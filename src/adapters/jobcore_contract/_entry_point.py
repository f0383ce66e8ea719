"""The command of an entry point: a Python script, a Python package, or an executable.

After ``process.py``, ``entry_point.py`` and ``_entry_point_type.py`` of ``sagemaker-training``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Container, Sequence

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


def installs_requirements(script: str, names: Container[str]) -> bool:
    """
    Check whether the toolkit installs ``requirements.txt`` before it starts *script*.

    It does so for Python scripts and packages, and not for shell scripts and other programs.

    Args:
        names: the files in the folder of the code.
    """
    if "requirements.txt" not in names or script.endswith(".sh"):
        return False
    return script.endswith(".py") or "setup.py" in names


def check_code(code: str, script: str) -> None:
    """
    Check an entry point against the folder of its code.

    Raises:
        BadInput: the toolkit could not start it.
    """
    if is_package(code, script):
        module = module_of(script)
        if "/" in module:
            parts = module.split("/")
            named = "name a module of the package"
            if all(part.isidentifier() for part in parts):
                named = f'name it as a module, script = "{".".join(parts)}"'
            message = (
                f"{script!r} is in a subfolder of a package: because source_dir has a setup.py, "
                f"SageMaker's training toolkit starts `python -m {module}`, which is no module; "
                f"{named}, or set source_dir to the script's folder"
            )
            raise BadInput(field="script", message=message)
        return
    folder = os.path.realpath(code)
    target = os.path.realpath(os.path.join(folder, script))
    if not script.endswith(".py") and os.path.commonpath([folder, target]) != folder:
        message = f"{script!r} is a link to a place outside source_dir"
        raise BadInput(field="script", message=message)


def module_of(script: str) -> str:
    """Return the name that the toolkit makes of a script to start it as a module."""
    return script.removesuffix(".py")


def command_of(script: str, arguments: Sequence[str], python: str, *, package: bool) -> list[str]:
    """Write the command that starts an entry point in the folder of its code."""
    if package and not script.endswith(".sh"):
        return [python, "-m", module_of(script), *arguments]
    if script.endswith(".py"):
        return [python, "--", script, *arguments]
    # The shell runs a script without a first line of "#!" itself.
    return ["/bin/sh", "-c", f"./{shlex.join([script, *arguments])}"]
