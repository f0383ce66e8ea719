"""
Make or refresh an environment from a file of pinned packages, and show how far it is.

The Makefile calls it with whichever Python it finds: the standard library is all there is.
jobcore itself is installed last, editable, so that the environment sees each change of the sources.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: pip says one of these for each package, the second for one that lies on this machine.
PACKAGE = re.compile(r"(?:Collecting |Processing \S*/)([A-Za-z0-9._]+(?:-[A-Za-z._]+)*)")
NO_VENV = (
    "{} has no venv module. Install it (Debian, Ubuntu: apt-get install python3-venv) "
    "and run make again."
)


class SetUpError(Exception):
    """A step failed; the text is for the terminal."""


def names(lock: Path) -> set[str]:
    """Read the names of the packages that a lock pins, for any platform."""
    return set(
        re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", lock.read_text("utf-8"), re.MULTILINE)
    )


def python_of(folder: Path) -> Path:
    """Give the Python of an environment."""
    return folder / "bin" / "python"


def is_whole(folder: Path) -> bool:
    """Tell whether an environment has a Python that runs and a pip."""
    try:
        done = subprocess.run(
            [python_of(folder), "-c", "import pip"], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def run(command: Sequence[str | Path], each_line: Callable[[str], None]) -> None:
    """Run a command in the root of the tree and give each line that it prints to *each_line*."""
    lines = []
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            each_line(lines[-1])
    if process.returncode != 0:
        first = next((at for at, line in enumerate(lines) if line.startswith("ERROR")), -20)
        raise SetUpError("\n".join(lines[first:]))


class Progress:
    """Prints one line for each step; on a terminal, the end of the line says what goes on."""

    def __init__(self, steps: int) -> None:
        self.steps, self.step, self.text = steps, 0, ""
        self.packages: set[str] = set()

    def begin(self, text: str) -> None:
        """End the step before, and begin the next on a line of its own."""
        self.end_step()
        self.step += 1
        self.text = f"  {self.step}/{self.steps}  {text}"
        print(self.text, end="" if sys.stdout.isatty() else "\n", flush=True)

    def end_step(self) -> None:
        """Say that the step is done, and end its line."""
        if self.step and sys.stdout.isatty():
            self.show("done")
            print(flush=True)

    def show(self, more: str) -> None:
        """Show what the step does now in the place of what it did."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{f'{self.text}: {more}'[:width]}", end="", flush=True)

    def pip(self, line: str) -> None:
        """Show how far pip is, and at once that it has to try again."""
        if found := PACKAGE.match(line):
            self.packages.add(found[1].lower().replace("_", "-"))
            self.show(f"{len(self.packages)}, {found[1]}")
        elif line.startswith("Installing collected packages"):
            self.show("installing")
        elif line.startswith("WARNING: Retrying"):
            said = f"       no answer for {line.rsplit(maxsplit=1)[-1]}; pip tries again"
            print(f"\n{said}" if sys.stdout.isatty() else said, flush=True)


def set_up(folder: Path, lock: Path) -> None:
    """Make the environment or bring it up to date; its stamp is written last."""
    began, progress = time.monotonic(), Progress(3)
    pip = (python_of(folder), "-m", "pip", "--disable-pip-version-check", "install")
    if is_whole(folder):
        print(f"Bringing {folder.name} up to date:", flush=True)
        progress.begin("environment")
    else:
        print(f"Setting up {folder.name} with Python {sys.version.split()[0]} (once):", flush=True)
        progress.begin("environment")
        run([sys.executable, "-m", "venv", "--clear", folder], lambda _: None)
    progress.begin(f"up to {len(names(lock))} packages")
    run([*pip, "--require-hashes", "--requirement", lock], progress.pip)
    progress.begin("jobcore")
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], lambda _: None)
    (folder / ".installed").touch()
    progress.end_step()
    print(f"{folder.name} is ready, after {time.monotonic() - began:.0f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up the environment that the arguments name; 1 if that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="such as .venv")
    parser.add_argument("lock", type=Path, help="the pinned packages, with hashes")
    asked = parser.parse_args(arguments)
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ModuleNotFoundError:
        print(NO_VENV.format(sys.executable), file=sys.stderr)
        return 1
    try:
        # Not resolved: the folder may be a link to where there is space.
        set_up(Path(os.path.abspath(asked.folder)), asked.lock.resolve())
    except SetUpError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the next make goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
