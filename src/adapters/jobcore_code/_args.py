"""The argument of a job that names the snapshot of its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["snapshot_id"]


def snapshot_id(args: Mapping[str, Any]) -> str | None:
    """Return the id of the snapshot that a job runs from; None if it runs from its source folder."""
    code = args.get("code")
    snapshot = code.get("snapshot") if isinstance(code, Mapping) else None
    return snapshot if isinstance(snapshot, str) else None
