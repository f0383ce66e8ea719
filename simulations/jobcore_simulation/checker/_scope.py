"""A scope: the actors, and the bounds of the events in one history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobcore import FailureClass

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """
    The bounds of one exploration.

    Args:
        launchers, monitors, reapers, notifiers: actors of each kind; each runs its tick again and
            again, at any time. With *people* there is one more actor, the user.
        faults: the most faults in one history, all kinds together.
        people: the requests of the user, each as often as it is named: "stop", "hold", "release".
        budgets: retries by failure class, as in `jobcore.RetryPolicy`.
        spots: spot interruptions in one history.
        refusals: launches refused in one history; *refused_for* names the reasons that occur.
        fails: whether trainings may fail.
        late: whether a request may take effect at any time after its caller has given up.
        vanish: whether a live training may be lost with its name (costs a fault). (A terminal
            training keeps its name for ever: `jobcore.Trainer` promises that.)
        deletes: whether a terminal training may be deleted, which frees its name (costs a fault).
            No trainer may do that; the scope shows that the invariants depend on it.
        elsewhere: whether a training may be stopped from outside (costs a fault).
        to_stop_runs: whether a request with ``to_stop`` may create a training that runs, as well as
            one that is stopped from the start.
        time: whether a tick's clock may say `JUST_NOW` as well as `LATER`.
        clocks: whether the job has bounds on its wait and its run; `LATER` is beyond both.
        stranger: whether a training of another account has the name of the first attempt.
        jobs, slots: with more than one job the pool has so many slots, and reads of indexes are
            true (or stale, which costs a fault).
        tries: whether a tick's tries after lost saves are counted (it gives up after five); else
            it tries until it succeeds.
        merge: whether ticks with the same local state share a node, also after different reads.
        bits: bits of a state for an actor, by kind, where they differ from the usual ones.
        poison: the call that always fails for the first job: "record", "launch" or "publish".
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
        """The most attempts that the budgets allow."""
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
