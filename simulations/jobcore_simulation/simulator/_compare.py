"""Policies side by side: the same worlds and seeds for all, against the clairvoyant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from statistics import fmean, median

from ._oracle import clairvoyant
from ._policies import POLICIES, policy
from ._run import Outcome, simulate
from ._scenario import Scenario

__all__ = ["Row", "compare", "rate", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One policy in one scenario with one seed. Waits in seconds; ratios are to the clairvoyant's.

    Args:
        wait_mean, wait_p50, wait_p95, wait_max: from submission to the end, without the training itself.
        capacity_used: the work done by the moment the clairvoyant is finished, against all of it.
        wasted_per_job: creates that led to nothing (refused, throttled, or given up unstarted).
        jain: fairness of the service that shares got while they had jobs waiting.
        interventions: jobs that lost five launches or more: with a budget of five attempts a
            person would have had to submit them again.
        polls: looks at the job list that a person would have made, one an hour.
    """

    scenario: str
    policy: str
    seed: str
    jobs: int
    completed: bool
    makespan: float
    wait_mean: float
    wait_p50: float
    wait_p95: float
    wait_max: float
    makespan_ratio: float
    mean_ratio: float
    p95_ratio: float
    max_ratio: float
    capacity_used: float
    wasted_per_job: float
    calls_per_job: float
    jain: float
    interventions: int
    polls: int
    messages: int
    digest: str


def _at(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def _ratio(value: float, bound: float) -> float:
    return value / max(bound, 1.0)  # seconds: below one there is nothing to compare


def rate(outcome: Outcome, bound: Outcome) -> Row:
    """Set an outcome beside the clairvoyant's."""
    waits, best = sorted(outcome.waits) or [0.0], sorted(bound.waits) or [0.0]
    done, everything = outcome.done_by(bound.makespan), bound.done_by(bound.makespan)
    return Row(
        scenario=outcome.scenario,
        policy=outcome.policy,
        seed=outcome.seed,
        jobs=outcome.jobs,
        completed=outcome.completed,
        makespan=outcome.makespan,
        wait_mean=fmean(waits),
        wait_p50=_at(waits, 0.5),
        wait_p95=_at(waits, 0.95),
        wait_max=waits[-1],
        makespan_ratio=_ratio(outcome.makespan, bound.makespan),
        mean_ratio=_ratio(fmean(waits), fmean(best)),
        p95_ratio=_ratio(_at(waits, 0.95), _at(best, 0.95)),
        max_ratio=_ratio(waits[-1], best[-1]),
        capacity_used=done / everything if everything else 1.0,
        wasted_per_job=outcome.wasted / max(outcome.jobs, 1),
        calls_per_job=outcome.calls / max(outcome.jobs, 1),
        jain=outcome.jain,
        interventions=outcome.many_losses,
        polls=int(outcome.makespan // 3600),
        messages=outcome.messages,
        digest=outcome.digest,
    )


def _one(task: tuple[Scenario, str, Sequence[str]]) -> list[Row]:
    scenario, seed, policies = task
    bound = clairvoyant(scenario, seed)
    return [
        rate(simulate(scenario, seed, scheduler=policy(name)(scenario, seed), policy=name), bound)
        for name in policies
    ]


def compare(
    scenarios: Sequence[Scenario],
    *,
    policies: Sequence[str] = tuple(POLICIES),
    seeds: Sequence[str] = ("1",),
    processes: int = 1,
    done: Callable[[int, int], None] = lambda done, of: None,
) -> list[Row]:
    """
    Run every policy in every scenario with every seed.

    Args:
        processes: how many to run at once; the results do not depend on it.
        done: called with how many of how many runs are over.
    """
    tasks = [(s, seed, [name]) for s in scenarios for seed in seeds for name in policies]
    rows: list[Row] = []
    for part in _results(tasks, processes):
        rows += part
        done(len(rows), len(tasks))
    return rows


def _results(
    tasks: Sequence[tuple[Scenario, str, Sequence[str]]], processes: int
) -> Iterator[list[Row]]:
    if processes <= 1:
        yield from map(_one, tasks)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_one, tasks)


_MEANS = (
    "makespan_ratio", "mean_ratio", "p95_ratio", "max_ratio", "capacity_used", "jain",
    "wasted_per_job", "calls_per_job",
)  # fmt: skip


def summary(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Give the means over scenarios and seeds, by policy."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        by.setdefault(row.policy, []).append(row)
    result = {}
    for name, part in by.items():
        values = [asdict(row) for row in part]
        result[name] = {key: fmean(value[key] for value in values) for key in _MEANS}
        result[name]["wasted_per_job_median"] = median(row.wasted_per_job for row in part)
        result[name]["interventions"] = float(sum(row.interventions for row in part))
        result[name]["messages_per_job"] = sum(r.messages for r in part) / sum(r.jobs for r in part)
    return result
