"""Every message that a page explains is one that jobcore writes."""

from __future__ import annotations

import ast
import re
import sqlite3
from functools import cache
from pathlib import Path

import pytest

import jobcore
from docs_tools import ROOT, pages
from jobcore.jobfile import field_kinds
from jobcore_aws import JOB_TABLES
from jobcore_cli import main

PAGE = "docs/how-to/troubleshooting.md"
CODE = re.compile(r"`([^`]+)`")
GAP = "\x00"  # in the place of a value
FIELDS = {name.rpartition(".")[2] for name in field_kinds(JOB_TABLES)}


def tables(text: str) -> dict[str, list[str]]:
    """List the messages of each table of messages, by the heading above it."""
    found: dict[str, list[str]] = {}
    heading, is_open = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        is_open = line.startswith("| message |") or (is_open and line.startswith("| "))
        first = re.split(r"(?<!\\) \| ", line)[0]
        if is_open and not line.startswith(("| message |", "| ---")):
            found.setdefault(heading, []).extend(CODE.findall(first) or [first.strip("| ")])
    return found


MESSAGES = [
    (page, message)
    for page, text in pages().items()
    for messages in tables(text).values()
    for message in messages
]


@cache
def texts() -> tuple[str, ...]:
    """List the texts in the code: of constants, and of f-strings with gaps; format strings too."""
    found: set[str] = set()
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "simulations").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else GAP for p in node.values)
                found.add("".join(map(str, parts)))
    return tuple(re.sub(r"\{\w*(?:![rs])?(?::[^{}]*)?\}", GAP, text) for text in found)


#: In a page's message: an example of a value, beside "…" and "...".
_EXAMPLES = re.compile(
    r"'[^']*'|\{\{\w+\}\}|/opt/ml|/…|\.\.\.|(?<=known: ).*|(?<!\w)-?\d[\d.,e:-]*|\(\?P<\w+>"
)
#: Messages of the operating system.
_FOREIGN = {"Permission denied"}


def is_written(message: str) -> bool:
    """Tell whether the code has the words of a message that are between its values."""
    parts = re.split("…", _EXAMPLES.sub("…", message.replace("\\|", "|")))
    # "field: message": the code has the two apart.
    words = [word.strip() for part in parts for word in re.split(r": |; ", part)]
    telling = [re.sub(r"^is ", "", word) for word in words if len(re.sub(r"\W", "", word)) > 3]
    assert telling, f"{message}: nothing to look for"
    known = FIELDS | _FOREIGN
    return all(word in known or any(word in text for text in texts()) for word in telling)


@pytest.mark.parametrize(("page", "message"), MESSAGES, ids=[message for _, message in MESSAGES])
def test_the_code_has_the_message(page: str, message: str) -> None:
    classes = "|".join(jobcore.FailureClass)
    message = re.sub(rf"^failed as ({classes}): …", "failed as …: …", message)
    assert is_written(message), page


def test_other_messages_are_not_found() -> None:
    for message in (
        "pools: there is no lane …",
        "… is not executable",
        "script: has no first line …",
    ):
        assert not is_written(message)


# --- produced by running ------------------------------------------------------------------------

