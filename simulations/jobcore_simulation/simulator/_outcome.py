"""The figures of a run, and the recorder that collects them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field

from ._scenario import Task
from ._world import Fleet

__all__ = ["SAMPLES_MAX", "ByHand", "Outcome", "Recorder", "Sample", "jain"]

SAMPLES_MAX = 4000  # kept of a run of any length; a chart cannot show more


@dataclass(frozen=True, slots=True)
class Sample:
    """
    The world at a moment.

    Args:
        at: seconds.
        capacity, used, asked: slots of all pools: existing, held by trainings, held or requested.
        waiting: jobs submitted and not over.
        shares: slots in use by share.
        accepted, refused, given_up: creates so far that the provider accepted, that it refused
            (quota or rate), and that it accepted and then failed for lack of instances.
    """

    at: float
    capacity: int
    used: int
    asked: int
    waiting: int
    shares: Mapping[str, int]
    accepted: int = 0
    refused: int = 0
    given_up: int = 0


@dataclass(slots=True)
class ByHand:
    """The work of a person: looks at the list of jobs, failures read, jobs submitted again."""

    looks: int = 0
    readings: int = 0
    resubmissions: int = 0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """
    The figures of a run. Times in seconds.

    Args:
        waits: of each job, from submission to its end, without the seconds that it trained.
        calls: create calls; *wasted* those that led to no training with instances, *throttled* included.
        unfinished: of each job that never had its result, its submission and the seconds that it
            would have trained: the sound ones that were given up (*gave_up*), and what was left at
            the horizon.
        many_losses: jobs that lost five launches or more.
        held: jobs in status Held at the end.
        by_hand: the work of the person, under the policy by-hand.
        digest: a hash of all events; two runs with the same hash are the same run.
        worked: of each job, when it ended, the seconds that it trained, and its instances.
        samples: the world over time, thinned out as a run gets long.
    """

    scenario: str
    policy: str
    seed: str
    jobs: int
    makespan: float = 0.0
    waits: MutableSequence[float] = field(default_factory=lambda: array("d"))
    calls: int = 0
    wasted: int = 0
    throttled: int = 0
    describes: int = 0
    messages: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    many_losses: int = 0
    unfinished: list[tuple[float, float]] = field(default_factory=list)
    gave_up: int = 0
    held: int = 0
    by_hand: ByHand | None = None
    samples: list[Sample] = field(default_factory=list)
    worked: list[tuple[float, float, int]] = field(default_factory=list)
    jain: float = 1.0
    events: int = 0
    digest: str = ""
    completed: bool = True
    looks: int = 0

    def ended(self, at: float, task: Task, *, keep: bool = True) -> None:
        """Note the end of a job: its wait is the time that it did not train. *keep*: add to `worked`."""
        trained = _training(task)
        self.waits.append(max(at - task.submitted - trained, 0.0))
        self.makespan = at
        if keep:
            self.worked.append((at, trained, task.count))

    def done_by(self, moment: float) -> float:
        """Slot seconds of training done by *moment*; of a job that ends later, the part before."""
        return sum(
            max(0.0, trained - max(0.0, at - moment)) * count for at, trained, count in self.worked
        )

    def never_ended(self, at: float, task: Task) -> None:
        """Note a job that was given up, or had not ended, at *at*."""
        self.unfinished.append((task.submitted, _training(task)))
        self.makespan = at

    def waits_until(self, end: float) -> list[float]:
        """Return all waits, sorted; jobs without a result waited until *end*."""
        rest = [max(end - submitted - work, 0.0) for submitted, work in self.unfinished]
        return sorted([*self.waits, *rest])


def _training(task: Task) -> float:
    """Seconds that a job trains in all, without interruptions."""
    return sum(task.runs_for(a, 0.0) for a in ((1, 2) if task.flaky else (1,)))


class Recorder:
    """Records the world at equal intervals: samples for charts, and the slots that each share got."""

    def __init__(self, outcome: Outcome) -> None:
        """Write into *outcome*."""
        self._outcome = outcome
        self._service: dict[str, list[float]] = {}
        self._noted = 0
        self._keep_every = 1  # one sample in so many is kept; fairness uses all of them

    def note(
        self,
        now: int,
        fleet: Fleet,
        waiting: int,
        running: Mapping[str, int],
        asked: Mapping[str, int],
    ) -> None:
        """
        Record a moment.

        Args:
            now: microseconds.
            waiting: jobs submitted and not over.
            running: slots in use by share.
            asked: slots that a share's unfinished jobs ask for.
        """
        # Shares with jobs that do not run yet, waiting in the queue or Pending at the provider.
        backlog = [share for share, slots in asked.items() if slots > running.get(share, 0)]
        if len(backlog) > 1:
            total = sum(running.get(share, 0) for share in backlog)
            for share in backlog:
                got = self._service.setdefault(share, [0.0, 0.0])
                got[0] += running.get(share, 0)
                got[1] += total / len(backlog)
        if self._noted % self._keep_every == 0:
            pools, samples = fleet.pools.values(), self._outcome.samples
            samples.append(
                Sample(
                    now / 1e6,
                    sum(pool.capacity for pool in pools),
                    sum(pool.used for pool in pools),
                    sum(pool.charged for pool in pools),
                    waiting,
                    running,
                    fleet.accepted,
                    fleet.refused + fleet.throttled,
                    fleet.wasted,
                )
            )
            if len(samples) >= SAMPLES_MAX:
                del samples[1::2]
                self._keep_every *= 2
        self._noted += 1

    def close(self, fleet: Fleet) -> None:
        """Add the totals of the run."""
        out = self._outcome
        out.calls, out.throttled, out.describes = fleet.calls, fleet.throttled, fleet.describes
        out.wasted = fleet.wasted + fleet.refused + fleet.throttled
        # Weighted by fair slots: a share that waits in one sample of a thousand counts little.
        service = [(got / fair, fair) for got, fair in self._service.values() if fair]
        out.jain = jain([ratio for ratio, _ in service], [fair for _, fair in service])


def jain(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Jain's fairness index, weighted: 1 where all are equal, 1/n where one of n equals has everything."""
    weights = [1.0] * len(values) if weights is None else weights
    total = sum(w * v for w, v in zip(weights, values, strict=True))
    squares = sum(w * v * v for w, v in zip(weights, values, strict=True))
    return total**2 / (sum(weights) * squares) if squares else 1.0
