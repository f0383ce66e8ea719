"""The wheel holds the data that the packages read, not their modules only."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_data_file_of_the_packages_is_in_the_wheel(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        file.relative_to(folder).as_posix()
        for folder in (ROOT / "src", ROOT / "src/adapters", ROOT / "src/entrypoints")
        for file in folder.glob("jobcore*/**/*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    assert {"jobcore_aws/failure_rules.toml", "jobcore_local/failure_rules.toml"} <= wanted
    assert wanted - names == set()
