"""The pages against the code: examples run, and names, paths, commands and fields that they mention exist."""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import jobcore
from docs_tools import ROOT, exists, load, pages
from jobcore.jobfile.backends import PARTS
from jobcore_aws import JOB_TABLES, SageMakerSettings
from jobcore_cli._app import cli

PAGES = pages()
PYTHON = [
    (page, code)
    for page, text in PAGES.items()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def inline() -> Iterator[tuple[str, str]]:
    """Give what the pages set in code inside their text."""
    for page, text in PAGES.items():
        for found in INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            yield page, found


def section(page: str, heading: str) -> str:
    """Give the text of a page from a heading to the next."""
    _, _, rest = PAGES[page].partition(f"\n{heading}\n")
    assert rest, f"{page}: no heading {heading!r}"
    return re.split(r"\n#{1,6} ", rest)[0]


def first_cells(text: str) -> list[str]:
    """List the code in the first cell of each row of a table."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [name for row in rows for name in INLINE.findall(row.split(" | ")[0])]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python_examples_run(page: str, code: str) -> None:
    exec(compile(code, page, "exec"), {"__name__": "example"})


def test_there_are_examples() -> None:
    assert {"README.md", "docs/how-to/embed-the-core.md", "docs/how-to/write-an-adapter.md"} <= {
        page for page, _ in PYTHON
    }


# --- names and paths ------------------------------------------------------------------------


FILES_OF_A_HOME = {"jobcore.db"}


def test_names_of_the_packages_exist() -> None:
    names = {
        (page, name)
        for page, text in inline()
        for name in re.findall(r"(?<![\w./-])(jobcore(?:_[a-z]+)?(?:\.\w+)+)", text)
        if name not in FILES_OF_A_HOME
    }
    assert len(names) > 3
    assert [(page, name) for page, name in sorted(names) if not exists(name)] == []


def test_members_of_public_classes_exist() -> None:
    public = {n: t for p in load("make_reference").packages() for n, t in p.exports.items()}
    members = {
        (page, *name)
        for page, text in inline()
        for name in re.findall(r"(?<![\w.])([A-Z]\w+)\.([a-z]\w+)", text)
        if name[0] in public
    }
    assert len(members) > 3
    assert [m for m in sorted(members) if not has(public[m[1]], m[2])] == []


def has(thing: object, name: str) -> bool:
    """Tell whether a class has an attribute, or its objects do."""
    return hasattr(thing, name) or name in getattr(thing, "__annotations__", {})


def test_paths_exist() -> None:
    folders = "src|tests|docs|proof|simulations|deploy|examples|benchmarks"
    paths = {
        (page, found[0])
        for page, text in inline()
        if (found := re.fullmatch(rf"(?:{folders})(?:/[\w.-]+)+/?", text))
    }
    assert len(paths) > 10
    assert [(page, path) for page, path in sorted(paths) if not (ROOT / path).exists()] == []


def test_pages_that_the_code_names_exist() -> None:
    files = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "zensical.toml"]
    for folder in ("src", "simulations", "proof", "benchmarks", "tests", "deploy", "docs"):
        files += [f for f in (ROOT / folder).rglob("*") if f.suffix in {".py", ".yaml", ".toml"}]
    me = Path(__file__).resolve()
    named = {
        (file.relative_to(ROOT).as_posix(), path)
        for file in files
        if file.resolve() != me and file.parent.name != "docs"
        for path in re.findall(
            r"\bdocs/[\w./-]+\.(?:md|yaml|svg|png|py)\b", file.read_text("utf-8")
        )
    }
    assert len(named) > 5
    assert [(file, path) for file, path in sorted(named) if not (ROOT / path).exists()] == []


# --- commands -------------------------------------------------------------------------------


def calls(program: str) -> Iterator[tuple[str, list[str]]]:
    """Give the words of each call of a program in the pages' examples and texts."""
    for page, text in PAGES.items():
        joined = text.replace("\\\n", " ")
        lines = re.findall(rf"^\$ (?:.*[;&|] )?({program} .*)$", joined, re.MULTILINE)
        lines += [found for found in INLINE.findall(joined) if found.startswith(f"{program} ")]
        for line in lines:
            yield page, shlex.split(line, comments=True)[1:]


def known_options(command: click.Command) -> set[str]:
    return {"--help", *(o for p in command.params for o in (*p.opts, *p.secondary_opts))}


def test_commands_and_their_options_exist() -> None:
    wrong, context, checked = [], click.Context(cli), 0
    for page, words in calls("jobcore"):
        at = 0
        while at < len(words) and words[at].startswith("--"):
            at += 2 if words[at] in ("--home", "--owner", "--backend") else 1
        if at >= len(words) or words[at] in ("COMMAND", "is"):
            continue
        command = cli.get_command(context, words[at])
        if command is None:
            wrong.append((page, words))
            continue
        given = {word.partition("=")[0] for word in words[at + 1 :] if word.startswith("--")}
        wrong += [(page, words[at], option) for option in given - known_options(command)]
        checked += 1
    assert wrong == []
    assert checked > 40


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wanted = {(page, word) for page, words in calls("make") for word in words if "=" not in word}
    assert len(wanted) > 10
    assert [(page, word) for page, word in sorted(wanted) if word not in targets] == []


def test_installations_name_the_wheel_that_is_built_and_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wheel = f"jobcore_scheduler-{project['version']}-py3-none-any.whl"
    installs = [(page, *words[1:]) for page, words in calls("pip") if words[0] == "install"]
    pages_of_wheels = set()
    for page, *words in installs:
        for place, extras in re.findall(r"(\S+?)\[(.*)\]", " ".join(words)):
            assert place in {f"dist/{wheel}", project["name"]}, page
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), page
            pages_of_wheels |= {page} if place.endswith(wheel) else set()
    assert {"README.md", "docs/how-to/deploy-to-aws.md"} <= pages_of_wheels
    assert "docs/tutorials/first-sweep.md" in pages_of_wheels


