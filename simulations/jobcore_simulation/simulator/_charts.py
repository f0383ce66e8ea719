"""The charts of a report as data: prepared once, drawn as SVG for the page and as PNG for a slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._compare import Row, Run, summary
from ._curves import Curves
from ._policies import BY_HAND

__all__ = ["BACKGROUND", "Chart", "Line", "Part", "report_parts", "ticks"]

#: The capacity is drawn as a grey area behind the lines.
BACKGROUND = -1


@dataclass(frozen=True, slots=True)
class Line:
    """
    A series.

    Args:
        colour: its place in the palette; `BACKGROUND`: a grey area.
        steps: whether each value holds until the next.
        marks: draw the points alone; *ys* are then the rows of the chart's *rows*.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: int
    steps: bool = False
    dashed: bool = False
    marks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """
    A chart.

    Args:
        key: for the file's name.
        rows: if given, the names of the rows from the top; there is no numeric y axis then.
        low: the least x shown where that is not 0.
        note: a sentence below.
    """

    key: str
    title: str
    x: str
    y: str
    lines: Sequence[Line]
    rows: Sequence[str] = ()
    low: float = 0.0
    note: str = ""

    @property
    def right(self) -> float:
        """The greatest x."""
        return max((max(line.xs) for line in self.lines if line.xs), default=0.0) or 1.0

    @property
    def top(self) -> float:
        """The greatest y."""
        return max((max(line.ys) for line in self.lines if line.ys), default=0.0) or 1.0

    @property
    def bottom(self) -> float:
        """The least y, or 0 if that is less."""
        return min(0.0, min((min(line.ys) for line in self.lines if line.ys), default=0.0))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about *count* round numbers from *low* to *high*."""
    span = max(high - low, 1e-9)
    power = 1.0
    while power * 10 <= span:
        power *= 10
    while power > span:
        power /= 10
    step = next(s for s in (power * f for f in (0.1, 0.2, 0.25, 0.5, 1, 2, 5)) if span / s <= count)
    first = -(-round(low / step, 9) // 1)
    return [round((first + n) * step, 9) for n in range(count + 2) if (first + n) * step <= high]


def _units(seconds: float) -> tuple[str, float]:
    if seconds <= 3 * 3600:
        return "minutes", 60.0
    return ("hours", 3600.0) if seconds <= 96 * 3600 else ("days", 86400.0)


def _over(points: Sequence[float], unit: float) -> list[float]:
    return [at / unit for at in points]


def _cdf(name: str, curves: Curves, unit: float, colour: int, *, dashed: bool = False) -> Line:
    share = [100.0 * part / 200 for part in range(201)]
    return Line(name, _over(curves.waits, unit), share, colour, dashed=dashed)


def charts_of_run(curves: Curves, bound: Curves) -> list[Chart]:
    """Prepare the five charts of one run; *bound* is the clairvoyant's."""
    name, unit = _units(max(curves.at, default=1.0))
    at = _over(curves.at, unit)
    wait_name, wait_unit = _units(max(curves.waits[-1], bound.waits[-1]))
    start = f"{name} since the start"
    stem = f"{curves.scenario}-{curves.policy}"

    def over_time(values: Mapping[str, Sequence[float]]) -> list[Line]:
        return [
            Line(label, at, ys, n, steps=True, dashed=n >= 4)
            for n, (label, ys) in enumerate(values.items())
        ]

    capacity = Line("capacity", at, curves.capacity, BACKGROUND, steps=True)
    buckets = _over(curves.buckets, unit)
    return [
        Chart(
            key=f"{stem}-capacity",
            title="Capacity and use",
            x=start,
            y="instances",
            lines=[capacity, *over_time({"asked for": curves.asked, "in use": curves.used})],
        ),
        Chart(
            key=f"{stem}-waits",
            title="Waits: share of jobs that waited no longer",
            x=f"{wait_name} waited, training not counted",
            y="% of jobs",
            lines=[
                _cdf("clairvoyant", bound, wait_unit, 1, dashed=True),
                _cdf(curves.policy, curves, wait_unit, 0),
            ],
        ),
        Chart(
            key=f"{stem}-launches",
            title="Launches: outcomes of creates",
            x=start,
            y="creates per hour",
            lines=[
                Line(label, buckets, [*ys, *ys[-1:]], n, steps=True, dashed=n == 1)
                for n, (label, ys) in enumerate(curves.launches.items())
            ],
        ),
        Chart(
            key=f"{stem}-shares",
            title="Slots in use by share",
            x=start,
            y="instances",
            lines=over_time(curves.shares),
        ),
        Chart(
            key=f"{stem}-unfinished",
            title="Jobs submitted and not over",
            x=start,
            y="jobs",
            lines=over_time({"jobs": curves.waiting}),
        ),
    ]


