"""Every code block of README and docs/ is run, read, or says why not."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import jobcore
from docs_blocks import Block, commands_of, pages_of_blocks, plain
from docs_terminal import Shown, Terminal
from jobcore.errors import InvalidSetting
from jobcore.failures import parse_rules
from jobcore.jobfile import expand_sweep, job_for_backend, read_sweep
from jobcore_aws import JOB_TABLES, failure_rules, settings_from
from jobcore_cli._app import cli
from jobcore_client.config import read_files
from jobcore_client.jobfiles import read_document
from jobcore_config import BACKENDS
from jobcore_local._supervisor.mount import with_mounts
from jobcore_simulation.sandbox import SandboxConfig
from jobcore_simulation.sandbox._config import load_config
from jobcore_simulation.simulator import parse

PAGES = pages_of_blocks()
BLOCKS = [block for blocks in PAGES.values() for block in blocks]


# --- data: read by the reader that the product has ------------------------------------------


def read_job(document: dict[str, Any]) -> None:
    sweep = document.pop("sweep", None)
    for backend in BACKENDS:
        part = job_for_backend(document, backend, backends=BACKENDS, service_tables=JOB_TABLES)
        jobcore.parse_job(part, owner="ada", service_tables=JOB_TABLES)
    if sweep is not None:
        expand_sweep(*read_sweep(sweep))


def read_part_of_job(document: dict[str, Any]) -> None:
    assert "script" not in document, "this is a whole job file"
    read_job({"script": "train.py", **document})


def read_config(document: dict[str, Any]) -> None:
    read_files([(Path("config.toml"), document)])


def read_rules(document: dict[str, Any]) -> None:
    parse_rules(document, failure_rules())


def read_deployment(document: dict[str, Any]) -> None:
    settings_from({}, config={k: v for k, v in document.items() if k != "rules"})


def read_sandbox(source: str, folder: Path) -> None:
    file = folder / "sandbox.toml"
    file.write_text(source)
    SandboxConfig(**load_config(file))


READERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "job file": read_job,
    "part of a job file": read_part_of_job,
    "config.toml": read_config,
    "rule file": read_rules,
    "deployment": read_deployment,
}
DATA = ("toml", "yaml", "json")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in DATA], ids=str)
def test_data_is_accepted_by_its_reader(block: Block, tmp_path: Path) -> None:
    kind = block.told("read as")
    assert kind is not None, f"{block}: say what it is: <!-- read as: KIND -->"
    if kind == "sandbox":
        read_sandbox(block.source, tmp_path)
    elif kind == "scenario":
        parse(block.source, "docs")
    else:
        assert kind in READERS, f"{block}: no reader for {kind!r}; known: {sorted(READERS)}"
        file = tmp_path / f"block.{block.language}"
        file.write_text(block.source)
        READERS[kind](read_document(file))


def test_readers_refuse_what_is_wrong(tmp_path: Path) -> None:
    for reader in READERS.values():
        with pytest.raises(ValueError, match="unknown field"):
            reader({"zzzzzzzz": 1})
    with pytest.raises(InvalidSetting):
        read_sandbox("no-such-field = 1", tmp_path)


# --- Python -----------------------------------------------------------------------------------

PYTHON = [block for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs(block: Block) -> None:
    code = compile(block.source, str(block), "exec")
    if block.told("file") is None:  # a file is run by the commands of its page
        exec(code, {"__name__": "example"})


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [p for p, blocks in PAGES.items() if any(b.is_run for b in blocks)]
)
def test_commands_write_what_the_page_shows(page: str) -> None:
    with Terminal() as terminal:
        shown = Shown()
        for block in PAGES[page]:
            if name := block.told("file"):
                (terminal.folder / name).write_text(block.source)
            elif block.language == "setup":
                for command in block.source.strip().splitlines():
                    code, written = terminal.run(command)
                    assert code == 0, f"{block}: {command}: {written}"
            elif block.is_run and has(block.told("needs"), terminal.folder):
                run_commands(block, terminal, shown)


def has(thing: str | None, folder: Path) -> bool:
    """Tell whether the machine has what a block needs."""
    if thing is None:
        return True
    assert thing == "a mount namespace"
    if sys.platform != "linux" or Path("/opt/ml").is_dir():
        return False
    note = folder / ".note"
    command = with_mounts(["/bin/sh", "-c", "true"], folder=str(folder), note=str(note))
    subprocess.run(command, check=True)
    return not note.exists()


def run_commands(block: Block, terminal: Terminal, shown: Shown) -> None:
    for command, expected in commands_of(block.source):
        words = shown.translate(command)
        if block.has("keeps running", command):
            terminal.keep_running(words)
            continue
        code, written = terminal.run(words)
        assert code == block.exit_codes.get(plain(command), 0), (
            f"{block}: {command}: {code}: {written}"
        )
        if expected:
            problem = shown.problem(expected, written)
            assert not problem, f"{block}: {command}\n{problem}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "console"], ids=str)
def test_every_jobcore_command_is_accepted_by_its_parser(
    block: Block, parse_command: Callable[[list[str]], None]
) -> None:
    for command, _ in commands_of(block.source):
        for words in calls_of_jobcore(command):
            parse_command(words)


def calls_of_jobcore(line: str) -> list[list[str]]:
    """Give the arguments of each call of `jobcore` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    calls: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";&|<>()"):
            calls.append([])
        else:
            calls[-1].append(word)
    return [call[1:] for call in calls if call[:1] == ["jobcore"]]


@pytest.fixture
def parse_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Let click parse a call without doing it; it raises `click.UsageError`. Files need not exist."""
    monkeypatch.setattr(click.Path, "convert", lambda kind, value, option, context: Path(value))
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)

    def parse_command(words: list[str]) -> None:
        cli.main(words, standalone_mode=False)

    return parse_command


@pytest.mark.parametrize(
    "words",
    [["sumbit", "a.toml"], ["list", "--stats", "x"], ["submit"], ["list", "--limit", "many"]],
)
def test_the_parser_refuses_what_does_not_exist(
    words: list[str], parse_command: Callable[[list[str]], None]
) -> None:
    with pytest.raises(click.UsageError):
        parse_command(words)


# --- nothing is left out ----------------------------------------------------------------------


def test_every_block_has_a_rule() -> None:
    for block in BLOCKS:
        known = {*DATA, "python", "console", "setup", "sh", "text"}
        assert block.language in known, f"{block}: language {block.language!r}"
        allowed = {
            "console": {"not run", "keeps running", "exit code", "needs"},
            "text": {"no code", "file"},
            "python": {"file"},
            "sh": {"file"},
            "setup": set(),
        }.get(block.language, {"read as", "file"})
        assert set(block.instructions) <= allowed, f"{block}: {block.instructions}"
        if block.language in ("sh", "text"):
            assert block.instructions, f"{block}: say what it is: <!-- no code: REASON -->"
        commands = (
            [plain(command) for command, _ in commands_of(block.source)]
            if block.language == "console"
            else []
        )
        for name in ("keeps running", "exit code"):
            for command in block.instructions.get(name, ()):
                assert command in commands, f"{block}: {name}: there is no command {command!r}"


#: Why commands of a block are not run, and by how many blocks. A new reason has to be put here.
NOT_RUN = {
    "it installs packages": 4,
    "it needs an AWS account": 10,
    "it needs the sandbox": 8,
    "it takes minutes": 10,
}


def test_the_reasons_for_not_running_are_known() -> None:
    reasons = Counter(b.told("not run") for b in BLOCKS if b.told("not run"))
    assert reasons == NOT_RUN