def test_modules_that_are_run_exist() -> None:
    wanted = {(page, words[1]) for page, words in calls("python") if words[0] == "-m"}
    assert len(wanted) > 5
    missing = [
        (page, module)
        for page, module in sorted(wanted)
        if not (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    ]
    assert missing == []


def test_every_command_is_documented() -> None:
    page = PAGES["docs/reference/cli.md"]
    assert [name for name in cli.list_commands(click.Context(cli)) if f"`{name}" not in page] == []


# --- fields ---------------------------------------------------------------------------------


def known_fields(**document: object) -> dict[str, set[str]]:
    """Ask the reader of job files which fields it knows, by table ("" for the top)."""
    with pytest.raises(jobcore.InvalidJob) as caught:
        jobcore.parse_job(document, owner="ada", service_tables=JOB_TABLES)
    found = {}
    for problem in caught.value.problems:
        table = problem.field.rpartition(".")[0]
        found[table] = set(problem.message.partition("known: ")[2].split(", "))
    return found


def test_the_job_file_page_has_every_field() -> None:
    nothing = {"zzzzzzzz": 1}
    known = known_fields(script="a.py", retry=nothing, clocks=nothing, **nothing)
    page = "docs/reference/job-file.md"
    fields = {*jobcore.jobfile.job_fields(JOB_TABLES), PARTS}
    assert set(first_cells(section(page, "## Fields"))) == fields
    assert set(first_cells(section(page, "### `[clocks]`"))) == known["clocks"]
    own = set(first_cells(section(page, "### `[retry]`"))) - {"oom", "spot_interrupted"}
    assert own == known["retry"] - set(jobcore.FailureClass)


def test_the_failures_page_has_every_class_and_its_budget() -> None:
    budgets = exported("DEFAULT_BUDGETS")
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in section("docs/reference/failures.md", "## Classes").splitlines()
        if line.startswith("| `")
    ]
    found = {row[0].strip("`"): row[-1].split(" ")[0] for row in rows}
    expected = {
        str(c): "no" if budgets[c] is None else str(budgets[c]) for c in jobcore.FailureClass
    }
    assert found == expected


def exported(name: str) -> object:
    """Find what a package of the core exports under *name*."""
    return next(p.exports[name] for p in load("make_reference").packages() if name in p.exports)


@pytest.mark.parametrize(
    ("page", "heading", "settings"),
    [
        ("docs/reference/cli.md", "### `[limits]`", jobcore.Limits),
        ("docs/reference/sagemaker.md", "## Deployment settings", SageMakerSettings),
    ],
)
def test_tables_of_settings_have_every_field(page: str, heading: str, settings: type) -> None:
    fields = set(inspect.signature(settings).parameters)
    assert set(first_cells(section(page, heading))) - {"limits"} == fields


def test_each_word_of_the_glossary_is_there_once_and_in_order() -> None:
    words = re.findall(r"^### (.+)$", PAGES["docs/reference/glossary.md"], re.MULTILINE)
    assert words == sorted(set(words), key=str.casefold)
    assert len(words) > 30


def test_decisions_have_a_number_and_begin_with_the_decision() -> None:
    records = {p: t for p, t in PAGES.items() if re.match(r"docs/decisions/\d", p)}
    numbers = [int(Path(page).name[:4]) for page in records]
    assert numbers == list(range(1, len(numbers) + 1))
    for page, text in records.items():
        title, blank, first, *_ = text.splitlines()
        assert title.startswith(f"# {int(Path(page).name[:4])}. "), page
        assert (blank, first[:2] != "**") == ("", True), page
