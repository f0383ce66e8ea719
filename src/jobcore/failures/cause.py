"""The cause of a failure: an identifier that failures of one bug share."""

from __future__ import annotations

import re
from hashlib import sha256

from jobcore.lifecycle.failure import Failure

from .rules import compiled

__all__ = [
    "cause_of",
]

_VERSION = 2  # of what is masked and hashed; a change makes new causes of old failures
_CHARS_MAX = 200
_ERROR = r"(?i)\w(?:error|exception)(?::|.?$)"
# Parts that differ between two failures of one bug, tried in this order at each place.
_VARYING = (
    r"[a-z][a-z0-9+.-]*://[^\s'\"<>]*",  # URLs of any scheme
    r"(?<![\w:])[\w-]+:[\w-]+:[\w-]+:[^\s'\"<>]*",  # resource names: a:b:c:...
    r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"",  # quoted words; an apostrophe is no quotation mark
    r"\b[a-z]:\\[^\s'\"]*|/[^\s'\"]+",  # paths
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",  # UUIDs
    r"\b0x[0-9a-f]+\b|\b(?=[a-f]*[0-9])[0-9a-f]{7,}\b",  # addresses, hashes, hexadecimal ids
    r"\b(?=(?:[a-z_]*[0-9]){4})\w{12,}\b",  # ids of letters and digits
    r"(?:(?<![\w.])[-+])?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?",  # numbers, times
)


def cause_of(failure: Failure) -> str:
    """
    Reduce a failure to its cause: 12 hexadecimal digits that failures of one bug share.

    Made from class, rule and the first 200 characters of the text in which URLs, resource names,
    quoted words, paths, ids and numbers are masked. Masking comes before cutting, so that the
    length of an id does not decide which words count.
    """
    text = " ".join(_mask(failure.text).split())[:_CHARS_MAX]
    said = f"{_VERSION}|{failure.failure_class}|{failure.rule}|{text}"
    return sha256(said.encode("utf-8", "replace")).hexdigest()[:12]


def _mask(text: str) -> str:
    return compiled(f"(?i){'|'.join(_VARYING)}").sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    """Mask a varying part; of a quotation that reports an error, only the varying parts inside."""
    part = match[0]
    if part[0] in "'\"" and compiled(_ERROR).search(part):
        return part[0] + _mask(part[1:-1]) + part[-1]
    return "#"
