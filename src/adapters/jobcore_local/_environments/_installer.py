"""uv or pip: found, run, and what went wrong in words."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jobcore.redact import redact
from jobcore_contract import BadInput

from ._layers import python_of

__all__ = ["InstallError", "Installer", "find_installer", "install"]

_ANSWER_SECONDS_MAX = 60.0  # of `--version`, and of ensurepip
_LINES_KEPT, _LINES_SHOWN = 200, 12
_SAID_CHARS_MAX = 400

# These decide into which environment is installed; all other settings are the user's.
_NOT_PASSED_ON = frozenset(
    {
        "PIP_DRY_RUN", "PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET", "PIP_USER",
        "UV_PYTHON", "UV_SYSTEM_PYTHON", "CONDA_PREFIX", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH",
        "PYTHONSTARTUP", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__",
    }
)  # fmt: skip

# uv reads none of pip's settings, nor pip any of uv's. A private index that is set for one of them
# only would be missed by the other, which would look for the package on the public one.
_PIP_SETTINGS = (
    "INDEX_URL",
    "EXTRA_INDEX_URL",
    "NO_INDEX",
    "FIND_LINKS",
    "CONSTRAINT",
    "CONFIG_FILE",
)
_UV_SETTINGS = (
    "DEFAULT_INDEX", "INDEX", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "CONSTRAINT",
    "CONFIG_FILE",
)  # fmt: skip
_IN_PIP_CONF = re.compile(
    r"^\s*(?:index-url|extra-index-url|no-index|find-links|constraint)\s*=", re.MULTILINE
)

_OFFLINE = (
    "the package index cannot be reached; connect to the network, or set PIP_INDEX_URL "
    "(for uv UV_DEFAULT_INDEX) to one that can be reached; or install the packages into your own "
    "environment; or put wheels into a folder (pip download -r requirements.txt -d DIR), and set "
    "PIP_NO_INDEX=1 and PIP_FIND_LINKS=DIR (for uv UV_OFFLINE=1 and UV_FIND_LINKS=DIR)"
)
#: A cause in words, and texts of pip 20 to 25 and uv 0.1 to 0.13 for it; the first found decides.
_CAUSES = {
    "the disk is full; free some space": "No space left on device|Disk quota exceeded|os error 28",
    _OFFLINE: (
        "NewConnectionError|Failed to establish a new connection|NameResolutionError"
        "|ConnectTimeout|ConnectionRefused|ReadTimeout|Max retries exceeded|ProxyError"
        "|Network is unreachable|[Nn]ame resolution|dns error|error sending request|tunnel error"
        r"|client error \(Connect\)|Network connectivity is disabled|network was disabled"
    ),
    (
        "the package index refuses the credentials; correct them in its URL, ~/.netrc or the keyring"
    ): "401 Client Error|403 Client Error|401 Unauthorized|403 Forbidden|User for .*:",
    (
        "a package has not the hash that the file names; correct the hash if the package is the right one"
    ): "DO NOT MATCH THE HASHES|[Hh]ash mismatch|Hashes are required",
    "the packages exclude each other; loosen a version": (
        "ResolutionImpossible|conflicting dependencies|requirements are unsatisfiable.*depends on"
    ),
    (
        "a package, or this version of it, does not exist for this Python and system; correct the line"
    ): "No matching distribution|was not found in|no versions? of|[Nn]o .*wheels? .*matching",
    "the versions that it asks for cannot be had together; loosen one": "No solution found",
    "it cannot be read; correct the line": (
        "Invalid requirement|[Cc]ouldn't parse requirement|Could not open requirements file"
        "|InvalidRequirement|File not found|No such file|the start of a requirement"
    ),
    (
        "a package has to be built from its source, which fails; choose a version that has a wheel, "
        "or install what it needs"
    ): "[Ff]ailed building wheel|Failed to build|metadata-generation-failed|subprocess-exited",
}
_TELLING = re.compile(r"\s*(?:ERROR:|error:|\u00d7)")


class InstallError(BadInput):
    """
    An installation that failed.

    Attributes:
        lines: the last lines that the installer printed, without secrets.
    """

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        """Store the lines; the field is requirements.txt."""
        super().__init__(field="requirements.txt", message=message)
        self.lines = lines


class Installer(NamedTuple):
    """The beginning of the command, and its name."""

    name: str
    command: Sequence[str]


def find_installer(folder: str, environ: Mapping[str, str]) -> Installer:
    """
    Find what installs into an environment: uv of the PATH, or pip of its interpreter or its base.

    It is pip although there is uv if only pip is set to an index of its own.

    Raises:
        InstallError: there is neither, and Python cannot install pip.
    """
    environment = _environment(environ)
    python = python_of(folder)
    uv = shutil.which("uv", path=environ.get("PATH", os.defpath))
    if uv and not _answers([uv, "--version"], environment):
        uv = None
    if uv and (_uv_is_set(environ) or not _pip_is_set(folder, environ)):
        return Installer("uv", [uv, "pip", "install", "--python", python])
    pip = [python, "-m", "pip"]
    if not _answers([*pip, "--version"], environment):
        _answers([python, "-m", "ensurepip"], environment)
        if not _answers([*pip, "--version"], environment):
            message = (
                "cannot be installed: "
                "there is no uv on the PATH, and the interpreter has neither pip nor ensurepip; "
                "install one of them (on Debian and Ubuntu: python3-venv)"
            )
            raise InstallError(message)
    options = ["--no-input", "--no-user", "--disable-pip-version-check", "--progress-bar", "off"]
    return Installer("pip", [*pip, "install", *options])


def _config_folder(environ: Mapping[str, str]) -> str:
    return environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")


def _uv_is_set(environ: Mapping[str, str]) -> bool:
    """Check whether the user has set an index for uv."""
    files = (f"{_config_folder(environ)}/uv/uv.toml", "/etc/uv/uv.toml")
    return any(environ.get(f"UV_{name}") for name in _UV_SETTINGS) or any(
        map(os.path.exists, files)
    )


def _pip_is_set(folder: str, environ: Mapping[str, str]) -> bool:
    """Check whether the user has set an index for pip (https://pip.pypa.io/en/stable/topics/configuration/)."""
    if any(environ.get(f"PIP_{name}") for name in _PIP_SETTINGS):
        return True
    home = environ.get("HOME", "/")
    for path in (
        f"{folder}/pip.conf",
        f"{_config_folder(environ)}/pip/pip.conf",
        f"{home}/.pip/pip.conf",
        f"{home}/Library/Application Support/pip/pip.conf",
        "/etc/pip.conf",
        "/etc/xdg/pip/pip.conf",
    ):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            if _IN_PIP_CONF.search(file.read()):
                return True
    return False


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in _NOT_PASSED_ON}
    return kept | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _answers(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def install(
    installer: Installer,
    code: str,
    environ: Mapping[str, str],
    *,
    lock: int,
    seconds_max: float,
    progress: Callable[[str], None],
) -> None:
    """
    Install ``requirements.txt`` of the folder *code*.

    Args:
        lock: a file that the installer's processes inherit, so that its lock is held while one of
            them lives, whatever becomes of this process.
        progress: called with each line that the installer prints, without secrets.

    Raises:
        InstallError: the installation failed, or took longer than *seconds_max*.
    """
    lines: deque[str] = deque(maxlen=_LINES_KEPT)

    def take(text: str) -> None:
        line = redact(text.rstrip())
        if line:
            lines.append(line)
            progress(line)

    command = [*installer.command, "-r", "requirements.txt"]
    exit_code = _run(command, code, environ, lock, seconds_max, take)
    if exit_code is None:
        message = (
            f"{installer.name} had not installed it after {seconds_max:,.0f} s; submit again to "
            "begin anew, or install the packages into your own environment"
        )
        raise InstallError(message, list(lines)[-_LINES_SHOWN:])
    if exit_code:
        message = _explained(installer.name, exit_code, list(lines))
        raise InstallError(message, list(lines)[-_LINES_SHOWN:])


def _run(
    command: Sequence[str],
    folder: str,
    environ: Mapping[str, str],
    lock: int,
    seconds_max: float,
    take: Callable[[str], None],
) -> int | None:
    """Run a command; return its exit code, None if it was killed after *seconds_max*."""
    deadline = time.monotonic() + seconds_max
    rest = b""
    with subprocess.Popen(
        command,
        env=_environment(environ),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[lock],
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                if not select.select([pipe], [], [], left)[0]:
                    continue
                chunk = os.read(pipe, 65_536)
                *whole, rest = (rest + chunk).split(b"\n")
                for line in [*whole, rest] if not chunk else whole:
                    take(line.decode("utf-8", "replace"))
                if not chunk:
                    return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _explained(name: str, code: int, lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    cause = next(
        (cause for cause, pattern in _CAUSES.items() if re.search(pattern, text)),
        f"{name} ended with exit code {code}",
    )
    first = next((n for n, line in enumerate(lines) if _TELLING.match(line)), len(lines) - 3)
    said = " ".join(" ".join(lines[max(0, first) :]).split())
    return f"cannot be installed: {cause}. {name} said: {said[:_SAID_CHARS_MAX]}"
