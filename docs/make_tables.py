"""Write the tables of settings in the reference, from the classes and the parser that read them.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. For settings the fields, kinds,
bounds and defaults are those of the class, and the meanings its docstring. For job files the fields
and kinds are the parser's; the meanings say what each backend does with a field, which the parser
does not know: they are written in the page, and kept.

With --check nothing is written; the command fails if a table is stale.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs

import jobcore
from jobcore_aws import JOB_TABLES, AwsSettings, Pool, SageMakerSettings
from jobcore_client import variables as command_variables
from jobcore_client.aws import _Names
from jobcore_client.config import CliConfig
from jobcore_config.checks import Check
from jobcore_simulation import PoolConfig
from jobcore_simulation.sandbox import SandboxConfig

ROOT = Path(__file__).parent.parent
PAGES = ("configuration.md", "job-file.md", "sagemaker.md", "sandbox.md")
_TABLE = re.compile(r"^(<!-- table: ([^\n]+) -->\n\n)(.*?)(^<!-- end -->$)", re.MULTILINE | re.DOTALL)  # fmt: skip
_KINDS = {
    str: "string", bool: "true or false", int: "whole number", float: "number", timedelta: "duration",
    Path: "path",
}  # fmt: skip


def written(table: list[list[str]]) -> str:
    """Write a table, its heads first."""
    heads, *rows = table
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


# --- settings: a class of attrs, or a dataclass ----------------------------------------------


def settings(cls: type, other: Mapping[str, object] | None = None) -> list[list[str]]:
    """Make the table of a class; *other* are the defaults that differ on one machine."""
    fields = {field.name: field for field in _fields(cls)}
    kinds = get_type_hints(cls)
    rows = [["field", "kind", "default", "meaning"]]
    hidden = {name for name, f in fields.items() if f.metadata.get("override", {}).get("omit")}
    for names, meaning in meanings(cls):
        own = [fields.pop(name) for name in names]
        if hidden.intersection(names):  # for code, not for files
            continue
        cells = (
            _joined(f"`{name}`" for name in names),
            _joined(kind_of(kinds[field.name], field) for field in own),
            _joined(_default(field, other or {}) for field in own),
            sentence(meaning),
        )
        rows.append(list(cells))
    assert not fields.keys() - hidden, f"{cls.__name__}: without a meaning: {sorted(fields)}"
    return rows


def _fields(cls: Any) -> Sequence[Any]:
    return attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls)


def meanings(cls: type) -> Iterator[tuple[list[str], str]]:
    """Give the entries of a docstring's section of attributes or arguments, as names and text."""
    _, _, section = (
        (inspect.getdoc(cls) or "").replace("Args:", "Attributes:").partition("Attributes:\n")
    )
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    for names, text in re.findall(
        r"^    (\w[\w, ]*): (.*\n(?:     .*\n?)*)", f"{section}\n", re.MULTILINE
    ):
        yield names.split(", "), text


def _joined(parts: Iterator[str]) -> str:
    """Join the cells of fields that are explained together; what is alike is written once."""
    found = list(parts)
    return found[0] if len(set(found)) == 1 else ", ".join(part or "none" for part in found)


def kind_of(kind: Any, field: Any = None) -> str:
    """Name the kind of an annotation, with the bounds that the field's check has."""
    bounds = _bounds(field) if field is not None else ""
    members = [member for member in get_args(kind) if member is not NoneType]
    if isinstance(kind, UnionType):
        if bounds and len(members) > 1:
            return bounds.removeprefix(": ")
        return " or ".join(dict.fromkeys(kind_of(member) for member in members)) + bounds
    if get_origin(kind) is tuple:
        inner = members[0] if members[-1] is ... else None
        return f"list of {_plural(kind_of(inner))}" if inner else f"list of {len(members)}"
    if members and inspect.isclass(get_origin(kind)) and issubclass(get_origin(kind), Mapping):
        is_plain = members[1] in _KINDS
        return f"table of {_plural(kind_of(members[1]))}" if is_plain else "table"
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    return f"{_KINDS.get(kind, 'table')}{bounds}"


def _plural(kind: str) -> str:
    return {"true or false": "flags"}.get(kind, f"{kind}s")


def _bounds(field: Any) -> str:
    check = field.metadata.get("check")
    if not isinstance(check, Check):
        return ""
    return ": " + re.sub(r"\[.*?\]", r"`\g<0>`", check.expected)  # no link


