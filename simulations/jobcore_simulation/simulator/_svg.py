"""A chart as SVG, for a page: no script, and colours from the page's style, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ._charts import BACKGROUND, Chart, Line, ticks

__all__ = ["STYLE", "svg"]

# Narrow, so that the text stays readable on a telephone.
_WIDTH, _PLOT, _RIGHT, _LINE = 480, 200, 14, 17
_MARKS = 7  # pixels

# Okabe and Ito's palette for colour-blind readers; neighbours in the order differ most.
STYLE = """
:root { --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #8a6d00; --c5: #3b9bd0;
  --c6: #666; --c7: #7a3b9a; --area: #e3e6e8; --grid: #e4e4e4; --ink: #222; --soft: #5a5a5a; --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --c0: #5ab4ee; --c1: #ff8a3c; --c2: #35cfa2; --c3: #eaa3c9; --c4: #e6c229; --c5: #9fd6f5;
    --c6: #bbb; --c7: #c79be0; --area: #33393d; --grid: #333; --ink: #e8e8e8; --soft: #a8a8a8; --paper: #16181a }
}
svg { width: 100%; height: auto; display: block }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft) }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.area { fill: var(--area); stroke: none } .axis { stroke: var(--soft); fill: none }
.grid { stroke: var(--grid); fill: none } .dash { stroke-dasharray: 5 3 }
""" + "\n".join(
    f".s{n} {{ stroke: var(--c{n}); fill: none }} .f{n} {{ fill: var(--c{n}) }}" for n in range(8)
)


def _palette(line: Line) -> int:
    return line.colour % 8


class _Frame:
    """The layout of a chart: maps values to pixels."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.legend = _legend(chart.lines)
        self.left = 12.0 + (
            max(6.6 * max(map(len, chart.rows)), 30.0) if chart.rows else 7.0 * _widest(chart)
        )
        self.upper = 20.0 * len(self.legend) + (8.0 if chart.rows else 22.0)
        self.plot = 26.0 * len(chart.rows) if chart.rows else float(_PLOT)
        self.floor = self.upper + self.plot
        self.height = self.floor + 2 * _LINE + 8
        self.low, self.right = chart.low, chart.right + (chart.right - chart.low) * 0.02
        self.top, self.bottom = chart.top * 1.04, chart.bottom * 1.04

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.right - self.low)
        return self.left + share * (_WIDTH - self.left - _RIGHT)

    def y(self, value: float) -> float:
        if self.chart.rows:
            return self.upper + (value + 0.5) * 26.0
        return self.floor - (value - self.bottom) / (self.top - self.bottom) * self.plot


def _label(value: float) -> str:
    return f"{value:,.10g}"


def _widest(chart: Chart) -> int:
    return max(len(_label(tick)) for tick in ticks(chart.bottom * 1.04, chart.top * 1.04))


def _legend(lines: Sequence[Line]) -> list[list[Line]]:
    """Break the legend into rows that fit."""
    if len(lines) < 2:
        return []
    rows: list[list[Line]] = [[]]
    used = 0.0
    for line in lines:
        width = _entry(line)
        if used + width > _WIDTH - 20 and rows[-1]:
            rows.append([])
            used = 0.0
        rows[-1].append(line)
        used += width
    return rows


def _entry(line: Line) -> float:
    return 34 + 7.0 * len(_short(line.name))


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def svg(chart: Chart) -> str:
    """Draw *chart*."""
    frame = _Frame(chart)
    parts = [*_drawn_legend(frame), *_axes(frame)]
    for line in chart.lines:
        parts += _marks(frame, line) if line.marks else [_path(frame, line)]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {frame.height:.0f}" role="img" '
        f'aria-label="{escape(chart.title)}">{"".join(parts)}</svg>'
    )


