"""A chart as PNG, by matplotlib: the same values as on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._charts import BACKGROUND, Chart, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MissingLibrary", "check_library", "write_pngs"]

_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#3b9bd0", "#666666", "#7a3b9a")
_AREA, _GRID, _SOFT = "#e3e6e8", "#e4e4e4", "#5a5a5a"
_MARKS = ("o", "s", "^")
_DOTS_PER_INCH = 110
_RC: Any = {
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _SOFT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 10,
    "legend.fontsize": 9,
    "text.parse_math": False,  # a name may have dollars in it
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
}


class MissingLibrary(Exception):  # noqa: N818  (it is not an error of the program)
    """Raised if matplotlib is not installed; the message names the package to install."""


def check_library() -> None:
    """
    Check that PNGs can be made; called before a long run, so that it does not fail at its end.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    try:
        missing = find_spec("matplotlib") is None
    except ValueError:  # it was taken out of sys.modules
        missing = True
    if missing:
        msg = "PNGs need matplotlib: pip install 'jobcore-scheduler[simulation]'"
        raise MissingLibrary(msg)


def write_pngs(charts: Iterable[Chart], folder: Path) -> list[Path]:
    """
    Draw *charts* into *folder*, which is made if need be.

    The same charts give the same bytes, with the same matplotlib.

    Returns:
        the files, in the order of the charts.

    Raises:
        MissingLibrary: matplotlib is not installed.
        OSError: the folder or a file cannot be written.
    """
    check_library()
    import matplotlib as mpl
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with style.context("default"), mpl.rc_context(_RC):
        for chart in charts:
            height = 1.3 + 0.34 * len(chart.rows) if chart.rows else 3.6
            figure = Figure(figsize=(7.2, height), layout="constrained")
            figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # type: ignore[union-attr, call-arg]
            FigureCanvasAgg(figure)
            _draw(chart, figure.add_subplot())
            path = _free(folder, chart.key, written)
            figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})
            written.append(path)
    return written


def _free(folder: Path, key: str, taken: list[Path]) -> Path:
    """Name a file for *key*, which is a user's text, so that no two charts have one name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", key).strip("-.")[:120] or "chart"
    path, number = folder / f"{stem}.png", 1
    while path in taken:
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path


def _draw(chart: Chart, axes: Axes) -> None:
    for line in chart.lines:
        label = line.name if len(line.name) <= 32 else line.name[:31] + "…"
        label = "\u200b" + label if label.startswith("_") else label  # matplotlib hides those
        colour = _PALETTE[line.colour % len(_PALETTE)]
        if line.colour == BACKGROUND:
            axes.fill_between(line.xs, line.ys, step="post", color=_AREA, linewidth=0, label=label)
        elif line.marks:
            mark = _MARKS[line.colour % len(_MARKS)]
            axes.plot(line.xs, line.ys, mark, color=colour, markersize=7, label=label)
        else:
            axes.plot(
                line.xs,
                line.ys,
                color=colour,
                linewidth=1.5,
                linestyle=(0, (4, 2)) if line.dashed else "-",
                drawstyle="steps-post" if line.steps else "default",
                label=label,
            )
    axes.set_title(chart.title, loc="left")
    axes.set_xlabel(chart.x)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    right = chart.right + (chart.right - chart.low) * 0.02
    axes.set_xlim(chart.low, right)
    if chart.rows:
        axes.set_yticks(range(len(chart.rows)), list(chart.rows))
        axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    else:
        axes.set_ylabel(chart.y)
        low, high = chart.bottom * 1.04, chart.top * 1.04
        axes.set_ylim(low, high)
        axes.set_yticks(ticks(low, high))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    if len(chart.lines) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
