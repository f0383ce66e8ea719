"""A script runs under the Python of who submitted it, whatever the manager was started with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patience import SECONDS

SCRIPT = "import sys\nimport own_module\nprint(sys.prefix)\n"


@pytest.fixture
def venvs(tmp_path: Path) -> tuple[Path, Path]:
    """Two real environments; only the first has the script's module."""
    for name in ("mine", "other"):
        command = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (packages,) = (tmp_path / "mine" / "lib").glob("python*/site-packages")
    (packages / "own_module.py").write_text("")
    return tmp_path / "mine", tmp_path / "other"


def jobcore(folder: Path, active: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a shell where an environment is active that jobcore is not in."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JOBCORE_", "CONDA_"))}
    environment = kept | {
        "JOBCORE_HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "no-config"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "VIRTUAL_ENV": str(active),
        "PATH": f"{active}/bin:{os.environ['PATH']}",
    }
    return subprocess.run(
        [sys.executable, "-m", "jobcore_cli", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_submitters_environment_runs_the_script(tmp_path, venvs):
    mine, other = venvs
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "a.toml").write_text('name = "a"\nscript = "train.py"\n')
    (tmp_path / "b.toml").write_text('name = "b"\nscript = "train.py"\npython = "other"\n')
    said = jobcore(tmp_path, mine, "submit", "--json", "a.toml", "b.toml")
    assert json.loads(said.stdout)["pythons"] == [f"{mine}/bin/python", f"{other}/bin/python"]
    assert jobcore(tmp_path, other, "run", "--until-done", "--quiet").returncode == 1
    assert jobcore(tmp_path, other, "logs", "a").stdout == f"{mine}\n"
    why = json.loads(jobcore(tmp_path, other, "why", "--json", "b").stdout)
    assert why["facts"]["class"] == "bad_input"
    assert "No module named 'own_module' (not installed in /" in why["sentence"]  # 200 characters
    assert why["help"].startswith(f"install the module in {other}/bin/python, then retry; or name")
    shown = json.loads(jobcore(tmp_path, other, "show", "--json", "b").stdout)
    assert len(shown["attempts"]) == 1  # final: another attempt would end alike
