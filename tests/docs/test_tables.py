"""The tables of settings and of job files are those of the classes and of the parser that read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

import attrs
import pytest

from docs_tools import ROOT, load, pages
from jobcore.jobfile import field_kinds
from jobcore.jobfile.backends import PARTS
from jobcore_aws import JOB_TABLES
from jobcore_config.checks import at_least, each, matching, report_all

tables = load("make_tables")
CODE = re.compile(r"`([^`]+)`")


@pytest.mark.parametrize("name", tables.PAGES)
def test_the_pages_are_current(name: str) -> None:
    text = pages()[f"docs/reference/{name}"]
    assert tables.rendered(text) == text


def test_every_table_is_on_one_page_and_no_other_page_has_one() -> None:
    found = [
        name for text in pages().values() for name in re.findall(r"<!-- table: (.+) -->", text)
    ]
    assert sorted(found) == sorted(tables.TABLES)
    on = {page for page, text in pages().items() if "<!-- table: " in text}
    assert on == {f"docs/reference/{name}" for name in tables.PAGES}


def test_every_field_of_a_job_file_has_a_row() -> None:
    page = pages()["docs/reference/job-file.md"]
    for name in ("", "pools", "retry", "clocks"):
        title = f"job file: {name}" if name else "job file"
        table = page.partition(f"<!-- table: {title} -->")[2].partition("<!-- end -->")[0]
        first = {cell for line in table.splitlines() for cell in CODE.findall(line.split(" | ")[0])}
        kinds = {*field_kinds(JOB_TABLES), PARTS}
        fields = {f.rpartition(".")[2] for f in kinds if f.rpartition(".")[0] == name}
        classes = {str(c) for c in tables.jobcore.FailureClass}
        assert first - classes == fields - classes


def test_a_field_without_a_row_is_found_and_the_meanings_stay(monkeypatch) -> None:
    monkeypatch.setattr(tables.jobcore.jobfile.backends, "PARTS", "inner.y")
    old = "| field | kind | meaning |\n| --- | --- | --- |\n| `a` | text | All \\| mine. |\n| `gone` | x | y |\n"
    kinds = {"a": "a string", "new": "a duration", "inner.x": "a table"}
    monkeypatch.setattr(tables.jobcore.jobfile, "field_kinds", lambda services: kinds)
    assert tables.job_table("", old) == [
        ["field", "kind", "meaning"],
        ["`a`", "string", "All \\| mine."],
        ["`new`", "duration", "TODO: its meaning."],
    ]
    assert [row[0] for row in tables.job_table("inner", "")[1:]] == ["`x`", "`y`"]


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Example:
    """
    Settings.

    Attributes:
        first: how often; None for never,
            and ``0`` for once.
        slow, slower: two times. *slow* is shorter.
        names: of things.
        parts: further settings.

    Raises:
        ValueError: never.
    """

    first: int | None = attrs.field(default=None, validator=at_least(0))
    slow: timedelta = timedelta(seconds=90)
    slower: timedelta = timedelta(hours=2)
    names: tuple[str, ...] = attrs.field(default=("a",), validator=each(matching("a", "an a")))
    parts: Mapping[str, bool] = attrs.field(factory=dict)


def test_a_class_becomes_a_table() -> None:
    assert tables.settings(Example, {"slower": timedelta(seconds=1)})[1:] == [
        ["`first`", "whole number: 0 or more", "", "How often; `null` (in JSON) for never, and `0` for once."],
        ["`slow`, `slower`", "duration", "`90s`, `2h` (`1s` on one machine)", "Two times. `slow` is shorter."],
        ["`names`", "list of strings", "`a`", "Of things."],
        ["`parts`", "table of flags", "", "Further settings."],
    ]  # fmt: skip


def test_a_field_without_a_meaning_is_found() -> None:
    @attrs.frozen
    class Silent:
        """Has no section."""

        field: int = 0

    with pytest.raises(AssertionError, match=r"Silent: without a meaning: \['field'\]"):
        tables.settings(Silent)


def test_no_other_variable_of_jobcore_is_read_by_the_command() -> None:
    """`aws.py` hands those of the deployment on to the adapter, whose fields name them."""
    listed = {name.strip("`") for name, _ in tables.variables()[1:]} | {"JOBCORE_CONFIG"}
    page = pages()["docs/reference/configuration.md"]
    folders = [ROOT / "src/entrypoints" / name for name in ("jobcore_cli", "jobcore_client")]
    for file in (file for folder in folders for file in folder.glob("*.py")):
        text = file.read_text("utf-8")
        if file.name != "variables.py":
            assert not re.findall(r'environ(?:\.get\(|\[)"(?:JOBCORE_|NO_COLOR)', text), file.name
        named = set(re.findall(r'"(JOBCORE_[A-Z_]+)"', text))
        assert named <= listed | {"JOBCORE_DIRECT_OWNER"}, file.name
    assert {name for name in listed if f"`{name}`" not in page} == set()
