"""
Explores every interleaving of the production ticks' port calls, with faults, and checks each world.

    python -m proof.exhaustive                      the main scope
    python -m proof.exhaustive --scope all          the main scope and all beside it
    python -m proof.exhaustive --scope "three attempts"      three attempts, one fault

Prints the figures of each scope. Fails at a violation, at a scope that was not exhausted and, with
`--scope all`, at a cell (call site and outcome of the call) that was never reached.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

from jobcore_simulation.checker import (
    SCOPES,
    SIDE_SCOPES,
    Checker,
    Report,
    as_test,
    missing_cells,
    sites,
    wrong_exceptions,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--scope", default="main", choices=["all", "side", *SCOPES])
    parser.add_argument("--faults", type=int, help="instead of the scope's own number")
    parser.add_argument("--seconds", type=float, default=3600.0, help="CPU seconds for each scope")
    parser.add_argument("--verbose", action="store_true", help="a line for each level")
    args = parser.parse_args()
    names = {"all": ("main", *SIDE_SCOPES), "side": SIDE_SCOPES}.get(args.scope, (args.scope,))
    cells: set[str] = set()
    well = True
    print(f"{'scope':15}{'faults':>7}{'states':>13}{'transitions':>13}{'depth':>7}"
          f"{'worlds':>8}{'rounds':>8}{'CPU s':>7}")  # fmt: skip
    for name in names:
        scope = SCOPES[name]
        if args.faults is not None:
            scope = dataclasses.replace(scope, faults=args.faults)
        report = Checker(scope).run(seconds=args.seconds, progress=_level if args.verbose else None)
        cells |= report.cells
        _line(report)
        well &= report.exhausted and report.found is None
        if report.found is not None:
            where = f" (when trainings {report.found.environment})" * bool(report.found.environment)
            print(f"\n{report.found.wrong}{where}\n")
            print(as_test(scope, report.found.wrong, report.found.steps))
    print(f"{len(cells)} cells at {len(sites(cells))} call sites were reached")
    if args.scope == "all":
        for cell in missing_cells(cells):
            print(f"never reached: {cell}")
            well = False
        for cell in wrong_exceptions(cells):
            print(f"listed as never reached, but it is, or its call site does not exist: {cell}")
            well = False
    return 0 if well else 1


def _line(report: Report) -> None:
    print(
        f"{report.scope.name:15}{report.scope.faults:>7}{report.states:>13,}"
        f"{report.transitions:>13,}{report.depth:>7}{report.worlds:>8,}{report.rounds:>8}"
        f"{report.seconds:>7.1f}{'' if report.exhausted else '  not exhausted'}",
        flush=True,
    )


def _level(report: Report) -> None:
    print(f"  level {report.depth}: {report.states:,} states, {report.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