def comparison_charts(curves: Sequence[Curves], bound: Curves) -> list[Chart]:
    """Prepare the charts that compare the policies in one scenario: use over time, and waits."""
    name, unit = _units(max(max(one.at, default=1.0) for one in curves))
    longest = max(curves, key=lambda one: max(one.at, default=0.0))
    wait_name, wait_unit = _units(max(one.waits[-1] for one in curves))
    background = Line("capacity", _over(longest.at, unit), longest.capacity, BACKGROUND, steps=True)
    stem = bound.scenario
    beyond_name, beyond_unit = _units(
        max(abs(a - b) for one in curves for a, b in zip(one.waits, bound.waits, strict=True))
    )
    return [
        Chart(
            key=f"{stem}-use",
            title="Instances in use, by policy",
            x=f"{name} since the start",
            y="instances",
            lines=[
                background,
                *(
                    Line(one.policy, _over(one.at, unit), one.used, n, steps=True, dashed=n >= 4)
                    for n, one in enumerate(curves)
                ),
            ],
        ),
        Chart(
            key=f"{stem}-waits",
            title="Waits, by policy: share of jobs that waited no longer",
            x=f"{wait_name} waited, training not counted",
            y="% of jobs",
            lines=[
                *(
                    _cdf(one.policy, one, wait_unit, n, dashed=n >= 4)
                    for n, one in enumerate(curves)
                ),
                _cdf("clairvoyant", bound, wait_unit, len(curves), dashed=True),
            ],
        ),
        Chart(
            key=f"{stem}-waits-beyond",
            title="Waits beyond the clairvoyant's, by policy",
            x="% of jobs, ordered by their wait",
            y=f"{beyond_name} more",
            lines=[
                Line(
                    one.policy,
                    [100.0 * part / 200 for part in range(201)],
                    _over(
                        [a - b for a, b in zip(one.waits, bound.waits, strict=True)], beyond_unit
                    ),
                    n,
                    dashed=n >= 4,
                )
                for n, one in enumerate(curves)
            ],
        ),
    ]


def overall_charts(rows: Sequence[Row]) -> list[Chart]:
    """Prepare the policies side by side: their means over all scenarios and seeds."""
    means = summary(rows)
    names = [name for name in means if name != BY_HAND or len(means) == 2]
    places = [float(n) for n in range(len(names))]

    def dots(label: str, key: str, colour: int) -> Line:
        return Line(label, [means[name][key] for name in names], places, colour, marks=True)

    ratios = [
        dots("mean", "mean_ratio", 0),
        dots("p95", "p95_ratio", 1),
        dots("max", "max_ratio", 2),
    ]
    low = min(min(line.xs) for line in ratios)
    return [
        Chart(
            key="policies-waits",
            title="Waits against the clairvoyant's",
            x="times the clairvoyant's (1 = as good)",
            y="",
            rows=names,
            low=min(low, 1.0) - 0.02,
            lines=ratios,
        ),
        Chart(
            key="policies-wasted",
            title="Wasted creates per job",
            x="refused, throttled or given up, per job",
            y="",
            rows=names,
            lines=[dots("mean", "wasted_per_job", 0), dots("median", "wasted_per_job_median", 1)],
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a report: a heading, the charts that compare, and those of the first policy."""

    heading: str
    charts: Sequence[Chart]
    detail: str = ""
    details: Sequence[Chart] = ()


def report_parts(runs: Sequence[Run]) -> list[Part]:
    """Prepare all charts of a report, in its order; of several seeds the first is drawn."""
    rows = [run.row for run in runs]
    parts = []
    if len({row.policy for row in rows}) > 1:
        parts.append(Part(heading="", charts=overall_charts(rows)))
    for scenario in dict.fromkeys(row.scenario for row in rows):
        drawn = [
            (run.curves, run.bound)
            for run in runs
            if run.row.scenario == scenario and run.curves is not None and run.bound is not None
        ]
        if not drawn:
            continue
        first, bound = drawn[0]
        detail = charts_of_run(first, bound)
        if len(drawn) > 2:  # by-hand would flatten the other lines; its figures are in the tables
            drawn = [one for one in drawn if one[0].policy != BY_HAND]
        heading = f"{scenario}: {first.jobs:,} jobs"
        if len(drawn) == 1:
            parts.append(Part(heading=f"{heading}, {first.policy}", charts=detail))
            continue
        parts.append(
            Part(
                heading=heading,
                charts=comparison_charts([curves for curves, _ in drawn], bound),
                detail=first.policy,
                details=detail,
            )
        )
    return parts
