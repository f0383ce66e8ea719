"""What `jobcore run` draws on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

import jobcore
from jobcore_cli._manager import Display


def test_each_part_of_the_display_has_a_line_of_its_own_in_80_columns():
    counts = {jobcore.Status.COMPLETED: 24, jobcore.Status.FAILED: 1}
    session = SimpleNamespace(
        store=SimpleNamespace(counts=lambda: counts, usage=list),
        trainer=SimpleNamespace(capacity=lambda: {"cpu": 4}),
    )
    display = Display(session)
    display.add_event("x" * 100)
    console = Console(width=80, file=io.StringIO())
    console.print(display._draw())
    head, bar, ended, event = (line.rstrip() for line in console.file.getvalue().splitlines())
    assert head.startswith("25/25 over  0:00  slots cpu 0/4")
    assert bar == "━" * 60
    assert ended == "24 Completed, 1 Failed"
    assert event.endswith("…")
