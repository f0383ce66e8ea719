"""Interpreters: the submitter's own, its environment, and whether a script compiles under it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from jobcore.redact import redact

__all__ = [
    "Interpreter", "compile_problem", "find_python", "python_environment", "python_problem",
    "with_layer",
]  # fmt: skip

#: A script of 10,000 lines takes 0.3 s; an interpreter on a slow network drive takes seconds to start.
COMPILE_SECONDS_MAX = 10.0
_OUTPUT_BYTES_MAX = 65_536

# Files in the root of an environment that holds one tool only; see the sources of pipx and uv.
_OF_TOOLS = ("pipx_metadata.json", "uv-receipt.toml")

# Python 2 and 3. Isolated and without `site`, so that no code of the user's runs.
_COMPILE = """
import json, sys
path = sys.argv[1]
found = None
try:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec", 0, True)
except SyntaxError as e:
    found = {"line": e.lineno, "text": e.text, "message": e.msg}
except ValueError as e:
    found = {"line": None, "text": None, "message": str(e)}
print(json.dumps({"problem": found}))
"""


class Interpreter(NamedTuple):
    """An interpreter and where it comes from, in words."""

    path: str
    origin: str


def find_python(
    named: str | None,
    base: str,
    environ: Mapping[str, str],
    *,
    prefix: str = sys.prefix,
    executable: str = sys.executable,
) -> Interpreter:
    """
    Find the interpreter that a script runs under, in the shell of its submitter.

    Named: a path (relative to *base*, ``~`` expanded), the folder of an environment, or a command of
    the PATH. A command that is not found is returned as it is named.

    Not named: that of the active environment. Without one, the Python that runs this code, because
    that is an environment of the user's, too; but if it is one that pipx or ``uv tool`` made for
    jobcore alone, ``python3`` or ``python`` of the PATH.

    Links are not resolved: the link ``bin/python`` is what makes an environment of a folder.

    Args:
        prefix, executable: of the Python that runs this code.
    """
    if named:
        return Interpreter(_named(named, base, environ), "the job file")
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if (folder := environ.get(variable)) and (path := _in_folder(folder)):
            return Interpreter(path, f"the active environment, {variable}")
    if any(os.path.exists(os.path.join(prefix, name)) for name in _OF_TOOLS):
        for command in ("python3", "python"):
            if path := shutil.which(command, path=environ.get("PATH", os.defpath)):
                return Interpreter(_behind_shim(os.path.abspath(path), environ), "your PATH")
    return Interpreter(executable, "the one that runs jobcore")


def _named(named: str, base: str, environ: Mapping[str, str]) -> str:
    if "/" not in named and not named.startswith("~"):
        found = shutil.which(named, path=environ.get("PATH", os.defpath))
        if found:
            return _behind_shim(os.path.abspath(found), environ)
        if not os.path.isdir(os.path.join(base, named)):
            return named
    path = os.path.join(base, os.path.expanduser(named))
    return _in_folder(path) or path


def _in_folder(folder: str) -> str | None:
    """Return the interpreter of an environment's folder; None if there is none."""
    path = os.path.join(os.path.abspath(folder), "bin", "python")
    return path if os.path.isfile(path) and os.access(path, os.X_OK) else None


def _behind_shim(path: str, environ: Mapping[str, str]) -> str:
    """
    Return the interpreter that a shell script such as pyenv's shim starts.

    A shim chooses a version by the working directory, which is another one when the job runs.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"#!":
                return path
        program = "import sys; print(sys.executable)"
        answer = _output([path, "-I", "-S", "-c", program], environ, cwd=os.getcwd())
    except OSError:
        return path
    found = os.fsdecode(answer).strip()
    return found if os.path.isabs(found) and os.access(found, os.X_OK) else path


def python_environment(python: object, inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return *inherited* as a shell has it in which the interpreter's environment is active.

    So a shell script, or a ``python`` that a script starts, gets the same packages. The environment
    of the manager is left out. An interpreter that belongs to no environment changes nothing else.
    """
    environment = dict(inherited)
    if not isinstance(python, str) or not os.path.isabs(python):
        return environment
    folder = os.path.dirname(python)
    prefix = os.path.dirname(folder)
    own = {
        variable: prefix
        for variable, mark in (("VIRTUAL_ENV", "pyvenv.cfg"), ("CONDA_PREFIX", "conda-meta"))
        if os.path.exists(os.path.join(prefix, mark))
    }
    foreign = [environment.pop(name, "") for name in ("VIRTUAL_ENV", "CONDA_PREFIX")]
    left_out = {os.path.join(root, "bin") for root in foreign if root}
    path = [p for p in environment.get("PATH", os.defpath).split(os.pathsep) if p not in left_out]
    environment["PATH"] = os.pathsep.join([folder, *path] if own else path)
    return environment | own


def with_layer(folder: str, environment: dict[str, str]) -> dict[str, str]:
    """
    Return *environment* as it is when another environment, which lies on top, is active as well.

    Its commands come first. Those of the base stay: they may be programs that are no packages.
    """
    path = f"{os.path.join(folder, 'bin')}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path, "VIRTUAL_ENV": folder}


def python_problem(python: str) -> str | None:
    """Return why *python* is no interpreter that can be started; None if it is one."""
    if "/" not in python:
        if shutil.which(python):
            return None
        return f"there is no command {python!r} on the PATH; name one that is there, or a path"
    hint = "name another, or leave it out for the environment that is active at submit"
    if not os.path.exists(python):
        what = "is a broken link" if os.path.islink(python) else "does not exist"
        return f"{python} {what}; {hint}"
    if not os.path.isfile(python) or not os.access(python, os.X_OK):
        return f"{python} is not an executable file; {hint}"
    return None


def compile_problem(python: str, script: str, environment: Mapping[str, str]) -> str | None:
    """
    Return why a script does not compile under *python*, with line and text; None if it does.

    The script is not run. It counts as correct if the interpreter does not answer in
    `COMPILE_SECONDS_MAX`, or not as Python does.

    Raises:
        OSError: the interpreter cannot be started.
    """
    command = [python, "-I", "-S", "-W", "ignore", "-c", _COMPILE, script]
    answer = _output(command, environment, cwd="/")
    try:
        problem = json.loads(answer.splitlines()[-1])["problem"]
    except (ValueError, LookupError, TypeError):
        return None
    if not isinstance(problem, dict):
        return None
    line = f"line {problem['line']}: " if problem.get("line") else ""
    text = " ".join(str(problem.get("text") or "").split())
    shown = f": {redact(text)[:80]}" if text else ""
    return f"does not compile under {python}: {line}{problem.get('message')}{shown}"


def _output(command: list[str], environment: Mapping[str, str], *, cwd: str) -> bytes:
    """
    Run a command; return what it prints in `COMPILE_SECONDS_MAX`, at most `_OUTPUT_BYTES_MAX`.

    Its processes are killed then: a wrapper may have started others, which hold the pipe open.

    Raises:
        OSError: it cannot be started.
    """
    deadline = time.monotonic() + COMPILE_SECONDS_MAX
    output = b""
    with subprocess.Popen(
        command,
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        try:
            while len(output) < _OUTPUT_BYTES_MAX:
                left = max(0.0, deadline - time.monotonic())
                ready, _, _ = select.select([pipe], [], [], left)
                chunk = os.read(pipe, _OUTPUT_BYTES_MAX) if ready else b""
                if not chunk:
                    break
                output += chunk
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return output
