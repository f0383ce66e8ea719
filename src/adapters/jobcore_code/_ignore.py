"""The rules of .gitignore and .jobcoreignore files (https://git-scm.com/docs/gitignore).

Names and patterns are bytes, as in git: ``?`` matches one byte. Each pattern becomes a regular
expression for a path below the folder of its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["IgnoreFile", "Pattern", "parse"]

_CLASSES = {
    b"alnum": rb"a-zA-Z0-9", b"alpha": rb"a-zA-Z", b"blank": rb" \t", b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9", b"graph": rb"!-~", b"lower": rb"a-z", b"print": rb" -~",
    b"punct": rb"!-/:-@\[-`{-~", b"space": rb" \t\n\r\f\v", b"upper": rb"A-Z",
    b"xdigit": rb"0-9a-fA-F",
}  # fmt: skip


class Pattern(NamedTuple):
    """One line of an ignore file."""

    line: int
    text: bytes
    includes: bool  # it begins with "!"
    folders_only: bool  # it ends with "/"
    expression: re.Pattern[bytes]


class IgnoreFile(NamedTuple):
    """The patterns of one file, and one expression that matches whatever one of them matches."""

    name: str
    patterns: tuple[Pattern, ...]
    any: re.Pattern[bytes]

    def decide(self, path: bytes, *, is_folder: bool) -> Pattern | None:
        """Return the pattern that decides about a path, which is the last one that matches it."""
        if (
            self.any.fullmatch(path) is None
        ):  # most paths; one match instead of one for each pattern
            return None
        for pattern in reversed(self.patterns):
            if (is_folder or not pattern.folders_only) and pattern.expression.fullmatch(path):
                return pattern
        return None


def parse(name: str, content: bytes) -> IgnoreFile:
    """Read an ignore file; a line that git takes for no valid pattern matches nothing."""
    patterns = tuple(_patterns(content.removeprefix(b"\xef\xbb\xbf")))
    either = b"|".join(b"(?:%s)" % p.expression.pattern for p in patterns)
    return IgnoreFile(name, patterns, re.compile(either or rb"(?!)", re.DOTALL))


def _patterns(content: bytes) -> Iterator[Pattern]:
    for number, whole in enumerate(content.split(b"\n"), start=1):
        line = whole.removesuffix(b"\r")
        if line.startswith(b"#"):
            continue
        text = line = _without_trailing_spaces(line)
        includes = line.startswith(b"!")
        line = line[includes:]
        folders_only = line.endswith(b"/")
        line = line[:-1] if folders_only else line
        translated = _translate(line) if line else None
        if translated is not None:
            expression = re.compile(translated, re.DOTALL)
            yield Pattern(number, text, includes, folders_only, expression)


def _without_trailing_spaces(line: bytes) -> bytes:
    kept = len(line.rstrip(b" "))
    # A backslash keeps the space after it; an even number of them are escaped backslashes.
    backslashes = kept - len(line[:kept].rstrip(b"\\"))
    return line[: kept + 1] if backslashes % 2 and kept < len(line) else line[:kept]


def _translate(pattern: bytes) -> bytes | None:
    """Translate the path of a pattern; None if git lets it match nothing."""
    is_path = b"/" in pattern  # matched from the file's folder, else at any depth
    pattern = pattern.removeprefix(b"/")
    made = [b"" if is_path else b"(?:.*/)?"]
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            at, piece = _star(pattern, at)
        elif char == b"?":
            at, piece = at + 1, b"[^/]"
        elif char == b"[":
            found = _bracket(pattern, at)
            if found is None:
                return None
            at, piece = found
        elif char == b"\\":
            if at + 1 == len(pattern):
                return None
            at, piece = at + 2, re.escape(pattern[at + 1 : at + 2])
        else:
            at, piece = at + 1, re.escape(char)
        made.append(piece)
    return b"".join(made)


def _star(pattern: bytes, at: int) -> tuple[int, bytes]:
    """Translate the stars at *at*; two between slashes stand for any number of folders."""
    end = at
    while pattern[end : end + 1] == b"*":
        end += 1
    begins = at == 0 or pattern[at - 1 : at] == b"/"
    if end - at >= 2 and begins:
        if end == len(pattern):
            return end, b".*"
        if pattern[end : end + 1] == b"/":
            return end + 1, b"(?:.*/)?"
    return end, b"[^/]*"


def _bracket(pattern: bytes, at: int) -> tuple[int, bytes] | None:
    """Translate the set of bytes at *at*; None if it is not closed or names an unknown class."""
    at += 1
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members = b""
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        found = _class(pattern, at) or _range(pattern, at)
        if found is None:
            return None
        at, member = found
        members += member
    return at + 1, b"[^/%s]" % members if negated else b"(?!/)[%s]" % members


def _class(pattern: bytes, at: int) -> tuple[int, bytes] | None:
    """Translate a class such as ``[:alpha:]``; None if there is none at *at*."""
    end = pattern.find(b"]", at + 2)
    if pattern[at : at + 2] != b"[:" or end < at + 3 or pattern[end - 1 : end] != b":":
        return None
    members = _CLASSES.get(pattern[at + 2 : end - 1])
    return (len(pattern), b"") if members is None else (end + 1, members)


def _range(pattern: bytes, at: int) -> tuple[int, bytes] | None:
    """Translate one byte or a range of them; None at the end of the pattern."""
    low, at = _member(pattern, at)
    if not low or pattern[at : at + 1] != b"-" or pattern[at + 1 : at + 2] in (b"]", b""):
        return (at, re.escape(low)) if low else None
    high, at = _member(pattern, at + 1)
    if not high:
        return None
    # Of a range that is empty, such as [c-a], git takes its first byte.
    return at, re.escape(low) + (
        b"%s-%s" % (re.escape(low), re.escape(high)) if low <= high else b""
    )


def _member(pattern: bytes, at: int) -> tuple[bytes, int]:
    at += pattern[at : at + 1] == b"\\"
    return pattern[at : at + 1], at + 1
