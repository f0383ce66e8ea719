"""The page of the training contract against `jobcore_contract`: variables, arguments, commands, reserved names."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import jobcore_contract
from docs_tools import pages
from jobcore import Placement
from jobcore_contract import Container, Start
from jobcore_local._contract import prepare
from sagemaker_fixtures import request

PAGE = pages()["docs/reference/training-contract.md"]
CODE = re.compile(r"`([^`]+)`")


def rows(heading: str) -> list[list[str]]:
    section = re.split(r"\n## ", PAGE.partition(f"\n## {heading}\n")[2])[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return cells[2:]


def started(script: str, **given: object) -> Start:
    container = Container(
        base="/base",
        hyperparameters=jobcore_contract.hyperparameter_texts(given, script=script, training="t"),
        channels={},
        resources=jobcore_contract.resource_config("local"),
        environment={},
        cpus=1,
    )
    return jobcore_contract.start(container, "/code")


def test_every_variable_is_there_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    args = {
        "script": "train.py", "source_dir": str(tmp_path), "hyperparameters": {"name": 1},
        "channels": {"name": str(tmp_path)},
    }  # fmt: skip
    for pool in ("cpu", "gpu"):
        asked = request(args=args, placement=Placement(pool))
        found = set(prepare(asked, tmp_path / "t", tmp_path / "c", {}).environment)
        listed = {name for row in rows("Environment") for name in CODE.findall(row[0])}
        internal = {"JOBCORE_TRAINING", "PYTHONUNBUFFERED", "CUDA_VISIBLE_DEVICES"}
        assert listed == found - internal


def test_the_table_of_arguments_is_right() -> None:
    table = rows("Arguments")
    assert len(table) == 6
    for row in table:
        value, *texts = ((CODE.findall(cell) or [""])[0] for cell in row)
        start = started("train.py", name=json.loads(value))
        assert texts == [start.arguments[-1], start.environment["SM_HP_NAME"]], value


def test_the_commands_are_right() -> None:
    shown = [CODE.findall(row[1])[0] for row in rows("Entry points")]
    commands = [
        started(script).command("PYTHON", package=package)
        for script, package in (("train.py", False), ("train.py", True), ("run.sh", False))
    ]
    assert [shlex.split(text.replace(" ARGUMENTS", "")) for text in shown] == commands


def test_every_folder_that_values_can_name_is_there() -> None:
    named = jobcore_contract.places("/opt/ml", ["name"], "/opt/ml/checkpoints")
    assert set(re.findall(r"`\$\{(SM_[A-Z_]+)\}`", PAGE)) == set(named)


@pytest.mark.parametrize(
    "name", [*jobcore_contract.RESERVED_ENVIRONMENT, *jobcore_contract.RESERVED_HYPERPARAMETERS]
)
def test_reserved_names_are_there(name: str) -> None:
    assert f"`{name}`" in PAGE.partition("A job cannot set")[2].partition("\n")[0]
