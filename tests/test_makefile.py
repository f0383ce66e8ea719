"""The Makefile on a bare machine: which environment a target takes, what is said, what `clean` removes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import environment

ROOT = environment.ROOT
LOCKS = ("requirements.lock", "examples/requirements.lock")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with what the Makefile's environments are made of, and no environment."""
    for name in ("Makefile", "pyproject.toml", "tests/environment.py", *LOCKS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(tree: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program is not None
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [program, *words], cwd=tree, env={**environ, "PATH": path or environ["PATH"]},
        text=True, capture_output=True, check=False,
    )  # fmt: skip


def stamp(tree: Path, folder: str) -> None:
    (tree / folder).mkdir()
    (tree / folder / ".installed").touch()


@pytest.mark.parametrize("target", ["demo", "wheel"])
def test_without_an_environment_a_small_one_is_made(tree: Path, target: str) -> None:
    done = make(tree, "-n", target)
    assert "tests/environment.py .venv-demo examples/requirements.lock\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(".venv-demo/bin/python ")


@pytest.mark.parametrize("target", ["demo", "wheel"])
def test_the_environment_of_development_will_do(tree: Path, target: str) -> None:
    stamp(tree, ".venv")
    (command,) = make(tree, "-n", target).stdout.splitlines()
    assert command.startswith(".venv/bin/python ")


def test_development_gets_everything(tree: Path) -> None:
    stamp(tree, ".venv-demo")
    assert "tests/environment.py .venv requirements.lock\n" in make(tree, "-n", "test").stdout


def test_an_environment_is_refreshed_after_its_lock_has_changed(tree: Path) -> None:
    stamp(tree, ".venv-demo")
    assert "environment.py" not in make(tree, "-n", "demo").stdout
    later = (tree / ".venv-demo/.installed").stat().st_mtime + 10
    os.utime(tree / "requirements.lock", (later, later))
    assert "environment.py" not in make(tree, "-n", "demo").stdout
    os.utime(tree / "examples/requirements.lock", (later, later))
    assert "environment.py" in make(tree, "-n", "demo").stdout


def test_clean_removes_every_environment(tree: Path) -> None:
    folders = [".venv", ".venv-3.12", ".venv-demo", ".venv-ministack", ".venv-toolkit", "dist"]
    for folder in folders:
        stamp(tree, folder)
    assert make(tree, "clean").returncode == 0
    assert [folder for folder in folders if (tree / folder).exists()] == []


def test_a_machine_without_a_new_enough_python_is_told_so(tree: Path) -> None:
    bin_ = tree / "bin"
    bin_.mkdir()
    old = bin_ / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(tree, "demo", path=str(bin_))
    assert done.returncode != 0
    assert "jobcore needs Python 3.11 or newer" in done.stderr
    assert not (tree / ".venv-demo").exists()


# --- the lock of the small environment ---------------------------------------------------------


def pins(name: str) -> set[str]:
    """Read the blocks of a lock: a package, its version, its hashes."""
    text = (ROOT / name).read_text("utf-8").strip()
    return {block.strip() for block in re.split(r"\n(?=\S)", text)}


def test_the_demo_is_locked_to_the_versions_that_the_tests_use() -> None:
    everything, demo = map(pins, LOCKS)
    assert demo <= everything
    assert all("--hash=sha256:" in block for block in demo)


def test_the_demo_gets_what_it_needs_and_nothing_of_development() -> None:
    everything, demo = (environment.names(ROOT / name) for name in LOCKS)
    assert {"click", "scikit-learn", "hatchling"} <= demo
    assert demo.isdisjoint({"boto3", "matplotlib", "pytest", "mypy"})
    assert len(demo) < len(everything) / 4


# --- tests/environment.py ------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands are noted and not run, as for an environment that is not there."""
    ran: list[str] = []
    monkeypatch.setattr(environment, "run", lambda c, _: ran.append(" ".join(map(str, c))))
    monkeypatch.setattr(environment, "is_whole", lambda _: False)
    return ran


def test_each_step_is_named(
    steps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = ROOT / "examples/requirements.lock"
    assert environment.main([str(tmp_path), str(lock)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"Setting up {tmp_path.name} with Python 3.")
    assert [line[:6] for line in said[1:-1]] == ["  1/3 ", "  2/3 ", "  3/3 "]
    assert said[-1].startswith(f"{tmp_path.name} is ready, after ")
    assert steps[0].endswith(f"-m venv --clear {tmp_path}")
    assert steps[1].endswith(f"install --require-hashes --requirement {lock}")
    assert (tmp_path / ".installed").exists()


def test_a_terminal_shows_each_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    progress = environment.Progress(1)
    progress.begin("up to 3 packages")
    for line in (
        "Collecting markdown-it-py==4.3.0 (from -r requirements.lock (line 19))",
        "  Downloading markdown_it_py-4.3.0-py3-none-any.whl (96 kB)",
        "Processing /wheels/scikit_learn-1.9.1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "Collecting scikit-learn==1.9.1",
        "Installing collected packages: a, b",
    ):
        progress.pip(line)
    progress.end_step()
    shown = re.split(r"\r\x1b\[K|\n", capsys.readouterr().out.rstrip())
    assert [text.partition(": ")[2] for text in shown] == [
        "", "1, markdown-it-py", "2, scikit_learn", "2, scikit-learn", "installing", "done",
    ]  # fmt: skip


def test_pip_says_at_once_that_it_tries_again(capsys: pytest.CaptureFixture[str]) -> None:
    line = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'X': /simple/attrs/"
    environment.Progress(1).pip(line)
    said = capsys.readouterr().out.strip()
    assert said == "no answer for /simple/attrs/; pip tries again"


def test_a_step_that_fails_says_why_and_leaves_no_stamp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, lock = tmp_path / "venv", tmp_path / "requirements.lock"
    lock.write_text(
        f"nothing @ file://{tmp_path}/none-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n"
    )
    assert environment.main([str(folder), str(lock)]) == 1
    assert "none-1.0-py3-none-any.whl" in capsys.readouterr().err
    assert environment.is_whole(folder)
    assert not (folder / ".installed").exists()


def test_ctrl_c_leaves_no_stamp_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "run", interrupt)
    assert environment.main([str(tmp_path), str(ROOT / LOCKS[1])]) == 130
    assert capsys.readouterr().err == "\nStopped; the next make goes on from here.\n"
    assert not (tmp_path / ".installed").exists()


def test_half_an_environment_is_made_anew(tmp_path: Path) -> None:
    assert not environment.is_whole(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "gone")
    assert not environment.is_whole(tmp_path)