#: By message: a job file, and the words of the command before its name.
SUBMITTED = {
    "…: unknown field; did you mean …?": ("scriptt = 1", "submit"),
    "…: unknown field; the field is called …": ("entry_point = 1", "submit"),
    "…: unknown field; known: …": ("[clocks]\nzzzzzzzz = 1", "submit"),
    "…: expected …, got …": ("priority = 'high'", "submit"),
    "script: missing; name the training script": ("name = 'a'", "submit"),
    "sweep: the file describes a sweep; use jobcore sweep …": ("[sweep.grid]\nx = [1]", "submit"),
    "pools: there is no pool … on this machine; there are: …": ("pools = 'moon'", "submit"),
    "pools: pool … has … slots, got a count of …": ("pools = { pool = 'cpu', count = 9 }", "submit"),
    "pools: pool … is limited to … slots, got a count of …": ("pools = { pool = 'few', count = 4 }", "submit"),
    "share: share … may use … slots at once, got a count of …": ("pools = { pool = 'few', count = 4 }", "submit"),
    "channels.…: … does not exist on this machine": ("[channels]\ntrain = 'gone'", "submit"),
    "channels.…: …: a training on this machine reads folders only": ("[channels]\ntrain = 'https://a.b/c'", "submit"),
    "script: … does not exist": ("script = 'gone.py'", "submit"),
    "script: …: its first line names …, which does not exist on this machine": ("script = 'odd.sh'", "submit"),
    "…; leave it out, or write it under …": ("volume_gb = 5", "submit"),
    "key …: used before for another submission; choose another key": ("priority = 2", "submit --key k"),
}  # fmt: skip
CONFIG = "[limits]\npools = { few = 3 }\nshare_default = 3\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOBCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCORE_OWNER", "ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.sh").write_text("true\n")
    (tmp_path / "odd.sh").write_text("#!/no/such/shell\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(CONFIG)
    assert main(["pools", "set", "cpu=2", "few=8"]) == 0
    return tmp_path


def submit(folder: Path, fields: str, command: str) -> int:
    script = "" if fields.startswith(("script", "name", "entry")) else "script = 'train.sh'\n"
    (folder / "a.toml").write_text(f"{script}{fields}\n")
    return main([*command.split(), "a.toml"])


@pytest.mark.parametrize("message", SUBMITTED)
def test_submit_writes_the_message(
    message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, command = SUBMITTED[message]
    assert submit(home, "priority = 1", command) == 0
    capsys.readouterr()
    assert submit(home, fields, command) in (2, 4)
    error = capsys.readouterr().err.splitlines()[-1]
    pattern = ".*".join(re.escape(part) for part in message.split("…"))
    assert re.search(pattern, error), error


def test_every_refusal_of_the_page_is_tried() -> None:
    listed = set(tables(pages()[PAGE])["Refused at submit"])
    on_aws = {message for message in listed if "the account's quota" in message or "s3:" in message}
    assert listed == SUBMITTED.keys() | on_aws
    assert len(on_aws) == 3


#: By message: commands, of which the last one writes it.
COMMANDS = {
    "there is no job … (an id, 4 or more characters of one, or a name)": ["show nothing"],
    "… could be any of: …; give more of the id": ["submit a.toml", "submit a.toml", "show a"],
    "there is no group …": ["hold --group nothing"],
    "group … has no jobs of …, but some of …; name the owner: --owner …": [
        "submit --group g a.toml",
        "--owner bob hold --group g",
    ],
    "attempt … of … has written nothing": ["submit a.toml", "logs a"],
    "no manager runs here; jobcore run (or jobcore tick) starts it": ["submit a.toml"],
    "the next launch tick starts it in pool …": ["submit a.toml", "why a"],
    "… waiting jobs go first": [
        "submit --priority 5 --pool cpu:2 a.toml",
        "submit --name b a.toml",
        "why b",
    ],
    "there is no pool …; the trainer has: …": [
        "pools set more=1",
        "submit --pool more a.toml",
        "remove-pools",
        "why a",
    ],
    "held (…): …": ["submit a.toml", "hold a", "why a"],
    "… not over after …; to wait on: jobcore wait …": ["submit a.toml", "wait --timeout 0 a"],
    "no manager runs here, so no job starts; jobcore run (or jobcore tick) does it": [
        "submit a.toml",
        "wait --timeout 0 a",
    ],
    "… held, and the others are over; see jobcore why, then jobcore release …, and wait again": [
        "submit --hold a.toml",
        "wait a",
    ],
    "no pool has a slot; jobcore pools set cpu=4": ["pools set cpu=0 few=0", "doctor"],
    "… is damaged or not a jobcore store": ["submit a.toml", "damage", "list"],
    "the store … has format …; this release of jobcore reads up to …": [
        "submit a.toml",
        "upgrade",
        "list",
    ],
}


def remove_pools(home: Path) -> None:
    (home / "pools.toml").unlink()


def damage(home: Path) -> None:
    for file in home.glob("jobcore.db*"):
        file.write_bytes(b"no store" * 1000)


def upgrade(home: Path) -> None:
    with sqlite3.connect(home / "jobcore.db") as db:
        db.execute("PRAGMA user_version = 999")
    db.close()


FAULTS = {"remove-pools": remove_pools, "damage": damage, "upgrade": upgrade}


@pytest.mark.parametrize("message", COMMANDS)
def test_commands_write_the_message(
    message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in {m for page, m in MESSAGES if page == PAGE}
    (home / "a.toml").write_text("name = 'a'\nscript = 'train.sh'\n")
    for command in COMMANDS[message]:
        capsys.readouterr()
        if command in FAULTS:
            FAULTS[command](home / "home")
        else:
            main(command.split())
    told = " ".join("".join(capsys.readouterr()).split())
    pattern = ".*".join(re.escape(part) for part in message.split("…"))
    assert re.search(pattern, told), told
