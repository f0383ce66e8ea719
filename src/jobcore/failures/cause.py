"""What two failures have in common: a text with its varying parts masked, as a short identifier."""

from __future__ import annotations

import re
from hashlib import sha256

from jobcore.lifecycle.failure import Failure

__all__ = [
    "cause_of",
]

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+|/\S+|'[^']*'|\"[^\"]*\"")


def cause_of(failure: Failure) -> str:
    """Reduce a failure to its cause: two failures of one bug have the same, whatever numbers they name."""
    text = _VARYING.sub("#", failure.headline)
    said = f"{failure.failure_class}|{failure.rule}|{text}"
    return sha256(said.encode("utf-8", "replace")).hexdigest()[:12]
