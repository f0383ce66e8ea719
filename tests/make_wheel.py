"""
Build the wheel and the source distribution into dist/, and try the wheel as a user would: make wheel.

The wheel is installed with `[cli]` into a new environment outside the tree, and runs a job there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "jobcore_scheduler-"
#: Would bring the code of the tree, another environment, or another home into the trial.
FOREIGN = ("PYTHON", "JOBCORE_", "VIRTUAL_ENV", "CONDA_PREFIX")
SCRIPT = (
    "import os; open(os.path.join(os.environ['SM_MODEL_DIR'], 'model'), 'w').write('trained')\n"
)


class TrialError(Exception):
    """A step failed; the text says what it printed."""


def run(
    command: Sequence[str | Path], folder: Path, environ: Mapping[str, str] | None = None
) -> str:
    """Run a command in *folder* and give what it prints."""
    done = subprocess.run(
        command, cwd=folder, env=environ, text=True, capture_output=True, check=False
    )
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise TrialError(f"{words}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(kind: str, into: Path, tree: Path = ROOT) -> Path:
    """Build the `wheel` or the `sdist` of a tree into a folder, in which there is no older one."""
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into], tree)
    (made,) = into.glob(f"{PREFIX}*.whl" if kind == "wheel" else f"{PREFIX}*.tar.gz")
    return made


def rebuild(sdist: Path, scratch: Path) -> Path:
    """Build the wheel from a source distribution, as pip does where there is no wheel."""
    # Python 3.11 before 3.11.4 has no filters; 3.12 warns if none is named.
    named = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch / "sdist", **named)
    (tree,) = (scratch / "sdist").iterdir()
    return build("wheel", scratch / "again", tree)


def environ_without_the_tree(home: Path) -> dict[str, str]:
    """Give this process's environment without what leads to the tree, and with a home of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    return {**kept, "JOBCORE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def run_a_job(command: Sequence[str | Path], scratch: Path, environ: Mapping[str, str]) -> None:
    """Submit a job with `jobcore`, which *command* starts, run it to its end, and look at its model."""
    (scratch / "train.py").write_text(SCRIPT, "utf-8")
    (scratch / "job.toml").write_text('script = "train.py"\npools = ["cpu"]\n', "utf-8")
    run([*command, "submit", "job.toml"], scratch, environ)
    run([*command, "run", "--until-done"], scratch, environ)
    (job,) = json.loads(run([*command, "list", "--all", "--json"], scratch, environ))["jobs"]
    models = [file.read_text("utf-8") for file in scratch.rglob("ml/model/model")]
    if (job["status"], models) != ("Completed", ["trained"]):
        raise TrialError(f"the job ended as {job['status']}, with the models {models}")


def try_out(wheel: Path, scratch: Path) -> str:
    """Install a wheel with `[cli]` into a new environment, and run a job; give the version."""
    home = scratch / "home"
    environ = environ_without_the_tree(home)
    run([sys.executable, "-m", "venv", scratch / "venv"], scratch, environ)
    python, jobcore = (scratch / "venv" / "bin" / name for name in ("python", "jobcore"))
    print("  installing it with [cli] into a new environment ...", flush=True)
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    run([*pip, f"{wheel}[cli]"], scratch, environ)
    version = run([jobcore, "--version"], scratch, environ).strip()
    place = run([python, "-c", "import jobcore; print(jobcore.__file__)"], scratch, environ)
    if not place.startswith(str(scratch)):
        raise TrialError(f"the code that ran is not the wheel's: {place}")
    print("  running a job with it ...", flush=True)
    run_a_job([jobcore], scratch, environ)
    return version


def main() -> int:
    """Build and try; 1 if anything failed."""
    began, dist = time.monotonic(), ROOT / "dist"
    dist.mkdir(exist_ok=True)
    for old in dist.glob(f"{PREFIX}*"):
        old.unlink()
    try:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder).resolve()
            print("Building the wheel:", flush=True)
            wheel, sdist = build("wheel", scratch), build("sdist", scratch)
            if rebuild(sdist, scratch).read_bytes() != wheel.read_bytes():
                raise TrialError("the source distribution builds another wheel than the tree")
            version = try_out(wheel, scratch)
            # Only what has passed is left in dist/.
            made = [Path(shutil.copy(file, dist)) for file in (wheel, sdist)]
    except TrialError as error:
        print(error, file=sys.stderr)
        return 1
    for file in made:
        print(f"dist/{file.name}  {file.stat().st_size / 1000:.0f} kB")
    print(f"{version} was installed and has run a job, in {time.monotonic() - began:.0f} s.")
    print(f"  pip install '{(dist / wheel.name).relative_to(ROOT)}[cli]'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
