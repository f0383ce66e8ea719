"""A terminal of 80 columns for the commands of a page, and the comparison of what it shows."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from types import TracebackType
from typing import Self

from patience import SECONDS, until

COLUMNS, LINES = 80, 40
#: The home of the pages' reader. The real one has a name of the same length, so that lines wrap alike.
HOME = "/home/ada"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]")
_KEPT = ("LANG", "LC_ALL", "TZ", "PYTHONPYCACHEPREFIX")
# Runs a command where the last one of the page has left the shell: folder and environment.
_SHELL = """
cd "$(cat {state}/folder)" && . {state}/environment
eval "$1"
code=$?
pwd > {state}/folder; export -p > {state}/environment
exit $code
"""


class Terminal:
    """A shell on a scratch home, in which each command sees what the ones before it have set."""

    def __enter__(self) -> Self:
        self._root = _folder_of_length(len(HOME))
        self._state = Path(tempfile.mkdtemp(prefix="docs-terminal-"))
        (self._state / "bin").mkdir()
        program = self._state / "bin" / "jobcore"
        path = os.pathsep.join(filter(None, sys.path))
        program.write_text(
            f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" -m jobcore_cli "$@"\n'
        )
        program.chmod(0o755)
        (self._state / "folder").write_text(f"{self._root}\n")
        (self._state / "environment").write_text("")
        (self._state / "shell").write_text(_SHELL.format(state=self._state))
        self._background: list[tuple[subprocess.Popen[bytes], int]] = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.interrupt()
        finally:
            self._kill_the_rest()
            shutil.rmtree(self._root, ignore_errors=True)
            shutil.rmtree(self._state, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """The folder in which the next command is run."""
        return Path((self._state / "folder").read_text().rstrip("\n"))

    def run(self, command: str) -> tuple[int, str]:
        """Run a command to its end; give its exit code and what it wrote, the home as `HOME`."""
        process, master = self._start(command)
        written = _read_all(master)
        code = process.wait(timeout=SECONDS)
        text = _ESCAPES.sub("", written.decode("utf-8", "replace")).replace("\r\n", "\n")
        return code, text.replace(str(self._root), HOME)

    def keep_running(self, command: str) -> None:
        """Start a command and leave it running; return once it has written something."""
        process, master = self._start(command)
        os.read(master, 1)
        self._background.append((process, master))

    def interrupt(self) -> None:
        """Type Ctrl-C in every terminal in which a command is running, and wait for its end."""
        while self._background:
            process, master = self._background.pop()
            with contextlib.suppress(OSError):
                os.write(master, b"\x03")
            _read_all(master)
            process.wait(timeout=SECONDS)

    def _start(self, command: str) -> tuple[subprocess.Popen[bytes], int]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["/bin/bash", "--norc", str(self._state / "shell"), command],
            stdin=slave, stdout=slave, stderr=slave, env=self._environment(),
            preexec_fn=_take_terminal,  # noqa: PLW1509  (no threads here)
        )  # fmt: skip
        os.close(slave)
        return process, master

    def _environment(self) -> dict[str, str]:
        own = {name: os.environ[name] for name in _KEPT if name in os.environ}
        path = f"{self._state / 'bin'}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        return own | {
            "HOME": str(self._root), "USER": "ada", "LOGNAME": "ada", "PATH": path,
            "TERM": "xterm", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com",
        }  # fmt: skip

    def _kill_the_rest(self) -> None:
        """Kill trainings that a failed page has left; they run in this home and in no other."""
        mark = f"HOME={self._root}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ProcessLookupError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)


def _take_terminal() -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell starts what runs beside it without
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _folder_of_length(length: int) -> Path:
    """Make a new folder with a path of that length, if the folder of temporary files allows it."""
    parent = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())  # noqa: S108
    room = max(length - len(str(parent)) - 1, 4)

    def make() -> Path | None:
        folder = parent / os.urandom(room).hex()[:room]
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return None
        return folder

    made = until(make)
    assert made is not None
    return made


def _read_all(master: int) -> bytes:
    """Read until the other end is closed, which Linux reports as EIO."""
    parts = []
    try:
        while part := os.read(master, 65536):
            parts.append(part)
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EBADF):
            raise
    os.close(master)
    return b"".join(parts)


# --- comparison ---------------------------------------------------------------------------

_ID = "[0-9a-hjkmnp-tv-z]"
#: What differs from run to run: as it is found in a page, and the form that it has in every run.
_VARYING = {
    "id": (rf"\b(?=[a-z]*\d)(?:{_ID}{{26}}|{_ID}{{8}})\b", ""),
    "hash": (r"\b(?=[a-f]*\d)[0-9a-f]{10,12}\b", "[0-9a-f]{10,12}"),  # of a snapshot, a commit
    "date": (r"\b\d{4}-\d\d-\d\d\b", r"\d{4}-\d\d-\d\d"),
    "time": (r"\b\d\d:\d\d(?::\d\d)?\b", r"\d\d:\d\d(?::\d\d)?"),
    "python": (r"\b3\.\d+\.\d+\b", r"3\.\d+\.\d+"),
    "size": (r"\b[\d.,]+ (?:[kMGT]B|bytes)\b", r"[\d.,]+ (?:[kMGT]B|bytes)"),
    "duration": (
        r"\b\d+(?:\.\d+)? ?(?:ms|[smhd])(?: ?\d+[smh])?\b",
        r"\d+(?:\.\d+)? ?(?:ms|[smhd])(?: ?\d+[smh])?",
    ),
    "any": (r"\.\.\.", r"[^\n]*?"),
    "space": (r"\s+", r"\s+"),
}
_TOKENS = re.compile(
    "|".join(f"(?P<{name}>{find})" for name, (find, _) in _VARYING.items()) + "|.", re.DOTALL
)


class Shown:
    """The comparison of the outputs of one page: an id that is shown twice is the same job twice."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def translate(self, command: str) -> str:
        """Put the real ids into a command, for those that the page has shown."""
        for shown, real in sorted(self.ids.items(), key=lambda pair: -len(pair[0])):
            command = re.sub(rf"\b{shown}\b", real, command)
        return command

    def problem(self, shown: str, written: str) -> str:
        """
        Compare what a page shows with what was written; "" if they agree.

        ``...`` stands for any text, and on a line of its own for any lines. Spaces and line breaks
        are all alike: the widths of columns depend on times.
        """
        groups: dict[str, str] = {}
        pattern = "".join(self._line(line, groups) for line in shown.splitlines())
        found = re.fullmatch(rf"\s*{pattern}\s*", written)
        if found is None:
            return f"the page shows:\n{shown}\nthe command writes:\n{written}"
        for text, group in groups.items():
            self.ids[text] = found[group]
            if len(text) == 26:
                self.ids.setdefault(text[:8], found[group][:8])
        return ""

    def _line(self, line: str, groups: dict[str, str]) -> str:
        """Make the pattern of a line; *groups* are the groups of ids by id."""
        if line.strip() == "...":
            return r"(?:[^\n]*\n)*?\s*"
        tokens = _TOKENS.finditer(line.strip())
        return "".join(self._token(token, groups) for token in tokens) + r"\s*"

    def _token(self, token: re.Match[str], groups: dict[str, str]) -> str:
        text = token[0]
        if token.lastgroup is None:
            return re.escape(text)
        if token.lastgroup != "id":
            return _VARYING[token.lastgroup][1]
        if text in self.ids:
            return re.escape(self.ids[text])
        if text in groups:
            return f"(?P={groups[text]})"
        groups[text] = f"id{len(groups)}"
        return f"(?P<{groups[text]}>{_ID}{{{len(text)}}})"
