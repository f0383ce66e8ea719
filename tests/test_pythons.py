"""The run on other Pythons: which there are to be, which program is one, and that CI runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import pythons

VERSION = "{}.{}".format(*sys.version_info)


def program(folder: Path, text: str) -> Path:
    file = folder / f"python{VERSION}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Python."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_the_classifiers_name_the_oldest_that_is_required() -> None:
    versions = pythons.versions()
    required = (pythons.ROOT / "pyproject.toml").read_text("utf-8")
    assert f'requires-python = ">={versions[0]}"' in required
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]


def test_a_version_that_is_not_there_is_not_found(nothing: Path) -> None:
    assert pythons.find(VERSION) is None


def test_a_python_on_the_path_is_found(nothing: Path) -> None:
    file = program(nothing / "bin", f'exec {sys.executable} "$@"')
    assert pythons.find(VERSION) == str(file)


@pytest.mark.parametrize("text", ["echo 'pyenv: command not found' >&2; exit 127", "echo 3.9"])
def test_a_program_that_is_another_python_or_none_is_passed_over(nothing: Path, text: str) -> None:
    program(nothing / "bin", text)
    assert pythons.find(VERSION) is None
    bin_9, bin_10 = (nothing / f"pyenv/versions/{VERSION}.{patch}/bin" for patch in (9, 10))
    older, newer = (program(b, f'exec {sys.executable} "$@"') for b in (bin_9, bin_10))
    assert pythons.find(VERSION) == str(newer)
    newer.unlink()
    assert pythons.find(VERSION) == str(older)


def test_where_there_is_no_other_python_it_says_so_and_goes_on(
    nothing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pythons.main([]) == 0
    others = [version for version in pythons.versions() if version != VERSION]
    assert capsys.readouterr().out.splitlines() == [
        f"Python {version}: not found on this machine" for version in reversed(others)
    ]


@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
def test_the_tests_run_in_an_environment_of_their_own(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], passes, code
) -> None:
    program(nothing / "bin", f'exec {sys.executable} "$@"')
    ran = []
    monkeypatch.setattr(pythons, "set_up", lambda version, _: Path(f".venv-{version}/bin/python"))
    monkeypatch.setattr(
        pythons, "run_tests", lambda python, **options: ran.append((python, options)) or passes
    )
    assert pythons.main([VERSION, "--workers", "3"]) == code
    assert ran == [(Path(f".venv-{VERSION}/bin/python"), {"workers": "3", "whole": False})]
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"Python {VERSION}: {'passed' if passes else 'FAILED'}"
    assert pythons.main([VERSION, "--minutes", "-1"]) == 0
    assert "not run" in capsys.readouterr().out
    assert len(ran) == 1


def test_what_is_left_out_exists_and_ci_runs_the_rest() -> None:
    for folder in pythons.ELSEWHERE:
        assert (pythons.ROOT / "tests" / folder).is_dir()
    assert "\ntest-pythons:" in (pythons.ROOT / "Makefile").read_text("utf-8")
    assert os.access(pythons.ROOT / ".ci/run", os.X_OK)
