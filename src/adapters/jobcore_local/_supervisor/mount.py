"""Whether a script needs a folder on /opt/ml, and the command that mounts it there, or names of hosts (`opt_ml`)."""

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
    if not mentions_opt_ml([*argv, *environment.values()], script):
        return None
    return with_mounts(argv, folder=folder, note=note)


def with_mounts(argv: Sequence[str], *, folder: str, note: str, names: str = "") -> list[str]:
    """
    Return the command that runs *argv* where a folder is mounted on /opt/ml, or a file on /etc/hosts.

    Args:
        folder, names: what is mounted; "" for neither.
        note: see `with_opt_ml`.
    """
    return [sys.executable, "-I", "-S", OPT_ML_SCRIPT, folder, names, note, *argv]


def mentions_opt_ml(values: Sequence[str], script: str) -> bool:
    """Check whether a command or its script has /opt/ml in it; False where it cannot be mounted."""
    if not IS_LINUX:
        return False
    if any("/opt/ml" in value for value in values):
        return True
    try:
        with open(script, "rb") as file:
            return b"/opt/ml" in file.read(_SCRIPT_BYTES_MAX)
    except OSError:  # a module, or a script that its interpreter cannot read either
        return False
