"""Whether a script needs a folder on /opt/ml, and the command that mounts it there (`opt_ml`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from . import OPT_ML_SCRIPT
from .processes import IS_LINUX

_SCRIPT_BYTES_MAX = 1_000_000  # of a script that are searched for /opt/ml


def with_opt_ml(
    argv: Sequence[str], environment: Mapping[str, str], *, script: str, folder: str, note: str
) -> list[str] | None:
    """
    Return the command that runs *argv* where a folder is mounted on /opt/ml.

    None: neither the command, nor its environment, nor the script itself mentions /opt/ml; or the
    system has no mount namespaces.

    Args:
        script: the path of the script's file.
        folder: what is mounted.
        note: the file for the reason why the mount failed; the command runs without it then.
    """
    if not IS_LINUX or not _mentions_opt_ml([*argv, *environment.values()], script):
        return None
    return [sys.executable, "-I", "-S", OPT_ML_SCRIPT, folder, note, *argv]


def _mentions_opt_ml(values: Sequence[str], script: str) -> bool:
    if any("/opt/ml" in value for value in values):
        return True
    try:
        with open(script, "rb") as file:
            return b"/opt/ml" in file.read(_SCRIPT_BYTES_MAX)
    except OSError:  # a module, or a script that its interpreter cannot read either
        return False
