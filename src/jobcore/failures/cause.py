"""The cause of a failure: an identifier that failures of one bug share."""

from __future__ import annotations

import re
from hashlib import sha256

from jobcore.lifecycle.failure import Failure

__all__ = [
    "cause_of",
]

_VERSION = 2  # of what is masked and hashed; a change makes new causes of old failures
_CHARS_MAX = 200
# Parts that differ between two failures of one bug, tried in this order at each place.
_VARYING = re.compile(
    "|".join(
        (
            r"[a-z][a-z0-9+.-]*://[^\s'\"<>]*",  # URLs of any scheme
            r"(?<![\w:])[\w-]+:[\w-]+:[\w-]+:[^\s'\"<>]*",  # resource names: a:b:c:...
            r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"",  # quoted words; an apostrophe is no quotation mark
            r"\b[a-z]:\\[^\s'\"]*|/[^\s'\"]+",  # paths
            r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",  # UUIDs
            r"\b0x[0-9a-f]+\b|\b(?=[a-f]*[0-9])[0-9a-f]{7,}\b",  # addresses, hashes, hexadecimal ids
            r"\b(?=(?:[a-z_]*[0-9]){4})\w{12,}\b",  # ids of letters and digits
            r"(?:(?<![\w.])[-+])?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?",  # numbers, times
        )
    ),
    re.IGNORECASE,
)


def cause_of(failure: Failure) -> str:
    """
    Reduce a failure to its cause: 12 hexadecimal digits that failures of one bug share.

    Made from class, rule and the first 200 characters of the text in which URLs, resource names,
    quoted words, paths, ids and numbers are masked. Masking comes before cutting, so that the
    length of an id does not decide which words count.
    """
    text = " ".join(_VARYING.sub("#", failure.text).split())[:_CHARS_MAX]
    said = f"{_VERSION}|{failure.failure_class}|{failure.rule}|{text}"
    return sha256(said.encode("utf-8", "replace")).hexdigest()[:12]
