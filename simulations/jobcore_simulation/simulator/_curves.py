"""A run over time, thinned out for drawing and for sending between processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ._outcome import Outcome, Sample

__all__ = ["Curves", "curves_of"]

_POINTS = 300  # along a chart's width
_BUCKETS = 60  # of launches: so few that most buckets hold some
_SHARES = 6  # with a colour each; the rest is one line

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """
    A run over time.

    Args:
        at: seconds of each point; *capacity*, *used*, *asked* (slots) and *waiting* (jobs) at it.
        shares: slots in use by share at each point, the busiest shares first.
        buckets: seconds at which each bucket of launches begins, and the end of the last.
        launches: creates per hour in each bucket, by their outcome.
        waits: the quantiles 0, 0.005, ... 1 of the jobs' waits, in seconds.
    """

    scenario: str
    policy: str
    jobs: int
    at: Numbers
    capacity: Numbers
    used: Numbers
    asked: Numbers
    waiting: Numbers
    shares: Mapping[str, Numbers]
    buckets: Numbers
    launches: Mapping[str, Numbers]
    waits: Numbers


def curves_of(outcome: Outcome, end: float) -> Curves:
    """Thin a run out; jobs without a result count as waiting until *end*."""
    samples = outcome.samples[:: max(1, -(-len(outcome.samples) // _POINTS))]
    buckets = _buckets(outcome.samples)
    waits = outcome.waits_until(end) or [0.0]
    last = len(waits) - 1
    return Curves(
        scenario=outcome.scenario,
        policy=outcome.policy,
        jobs=outcome.jobs,
        at=tuple(sample.at for sample in samples),
        capacity=tuple(float(sample.capacity) for sample in samples),
        used=tuple(float(sample.used) for sample in samples),
        asked=tuple(float(sample.asked) for sample in samples),
        waiting=tuple(float(sample.waiting) for sample in samples),
        shares=_shares([sample.shares for sample in samples]),
        buckets=tuple(sample.at for sample in buckets),
        launches=_launches(buckets),
        waits=tuple(waits[round(last * part / 200)] for part in range(201)),
    )


def _shares(samples: Sequence[Mapping[str, int]]) -> dict[str, Numbers]:
    total: dict[str, int] = {}
    for sample in samples:
        for share, slots in sample.items():
            total[share] = total.get(share, 0) + slots
    order = sorted(total, key=lambda share: (-total[share], share))
    # One more share is named, instead of being called "1 other".
    named = order if len(order) <= _SHARES + 1 else order[:_SHARES]
    lines = {share: tuple(float(s.get(share, 0)) for s in samples) for share in named}
    if len(named) < len(order):
        known = set(named)
        lines[f"{len(order) - len(named)} others"] = tuple(
            float(sum(slots for share, slots in sample.items() if share not in known))
            for sample in samples
        )
    return lines


def _launches(samples: Sequence[Sample]) -> dict[str, Numbers]:
    rates: dict[str, Numbers] = {}
    for name in ("accepted", "refused", "given_up"):
        # Launches before the first sample count in the first bucket.
        counts = [0, *(getattr(sample, name) for sample in samples[1:])]
        rates[name.replace("_", " ")] = tuple(
            (after - before) / max(b.at - a.at, 1.0) * 3600
            for (a, b), (before, after) in zip(pairwise(samples), pairwise(counts), strict=True)
        )
    return rates


def _buckets(samples: Sequence[Sample]) -> Sequence[Sample]:
    chosen = samples[:: max(1, -(-len(samples) // _BUCKETS))]
    return [*chosen, samples[-1]] if samples and chosen[-1] is not samples[-1] else chosen
