"""What people look at: a table for the terminal, and one HTML page with charts drawn as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from ._compare import Row, summary
from ._policies import POLICIES
from ._run import Outcome

__all__ = ["page", "table"]

_COLUMNS: Sequence[tuple[str, Callable[[Row], str]]] = (
    ("policy", lambda r: r.policy),
    ("makespan", lambda r: f"{r.makespan / 3600:.1f} h"),
    ("wait p50", lambda r: f"{r.wait_p50 / 60:.0f} m"),
    ("p95", lambda r: f"{r.wait_p95 / 60:.0f} m"),
    ("mean", lambda r: f"x{r.mean_ratio:.3f}"),
    ("p95", lambda r: f"x{r.p95_ratio:.3f}"),
    ("used", lambda r: f"{r.capacity_used:.3f}"),
    ("wasted", lambda r: f"{r.wasted_per_job:.2f}"),
    ("Jain", lambda r: f"{r.jain:.3f}"),
)
_TOTALS: Sequence[tuple[str, str, str]] = (
    ("mean wait", "mean_ratio", ".3f"),
    ("p95", "p95_ratio", ".3f"),
    ("max", "max_ratio", ".3f"),
    ("used", "capacity_used", ".3f"),
    ("Jain", "jain", ".3f"),
    ("wasted", "wasted_per_job", ".2f"),
    ("median", "wasted_per_job_median", ".2f"),
    ("by hand", "interventions", ".0f"),
)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def table(rows: Sequence[Row]) -> str:
    """
    Set policies side by side, scenario by scenario, and their means below.

    ``x1.030`` is 3 % more than the clairvoyant; *wasted* and *calls* are creates per job.
    """
    lines: list[str] = []
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    for scenario in scenarios:
        part = [row for row in rows if row.scenario == scenario]
        lines += [f"{scenario}: {part[0].jobs} jobs"]
        cells = [[show(row) for _, show in _COLUMNS] for row in part]
        lines += [f"  {line}" for line in _grid([name for name, _ in _COLUMNS], cells)]
        lines.append("")
    if len(scenarios) > 1:
        lines.append(f"{len(scenarios)} scenarios, against the clairvoyant (1.000)")
        cells = [
            [name, *(format(means[key], form) for _, key, form in _TOTALS)]
            for name, means in summary(rows).items()
        ]
        lines += [f"  {line}" for line in _grid(["policy", *(t[0] for t in _TOTALS)], cells)]
    return "\n".join(lines).rstrip()


# --- the page ---------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 200, 52, 26
_COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#8d6a9f", "#b08900", "#5c6b73", "#99582a", "#2f3e46")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .2rem .7rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
svg { width: 100%; height: auto } text { font: 11px system-ui, sans-serif; fill: #555 }
.note { color: #555 } figure { margin: 1rem 0 } figcaption { font-weight: 600 }
"""


def page(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """
    Make one self-contained HTML page: the comparison, and four charts for each of *outcomes*.

    Nothing is loaded from elsewhere, and no script runs.
    """
    parts = ["<h1>jobcore simulate</h1>"]
    if rows:
        parts.append(_comparison(rows))
    for outcome in outcomes:
        parts.append(f"<h2>{escape(outcome.scenario)}: {escape(outcome.policy)}</h2>")
        parts += _charts(outcome)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>jobcore simulate</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _comparison(rows: Sequence[Row]) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for head, _, _ in _TOTALS)
    body = "".join(
        f'<tr title="{escape(POLICIES[name][0])}"><td>{escape(name)}</td>'
        + "".join(f"<td>{means[key]:{form}}</td>" for _, key, form in _TOTALS)
        + "</tr>"
        for name, means in summary(rows).items()
    )
    count = len({row.scenario for row in rows})
    cells = "".join(
        f"<tr><td>{escape(row.scenario)}</td>"
        + "".join(f"<td>{escape(show(row))}</td>" for _, show in _COLUMNS)
        + "</tr>"
        for row in rows
    )
    names = "".join(f"<th>{escape(name)}</th>" for name, _ in _COLUMNS)
    return (
        f'<p class="note">Means over {count} scenarios, against a clairvoyant (1.000) that sees the '
        "capacity of every pool at every moment. Wasted: creates per job that led to nothing.</p>"
        f"<table><tr><th>policy</th>{heads}</tr>{body}</table>"
        f"<details><summary>scenario by scenario</summary><table><tr><th>scenario</th>{names}</tr>{cells}"
        "</table></details>"
    )


def _charts(outcome: Outcome) -> list[str]:
    samples = outcome.samples
    hours = [sample.at / 3600 for sample in samples]
    shares = sorted({share for sample in samples for share in sample.shares})[: len(_COLOURS)]
    waits = sorted(outcome.waits)
    count = max(len(waits), 1)
    return [
        _chart(
            "Capacity and use (instances)",
            "hours",
            hours,
            {
                "capacity": [float(s.capacity) for s in samples],
                "in use": [float(s.used) for s in samples],
                "asked for": [float(s.asked) for s in samples],
            },
        ),
        _chart("Jobs not over", "hours", hours, {"jobs": [float(s.waiting) for s in samples]}),
        _chart(
            "Slots in use by share",
            "hours",
            hours,
            {share: [float(s.shares.get(share, 0)) for s in samples] for share in shares},
        ),
        _chart(
            "Waits: share of jobs that waited at most so long",
            "minutes",
            [wait / 60 for wait in waits],
            {"jobs": [(n + 1) / count for n in range(len(waits))]},
        ),
    ]


def _chart(title: str, unit: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]) -> str:
    right = max(xs, default=1.0) or 1.0
    top = max((max(ys, default=0.0) for ys in lines.values()), default=1.0) or 1.0
    step = max(1, len(xs) // 700)

    def place(x: float, y: float) -> str:
        across = _LEFT + x / right * (_WIDTH - _LEFT - 10)
        return f"{across:.1f},{_HEIGHT - _BOTTOM - y / top * (_HEIGHT - _BOTTOM - 12):.1f}"

    parts = [_axes(right, top, unit)]
    for number, (name, ys) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(place(x, y) for x, y in list(zip(xs, ys, strict=True))[::step])
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{points}"/>'
        )
        if len(lines) > 1:
            across = _LEFT + 8 + number * 88
            parts.append(
                f'<rect x="{across}" y="0" width="10" height="10" fill="{colour}"/>'
                f'<text x="{across + 14}" y="9">{escape(name[:12])}</text>'
            )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def _axes(right: float, top: float, unit: str) -> str:
    floor = _HEIGHT - _BOTTOM
    parts = [f'<path d="M{_LEFT} 12V{floor}H{_WIDTH - 10}" fill="none" stroke="#999"/>']
    for part in range(5):
        share = part / 4
        x = _LEFT + share * (_WIDTH - _LEFT - 10)
        y = floor - share * (floor - 12)
        label = f"{right * share:.3g}" + (f" {unit}" if part == 4 else "")
        anchor = "end" if part == 4 else "middle"
        parts.append(
            f'<text x="{x:.0f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{label}</text>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{top * share:.3g}</text>'
        )
        parts.append(f'<path d="M{_LEFT} {y:.0f}H{_WIDTH - 10}" stroke="#eee"/>')
    return "".join(parts)
