"""A scope: which actors run, what the world may do, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobcore import FailureClass

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """
    The bounds within which everything is explored.

    Args:
        launchers, monitors, reapers, notifiers: actors of each kind; each runs its tick again and
            again, at any time. With *people* there is one more actor, the user.
        faults: how many faults may happen in one history, all kinds together.
        people: what the user asks, each at most as often as it is named: "stop", "hold", "release".
        budgets: retries by failure class, as in `jobcore.RetryPolicy`.
        spots: spot interruptions in one history.
        refusals: launches refused in one history; *refused_for* names the reasons that occur.
        late: whether a request may take effect any time after its caller has given up.
        vanish: whether a live training may be gone for good, its name free (costs a fault).
            (One that is over keeps its name for ever: `jobcore.Trainer` promises that.)
        deletes: whether a training that is over may be deleted, and its name free (costs a fault).
            No trainer may do that; it shows what the promises rest on.
        elsewhere: whether a training may be stopped by somebody else (costs a fault).
        to_stop_runs: whether the trainer starts what it is asked to start only to be stopped;
            it may also record it as stopped without running it.
        time: whether a tick may find that little time has passed as well as much; else always much.
        clocks: whether the job has a bound on its wait and its run, shorter than "much".
        stranger: a training of somebody else has the name of the first attempt.
        jobs, slots: with more than one job, the pool has so many slots, and index reads are
            answered as things are (or stale, which costs a fault).
        tries: whether a tick's second looks after conflicts are counted (it gives up after five);
            else it looks until it succeeds.
        merge: whether ticks that know the same count as one, however they came to know it.
        bits: how many bits of a state's number an actor of a kind gets, where not as usual.
        poison: what goes wrong for the first job, always: "record", "launch" or "publish".
    """

    name: str
    launchers: int = 1
    monitors: int = 1
    reapers: int = 0
    notifiers: int = 0
    faults: int = 0
    people: tuple[str, ...] = ()
    budgets: Mapping[FailureClass, int] = field(default_factory=lambda: {FailureClass.ALGORITHM: 1})
    fails: bool = True
    spots: int = 0
    refusals: int = 0
    refused_for: tuple[str, ...] = ("capacity",)
    late: bool = True
    vanish: bool = False
    deletes: bool = False
    elsewhere: bool = False
    to_stop_runs: bool = True
    time: bool = False
    clocks: bool = False
    stranger: bool = False
    jobs: int = 1
    slots: int = 8
    tries: bool = False
    merge: bool = True
    poison: str = ""
    bits: Mapping[str, int] = field(default_factory=dict)

    @property
    def attempts_max(self) -> int:
        """How many attempts the budgets allow."""
        return 1 + sum(self.budgets.values())

    @property
    def slot_kinds(self) -> tuple[str, ...]:
        """The kinds of the actors, one entry for each actor; equal ones stand together."""
        return (
            *("launch",) * self.launchers,
            *("monitor",) * self.monitors,
            *("reap",) * self.reapers,
            *("notify",) * self.notifiers,
            *(("user",) if self.people else ()),
        )
