"""
Mutation testing of the core: do the tests notice small wrong changes of the code?

    python -m proof.mutation [--module NAME]... [--sample N] [--again FILE] [--save FILE]

The tests run once, with a record of which of them executes which line. Then, for each mutant
(see `proof._code_mutants`), a forked process puts the wrong code into the loaded module and runs the
tests that execute it, most likely ones first, until one fails. A mutant that no test notices has
*survived*. Those in ``equivalent.toml`` change nothing that can be observed; each has its reason
there, and they are counted apart.

A fork for each mutant and tests chosen by line make a whole run a matter of minutes; the usual
tools start, import and collect again for each mutant. The first run is kept in ``.mutation/``,
file by file, and is used again while neither the test file nor the core has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ._code_mutants import Mutant, mutants
from ._mutation_run import OPTIONS, SLOW, SURVIVED, Result, Runner
from ._mutation_tests import ROOT, TESTS, VERDICT, modules, path_of

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


# --- equivalent mutants --------------------------------------------------------------------------


def _equivalent() -> dict[tuple[str, str, str, str, int], str]:
    """Read the list: by module, function, code before and after; *nth* where it occurs again."""
    if not EQUIVALENT.exists():
        return {}
    known: dict[tuple[str, str, str, str, int], str] = {}
    for entry in tomllib.loads(EQUIVALENT.read_text()).get("equivalent", ()):
        afters = entry["after"] if isinstance(entry["after"], list) else [entry["after"]]
        numbers = entry.get("nth", [1])
        for after in afters:
            for number in numbers if isinstance(numbers, list) else [numbers]:
                key = (entry["module"], entry["function"], entry["before"], after, number)
                assert entry["why"], entry
                known[key] = entry["why"]
    return known


# --- the command ---------------------------------------------------------------------------------


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.mutation", description=__doc__)
    parser.add_argument(
        "--module", action="append", help="such as lifecycle.retry; may be repeated"
    )
    parser.add_argument("--sample", type=int, help="so many mutants, spread over all")
    parser.add_argument("--again", type=Path, help="only those that a saved run left alive")
    parser.add_argument("--save", type=Path, help="write the survivors there")
    parser.add_argument(
        "--budget", type=float, default=1e9, help="seconds of tests for a mutant, likely ones first"
    )
    parser.add_argument("--only", default="", help="tests with this in their name")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0.0, help="fail below this rate, in %%")
    parser.add_argument("--slowest", type=int, default=0, help="list so many that took longest")
    return parser.parse_args(argv)


def _chosen(arguments: argparse.Namespace) -> list[Mutant]:
    wanted = [
        mutant
        for module in arguments.module or modules()
        for mutant in mutants(module, path_of(module).read_text())
    ]
    if arguments.again:
        left = {tuple(key) for key in json.loads(arguments.again.read_text())}
        wanted = [mutant for mutant in wanted if mutant.key in left]
    if arguments.sample:
        wanted.sort(key=lambda m: hashlib.sha256(repr(m.key).encode()).hexdigest())
        wanted = sorted(wanted[: arguments.sample], key=lambda m: (m.module, m.line))
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 if the rate is high enough."""
    arguments = _arguments(argv)
    os.chdir(ROOT)
    wanted = _chosen(arguments)
    known = _equivalent()
    asked = [mutant for mutant in wanted if mutant.key not in known]
    runner = Runner(asked, arguments)
    began = time.monotonic()
    code = pytest.main([*OPTIONS, *TESTS], plugins=[runner, VERDICT])
    runner.save_survivors()
    if code not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        print(f"pytest ended with {code}")
        return 2
    rate = _report(runner.results, wanted, known, time.monotonic() - began, arguments)
    return 0 if rate >= arguments.at_least else 1


def _report(
    results: Sequence[Result],
    wanted: Sequence[Mutant],
    known: Mapping[tuple[str, str, str, str, int], str],
    seconds: float,
    arguments: argparse.Namespace,
) -> float:
    survived = sorted(
        (r for r in results if r.verdict == SURVIVED),
        key=lambda r: (r.mutant.module, r.mutant.line),
    )
    for result in survived:
        m = result.mutant
        nth = f" (nth = {m.ordinal})" if m.ordinal > 1 else ""
        path = path_of(m.module).relative_to(ROOT)
        print(f"\n{path}:{m.line} {m.owner}{nth} {result.by}")
        print(f"-   {m.before}\n+   {m.after}")
    print(
        f"\n{'module':24} {'mutants':>8} {'equivalent':>11} {'killed':>7} {'survived':>9} {'rate':>7}"
    )
    total: Counter[str] = Counter()
    for module in sorted({m.module for m in wanted}):
        row: Counter[str] = Counter()
        row["equivalent"] = sum(m.module == module and m.key in known for m in wanted)
        for result in results:
            if result.mutant.module == module:
                row["survived" if result.verdict == SURVIVED else "killed"] += 1
        print(_line(module, row))
        total += row
    print(_line("all", total))
    cpu = sum(r.cpu for r in results)
    slow = sum(r.verdict == SLOW for r in results)
    print(f"{cpu:.0f} s of CPU, {seconds:.0f} s in all; {slow} of the killed ran out of time")
    for result in sorted(results, key=lambda r: -r.cpu)[: arguments.slowest]:
        print(f"{result.cpu:6.1f} s  {result.verdict}  {result.mutant.key}  {result.by}")
    if not (arguments.sample or arguments.again):
        keys = {m.key for m in wanted}
        tried_modules = {m.module for m in wanted}
        for key in known:
            if key[0] in tried_modules and key not in keys:
                print(f"equivalent.toml names a mutant that does not exist: {key}")
    tried = total["killed"] + total["survived"]
    return 100 * total["killed"] / tried if tried else 100.0


def _line(name: str, row: Counter[str]) -> str:
    tried = row["killed"] + row["survived"]
    rate = 100 * row["killed"] / tried if tried else 100.0
    return (
        f"{name:24} {tried + row['equivalent']:8} {row['equivalent']:11} {row['killed']:7}"
        f" {row['survived']:9} {rate:6.1f}%"
    )


if __name__ == "__main__":
    sys.exit(main())
