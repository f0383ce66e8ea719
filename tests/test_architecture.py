"""The layers hold, and the generated and locked files are what they say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
ADAPTERS = [p.name for p in (SRC / "adapters").iterdir() if (p / "__init__.py").exists()]
LAYERS = {  # package: the jobcore packages that it may import besides itself
    **{
        name: {"jobcore", "jobcore_code", "jobcore_config", "jobcore_contract"} for name in ADAPTERS
    },
    "jobcore": set(),
    "jobcore_code": set(),  # below the adapters; the fork server imports it, and nothing of jobcore
    "jobcore_config": {"jobcore"},  # below the adapters, which read their settings with it
    "jobcore_contract": set(),  # below the adapters that start scripts
}
ENTRY_POINTS = [p.name for p in (SRC / "entrypoints").iterdir() if (p / "__init__.py").exists()]
LAYERS |= {name: set(LAYERS) for name in ENTRY_POINTS}
LAYERS["jobcore_cli"].add("jobcore_client")  # the command stands on the client
LAYERS["jobcore_simulation"] = set(LAYERS)


def folder(package: str) -> Path:
    places = (SRC, SRC / "adapters", SRC / "entrypoints", ROOT / "simulations")
    return next(place / package for place in places if (place / package).is_dir())


def jobcore_imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return {name.split(".")[0] for name in found if name.startswith("jobcore")}


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_imports_go_down_only(package):
    for path in folder(package).rglob("*.py"):
        imported = jobcore_imports(path.read_text(encoding="utf-8"))
        assert imported <= LAYERS[package] | {package}, path.relative_to(ROOT)


def test_the_check_sees_late_and_dotted_imports():
    assert jobcore_imports("def f():\n    import jobcore_sqlite.x") == {"jobcore_sqlite"}


@pytest.mark.parametrize("name", ["adapters", "entrypoints"])
def test_a_layer_is_a_folder_and_not_a_package(name):
    assert not (SRC / name / "__init__.py").exists()


def test_the_import_contracts_name_every_package():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    linter = config["tool"]["importlinter"]
    (acyclic,) = [c for c in linter["contracts"] if c["type"] == "acyclic_siblings"]
    everything = {*LAYERS, "benchmarks", "proof"}
    assert set(linter["root_packages"]) == everything
    assert set(acyclic["ancestors"]) == everything
    assert linter["exclude_type_checking_imports"] is False


def test_the_core_is_typed():
    assert (folder("jobcore") / "py.typed").exists()


def test_the_state_diagram_is_fresh():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_state_diagram.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", ["requirements.lock", "examples/requirements.lock"])
def test_the_lock_files_pin_with_hashes_and_name_no_place(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(
        r"--(extra-)?index-url|--find-links|file:|https?:|^-e|^/", text, re.MULTILINE
    )
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9, -]+\])?==[^ ]+ ", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


def test_extras_that_packages_ask_for_are_locked_as_such():
    """Or pip 23 takes a newer version with the extra than the pinned one, and then refuses it."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9._-]+)(\[.*\])?==", text, re.MULTILINE))
    asks = []
    for name in locked:
        with suppress(metadata.PackageNotFoundError):  # another platform's
            asks += [(name, line) for line in metadata.requires(name) or ()]
    assert any("[" in line for _, line in asks)
    for name, line in asks:
        asked = re.match(r"([A-Za-z0-9._-]+)\[([a-z, ]+)\]", line)
        if asked is not None and "extra ==" not in line and asked[1].lower() in locked:
            assert asked[2] in locked[asked[1].lower()], f"{name} asks for {line}"


def test_what_the_project_asks_for_is_locked():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = config["project"]["optional-dependencies"]
    asked = [line for lines in extras.values() for line in lines]
    groups = [line for lines in config["dependency-groups"].values() for line in lines]
    asked += [line for line in groups if isinstance(line, str)]  # else it includes another group
    asked += config["build-system"]["requires"]
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==", text, re.MULTILINE))
    names = {re.split(r"[\[>=<~!; ]", line)[0].lower() for line in asked}
    assert names - {"jobcore-scheduler"} <= locked


# --- the core names no command and no service -------------------------------------------------

VENDORS = re.compile(
    r"amazon|boto|cloudformation|cloudwatch|dynamodb|sagemaker|slurm"
    r"|(?<![a-z0-9])(?:aws|ec2|iam|lambda|sns|sqs)(?![a-z0-9])",
    re.IGNORECASE,
)
CORE_FILES = sorted((SRC / "jobcore").rglob("*.py"))


def command_lines() -> re.Pattern[str]:
    """Match a command or an option of the command `jobcore`, and the name of its settings file."""
    import click

    from jobcore_cli._app import _COMMANDS, cli

    context = click.Context(cli)
    options = {"--help"}
    for name in _COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        options |= {option for param in command.params for option in param.opts if "--" in option}
    commands = "|".join(_COMMANDS)
    return re.compile(rf"\bjobcore (?:{commands})\b|(?<!\w)(?:{'|'.join(options)})\b|config\.toml")


def words_of(source: str) -> list[str]:
    """
    List all that a module says or names: string literals, docstrings too, and identifiers.

    Comments are left out: they cite the sources of numbers.
    """
    words = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.append(node.value)
        for field in ("id", "attr", "name", "arg", "module", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                words.append(name.replace("_", " "))
    return words


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_the_core_names_no_command_and_no_vendor(path):
    """An entry point words the next step for its users; an adapter knows its service."""
    words = words_of(path.read_text(encoding="utf-8"))
    commands = command_lines()
    assert [word for word in words if commands.search(word)] == []
    assert [word for word in words if VENDORS.search(word)] == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ('x = "then: jobcore release 3"', True),
        ('x = f"jobcore logs {job}"', True),
        ('def f():\n    """See `jobcore doctor`."""', True),
        ('x = "stop the group with --yes"', True),
        ('x = "raise shares in config.toml"', True),
        ("# see: jobcore doctor", False),
        ('x = "a secret is given as --hf-token"', False),
        ('"""The module `jobcore.ticks.run`."""', False),
    ],
)
def test_the_check_finds_command_lines(source, is_found):
    assert any(map(command_lines().search, words_of(source))) is is_found


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ('x = "SageMaker did not answer"', True),
        ('def f():\n    """Ask AWS."""', True),
        ("boto_error = 1", True),
        ("def f(sns_topic): pass", True),
        ("import botocore.session", True),
        ("LIMIT = 63  # SageMaker: TrainingJobName", False),
        ('x = "laws of nature"', False),
        ("f = lambda x: x", False),
    ],
)
def test_the_check_finds_vendors(source, is_found):
    assert any(map(VENDORS.search, words_of(source))) is is_found
