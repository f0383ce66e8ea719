"""Comparison of policies in the same worlds with the same seeds; ratios are to the clairvoyant."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing.context import BaseContext
from statistics import fmean, median
from typing import Any

from ._by_hand import by_hand
from ._clairvoyant import clairvoyant
from ._curves import Curves, curves_of
from ._outcome import ByHand, Outcome
from ._policies import BY_HAND, TITLES, policy
from ._run import simulate
from ._scenario import Scenario

__all__ = ["Row", "Run", "compare", "rate", "runs", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One policy in one scenario with one seed. Waits in seconds; ratios are to the clairvoyant's.

    A sound job that was given up, or was left at the horizon, counts as waiting until the last job
    is over, here or with the clairvoyant.

    Args:
        completed: whether all jobs were over before the horizon.
        wait_mean, wait_p50, wait_p95, wait_max: from submission to the end, without the training itself.
        capacity_used: the work done by the moment the clairvoyant is finished, against all of it.
        wasted_per_job: creates without a training that started: refused, throttled or given up.
        jain: fairness of the slots that shares had while they had jobs waiting.
        gave_up: sound jobs (without a bug) that ended Failed.
        left: jobs not over at the horizon.
        lost_five: jobs that lost five launches or more: a budget of five attempts would have ended them.
        interventions: a person's actions on single jobs. By hand: each resubmission. Else: jobs
            held for a person, and those in *gave_up*, which have to be submitted again.
        readings: failures that a person had to read. By hand: each failed attempt. Else: each job
            that ended Failed, since its one message names the cause.
        polls: a person's looks at the list of jobs; 0 under policies that send messages.
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
    gave_up: int
    left: int
    lost_five: int
    interventions: int
    readings: int
    polls: int
    messages: int
    digest: str


@dataclass(frozen=True, slots=True)
class Run:
    """A row; for charts also the curves of the run and of the clairvoyant's."""

    row: Row
    curves: Curves | None = None
    bound: Curves | None = None


def _at(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def _ratio(value: float, bound: float) -> float:
    return value / max(bound, 1.0)  # seconds; a bound below 1 s would give a huge ratio


def rate(outcome: Outcome, bound: Outcome) -> Row:
    """Compare an outcome with the clairvoyant's."""
    end = max(outcome.makespan, bound.makespan)
    waits, best = outcome.waits_until(end) or [0.0], bound.waits_until(end) or [0.0]
    done, everything = outcome.done_by(bound.makespan), bound.done_by(bound.makespan)
    person = outcome.by_hand or ByHand(
        readings=outcome.statuses.get("Failed", 0), resubmissions=outcome.held + outcome.gave_up
    )
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
        gave_up=outcome.gave_up,
        left=len(outcome.unfinished) - outcome.gave_up,
        lost_five=outcome.many_losses,
        interventions=person.resubmissions,
        readings=person.readings,
        polls=person.looks,
        messages=outcome.messages,
        digest=outcome.digest,
    )


@dataclass(frozen=True, slots=True)
class _Task:
    number: int
    scenario: Scenario
    seed: str
    policy: str
    drawn: bool


def _one(task: _Task, progress: Callable[[float], None]) -> Run:
    scenario, seed = task.scenario, task.seed
    bound = clairvoyant(scenario, seed)
    if task.policy == BY_HAND:
        outcome = by_hand(scenario, seed, progress=progress)
    else:
        outcome = simulate(
            scenario,
            seed,
            scheduler=policy(task.policy)(scenario, seed),
            policy=task.policy,
            progress=progress,
        )
    progress(1.0)
    row = rate(outcome, bound)
    if not task.drawn:
        return Run(row)
    end = max(outcome.makespan, bound.makespan)
    return Run(row, curves_of(outcome, end), curves_of(bound, end))


# The progress of each task, shared by the processes; set in each of them when it starts.
_shares: Any = None


def _share_progress(shares: Any) -> None:
    global _shares  # noqa: PLW0603
    _shares = shares


def _in_process(task: _Task) -> Run:
    def note(share: float) -> None:
        _shares[task.number] = share

    return _one(task, note)


def runs(
    scenarios: Sequence[Scenario],
    *,
    policies: Sequence[str] = tuple(TITLES),
    seeds: Sequence[str] = ("1",),
    processes: int = 1,
    charts: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Run]:
    """
    Run every policy in every scenario with every seed.

    Args:
        processes: the number of runs at once; the results do not depend on it.
        charts: whether to keep the curves that charts draw, of the first seed.
        progress: called now and then with the share of the jobs of all runs that are over.
    """
    tasks = [
        _Task(number, scenario, seed, name, charts and seed == seeds[0])
        for number, (scenario, seed, name) in enumerate(
            (scenario, seed, name) for scenario in scenarios for seed in seeds for name in policies
        )
    ]
    sizes = [len(task.scenario.tasks_given or ()) or task.scenario.work.jobs for task in tasks]
    total = float(max(sum(sizes), 1))
    if processes <= 1 or len(tasks) <= 1:
        made, before = [], 0.0
        for task, size in zip(tasks, sizes, strict=True):

            def note(share: float, before: float = before, size: int = size) -> None:
                progress((before + share * size) / total)

            made.append(_one(task, note))
            before += size
        return made
    context = _context()
    shares = context.Array("d", len(tasks), lock=False)
    with ProcessPoolExecutor(
        min(processes, len(tasks)), context, initializer=_share_progress, initargs=(shares,)
    ) as pool:
        futures = [pool.submit(_in_process, task) for task in tasks]
        left: set[Future[Run]] = set(futures)
        while left:
            _, left = wait(left, timeout=0.25, return_when=FIRST_COMPLETED)
            progress(sum(share * size for share, size in zip(shares, sizes, strict=True)) / total)
        return [future.result() for future in futures]


def _context() -> BaseContext:
    """Choose the start method of processes: after a fork of a process with threads, a lock may stay held."""
    context = multiprocessing.get_context()
    if context.get_start_method() == "fork" and _has_threads():
        return multiprocessing.get_context("forkserver")
    return context


def _has_threads() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) > 1  # counts the threads of libraries, too
    except OSError:
        return threading.active_count() > 1


def compare(
    scenarios: Sequence[Scenario],
    *,
    policies: Sequence[str] = tuple(TITLES),
    seeds: Sequence[str] = ("1",),
    processes: int = 1,
) -> list[Row]:
    """Run every policy in every scenario with every seed, and give the figures (see `runs`)."""
    made = runs(scenarios, policies=policies, seeds=seeds, processes=processes, charts=False)
    return [run.row for run in made]


_MEANS = (
    "makespan_ratio", "mean_ratio", "p95_ratio", "max_ratio", "capacity_used", "jain",
    "wasted_per_job", "calls_per_job",
)  # fmt: skip


def summary(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Return the means over scenarios and seeds, by policy."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        by.setdefault(row.policy, []).append(row)
    result = {}
    for name, part in by.items():
        values = [asdict(row) for row in part]
        result[name] = {key: fmean(value[key] for value in values) for key in _MEANS}
        result[name]["wasted_per_job_median"] = median(row.wasted_per_job for row in part)
        for key in ("interventions", "readings", "polls", "gave_up", "left", "lost_five"):
            result[name][key] = float(sum(value[key] for value in values))
        result[name]["messages_per_job"] = sum(r.messages for r in part) / sum(r.jobs for r in part)
    return result
