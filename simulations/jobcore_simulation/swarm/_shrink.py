"""Shrinking: a smaller case that still has the violation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ._case import Case, run_case
from ._draw import draw

__all__ = ["shrink"]


def shrink(case: Case, *, trials: int = 400) -> Case:
    """
    Remove faults, jobs and steps that a violation does not need.

    Args:
        trials: the most runs of the case.

    Returns:
        A case whose first violation has the same code as the first violation of *case*.
    """
    first = run_case(case)
    shrinker = _Shrinker(first.found[0].code, trials)
    struck = replace(case, keep=first.struck)
    if shrinker.is_bad(struck):
        case = shrinker.with_fewer_faults(struck)
    case = shrinker.with_fewer_jobs(case)
    case = shrinker.with_fewer_steps(case)
    # Again: with fewer jobs and steps, more faults may be needless.
    return shrinker.with_fewer_faults(case) if case.keep else case


class _Shrinker:
    """A search for smaller cases whose first violation has the code *code*, in *trials* runs at most."""

    def __init__(self, code: str, trials: int) -> None:
        self.code = code
        self.left = trials

    def is_bad(self, case: Case) -> bool:
        self.left -= 1
        found = run_case(case).found
        return bool(found) and found[0].code == self.code

    def with_fewer_faults(self, case: Case) -> Case:
        kept = self._fewer(list(case.keep or ()), lambda keep: replace(case, keep=keep))
        return replace(case, keep=kept)

    def with_fewer_jobs(self, case: Case) -> Case:
        count = len(draw(case.seed, case.adapters).specs)
        numbers = list(range(count)) if case.jobs is None else list(case.jobs)
        jobs = self._fewer(numbers, lambda jobs: replace(case, jobs=jobs))
        return replace(case, jobs=jobs) if len(jobs) < len(numbers) else case

    def with_fewer_steps(self, case: Case) -> Case:
        steps = draw(case.seed, case.adapters).steps if case.steps is None else case.steps
        for fewer in (steps // 8, steps // 4, steps // 2, steps * 3 // 4):
            smaller = replace(case, steps=fewer)
            if self.is_bad(smaller):
                return smaller
        return case

    def _fewer(self, kept: Sequence[int], make: Callable[[Sequence[int]], Case]) -> Sequence[int]:
        """Remove halves, then quarters, and so on, while ``make(rest)`` stays bad."""
        size = max(1, (len(kept) + 1) // 2)
        while self.left > 0 and kept:
            for start in range(0, len(kept), size):
                rest = [*kept[:start], *kept[start + size :]]
                if self.left > 0 and self.is_bad(make(rest)):
                    kept = rest
                    break
            else:
                if size == 1:
                    break
                size = max(1, size // 2)
        return kept
