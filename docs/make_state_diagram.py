"""Generate docs/states.md from the transition table; with --check, fail if it is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from jobcore import Status
from jobcore.lifecycle import EVENT_TYPES, TRANSITIONS
from jobcore.lifecycle.transitions import Go, Ignore, Refuse

TARGET = Path(__file__).with_name("states.md")

HEAD = """\
# The states of a job

Generated from `jobcore.lifecycle.TRANSITIONS` by `make diagram`; `make check` fails when it is stale.
An arrow is drawn for every status that a cell can lead to, except from a status to itself.
"""


def render() -> str:
    return "\n".join([HEAD, *diagram(), "", *table(), "", *reasons()]) + "\n"


def diagram() -> list[str]:
    """Draw a Mermaid state diagram; the events that make the same move share an arrow."""
    moves: dict[tuple[Status, Status], list[str]] = {}
    for status, row in TRANSITIONS.items():
        for event in EVENT_TYPES:
            cell = row[event]
            for to in cell.to if isinstance(cell, Go) else ():
                if to is not status:
                    moves.setdefault((status, to), []).append(event.__name__)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Status.NEW}"]
    for (status, to), events in moves.items():
        lines.append(f"    {status} --> {to}: {', '.join(events)}")
    lines += [f"    {status} --> [*]" for status in Status if status.is_terminal]
    return [*lines, "```"]


def table() -> list[str]:
    """Write every cell of the table: where it leads, or the number of its reason."""
    numbers = {text: number for number, text in enumerate(_texts(), start=1)}
    lines = [
        "## Every cell",
        "",
        "A name: the statuses that the event leads to (`=`: the status stays, its facts change).",
        "`-n`: ignored; `!n`: refused; n is the reason below.",
        "",
        "| event | " + " | ".join(Status) + " |",
        "| --- |" + " --- |" * len(Status),
    ]
    for event in EVENT_TYPES:
        cells = []
        for status in Status:
            match TRANSITIONS[status][event]:
                case Go(to=to):
                    cells.append(", ".join("=" if t is status else str(t) for t in to))
                case Ignore(why):
                    cells.append(f"-{numbers[why]}")
                case Refuse(why):
                    cells.append(f"!{numbers[why]}")
        lines.append(f"| {event.__name__} | " + " | ".join(cells) + " |")
    return lines


def reasons() -> list[str]:
    return [
        "## Reasons",
        "",
        *(f"{number}. {text}" for number, text in enumerate(_texts(), start=1)),
        "",
        "Besides, an event about another attempt than the job's is ignored in every status,",
        "and a handler ignores a fact that changes nothing (it says why).",
    ]


def _texts() -> list[str]:
    found = dict.fromkeys(
        cell.why
        for event in EVENT_TYPES
        for status in Status
        if isinstance(cell := TRANSITIONS[status][event], Ignore | Refuse)
    )
    return list(found)


def main(arguments: list[str]) -> int:
    text = render()
    if arguments == ["--check"]:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
            return 0
        print(f"{TARGET.name} is stale: run make diagram", file=sys.stderr)
        return 1
    if arguments:
        print("usage: make_state_diagram.py [--check]", file=sys.stderr)
        return 2
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
