"""Small parts of a CreateTrainingJob request, out of values of the job file."""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import timedelta
from typing import Any

from jobcore.lifecycle import Json

__all__ = ["channel_of", "is_within", "plain", "present", "seconds", "tag_text"]


def channel_of(name: str, uri: str) -> dict[str, Any]:
    """Make a channel of everything below an S3 URI, whole on every instance."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def present(**members: Any) -> dict[str, Any]:
    """Leave out the members that are None."""
    return {name: value for name, value in members.items() if value is not None}


def is_within(text: str, prefixes: tuple[str, ...]) -> bool:
    """
    Check whether *text* is, or is below, one of *prefixes*; without prefixes all texts are allowed.

    ``s3://data`` allows ``s3://data/a``, not ``s3://data-of-others``.
    """
    return not prefixes or any(
        text.startswith(prefix)
        and (text == prefix or prefix.endswith("/") or text[len(prefix)] in "/:@")
        for prefix in prefixes
    )


def plain(value: Json) -> str:
    """Write a hyperparameter as SageMaker's own algorithms read it."""
    return value if isinstance(value, str) else json.dumps(value)


def seconds(duration: timedelta) -> int:
    """Round a duration up to whole seconds, at least 1."""
    return max(1, math.ceil(duration.total_seconds()))


def tag_text(text: str) -> str:
    """Make a tag's value: letters, numbers, spaces and _.:/=+-@, at most 256; others become _."""
    ok = "_.:/=+-@"
    kept = (c if c in ok or unicodedata.category(c)[0] in "LNZ" else "_" for c in text[:256])
    return "".join(kept)
