"""A training fills the disk of the laptop, and `jobcore stop` ends it: on a real, small, full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patience import SECONDS, until

# A file system of 16 MB in a namespace of our own: no root needed, gone with the process.
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
HOME = "/mnt"
SCRIPT = """#!/bin/sh
trap 'exit 0' TERM
while :; do cat /dev/zero >> "$SM_OUTPUT_DIR/data/fill"; sleep 0.01; done 2> /dev/null
"""


def can_mount() -> bool:
    command = [*UNSHARE, "mount", "-t", "tmpfs", "none", HOME]
    try:
        return (
            subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode
            == 0
        )
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="needs Linux, and to be allowed to mount (unshare)")
@pytest.mark.parametrize("manager", ["alive", "killed"])
def test_a_stop_ends_the_training_that_fills_the_disk(tmp_path: Path, manager: str) -> None:
    inside = [sys.executable, __file__, str(tmp_path), manager]
    shell = f'mount -t tmpfs -o size=16m none {HOME} && exec "$@"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", shell, "sh", *inside],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["other"] != 0  # the disk was full for others
    assert said["stop"] == 0
    assert said["status"] == "Stopped"
    assert said["told"] == 1


def main(source: Path, fate: str) -> None:
    """Run inside the namespace: fill the disk, stop what fills it, and say what happened."""

    def jobcore(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobcore_cli", *arguments, "--home", f"{HOME}/home"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)

    def free() -> int:
        place = os.statvfs(HOME)
        return place.f_bavail * place.f_frsize

    (source / "fill.sh").write_text(SCRIPT)
    (source / "fill.toml").write_text('name = "fill"\nscript = "fill.sh"\n')
    print(jobcore("submit", str(source / "fill.toml")).stderr, file=sys.stderr)
    run = [sys.executable, "-m", "jobcore_cli", "--home", f"{HOME}/home", "run", "--until-done"]
    manager = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        until(lambda: free() == 0)
        if fate == "killed":
            manager.kill()
            manager.wait()
        # A submission as large as the log cannot be taken: the disk is full, and stays so.
        (source / "big.toml").write_text(
            f'name = "big"\nscript = "fill.sh"\n[hyperparameters]\npad = "{"x" * 200_000}"\n'
        )
        other = jobcore("submit", str(source / "big.toml"))
        stop = jobcore("stop", "fill")
        print(other.stderr, stop.stderr, file=sys.stderr)
        if fate == "killed":  # another one begins on the full disk
            manager = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=sys.stderr)

        def status() -> str:
            return json.loads(jobcore("show", "fill", "--json").stdout)["status"]

        # What it wrote is still there. The end is recorded, if need be, when that is removed.
        until(lambda: status() in ("Stopping", "Stopped"))
        (fill,) = Path(HOME).glob("home/trainings/*/ml/output/data/fill")
        fill.unlink()
        manager.wait(timeout=SECONDS)
        messages = Path(HOME, "home/messages.jsonl").read_text().splitlines()
        answer = {
            "other": other.returncode,
            "stop": stop.returncode,
            "status": status(),
            "told": len(messages),
        }
        print(json.dumps(answer))
    finally:
        manager.kill()
        manager.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
