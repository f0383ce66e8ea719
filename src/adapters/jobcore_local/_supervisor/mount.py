"""Whether a script needs a folder on /opt/ml, and the command that mounts it there, or names of hosts (`opt_ml`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from . import OPT_ML_SCRIPT
from .processes import IS_LINUX

_FILE_BYTES_MAX = 1_000_000  # of a file that are searched for /opt/ml
_NOT_RUN = (".md", ".rst", ".ipynb")  # they may tell of /opt/ml, and no script reads them


def with_opt_ml(
    argv: Sequence[str], environment: Mapping[str, str], *, code: str, folder: str, note: str
) -> list[str] | None:
    """
    Return the command that runs *argv* where a folder is mounted on /opt/ml.

    None: neither the command, nor its environment, nor a file of the code mentions /opt/ml; or the
    system has no mount namespaces.

    Args:
        code: the folder of the code.
        folder: what is mounted.
        note: the file for the reason why the mount failed; the command runs without it then.
    """
    values = [*argv, *environment.values()]
    files = (os.path.join(above, name) for above, _, names in os.walk(code) for name in names)
    if not IS_LINUX or not (has_opt_ml(values) or any(map(is_code_with_opt_ml, files))):
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


def has_opt_ml(values: Sequence[str]) -> bool:
    """Check whether one of the texts names /opt/ml."""
    return any("/opt/ml" in value for value in values)


def is_code_with_opt_ml(path: str, content: bytes | None = None) -> bool:
    """
    Check whether a file of the code names /opt/ml, or the variable of the folder that stands for it.

    Args:
        content: the beginning of the file; None: it is read.
    """
    if path.lower().endswith(_NOT_RUN):
        return False
    if content is None:
        if not os.path.isfile(path):  # a module; or a pipe, which would be waited for
            return False
        try:
            with open(path, "rb") as file:
                content = file.read(_FILE_BYTES_MAX)
        except OSError:  # its interpreter cannot read it either
            return False
    return b"/opt/ml" in content or b"SAGEMAKER_BASE_DIR" in content
