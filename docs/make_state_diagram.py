"""Generate docs/reference/states.md and its picture from the transition table; with --check, fail if they are stale."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from jobcore import Status
from jobcore.lifecycle import EVENT_TYPES, TRANSITIONS, Go, Ignore, Refuse

HERE = Path(__file__).parent
PAGE = HERE / "reference" / "states.md"
PICTURE = HERE / "images" / "states.svg"

HEAD = """\
# States of a job

A job is in one of nine statuses. Generated from the transition table by `make diagram`.

![The statuses of a job and the changes between them](../images/states.svg)

An arrow is drawn for every change of status that an event can cause. Bold: a job without trouble.

| status | meaning |
| --- | --- |"""

MEANINGS = {
    Status.NEW: "Waits for capacity, for the first time or again. There is no training.",
    Status.LAUNCHING: "The intent to launch is saved. The training may or may not exist yet.",
    Status.LAUNCHED: "The trainer has the training. It does not run yet.",
    Status.IN_PROGRESS: "The training runs.",
    Status.STOPPING: "A stop is under way, by a user or because a time limit ran out.",
    Status.HELD: "Waits for a human. There is no training.",
    Status.COMPLETED: "The training succeeded. Terminal.",
    Status.FAILED: "Given up, with a classified failure. Terminal.",
    Status.STOPPED: "Stopped because a user asked for it. Terminal.",
}

#: The centre of each status in the picture.
PLACES = {
    Status.NEW: (90, 200),
    Status.LAUNCHING: (270, 200),
    Status.LAUNCHED: (450, 200),
    Status.IN_PROGRESS: (630, 200),
    Status.COMPLETED: (860, 200),
    Status.FAILED: (860, 60),
    Status.STOPPED: (860, 350),
    Status.HELD: (270, 60),
    Status.STOPPING: (450, 350),
}
WIDTH, HEIGHT, BOX, TALL = 960, 410, 112, 38
MARKER = (
    '<marker id="end" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="9" markerHeight="9" '
    'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#566573"/></marker>'
)
MAIN = (Status.NEW, Status.LAUNCHING, Status.LAUNCHED, Status.IN_PROGRESS, Status.COMPLETED)


def page() -> str:
    rows = [f"| {status} | {MEANINGS[status]} |" for status in Status]
    return "\n".join([HEAD, *rows, "", *changes(), "", *table(), "", *reasons()]) + "\n"


def moves() -> dict[tuple[Status, Status], list[str]]:
    """List the events that can change one status into another."""
    found: dict[tuple[Status, Status], list[str]] = {}
    for status, row in TRANSITIONS.items():
        for event in EVENT_TYPES:
            cell = row[event]
            for to in cell.to if isinstance(cell, Go) else ():
                if to is not status:
                    found.setdefault((status, to), []).append(event.__name__)
    return found


def changes() -> list[str]:
    return [
        "## Changes of status",
        "",
        "| from | to | event |",
        "| --- | --- | --- |",
        *(f"| {a} | {b} | {', '.join(events)} |" for (a, b), events in moves().items()),
    ]


def table() -> list[str]:
    """Write every cell of the table: where it leads, or the number of its reason."""
    numbers = {text: number for number, text in enumerate(_texts(), start=1)}
    lines = [
        "## Transition table",
        "",
        "The names in a cell are the statuses that the event can lead to; `=` means that the status",
        "stays and the facts change. `-n` means that the event is ignored, and `!n` that the request is",
        "refused, for reason n below.",
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
        "In every status, an event about another attempt than the job's current one is ignored, and so",
        "is a fact that changes nothing; the result of `step` says why.",
    ]


def _texts() -> list[str]:
    found = dict.fromkeys(
        cell.why
        for event in EVENT_TYPES
        for status in Status
        if isinstance(cell := TRANSITIONS[status][event], Ignore | Refuse)
    )
    return list(found)


def picture() -> str:
    """Draw the statuses and an arrow for each change; the title of an arrow names the events."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        "<defs>",
        MARKER,
        "</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
        '<g fill="none" stroke="#566573">',
    ]
    for (a, b), events in moves().items():
        heavy = a in MAIN and b in MAIN and MAIN.index(b) == MAIN.index(a) + 1
        width = 2.6 if heavy else 1.1
        lines.append(
            f'<path d="{_arrow(a, b)}" stroke-width="{width}" marker-end="url(#end)">'
            f"<title>{a} to {b}: {', '.join(events)}</title></path>"
        )
    lines.append("</g>")
    for status, (x, y) in PLACES.items():
        fill = "#d5dbdb" if status.is_terminal else "#d6eaf8" if status.is_active else "#fcf3cf"
        left, top = x - BOX / 2, y - TALL / 2
        look = f'rx="7" fill="{fill}" stroke="#2c3e50" stroke-width="1.2"'
        lines += [
            f'<rect x="{left:g}" y="{top:g}" width="{BOX}" height="{TALL}" {look}/>',
            f'<text x="{x}" y="{y + 5}" text-anchor="middle" font-size="15" fill="#1b2631">{status}</text>',
        ]
    legend = (
        ("#fcf3cf", "waiting, no training"),
        ("#d6eaf8", "a training exists or may exist"),
        ("#d5dbdb", "terminal"),
    )
    for number, (fill, text) in enumerate(legend):
        y = 318 + 24 * number
        lines += [
            f'<rect x="24" y="{y}" width="22" height="14" rx="3" fill="{fill}" stroke="#2c3e50"/>',
            f'<text x="54" y="{y + 12}" font-size="13" fill="#1b2631">{text}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _arrow(a: Status, b: Status) -> str:
    """Draw from the edge of one box to the edge of the other, bent to the left of its direction."""
    (x1, y1), (x2, y2) = PLACES[a], PLACES[b]
    dx, dy = x2 - x1, y2 - y1
    length = math.hypot(dx, dy)
    bend = 0.0 if length < 190 and abs(dy) < 1 and dx > 0 else 10 + 0.13 * length
    cx, cy = (x1 + x2) / 2 + bend * dy / length, (y1 + y2) / 2 - bend * dx / length
    sx, sy = _edge(x1, y1, cx, cy)
    ex, ey = _edge(x2, y2, cx, cy)
    return f"M{sx:.1f},{sy:.1f} Q{cx:.1f},{cy:.1f} {ex:.1f},{ey:.1f}"


def _edge(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Give the point where the line from the centre of a box towards a point leaves the box."""
    dx, dy = to_x - x, to_y - y
    across = (BOX / 2 + 2) / abs(dx) if dx else math.inf
    down = (TALL / 2 + 2) / abs(dy) if dy else math.inf
    part = min(across, down)
    return x + dx * part, y + dy * part


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: make_state_diagram.py [--check]", file=sys.stderr)
        return 2
    made = {PAGE: page(), PICTURE: picture()}
    if not arguments:
        for file, text in made.items():
            file.write_text(text, encoding="utf-8")
        return 0
    stale = [f for f, text in made.items() if not f.exists() or f.read_text("utf-8") != text]
    for file in stale:
        print(f"{file.relative_to(HERE.parent)} is stale: run make diagram", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
