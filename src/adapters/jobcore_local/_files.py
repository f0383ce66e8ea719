"""The checks of a job's files on this machine: its folder, script, interpreter and channels."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from jobcore.errors import Problem
from jobcore_contract import BadInput, check_code, check_entry_point, is_package

from ._contract import inherited_environment
from ._python import compile_problem, python_problem

__all__ = ["file_problems"]


def file_problems(args: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what a job names and this machine does not have, or cannot run."""
    yield from _channel_problems(args.get("channels"))
    source = os.path.expanduser(str(args.get("source_dir", ".")))
    if not os.path.isdir(source):
        yield Problem("source_dir", f"{source} is not a folder on this machine")
        return
    yield from _script_problems(os.path.abspath(source), str(args["script"]), args)


def _script_problems(source: str, script: str, args: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        check_entry_point(script)
        check_code(source, script)
    except BadInput as error:
        yield Problem(error.field, error.message)
        return
    path = os.path.join(source, script)
    is_module = is_package(source, script) and not script.endswith(".py")
    if not is_module and not os.path.isfile(path):
        yield Problem("script", f"{path} does not exist")
        return
    python = str(args.get("python") or sys.executable)
    if message := python_problem(python):
        yield Problem("python", message)
    elif script.endswith(".py"):
        yield from _compile_problems(python, path)
    if not is_module and not script.endswith(".py") and (message := _exec_problem(path)):
        yield Problem("script", message)


def _channel_problems(channels: object) -> Iterator[Problem]:
    for name, where in (channels if isinstance(channels, dict) else {}).items():
        path = os.path.expanduser(str(where).removeprefix("file://"))
        if "://" in path:
            message = f"{where}: a training on this machine reads folders only; copy it, and name the folder"
            yield Problem(f"channels.{name}", message)
        elif not os.path.exists(path):
            yield Problem(f"channels.{name}", f"{path} does not exist on this machine")


def _compile_problems(python: str, script: str) -> Iterator[Problem]:
    try:
        message = compile_problem(python, script, inherited_environment())
    except OSError as error:
        yield Problem("python", f"{python} cannot be run: {error.strerror}")
        return
    if message:
        yield Problem("script", f"{script} {message}")


def _exec_problem(script: str) -> str | None:
    """
    Return why the system cannot execute a script; None if it can.

    It is made executable when it is started, and the shell runs one without a first line of "#!".
    """
    try:
        with open(script, "rb") as file:
            head = file.read(512)
    except OSError:  # a program may be executable and not readable
        return None
    if not head.startswith(b"#!"):
        return None
    words = os.fsdecode(head[2:].partition(b"\n")[0]).split()
    if not words:
        return f"{script}: its first line names no interpreter"
    named = words[0]
    if os.path.basename(named) == "env":
        commands = (word for word in words[1:] if not word.startswith("-") and "=" not in word)
        named = next(commands, named)
    if ("/" in named and os.path.exists(named)) or ("/" not in named and shutil.which(named)):
        return None
    return f"{script}: its first line names {named}, which does not exist on this machine"
