"""Small texts for people: durations, sizes, counts, and text of jobs without control characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import jobcore

_SHOWN_MAX = 5  # of what is left out, by name


def plain(text: str) -> str:
    """Replace control characters, so that text of jobs cannot control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" if c not in "\n\t\r" else " " for c in text)


def ago(span: timedelta) -> str:
    """Write a duration in at most six characters: 12s, 3m05s, 2h10m, 4d03h."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds // 60 % 60:02d}m"
    return f"{seconds // 86400}d{seconds // 3600 % 24:02d}h"


def counts_line(counts: Mapping[jobcore.Status, int]) -> str:
    """Write the numbers of jobs by status in one line."""
    parts = [f"{counts[status]} {status}" for status in jobcore.Status if counts.get(status)]
    return ", ".join(parts) or "no jobs"


def left_out_words(texts: Sequence[str]) -> str:
    """Write what was left out, the first five by name, to go after what was taken; "" if it is nothing."""
    if not texts:
        return ""
    more = f" and {len(texts) - _SHOWN_MAX} more" if len(texts) > _SHOWN_MAX else ""
    return f"; left out: {', '.join(texts[:_SHOWN_MAX])}{more}"


def size_words(count: int) -> str:
    """Write a number of bytes for people."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:,.0f} MB"
