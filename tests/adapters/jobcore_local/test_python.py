"""Whose Python runs a script, what an interpreter must be, and scripts that do not compile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobcore import Placement, job_id_from_token, parse_job
from jobcore.errors import Problem
from jobcore.lifecycle import training_name
from jobcore.ports import LaunchRequest, TrainingState
from jobcore_local import Checker, LocalTrainer, find_python, write_pools
from jobcore_local._python import COMPILE_SECONDS_MAX, compile_problem, python_environment
from patience import until


@pytest.fixture(scope="module")
def venvs(tmp_path_factory) -> tuple[Path, Path]:
    """Two real environments, the second with a module of its own."""
    root = tmp_path_factory.mktemp("environments")
    for name in ("one", "two"):
        command = [sys.executable, "-m", "venv", "--without-pip", str(root / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (packages,) = (root / "two" / "lib").glob("python*/site-packages")
    (packages / "only_in_two.py").write_text("")
    return root / "one", root / "two"


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


# --- whose Python -----------------------------------------------------------------------------


def test_the_active_environment_comes_first(venvs, tmp_path):
    one, two = venvs
    environ = {"VIRTUAL_ENV": str(one), "CONDA_PREFIX": str(two), "PATH": "/usr/bin"}
    assert find_python(None, "/", environ) == (
        f"{one}/bin/python",
        "the active environment, VIRTUAL_ENV",
    )
    environ.pop("VIRTUAL_ENV")
    assert find_python(None, "/", environ).path == f"{two}/bin/python"
    gone = {"VIRTUAL_ENV": str(tmp_path / "gone"), "PATH": "/usr/bin"}
    assert find_python(None, "/", gone).path == sys.executable


def test_without_one_it_is_the_python_that_runs_jobcore(venvs):
    environ = {"PATH": f"{venvs[0]}/bin"}
    found = find_python(None, "/", environ, prefix="/opt/x", executable="/opt/x/bin/python")
    assert found == ("/opt/x/bin/python", "the one that runs jobcore")


@pytest.mark.parametrize("mark", ["pipx_metadata.json", "uv-receipt.toml"])
def test_an_environment_that_only_jobcore_is_in_is_not_the_users(venvs, tmp_path, mark):
    (tmp_path / mark).write_text("{}")
    where = {"prefix": str(tmp_path), "executable": str(tmp_path / "bin" / "python")}
    found = find_python(None, "/", {"PATH": f"{venvs[1]}/bin"}, **where)
    assert found == (f"{venvs[1]}/bin/python3", "your PATH")
    assert find_python(None, "/", {"PATH": "/nowhere"}, **where).path == where["executable"]


def test_a_named_interpreter_is_a_path_a_folder_or_a_command(venvs, tmp_path, monkeypatch):
    one, two = venvs
    monkeypatch.setenv("HOME", str(one.parent))
    environ = {"PATH": f"{two}/bin", "VIRTUAL_ENV": str(one)}
    (tmp_path / "env").symlink_to(two)
    for named, path in (
        (f"{one}/bin/python", f"{one}/bin/python"),
        ("env/bin/python", f"{tmp_path}/env/bin/python"),
        ("./env/bin/python", f"{tmp_path}/env/bin/python"),
        ("~/one/bin/python", f"{one}/bin/python"),
        (str(one), f"{one}/bin/python"),
        ("env", f"{tmp_path}/env/bin/python"),
        ("./env", f"{tmp_path}/env/bin/python"),
        ("python3", f"{two}/bin/python3"),
        ("python-nowhere", "python-nowhere"),
        ("~nobody-of-that-name/python", f"{tmp_path}/~nobody-of-that-name/python"),
    ):
        found = find_python(named, str(tmp_path), environ)
        assert (os.path.normpath(found.path), found.origin) == (path, "the job file"), named


def test_a_link_in_an_environment_is_not_resolved(venvs):
    """The link's target is the system's Python, which has none of the environment's packages."""
    assert (venvs[0] / "bin" / "python").is_symlink()
    assert find_python(str(venvs[0] / "bin" / "python"), "/", {}).path == f"{venvs[0]}/bin/python"


def test_a_shim_is_asked_for_the_interpreter_behind_it(venvs, tmp_path):
    """A shim such as pyenv's chooses by the working directory, which is another one at the launch."""
    shim = executable(tmp_path / "python", f'#!/bin/sh\nexec "{venvs[1]}/bin/python" "$@"\n')
    assert find_python("python", "/", {"PATH": str(tmp_path)}).path == f"{venvs[1]}/bin/python"
    shim.write_text("#!/bin/sh\nexit 1\n")
    assert find_python("python", "/", {"PATH": str(tmp_path)}).path == str(shim)


