"""The fork server starts by itself: with the standard library, and without the rest of jobcore."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import jobcore_local
from jobcore_local import _supervisor

FOLDER = Path(jobcore_local.__file__).parent
MODULES = """
import sys
sys.path += sys.argv[1:]
import _supervisor.server
print(*sys.modules, sep="\\n")
"""


def isolated(*words: str, **options: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", *words], text=True, cwd="/", env={}, **options
    )


def test_the_fork_server_imports_the_standard_library_and_two_packages() -> None:
    process = isolated("-c", MODULES, str(FOLDER), str(FOLDER.parent), stdout=subprocess.PIPE)
    names = {name.partition(".")[0] for name in process.communicate()[0].split()}
    assert process.returncode == 0
    assert names - {"_supervisor", "jobcore_code", "__main__"} <= sys.stdlib_module_names
    assert "_supervisor" in names


def test_no_module_beside_the_package_hides_one_of_the_standard_library() -> None:
    """The folder is on the path of the fork server."""
    beside = {path.stem for path in FOLDER.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not (beside - {"__init__", "__pycache__"}) & sys.stdlib_module_names


def test_the_fork_server_ends_when_its_manager_is_gone() -> None:
    ours, theirs = socket.socketpair()
    process = isolated(
        _supervisor.START_SCRIPT,
        str(theirs.fileno()),
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
    )
    theirs.close()
    ours.close()
    assert process.communicate(timeout=60) == (None, "")
    assert process.returncode == 0
    assert os.path.isabs(_supervisor.START_SCRIPT)
