"""The embedded store: one SQLite file, safe for many processes and threads of one machine."""

from __future__ import annotations

from ._errors import StoreUnusable
from ._store import SqliteStore

__all__ = ["SqliteStore", "StoreUnusable"]
