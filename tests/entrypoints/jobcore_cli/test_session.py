"""The adapters of one call of the command: what is opened for it is closed when it ends."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from jobcore_cli import main
from jobcore_cli._app import cli, complete_job
from jobcore_cli._session import Session
from jobcore_sqlite import SqliteStore

JOB = 'name = "first"\nscript = "train.sh"\n'
#: What is called, with the exit code. Each opens the store, and some fail after that.
COMMANDS = {
    "submit first.toml": 0,
    "sweep first.toml -p x=1,2 --group g": 0,
    "list": 0,
    "show first": 0,
    "show none": 3,
    "why first": 0,
    "logs first": 3,
    "hold first": 0,
    "release first": 0,
    "stop first": 0,
    "retry first": 0,
    "wait first --timeout 0.01s": 6,
    "pools": 0,
    "tick monitor": 0,
    "run --until-done --quiet": 0,
    "doctor --deep": 0,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    (tmp_path / "train.sh").write_text("exit 0\n")
    (tmp_path / "first.toml").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[SqliteStore]:
    """Every store that is opened in this process from now on."""
    stores: list[SqliteStore] = []
    real = SqliteStore.__init__

    def noted(store: SqliteStore, *args: object, **options: object) -> None:
        real(store, *args, **options)
        stores.append(store)

    monkeypatch.setattr(SqliteStore, "__init__", noted)
    return stores


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_closes_the_store_that_it_opened(
    words: str, home: Path, opened: list[SqliteStore]
) -> None:
    """A connection that is left to the garbage collector is a ResourceWarning since Python 3.13."""
    if not words.startswith("submit"):
        assert main(["submit", "first.toml"]) == 0
    opened.clear()
    assert main(words.split()) == COMMANDS[words]
    assert opened
    assert [store for store in opened if store._db is not None] == []


def test_a_completion_closes_the_store_that_it_opened(
    home: Path, opened: list[SqliteStore]
) -> None:
    assert main(["submit", "first.toml"]) == 0
    opened.clear()
    with click.Context(cli) as context:
        (item,) = complete_job(context, click.Argument(["job"]), "first")
    assert item.help == "first New"
    assert [store._db for store in opened] == [None]


def test_a_session_that_was_closed_opens_its_store_again(home: Path) -> None:
    session = Session()
    session.close()
    for _ in range(2):
        assert dict(session.store.counts()) == {}
        session.close()