# --- what is no interpreter -------------------------------------------------------------------


def problems(folder: Path, text: str | bytes = "", **fields: object) -> list[Problem]:
    (folder / "train.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    document = {"script": "train.py", "source_dir": str(folder), **fields}
    return Checker({"cpu": 1})(parse_job(document, owner="ada"))


def test_an_interpreter_that_cannot_be_started_is_refused(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    broken = tmp_path / "broken"
    broken.symlink_to("/nowhere/python")
    foreign = executable(tmp_path / "foreign", "#!/nowhere/sh\n")
    hint = "; name another, or leave it out for the environment that is active at submit"
    for python, message in (
        ("/nowhere/python", "/nowhere/python does not exist" + hint),
        (str(broken), f"{broken} is a broken link" + hint),
        (str(plain), f"{plain} is not an executable file" + hint),
        (str(tmp_path), f"{tmp_path} is not an executable file" + hint),
        (str(foreign), f"{foreign} cannot be run: No such file or directory"),
        (
            "python-nowhere",
            "there is no command 'python-nowhere' on the PATH; name one that is there, or a path",
        ),
    ):
        assert problems(tmp_path, python=python) == [Problem("python", message)]


# --- scripts that do not compile --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "shown"),
    [
        ("x = 1\ndef f(:\n    pass\n", "line 2: ", ": def f(:"),
        ("if True:\nx = 1\n", "line 2: ", ": x = 1"),
        ("print 'a'\n", "line 1: ", ": print 'a'"),
        ("x = (\n", "line 1: ", ": x = ("),
        (b"# coding: latin-9x\n", "", ""),
        (b"x = '\xff'\n", "", ""),
        (b"x = 1\0\n", "", ""),
    ],
)
def test_a_syntax_error_is_refused_with_its_line(tmp_path, text, line, shown):
    ((field, message),) = problems(tmp_path, text)
    assert field == "script"
    start = f"{tmp_path}/train.py does not compile under {sys.executable}: {line}"
    assert message.startswith(start)
    assert len(message) > len(start)
    assert shown in message


def test_a_script_is_compiled_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    assert problems(tmp_path, f"open({str(mark)!r}, 'w')\nraise SystemExit(3)") == []
    assert not mark.exists()


def test_what_warns_compiles(tmp_path):
    assert problems(tmp_path, "x = '\\d'\nassert (1, 2)\n") == []


def test_a_secret_in_a_wrong_line_is_not_shown(tmp_path):
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    ((_, message),) = problems(tmp_path, f"login(key='{key}'\n")
    assert "never closed" in message
    assert key not in message


def test_the_interpreter_that_will_run_it_decides(tmp_path):
    """A stand-in for a newer Python: it accepts what this one refuses."""
    newer = executable(tmp_path / "newer", "#!/bin/sh\necho '{\"problem\": null}'\n")
    assert problems(tmp_path, "def f(:\n", python=str(newer)) == []


@pytest.mark.parametrize(
    "text", ["exit 1", "echo nonsense", "echo '[]'", "kill -9 $$", "echo '{}'"]
)
def test_a_wrapper_that_does_not_answer_as_python_does_is_accepted(tmp_path, text):
    wrapper = executable(tmp_path / "wrapper", f"#!/bin/sh\n{text}\n")
    assert problems(tmp_path, "def f(:\n", python=str(wrapper)) == []


@pytest.mark.parametrize("text", ["exec sleep 600", "sleep 600", "yes", "sleep 600 & exit 0"])
def test_a_check_takes_bounded_time_and_memory(tmp_path, monkeypatch, text):
    """The second one dies of a kill, and the process that it started keeps the pipe."""
    assert COMPILE_SECONDS_MAX <= 10
    monkeypatch.setattr("jobcore_local._python.COMPILE_SECONDS_MAX", 0.3)
    slow = executable(tmp_path / "slow", f"#!/bin/sh\n{text}\n")
    end = time.monotonic() + 120
    assert compile_problem(str(slow), "x.py", dict(os.environ)) is None
    assert time.monotonic() < end


# --- scripts that are neither .py nor .sh -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        # It is made executable when it is started, and the shell runs one without a first line.
        ("#!/bin/sh\n", 0o644, None),
        ("echo 1\n", 0o755, None),
        ("#!\n", 0o755, "its first line names no interpreter"),
        ("#!/nowhere/sh\n", 0o755, "its first line names /nowhere/sh, which does not exist"),
        (
            "#!/usr/bin/env no-such-word\n",
            0o755,
            "its first line names no-such-word, which does not",
        ),
        ("#!/usr/bin/env -S A=1 no-such-word -x\n", 0o755, "its first line names no-such-word"),
        ("#!/bin/sh -e\n", 0o755, None),
        ("#!/usr/bin/env sh\n", 0o755, None),
        ("\x7fELF\0\0", 0o755, None),
    ],
)
def test_a_script_that_the_system_cannot_execute_is_refused(tmp_path, text, mode, message):
    script = tmp_path / "train"
    script.write_text(text)
    script.chmod(mode)
    spec = parse_job({"script": "train", "source_dir": str(tmp_path)}, owner="ada")
    found = Checker({"cpu": 1})(spec)
    assert [problem.field for problem in found] == ([] if message is None else ["script"])
    assert message is None or message in found[0].message


