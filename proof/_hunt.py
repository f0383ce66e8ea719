"""Lets the exhaustive checker find a protocol bug, one small scope after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jobcore import FailureClass
from jobcore_simulation.checker import Broken, Checker, Report, Scope, replay

from ._patches import Mutant

__all__ = ["SCOPES", "Result", "confirmed", "hunt"]

_THREE = {FailureClass.ALGORITHM: 1, FailureClass.SPOT_INTERRUPTED: 1}
_STOP = ("stop",)


def _scope(name: str, **fields: Any) -> Scope:
    bits = {"launch": 11, "monitor": 11, "reap": 6, "notify": 9, "user": 9}
    return Scope(name=name, bits={**bits, **fields.pop("bits", {})}, **fields)


#: In the order of their cost; a mutant is tried on each until it is caught.
SCOPES: Mapping[str, Scope] = {
    scope.name: scope
    for scope in (
        _scope("one", people=_STOP, notifiers=1, bits={"launch": 10, "monitor": 10}),
        _scope("one, 1 fault", people=_STOP, reapers=1, faults=1),
        _scope("one, 2 faults", faults=2),
        _scope("vanish", people=_STOP, reapers=1, faults=1, vanish=True),
        _scope("outbox", people=_STOP, notifiers=1, faults=1, bits={"launch": 11, "monitor": 11}),
        _scope("spot", people=_STOP, spots=1, faults=1, budgets=_THREE),
        _scope("refused", reapers=1, refusals=1, refused_for=("capacity", "quota"), faults=1),
        _scope("pair", launchers=2, people=_STOP, bits={"launch": 12, "monitor": 12}),
        _scope(
            "pair, refused",
            launchers=2, people=_STOP, refusals=1, refused_for=("capacity", "invalid", "quota"),
            bits={"launch": 12, "monitor": 11, "user": 9},
        ),
        _scope(
            "messages",
            notifiers=1, people=_STOP, refusals=1, refused_for=("quota",), faults=1,
        ),
        _scope("monitors", monitors=2, people=_STOP, faults=1, bits={"launch": 11, "monitor": 12}),
        _scope("people", notifiers=1, people=("stop", "stop", "hold", "release"), bits={"launch": 10, "monitor": 10}),
        _scope("clocks", people=_STOP, time=True, clocks=True, faults=1),
        _scope("stranger", stranger=True, people=("stop", "release")),
        _scope("poison record", notifiers=1, jobs=2, poison="record", fails=False, bits={"launch": 10}),
        _scope("poison launch", notifiers=1, jobs=2, poison="launch", fails=False, bits={"launch": 10}),
        _scope("poison publish", notifiers=1, jobs=2, poison="publish", fails=False, bits={"launch": 10}),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a search: the violation and its scope, or "" for none."""

    mutant: Mutant
    caught_by: str
    scope: str
    states: int
    seconds: float
    report: Report | None = None


def confirmed(report: Report) -> bool:
    """Replay the trace with nothing merged: a mutant may use local state that the real code does not."""
    assert report.found is not None
    try:
        replay(replace(report.scope, merge=False), report.found.steps)
    except Broken:
        return True
    return False


def hunt(mutant: Mutant, *, seconds: float = 10.0) -> Result:
    """Explore one scope after the other with the mutant in place, until it is caught."""
    began = time.process_time()
    states = 0
    with mutant.patch():
        for name, scope in SCOPES.items():
            if mutant.scopes and name not in mutant.scopes:
                continue
            left = seconds - (time.process_time() - began)
            if left <= 0:
                break
            checker = Checker(scope)
            try:
                report = checker.run(seconds=min(left, 2.5))
            except OverflowError:
                continue  # the mutant has more states than fit; the other scopes are tried
            states += report.states
            if report.found is not None and confirmed(report):
                spent = time.process_time() - began
                return Result(mutant, report.found.wrong, name, states, spent, report)
    return Result(mutant, "", "", states, time.process_time() - began)
