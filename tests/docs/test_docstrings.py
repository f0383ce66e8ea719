"""Docstrings and comments of the code: the names that they mention exist."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from docs_tools import ROOT, exists

CAPITALS = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b")
APART = re.compile(r"``[^`]*``|https?://\S+")  # examples and addresses
DOTTED = re.compile(r"`(jobcore(?:_[a-z]+)?(?:\.\w+)+)`")
FILES = [f for folder in ("src", "simulations") for f in sorted((ROOT / folder).rglob("*.py"))]


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node, clean=False) or ""


def comments(file: Path) -> Iterator[str]:
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text("utf-8")).readline)
    return (token.string for token in tokens if token.type == tokenize.COMMENT)


def code(file: Path) -> str:
    """Give the code without docstrings and comments: names, and strings such as those of variables."""
    text = file.read_text("utf-8")
    for found in (*docstrings(file), *comments(file)):
        text = text.replace(found, "") if found else text
    return text


def test_constants_that_docstrings_mention_exist() -> None:
    known = set(CAPITALS.findall("\n".join(map(code, FILES))))
    known |= set(CAPITALS.findall((ROOT / "deploy" / "template.yaml").read_text("utf-8")))
    mentioned = {
        (file.relative_to(ROOT).as_posix(), name)
        for file in FILES
        for text in docstrings(file)
        for name in CAPITALS.findall(APART.sub("", text))
    }
    assert len(mentioned) > 3
    assert [pair for pair in sorted(mentioned) if pair[1] not in known] == []


def test_names_of_the_packages_that_the_code_mentions_exist() -> None:
    mentioned = {
        (file.relative_to(ROOT).as_posix(), name)
        for file in FILES
        for text in (*docstrings(file), *comments(file))
        for name in DOTTED.findall(text)
    }
    assert len(mentioned) > 3
    assert [pair for pair in sorted(mentioned) if not exists(pair[1])] == []
