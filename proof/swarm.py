"""
Random runs of the whole system with faults at every port: see docs/concepts/fault-injection.md.

    python -m proof.swarm --seeds 50000            what CI runs
    python -m proof.swarm --seeds 1000000          for a night
    python -m proof.swarm --replay 4711            one seed, call by call
    python -m proof.swarm --mutants                seeded bugs: how many seeds each takes
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from jobcore_simulation.swarm import (
    KINDS,
    ROUNDS_MAX,
    WORLD,
    Case,
    Result,
    Tally,
    adapters_of,
    draw,
    run_case,
    run_seeds,
    shrink,
)

_CHUNK = 250
#: With so many seeds every cell must have been reached.
_REACHES_ALL = 50_000
_MUTANT_SEEDS = 20_000
_SAID_EVERY = 30.0
_YEAR = 365 * 86400.0


def _chunk(first: int, last: int) -> tuple[Tally, float]:
    began = time.process_time()
    tally = run_seeds(range(first, min(first + _CHUNK, last)))
    gc.collect()
    return tally, time.process_time() - began


def _begin() -> None:
    # Worlds are small, and most of their objects are freed at once: one collection a chunk is enough.
    gc.freeze()
    gc.disable()


def tallies(first: int, seeds: int, processes: int) -> Iterator[tuple[Tally, float]]:
    """Run the seeds, a chunk at a time."""
    last = first + seeds
    starts = range(first, last, _CHUNK)
    work = partial(_chunk, last=last)
    if processes == 1:
        _begin()
        try:
            yield from map(work, starts)
        finally:
            gc.enable()
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with context.Pool(processes, initializer=_begin) as pool:
        yield from pool.imap(work, starts)


def report(total: Tally, wall: float, cpu: float) -> None:
    by_kind: Counter[str] = Counter()
    for (_, kind), count in total.cells.items():
        by_kind[kind] += count
    print(
        f"{total.seeds:,} seeds ({', '.join(f'{n:,} {a}' for a, n in total.adapters.most_common())}), "
        f"{total.calls:,} port calls, {total.faults:,} faults of calls, "
        f"{total.seconds / _YEAR:.1f} simulated years"
    )
    print(
        f"{wall:.1f} s, {cpu:.1f} s of CPU: {total.seeds / wall:,.0f} seeds/s, "
        f"{total.seeds / cpu:,.0f} seeds and {total.calls / cpu:,.0f} port calls a second of CPU"
    )
    for title, kinds in (("faults of calls", tuple(KINDS)), ("faults of the world", WORLD)):
        print(f"{title}: {', '.join(f'{kind} {by_kind[kind]:,}' for kind in kinds)}")
    print(f"ends: {', '.join(f'{status} {n:,}' for status, n in total.ends.most_common())}")
    rounds = [n for n, count in total.rounds.items() for _ in range(count) if n]
    rounds.sort()
    if rounds:
        print(
            f"rounds until all was over, after the last fault: half {rounds[len(rounds) // 2]}, "
            f"99 % {rounds[len(rounds) * 99 // 100]}, most {rounds[-1]} of {ROUNDS_MAX} allowed "
            f"(seed {total.slowest[1]}); "
            f"port calls of a tick, per job and one: at most {total.calls_max}"
        )
    print(f"digest {total.digest & 0xFFFFFFFFFFFFFFFF:016x}")


def explain(bad: Result) -> None:
    """Print a bad seed, and the smallest part of it that still fails."""
    found = bad.found[0]
    case = Case(bad.seed, adapters_of(bad.seed))
    print(f"\nFAILED {found.code}: {found.said} (job {found.job_id or '-'})")
    for line in draw(case.seed, case.adapters).lines():
        print(f"  {line}")
    print(f"  replay:   python -m proof.swarm {case.options}")
    if run_case(case).found:
        print(f"  smallest: python -m proof.swarm {shrink(case).options}")
    else:
        print("  it does not fail again: something in it is not decided by the seed")


def replay(case: Case) -> int:
    for line in draw(case.seed, case.adapters).lines():
        print(line)
    result = run_case(case, print)
    for violation in result.found:
        print(f"FAILED {violation.code} {violation.job_id}: {violation.said}")
    print(
        f"{result.calls} port calls, {len(result.struck)} faults of calls, {result.rounds} rounds"
    )
    return 1 if result.found else 0


def mutants(seeds: int) -> int:
    """Run the swarm over each seeded bug."""
    from proof.swarm_mutants import MUTANTS

    missed = 0
    for name, mutant in MUTANTS.items():
        began = time.process_time()
        with mutant():
            tally = run_seeds(range(seeds), stop_at=1)
        took = time.process_time() - began
        if tally.bad:
            found = tally.bad[0].found[0]
            said = f"{tally.seeds:6,} seeds {tally.calls:9,} calls  {found.code}: {found.said[:60]}"
        else:
            said, missed = f"MISSED in {tally.seeds:,} seeds", missed + 1
        print(f"{name:42} {took:5.1f} s {said}", flush=True)
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} seeded bugs found")
    return 1 if missed else 0


def numbers(text: str) -> Sequence[int]:
    return [] if text == "none" else [int(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="proof.swarm", description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", type=int, default=50_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed, call by call")
    parser.add_argument("--adapters", choices=["tiny", "memory", "sqlite"])
    parser.add_argument("--jobs", type=numbers, help="of the replay: only these jobs")
    parser.add_argument("--faults", type=numbers, help="of the replay: only these faults")
    parser.add_argument("--steps", type=int, help="of the replay: only so many")
    parser.add_argument("--mutants", action="store_true", help="find the seeded bugs")
    given = parser.parse_args(arguments)
    if given.mutants:
        return mutants(min(given.seeds, _MUTANT_SEEDS))
    if given.replay is not None:
        adapters = given.adapters or adapters_of(given.replay)
        return replay(Case(given.replay, adapters, given.steps, given.jobs, given.faults))
    began = said = time.perf_counter()
    cpu, total = 0.0, Tally()
    for tally, took in tallies(given.first, given.seeds, given.processes):
        total.add(tally)
        cpu += took
        if time.perf_counter() - said > _SAID_EVERY:
            said = time.perf_counter()
            print(f"{total.seeds:,} seeds, {total.calls:,} port calls", file=sys.stderr, flush=True)
        if total.bad:
            break
    report(total, time.perf_counter() - began, cpu)
    for bad in total.bad[:3]:
        explain(bad)
    if total.bad:
        return 1
    missing = total.missing()
    if missing:
        print(f"never reached: {', '.join(missing)}")
        return 1 if given.seeds >= _REACHES_ALL else 0
    print("every fault of every call and every change of status was reached; nothing was found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
