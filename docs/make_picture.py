"""Run the demo, and write the picture of README from what `jobcore list --all` then prints.

    python docs/make_picture.py      # make picture; a minute

`tests/docs/test_picture.py` compares the picture with what the command prints after a demo without
real trainings.
"""

from __future__ import annotations

import errno
import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "images" / "demo.svg"
COMMAND = "jobcore list --all"
COLUMNS, LINES = 80, 40
_LINE = re.compile(r'<text class="demo-r\d+"[^>]*? y="([\d.]+)"[^>]*>(.*?)</text>')


def run_demo(folder: Path, home: Path) -> None:
    """Run ``demo.py`` of a folder on a home of its own; raise CalledProcessError if it does not end well."""
    environment = {**os.environ, "JOBCORE_DEMO_HOME": str(home)}
    subprocess.run([sys.executable, str(folder / "demo.py")], check=True, env=environment)


def printed(home: Path) -> str:
    """Give what the command prints in a terminal of 80 columns, escape codes included."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    unset = {"COLUMNS", "LINES", "NO_COLOR"}
    environment = {k: v for k, v in os.environ.items() if k not in unset} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "jobcore_cli", "--home", str(home), *COMMAND.split()[1:]]
    with subprocess.Popen(command, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        text = b""
        try:
            while part := os.read(master, 65536):
                text += part
        except OSError as error:  # EIO: the command has closed its end
            if error.errno != errno.EIO:
                raise
        os.close(master)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return text.decode().replace("\r\n", "\n")


def picture(text: str) -> str:
    """Draw a terminal with the command and its text."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text.from_ansi(f"$ {COMMAND}\n{text}"))
    return console.export_svg(title="jobcore", unique_id="demo")


def text_of(svg: str) -> list[str]:
    """Read the lines of text of a picture."""
    lines: dict[float, str] = {}
    for y, part in _LINE.findall(svg):
        lines[float(y)] = lines.get(float(y), "") + html.unescape(part).replace("\xa0", " ")
    return [lines[y].rstrip() for y in sorted(lines)]


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        run_demo(ROOT / "examples" / "digits", home)
        TARGET.write_text(picture(printed(home)), encoding="utf-8")


if __name__ == "__main__":
    main()
