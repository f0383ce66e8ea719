"""The wheel holds the data that the packages read, not their modules only, and runs a job by itself."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

import make_wheel

ROOT = make_wheel.ROOT
LAYERS = ("src", "src/adapters", "src/entrypoints", "simulations")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel.build("wheel", tmp_path_factory.mktemp("wheel"))


def test_every_data_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        file.relative_to(folder).as_posix()
        for folder in map(ROOT.joinpath, LAYERS)
        for file in folder.glob("jobcore*/**/*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    assert {"jobcore_aws/failure_rules.toml", "jobcore_local/failure_rules.toml"} <= wanted
    assert wanted - names == set()


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = make_wheel.build("sdist", tmp_path)
    assert make_wheel.rebuild(sdist, tmp_path).read_bytes() == wheel.read_bytes()


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> dict[str, str]:
    """The wheel's files on the path of new processes, before those of the tree."""
    place = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return {
        **make_wheel.environ_without_the_tree(tmp_path / "home"),
        "PYTHONPATH": str(place),
    }


JOBCORE = (sys.executable, "-m", "jobcore_cli")


def test_the_wheel_runs_a_job(installed: dict[str, str], tmp_path: Path) -> None:
    code = "import jobcore, jobcore_cli, jobcore_local as l; print(jobcore.__file__, l.__file__)"
    places = make_wheel.run([sys.executable, "-c", code], tmp_path, installed).split()
    assert [place for place in places if not place.startswith(str(tmp_path))] == []
    make_wheel.run_a_job(JOBCORE, tmp_path, installed)


def test_a_wheel_that_lacks_a_file_is_not_passed(installed: dict[str, str], tmp_path: Path) -> None:
    (Path(installed["PYTHONPATH"]) / "jobcore_local" / "failure_rules.toml").unlink()
    with pytest.raises(make_wheel.TrialError, match=r"failure_rules\.toml"):
        make_wheel.run_a_job(JOBCORE, tmp_path, installed)


def test_a_job_that_makes_no_model_is_not_passed(
    installed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_wheel, "SCRIPT", "print('no model')\n")
    with pytest.raises(make_wheel.TrialError, match=r"ended as Completed, with the models \[\]"):
        make_wheel.run_a_job(JOBCORE, tmp_path, installed)
