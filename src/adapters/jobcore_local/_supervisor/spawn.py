"""Start the process of a script."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from .processes import IS_LINUX

_SHELL_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def spawn_script(argv: list[str], environment: Mapping[str, str], log: int) -> int:
    """
    Start a script in the working directory and in a session of its own; return its pid.

    Args:
        argv: the command.
        environment: all of it.
        log: descriptor of the file for standard output and error.

    Raises:
        OSError: the command cannot be run.
        ValueError: an argument or a variable has a NUL, or cannot be encoded.
    """
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    session: dict[str, Any] = {"setsid": True} if IS_LINUX else {"setpgroup": 0}
    try:
        for command, variables in _ways(argv, environment):
            try:
                # posix_spawn is several times cheaper than Popen and than a fork of this interpreter.
                return os.posix_spawnp(
                    command[0],
                    command,
                    variables,
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, nothing, 0),
                        (os.POSIX_SPAWN_DUP2, log, 1),
                        (os.POSIX_SPAWN_DUP2, log, 2),
                    ],
                    # Python ignores these two; a script expects their default.
                    setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                    **session,
                )
            except OSError:
                if command is argv:
                    raise
        raise AssertionError  # the last way is the command itself
    finally:
        os.close(nothing)


def _ways(
    argv: list[str], environment: Mapping[str, str]
) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """
    List the ways to start a command: an executable without its shell first, which is 1 ms cheaper.

    The shell does two things that its script can see: it sets PWD, and does not pass on variables
    with a name such as SM_HP_LEARNING-RATE. The kernel refuses a script without a first line of
    "#!", or one whose interpreter does not exist; then the shell runs it, or says what is wrong.
    """
    if argv[:2] == ["/bin/sh", "-c"]:
        for_shell = {k: v for k, v in environment.items() if _SHELL_VARIABLE.fullmatch(k)}
        yield shlex.split(argv[2]), {**for_shell, "PWD": os.getcwd()}
    yield argv, environment
