"""The argument of a job that names the snapshot of its code, and the environment for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["environment_id", "snapshot_id"]


def snapshot_id(args: Mapping[str, Any]) -> str | None:
    """Return the id of the snapshot that a job runs from; None if it runs from its source folder."""
    return _text(args, "snapshot")


def environment_id(args: Mapping[str, Any]) -> str | None:
    """Return the id of the environment that has the packages of a job's requirements.txt; or None."""
    return _text(args, "environment")


def _text(args: Mapping[str, Any], name: str) -> str | None:
    code = args.get("code")
    value = code.get(name) if isinstance(code, Mapping) else None
    return value if isinstance(value, str) else None
