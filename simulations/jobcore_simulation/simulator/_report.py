"""Reports: a table for the terminal, and one HTML page with charts as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from ._charts import Chart, Part
from ._compare import Row, summary
from ._policies import BY_HAND, TITLES
from ._svg import STYLE, svg

__all__ = ["page", "table"]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 3.6e6 else f"{seconds / 3600:.0f} h"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} m" if seconds < 6e5 else f"{seconds / 3600:.0f} h"


def _times(ratio: float) -> str:
    return f"x{ratio:.{3 if ratio < 9.9995 else 1 if ratio < 99.95 else 0}f}"


# 80 columns in all.
_COLUMNS: Sequence[tuple[str, Callable[[Row], str]]] = (
    ("policy", lambda r: r.policy),
    ("took", lambda r: _hours(r.makespan)),
    ("wait p50", lambda r: _minutes(r.wait_p50)),
    ("p95", lambda r: _minutes(r.wait_p95)),
    ("mean", lambda r: _times(r.mean_ratio)),
    ("p95", lambda r: _times(r.p95_ratio)),
    ("used", lambda r: f"{r.capacity_used:.3f}"),
    ("wasted", lambda r: f"{r.wasted_per_job:.2f}"),
    ("Jain", lambda r: f"{r.jain:.2f}"),
    ("hand", lambda r: f"{r.interventions}"),
)
_TOTALS: Sequence[tuple[str, str, str]] = (
    ("mean wait", "mean_ratio", ".3f"),
    ("p95", "p95_ratio", ".3f"),
    ("max", "max_ratio", ".3f"),
    ("used", "capacity_used", ".3f"),
    ("Jain", "jain", ".3f"),
    ("wasted", "wasted_per_job", ".2f"),
    ("median", "wasted_per_job_median", ".2f"),
    ("hand", "interventions", ".0f"),
)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _jobs(number: int) -> str:
    return f"{number:,} job" + ("" if number == 1 else "s")


def _notes(rows: Iterable[Row]) -> list[str]:
    """Write the notes below the table: work of the person, jobs given up, jobs not over."""
    notes = []
    for row in rows:
        if row.policy == BY_HAND:
            notes.append(
                f"{row.policy}: {row.polls:,} looks at the list, {row.readings:,} failures read, "
                f"{row.interventions:,} submitted again"
            )
        if row.gave_up:
            notes.append(
                f"{row.policy}: {_jobs(row.gave_up)} given up, with nothing wrong with them"
            )
        if row.left:
            notes.append(f"{row.policy}: {_jobs(row.left)} not over at the horizon")
    return notes


def table(rows: Sequence[Row]) -> str:
    """
    Set policies side by side, scenario by scenario, and their means below.

    ``x1.030`` is 3 % more than the clairvoyant; *wasted* is the wasted creates per job; *hand* is the
    number of a person's actions on single jobs.
    """
    lines: list[str] = []
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    for scenario in scenarios:
        part = [row for row in rows if row.scenario == scenario]
        lines += [f"{_printable(scenario)}: {_jobs(part[0].jobs)}"]
        cells = [[show(row) for _, show in _COLUMNS] for row in part]
        lines += [f"  {line}" for line in _grid([name for name, _ in _COLUMNS], cells)]
        lines += [f"  {note}" for note in _notes(part)]
        lines.append("")
    if len(scenarios) > 1:
        lines.append(f"{len(scenarios)} scenarios, against the clairvoyant (1.000)")
        cells = [
            [name, *(format(means[key], form) for _, key, form in _TOTALS)]
            for name, means in summary(rows).items()
        ]
        lines += [f"  {line}" for line in _grid(["policy", *(t[0] for t in _TOTALS)], cells)]
    return "\n".join(lines).rstrip()


def _printable(text: str) -> str:
    """Replace control characters in a name, which could change the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


# --- the page ---------------------------------------------------------------------------

_STYLE = (
    """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 66rem; padding: 0 1rem;
  color: var(--ink); background: var(--paper); overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem }
.wide { overflow-x: auto; overflow-wrap: normal }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
td, th { padding: .2rem .6rem; text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid var(--grid) }
.charts { display: grid; gap: .5rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
figure { margin: .8rem 0 } figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .3rem }
.note { color: var(--soft) } summary { cursor: pointer; margin: .6rem 0 }
"""
    + STYLE
)


def page(rows: Sequence[Row], parts: Sequence[Part]) -> str:
    """
    Make one self-contained HTML page: the figures, and the charts.

    Nothing is loaded from elsewhere, and no script runs.
    """
    body = ["<h1>jobcore simulate</h1>", *_figures(rows)]
    for part in parts:
        if part.heading:
            body.append(f"<h2>{escape(part.heading)}</h2>")
        body.append(_charts(part.charts))
        if part.details:
            title = escape(part.detail)
            body.append(
                f"<details><summary>{title} in detail</summary>{_charts(part.details)}</details>"
            )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>jobcore simulate</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _charts(charts: Sequence[Chart]) -> str:
    figures = "".join(
        f"<figure><figcaption>{escape(chart.title)}</figcaption>{svg(chart)}</figure>"
        for chart in charts
    )
    return f'<div class="charts">{figures}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows
    )
    return f'<div class="wide"><table><tr>{heads}</tr>{body}</table></div>'


def _figures(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    seeds = list(dict.fromkeys(row.seed for row in rows))
    names = ", ".join(escape(seed) for seed in seeds)
    text = (
        f"{len(scenarios)} scenario{'s' if len(scenarios) > 1 else ''}, seed {names}. Ratios (x) are "
        "to a clairvoyant that sees the capacity of every pool at every moment. Wasted: creates per "
        "job without a training that started. Jain: fairness between shares, 1 is best. Hand: the "
        "number of a person's actions on single jobs."
    )
    parts = [f'<p class="note">{text}</p>']
    means = summary(rows)
    if len(scenarios) > 1:
        cells = [
            [name, *(format(values[key], form) for _, key, form in _TOTALS)]
            for name, values in means.items()
        ]
        parts.append(_table(["policy", *(total[0] for total in _TOTALS)], cells))
    each = _table(
        ["scenario", *(name for name, _ in _COLUMNS)],
        ([row.scenario, *(show(row) for _, show in _COLUMNS)] for row in rows),
    )
    if len(scenarios) > 1:
        each = f"<details><summary>scenario by scenario</summary>{each}</details>"
    parts.append(each)
    notes = [
        (f"{row.scenario}: " if len(scenarios) > 1 else "") + note
        for row in rows
        for note in _notes([row])
    ]
    if notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        parts.append(f'<ul class="note">{items}</ul>')
    if len(means) > 1:
        known = "".join(
            f"<li><b>{escape(name)}</b>: {escape(TITLES[name])}</li>"
            for name in means
            if name in TITLES
        )
        parts.append(f"<details><summary>the policies</summary><ul>{known}</ul></details>")
    return parts
