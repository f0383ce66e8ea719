"""The code blocks of the documentation, found by Sybil, with the instructions in the comments before them.

An instruction is an HTML comment of its own, directly before the block, which no reader sees:

* ``read as: KIND``: the reader of that kind (`READERS`) has to accept the block.
* ``file: NAME``: the block is a file of the page, in the folder in which its commands run.
* ``not run: REASON``: the commands of a console block are not run, only checked.
* ``keeps running: COMMAND``: a command that is not waited for; it gets Ctrl-C at the end of the page.
* ``exit code N: COMMAND``: a command that has to end with that exit code.
* ``needs: THING``: the commands are run only where the machine has it.
* ``no code: REASON``: the block is a picture or a form, in no language that is read.

``setup`` is one more: its further lines are commands that are run before what follows on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sybil import Document, Region, Sybil
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from docs_tools import ROOT

INSTRUCTIONS = ("read as", "file", "not run", "keeps running", "exit code", "needs", "no code")
_COMMENT = re.compile(r"<!-- ([a-z ]+?)( \d+)?: ([^\n]+) -->\s*\Z")
_SETUP = re.compile(r"^<!-- setup\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
_FENCES = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)$\n", re.MULTILINE))


@dataclass
class Block:
    """A fenced block, or a setup (language "setup")."""

    page: str
    line: int
    language: str
    source: str
    #: By the name of the instruction; those of "exit code" are (code, command).
    instructions: dict[str, list[str]] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def told(self, name: str) -> str | None:
        """Give the text of an instruction that may be there once."""
        found = self.instructions.get(name, [])
        assert len(found) < 2, f"{self}: {name}: twice"
        return found[0] if found else None

    def has(self, name: str, command: str) -> bool:
        """Tell whether an instruction names a command."""
        return plain(command) in self.instructions.get(name, [])

    @property
    def is_run(self) -> bool:
        return self.language == "console" and self.told("not run") is None


def _blocks(document: Document) -> Iterable[Region]:
    page = Path(document.path).relative_to(ROOT).as_posix()
    for region in _FENCES(document):
        line = document.text.count("\n", 0, region.start) + 1
        language = region.lexemes["language"].strip()
        block = Block(page, line, language, region.lexemes["source"])
        before = document.text[: region.start]
        while comment := _COMMENT.search(before):
            name, number, text = comment.groups()
            assert name in INSTRUCTIONS, f"{block}: {name}: unknown; known: {INSTRUCTIONS}"
            block.instructions.setdefault(name, []).insert(0, text)
            if number:
                block.exit_codes[text] = int(number)
            before = before[: comment.start()]
        region.parsed = block
        yield region
    for found in _SETUP.finditer(document.text):
        line = document.text.count("\n", 0, found.start()) + 1
        region = Region(found.start(), found.end(), Block(page, line, "setup", found[1]))
        yield region


def plain(command: str) -> str:
    """Take off a comment behind a command."""
    return re.split(r"\s+# ", command)[0]


def pages_of_blocks() -> dict[str, list[Block]]:
    """Parse README and the pages of docs/, but not the generated API, in the order of their names."""
    sybil = Sybil([_blocks])
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    written = [file for file in files if "api" not in file.relative_to(ROOT).parts]
    found = {}
    for file in written:
        examples = sybil.parse(file).examples()
        found[file.relative_to(ROOT).as_posix()] = [example.parsed for example in examples]
    return found


def commands_of(source: str) -> list[tuple[str, str]]:
    """Split a console block: each command, continued lines joined, and what is shown below it."""
    parts: list[tuple[str, str]] = []
    is_open = False
    for line in source.splitlines():
        if line.startswith("$ "):
            parts.append((line[2:], ""))
        elif is_open:
            command, _ = parts[-1]
            parts[-1] = (f"{command}\n{line}", "")
        else:
            assert parts, f"the block does not begin with a command: {line!r}"
            command, shown = parts[-1]
            parts[-1] = (command, f"{shown}{line}\n")
        is_open = line.endswith("\\") and (is_open or line.startswith("$ "))
    return [(command.replace("\\\n", " "), shown) for command, shown in parts]
