"""The starter of jobs with arguments: old Pythons, signals, exit codes, and what cannot be started so."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import jobcore_contract
from jobcore_contract import BadInput
from jobcore_contract.start_with_arguments import command_of
from patience import SECONDS, until

SOURCE = Path(jobcore_contract.__file__).with_name("start_with_arguments.py")


def start(folder: Path, script: str, text: str, arguments: list[str]) -> subprocess.Popen[str]:
    """Start a script by its starter, as the toolkit starts an entry point."""
    (folder / script).write_text(text)
    for name, content in jobcore_contract.starter_files(script).items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)
    started = jobcore_contract.starter_program(script)
    command = (
        [sys.executable, "--", started, "--a", "1"]
        if started.endswith(".py")
        else ["/bin/sh", "-c", f"./{started} --a 1"]
    )
    environment = {
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "SM_TRAINING_ENV": "{}",
        **jobcore_contract.starter_environment(script, arguments, ()),
    }
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_is_a_script_of_python_3_6() -> None:
    tree = ast.parse(SOURCE.read_bytes(), feature_version=(3, 6))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported == {"json", "os", "shlex", "sys"}
    assert {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)} == {"typing"}


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("train.py", "import sys; print(sys.argv[1:]); sys.exit(7)"),
        ("run.sh", 'echo "$@"; exit 7'),
        ("go", 'echo "$@"; exit 7'),
    ],
)
def test_the_exit_code_is_the_scripts(tmp_path: Path, script: str, text: str) -> None:
    process = start(tmp_path, script, text, ["--fast"])
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 7, err
    assert "--fast" in out


def test_a_signal_reaches_the_script(tmp_path: Path) -> None:
    text = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(60)\n"
    )
    process = start(tmp_path, "train.py", text, ["x"])
    until((tmp_path / "ready").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 5


def test_the_commands_are_those_of_the_contract(tmp_path: Path, monkeypatch) -> None:
    """The starter cannot import the package that says how the toolkit starts a script."""
    monkeypatch.chdir(tmp_path)
    words = ["--a", "two words", "it's"]
    for name in ("train.py", "run.sh", "go"):
        (tmp_path / name).touch()
    for is_package in (False, True):
        if is_package:
            (tmp_path / "setup.py").touch()
        for script in ("train.py", "run.sh", "go"):
            container = jobcore_contract.Container(
                base="/opt/ml",
                hyperparameters=jobcore_contract.hyperparameter_texts(
                    {}, script=script, training="t"
                ),
                channels={},
                resources=jobcore_contract.resource_config("local"),
                environment={},
                cpus=1,
            )
            expected = jobcore_contract.start(container, str(tmp_path), arguments=words)
            assert command_of(script, words) == expected.command(sys.executable, package=is_package)


def test_what_it_cannot_start_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^arguments: not together with .* sagemaker_mpi_enabled"):
        jobcore_contract.starter_environment("train.py", ["x"], ["lr", "sagemaker_mpi_enabled"])
    with pytest.raises(
        BadInput, match=r"^arguments: 30,0\d\d bytes as JSON; .* takes 20,480 at most"
    ):
        jobcore_contract.starter_environment("train.py", ["x" * 30_000], [])
    parts = jobcore_contract.starter_environment("train.py", ["é" * 300], [])
    assert json.loads("".join(parts.values())) == ["train.py", ["é" * 300], []]
    assert max(map(len, parts.values())) == 512


@pytest.mark.parametrize("script", ["train.py", "run.sh", "go"])
def test_it_is_no_module_that_setuptools_finds(script: str) -> None:
    """A setup.py that names no modules allows one beside it; names that begin so do not count."""
    files = jobcore_contract.starter_files(script)
    assert jobcore_contract.starter_program(script) in files
    assert all(name.startswith("_") for name in files)
