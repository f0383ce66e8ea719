"""The exhaustive checker: the core passes a small scope, mutants do not, and the checker is right about both."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

pytest.importorskip("numpy", reason="pip install jobcore-scheduler[simulation]")

from jobcore_simulation.checker import SCOPES, Broken, Checker, Scope, as_test
from jobcore_simulation.checker._paths import paths
from jobcore_simulation.checker._values import job_key

STOP = ("stop",)


def explored(scope: Scope) -> Checker:
    checker = Checker(scope)
    checker.report = checker.run()
    return checker


@pytest.fixture(scope="module")
def small() -> Checker:
    return explored(SCOPES["small"])


def test_every_interleaving_of_a_small_scope_keeps_the_promises(small) -> None:
    report = small.report
    assert report.found is None, as_test(report.scope, report.found.wrong, report.found.steps)
    assert report.exhausted
    assert report.states > 10_000
    assert report.worlds > 500
    assert report.rounds <= 3 * report.scope.attempts_max + 4


def contents(checker: Checker) -> set:
    """The worlds reached, without the numbers that a run gives to jobs."""
    jobs, reached = checker.worlds.jobs, checker.checked
    return {
        world._replace(
            jobs=tuple(job_key(jobs[j]) for j in world.jobs),
            late=tuple(
                (r[0], r[1], job_key(jobs[r[2]])) if r[0] == "save" else r for r in world.late
            ),
        )
        for number, world in enumerate(checker.worlds.worlds)
        if number < len(reached) and reached[number]
    }


@pytest.mark.parametrize(
    "scope",
    [
        Scope(name="alone", faults=1),
        Scope(name="two", launchers=2, people=STOP, fails=False, budgets={}),
    ],
    ids=lambda scope: scope.name,
)
def test_what_is_merged_and_answered_ahead_hides_no_world(scope) -> None:
    whole = replace(scope, merge=False, bits={"launch": 14, "monitor": 12, "reap": 8, "user": 12})
    assert contents(explored(scope)) == contents(explored(whole))


def plainly(scope: Scope) -> tuple[int, int]:
    """Explore without packing, tables and arrays; count states and worlds."""
    checker = Checker(scope)
    worlds, kinds = checker.worlds, checker.space.kinds
    environment = checker.space.environment
    start = (worlds.start, (0,) * len(kinds), scope.faults)
    seen, todo = {start}, [start]
    while todo:
        world, at, faults = todo.pop()
        after = [(then, at, cost) for _, cost, then in environment.happenings(world)]
        for slot, kind in enumerate(kinds):
            actors = checker.actors[kind]
            begun = [(at[slot], world)]
            if at[slot]:
                after.append((world, (*at[:slot], 0, *at[slot + 1 :]), 1))
            elif kind == "user":
                begun = [
                    (root, environment.requested(world, name[4:]))
                    for name, root in actors.roots.items()
                ]
            else:
                begun = [(root, world) for root in actors.roots.values()]
            for number, then in begun:
                if then is None:
                    continue
                for node, later, cost, _ in paths(actors, number, then):
                    after.append((later, (*at[:slot], node, *at[slot + 1 :]), cost))
        for world, at, cost in after:
            state = (world, at, faults - cost)
            if cost <= faults and state not in seen:
                seen.add(state)
                todo.append(state)
    # The checker keeps, of states that differ in the faults left alone, the one with most.
    most = {}
    for world, at, faults in seen:
        most[world, at] = max(faults, most.get((world, at), 0))
    return len(most), len({world for world, *_ in seen})


@pytest.mark.parametrize(("faults", "people"), [(0, STOP), (1, ())])
def test_packed_states_are_those_of_a_plain_search(faults, people) -> None:
    scope = Scope(name="plain", people=people, faults=faults, merge=False, bits={"user": 12})
    checker = explored(scope)
    distinct = {
        int(s) >> checker.space.layout.fault_bits for level in checker.levels for s in level
    }
    assert (len(distinct), checker.report.worlds) == plainly(scope)


CAUGHT = [
    "the store writes without compare-and-set",
    "effect before intent: launched, then saved",
    "a name that exists counts as a failure",
    "an unclear launch counts as refused",
    "not found: a new attempt",
    "no bound on attempts",
    "STOPPED is written when the stop is asked for",
    "the outbox is cleared before the message is published",
    "blind compensation: an unclear launch is stopped",
    "ignored: StopRequested in New",
    "a launch that was begun is never finished by another tick",
    "the reaper leaves the trainings of held jobs alone",
]


@pytest.mark.parametrize("name", CAUGHT)
def test_a_known_bug_is_found_and_its_printed_test_shows_it(name, tmp_path) -> None:
    from proof.mutants import MUTANTS, cells, hunt

    (mutant,) = [mutant for mutant in (*MUTANTS, *cells()) if mutant.name == name]
    result = hunt(mutant)
    assert result.caught_by
    found = result.report.found
    printed = as_test(result.report.scope, found.wrong, found.steps)
    space = {}
    exec(compile(printed, name, "exec"), space)
    space["test_found"]()  # the real code
    with mutant.patch(), pytest.raises(Broken, match=found.wrong.split(":")[0]):
        space["test_found"]()


def test_a_printed_test_runs_by_itself(tmp_path) -> None:
    steps = [
        ("launch 1", "due: no row", "waiting: attempt 1", "get: ok"),
        ("launch 1", "save: ok"),
        ("launch 1", "launch: reply lost"),
        ("launch 1", "dies"),
        ("world", "training 1 starts"),
    ]
    printed = as_test(SCOPES["small"], "nothing", steps)
    (tmp_path / "test_printed.py").write_text(printed)
    broken = printed.replace("replay(SCOPE, STEPS)", "replay(SCOPE, STEPS)\n    assert False")
    (tmp_path / "test_broken.py").write_text(broken)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    off = [f"-pno:{plugin}" for plugin in ("randomly", "hypothesispytest", "cov")]
    done = subprocess.run(
        [*command, *off, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