def _drawn_legend(frame: _Frame) -> list[str]:
    parts = []
    for row, lines in enumerate(frame.legend):
        across, middle = 8.0, 20.0 * row + 10
        for line in lines:
            parts.append(_swatch(frame, line, across, middle))
            parts.append(
                f'<text x="{across + 24:.0f}" y="{middle + 4:.0f}">{escape(_short(line.name))}</text>'
            )
            across += _entry(line)
    return parts


def _swatch(frame: _Frame, line: Line, across: float, middle: float) -> str:
    if line.marks:
        return _mark(line, across + 10, middle)
    if line.colour == BACKGROUND:
        return f'<rect class="area" x="{across:.0f}" y="{middle - 6:.0f}" width="20" height="12"/>'
    dash = " dash" if line.dashed else ""
    return f'<path class="line s{_palette(line)}{dash}" d="M{across:.0f} {middle:.0f}h20"/>'


def _axes(frame: _Frame) -> list[str]:
    chart, floor, far = frame.chart, frame.floor, _WIDTH - _RIGHT
    parts = []
    if chart.rows:
        for n, name in enumerate(chart.rows):
            y = frame.y(n)
            parts.append(f'<path class="grid" d="M{frame.left:.0f} {y:.1f}H{far}"/>')
            parts.append(
                f'<text x="{frame.left - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            )
    else:
        for tick in ticks(frame.bottom, frame.top):
            y = frame.y(tick)
            parts.append(f'<path class="grid" d="M{frame.left:.0f} {y:.1f}H{far}"/>')
            parts.append(
                f'<text x="{frame.left - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{_label(tick)}</text>'
            )
        parts.append(f'<text x="2" y="{frame.upper - 8:.0f}">{escape(chart.y)}</text>')
    for tick in ticks(frame.low, frame.right, 6):
        x = frame.x(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {frame.upper:.0f}V{floor + 4:.0f}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{floor + _LINE:.0f}" text-anchor="middle">{_label(tick)}</text>'
        )
    parts.append(
        f'<path class="axis" d="M{frame.left:.0f} {floor if chart.rows else frame.y(0):.0f}H{far}"/>'
    )
    parts.append(
        f'<text x="{(frame.left + far) / 2:.0f}" y="{floor + 2 * _LINE:.0f}" '
        f'text-anchor="middle">{escape(chart.x)}</text>'
    )
    return parts


def _path(frame: _Frame, line: Line) -> str:
    points = [(frame.x(x), frame.y(y)) for x, y in zip(line.xs, line.ys, strict=True)]
    if not points:
        return ""
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for x, y in points[1:]:
        steps.append(f"H{x:.1f}V{y:.1f}" if line.steps else f"L{x:.1f} {y:.1f}")
    path = "".join(steps)
    if line.colour == BACKGROUND:
        return f'<path class="area" d="{path}V{frame.y(0):.1f}H{points[0][0]:.1f}Z"/>'
    dash = " dash" if line.dashed else ""
    return f'<path class="line s{_palette(line)}{dash}" d="{path}"/>'


def _marks(frame: _Frame, line: Line) -> list[str]:
    return [_mark(line, frame.x(x), frame.y(y)) for x, y in zip(line.xs, line.ys, strict=True)]


def _mark(line: Line, x: float, y: float) -> str:
    """Draw a disc, a square or a triangle, so that lines differ in form as well as in colour."""
    half = _MARKS / 2
    fill = f'class="f{_palette(line)}"'
    form = line.colour % 3
    if form == 0:
        return f'<circle {fill} cx="{x:.1f}" cy="{y:.1f}" r="{half + 0.5}"/>'
    if form == 1:
        return f'<rect {fill} x="{x - half:.1f}" y="{y - half:.1f}" width="{_MARKS}" height="{_MARKS}"/>'
    return (
        f'<path {fill} d="M{x:.1f} {y - half - 1:.1f}L{x + half + 1:.1f} {y + half:.1f}'
        f'H{x - half - 1:.1f}Z"/>'
    )
