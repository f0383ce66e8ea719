"""
Run the tests on the other Pythons of this machine: make test-pythons.

The classifiers in pyproject.toml name the versions that jobcore is for. Each of them that is found,
besides the one of .venv, gets an environment of its own (.venv-3.12 and so on) from
requirements.lock, and runs the tests there. A version that is not found is named and passed over.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Say nothing of another Python, and take long: `make test` runs them.
#: The documentation is built by .venv; the proofs, the simulator and whole lives in the core are the
#: same pure code that the tests of its modules run.
ELSEWHERE = ("docs", "machine", "proof", "simulations/simulator")
CLASSIFIER = "Programming Language :: Python :: "


def versions() -> list[str]:
    """Read the versions that the classifiers name, such as 3.12."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [c.removeprefix(CLASSIFIER) for c in project["classifiers"] if c.startswith(CLASSIFIER)]
    return [name for name in names if name.partition(".")[2].isdigit()]


def candidates(version: str) -> Iterator[str]:
    """Name programs that may be Python *version*: on the PATH, and pyenv's, the newest first."""
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser())
    patches = (pyenv / "versions").glob(f"{version}.*/bin/python{version}")
    yield from sorted(map(str, patches), key=lambda path: (len(path), path), reverse=True)


def find(version: str) -> str | None:
    """Find a Python of *version* that runs and can make environments; None if there is none."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for program in candidates(version):
        # pyenv's python3.12 on the PATH may only say that 3.12 is not chosen.
        done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return program
    return None


def set_up(version: str, program: str) -> Path:
    """Make or refresh the environment of *version*; give its Python."""
    folder = ROOT / f".venv-{version}"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    made_of = [ROOT / "requirements.lock", ROOT / "pyproject.toml"]
    if stamp.exists() and all(stamp.stat().st_mtime >= f.stat().st_mtime for f in made_of):
        return python
    script = ROOT / "tests" / "environment.py"
    subprocess.run([program, script, folder, made_of[0]], cwd=ROOT, check=True)
    return python


def run_tests(python: Path, *, workers: str, whole: bool) -> bool:
    """Run the tests; tell whether they passed."""
    left_out = [] if whole else [f"--ignore=tests/{folder}" for folder in ELSEWHERE]
    left_out += [] if whole else ["-m", "not long"]
    command = [
        python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider",
        f"--numprocesses={workers}", "--dist=worksteal", *left_out,
    ]  # fmt: skip
    # Else each of the hundreds of processes that the tests start would compile jobcore anew.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests on each version that is found; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("versions", nargs="*", help="such as 3.12; else those of the classifiers")
    parser.add_argument("--workers", default="2", help="processes that run tests, as for make test")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin with no version after this"
    )
    parser.add_argument("--whole", action="store_true", help=f"also {', '.join(ELSEWHERE)}")
    asked = parser.parse_args(arguments)
    own = "{}.{}".format(*sys.version_info)
    end = time.monotonic() + asked.minutes * 60
    results: dict[str, str] = {}
    # The newest first: it differs most from the one that developers use.
    for version in asked.versions or [v for v in reversed(versions()) if v != own]:
        program = find(version)
        if program is None:
            results[version] = "not found on this machine"
            continue
        if time.monotonic() > end:
            results[version] = f"not run: {asked.minutes:g} minutes are over"
            continue
        python = set_up(version, program)
        print(f"Python {version}", flush=True)
        passed = run_tests(python, workers=asked.workers, whole=asked.whole)
        results[version] = "passed" if passed else "FAILED"
    for version, result in results.items():
        print(f"Python {version}: {result}")
    return 1 if "FAILED" in results.values() else 0


if __name__ == "__main__":
    sys.exit(main())