def _default(field: Any, other: Mapping[str, object]) -> str:
    value = field.default
    if value in (attrs.NOTHING, dataclasses.MISSING):
        factory = getattr(field, "default_factory", dataclasses.MISSING)
        if factory is dataclasses.MISSING:
            return "required"
        value = factory()
    elif isinstance(value, attrs.Factory):
        value = value.factory()
    here = f" (`{shown(other[field.name])}` on one machine)" if field.name in other else ""
    text = shown(value)
    return f"`{text}`{here}" if text else ""


def shown(value: object) -> str:
    """Write a default as in a file; "" for an empty one, and for a table of further settings."""
    if (
        value is None
        or value in ("", (), {})
        or attrs.has(type(value))
        or isinstance(value, jobcore.Limits)
    ):
        return ""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
        unit, length = next((u for u in units if seconds % u[1] == 0), ("s", 1))
        return f"{seconds / length:g}{unit}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def sentence(text: str) -> str:
    """Make a sentence of a docstring's entry."""
    words = re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
    words = re.sub(r"\*(\w+)\*", r"`\1`", words).replace("|", "\\|")
    words = re.sub(r"\bNone\b", "`null` (in JSON)", words)
    return f"{words[:1].upper()}{words[1:]}".rstrip(".") + "."


def variables() -> list[list[str]]:
    """List the environment variables of the command and of the deployment."""
    own = [
        value
        for value in vars(command_variables).values()
        if isinstance(value, command_variables.Variable)
    ]
    rows = [[f"`{variable.name}`", variable.meaning] for variable in own]
    texts = {name: text for names, text in meanings(AwsSettings) for name in names}
    named = [field for field in attrs.fields(AwsSettings) if "variable" in field.metadata]
    rows += [[f"`{f.metadata['variable']}`", sentence(texts[f.name])] for f in named]
    return [["variable", "meaning"], *rows]


def _local_limits() -> dict[str, object]:
    here, default = CliConfig().limits, jobcore.Limits()
    names = [field.name for field in dataclasses.fields(jobcore.Limits)]
    return {n: getattr(here, n) for n in names if getattr(here, n) != getattr(default, n)}


# --- job files: the parser's fields, the page's meanings --------------------------------------


def job_table(name: str, old: str) -> list[list[str]]:
    """Make the table of the fields below *name* ("" for the top), with the meanings of the old table."""
    kinds = {
        field.rpartition(".")[2]: re.sub(r"^an? ", "", kind)
        for field, kind in {
            **jobcore.jobfile.field_kinds(JOB_TABLES),
            jobcore.jobfile.backends.PARTS: "a table",
        }.items()
        if field.rpartition(".")[0] == name
    }
    classes = set(jobcore.FailureClass)
    rows = [["field", "kind", "meaning"]]
    for first, meaning in _old_rows(old):
        names = [found for found in re.findall(r"`([^`]+)`", first) if found in kinds]
        if set(names) <= classes and names:
            names = sorted(classes)
        if names:
            rows.append([first, _joined(kinds.pop(field) for field in names), meaning])
    rows += [[f"`{field}`", kind, "TODO: its meaning."] for field, kind in kinds.items()]
    return rows


def _old_rows(table: str) -> Iterator[tuple[str, str]]:
    for line in table.splitlines()[2:]:
        cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
        yield cells[0], cells[-1]


TABLES: Mapping[str, Callable[[str], list[list[str]]]] = {
    "config.toml": lambda old: settings(CliConfig),
    "limits": lambda old: settings(jobcore.Limits, _local_limits()),
    "aws": lambda old: settings(_Names),
    "variables": lambda old: variables(),
    "deployment": lambda old: settings(SageMakerSettings),
    "pool": lambda old: [row for row in settings(Pool) if row[0] != "`name`"],  # the table's name
    "sandbox": lambda old: settings(SandboxConfig),
    "sandbox pool": lambda old: settings(PoolConfig),
    "job file": lambda old: job_table("", old),
    "job file: pools": lambda old: job_table("pools", old),
    "job file: retry": lambda old: job_table("retry", old),
    "job file: clocks": lambda old: job_table("clocks", old),
}


def rendered(text: str) -> str:
    """Give the text of a page with its tables made anew."""
    return _TABLE.sub(lambda found: f"{found[1]}{written(TABLES[found[2]](found[3]))}\n{found[4]}", text)  # fmt: skip


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: make_tables.py [--check]", file=sys.stderr)
        return 2
    stale = []
    for name in PAGES:
        page = ROOT / "docs" / "reference" / name
        old = page.read_text(encoding="utf-8")
        new = rendered(old)
        assert "TODO" not in new, f"{name}: a field has no meaning: write it in the page"
        if new != old:
            stale.append(name)
            if not arguments:
                page.write_text(new, encoding="utf-8")
    if stale and arguments:
        print(f"stale in docs/reference: {', '.join(stale)}; run make reference", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