# --- the training -----------------------------------------------------------------------------


def run(home: Path, script: str, text: str, **args: object) -> tuple[object, str]:
    """Run a script to its end; return the training and its output."""
    write_pools(home, {"cpu": 1})
    (home / script).write_text(text)
    job_id = job_id_from_token("tests", f"{script} {text} {args}")
    request = LaunchRequest(
        name=training_name(job_id, 1),
        job_id=job_id,
        attempt=1,
        spec_hash="5" * 64,
        placement=Placement("cpu"),
        args={"script": script, "source_dir": str(home), **args},
    )
    trainer = LocalTrainer(home)
    try:
        trainer.launch([request])

        def ended():
            training = trainer.describe([request.name])[request.name]
            return training if training is not None and training.state.is_terminal else None

        return until(ended), trainer.log_path(request.name).read_text()
    finally:
        trainer.close()


@pytest.mark.parametrize("which", [0, 1])
def test_the_interpreter_of_the_job_runs_its_script(tmp_path, venvs, which, monkeypatch):
    """The manager has the other environment active."""
    monkeypatch.setenv("VIRTUAL_ENV", str(venvs[1 - which]))
    monkeypatch.setenv("PATH", f"{venvs[1 - which]}/bin:{os.environ['PATH']}")
    text = (
        "import os, shutil, subprocess, sys\n"
        "print(sys.prefix, os.environ.get('VIRTUAL_ENV'), shutil.which('python'))\n"
    )
    training, output = run(tmp_path, "train.py", text, python=f"{venvs[which]}/bin/python")
    assert training.state is TrainingState.COMPLETED
    assert output.split() == [str(venvs[which]), str(venvs[which]), f"{venvs[which]}/bin/python"]
    _, output = run(
        tmp_path, "train.sh", "python -c 'import sys; print(sys.prefix)'", python=f"{venvs[which]}/bin/python"
    )  # fmt: skip
    assert output.split() == [str(venvs[which])]


def test_a_missing_module_is_told_with_the_interpreter_that_lacks_it(tmp_path, venvs):
    one, two = venvs
    text = "import only_in_two"
    training, _ = run(tmp_path, "train.py", text, python=f"{one}/bin/python")
    assert training.state is TrainingState.FAILED
    named = f"No module named 'only_in_two' (not installed in {one}/bin/python)"
    assert named in training.evidence.text
    training, _ = run(tmp_path, "train.py", text, python=f"{two}/bin/python")
    assert training.state is TrainingState.COMPLETED


def test_the_environment_of_the_manager_is_left_out(venvs, tmp_path):
    one, two = map(str, venvs)
    inherited = {"PATH": f"{one}/bin:/usr/bin:/bin", "VIRTUAL_ENV": one, "A": "1"}
    of_two = python_environment(f"{two}/bin/python", inherited)
    assert of_two == {"PATH": f"{two}/bin:/usr/bin:/bin", "VIRTUAL_ENV": two, "A": "1"}
    system = python_environment("/usr/bin/python3", inherited)
    assert system == {"PATH": "/usr/bin:/bin", "A": "1"}
    conda = tmp_path / "conda"
    (conda / "conda-meta").mkdir(parents=True)
    of_conda = python_environment(f"{conda}/bin/python", inherited | {"CONDA_PREFIX": "/base"})
    assert of_conda["CONDA_PREFIX"] == str(conda)
    assert "VIRTUAL_ENV" not in of_conda
    # A job of an earlier release names no interpreter.
    assert python_environment(None, inherited) == inherited
    assert python_environment("python3", inherited) == inherited
    assert shutil.which("sh", path=of_two["PATH"])


def test_a_failure_is_told_by_its_exception_not_by_the_end_of_its_text(tmp_path):
    text = "raise RuntimeError('CUDA error: out of memory\\nCompile with TORCH_USE_CUDA_DSA')"
    training, _ = run(tmp_path, "train.py", text, python=sys.executable)
    assert '"RuntimeError: CUDA error: out of memory\nCompile with' in training.evidence.text
