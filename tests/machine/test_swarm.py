"""The swarm: nothing is found in good code, seeded bugs are, and a seed is the same run everywhere."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
from proof.swarm_mutants import MUTANTS

from jobcore_simulation.swarm import (
    CELLS,
    Case,
    Tally,
    _scene,
    adapters_of,
    draw,
    run_case,
    run_seeds,
    shrink,
)
from proof import swarm


def test_nothing_is_found_in_two_hundred_seeds() -> None:
    tally = run_seeds(range(200))
    assert [(bad.seed, bad.found[0]) for bad in tally.bad] == []
    assert tally.seeds == 200
    assert tally.calls > 15_000
    assert tally.faults > 500
    assert tally.adapters["memory"] == 3
    # Most of what can happen does in so few seeds already; `python -m proof.swarm` asks for all.
    assert len(tally.missing()) < 30
    assert len(tally.ends) >= 3


def test_the_shipped_stores_and_the_shipped_trainer_are_part_of_it() -> None:
    assert {adapters_of(seed) for seed in range(1024)} == {"tiny", "memory", "sqlite"}
    tally = run_seeds([63, 511, 1535])
    assert tally.adapters == {"memory": 1, "sqlite": 2}
    assert not tally.bad


@pytest.mark.parametrize("adapters", ["tiny", "memory"])
def test_a_seed_is_the_same_run_twice_and_another_one_is_another(adapters) -> None:
    records: list[list[str]] = []
    for seed in (17, 17, 18):
        record: list[str] = []
        run_case(Case(seed, adapters), record.append)
        records.append(record)
    assert len(records[0]) > 20
    assert records[0] == records[1]
    assert records[0] != records[2]


def test_a_seed_that_is_another_run_the_second_time_is_a_failure(monkeypatch) -> None:
    monkeypatch.setattr(_scene, "Random", _Drifting)
    (bad,) = run_seeds([0]).bad
    assert bad.found[-1].code == "D1"


class _Drifting(Random):
    """A source of chance that somebody forgot to seed."""

    made = 0

    def __init__(self, seed):
        _Drifting.made += 1
        super().__init__(seed + _Drifting.made)


def test_a_record_changes_nothing() -> None:
    assert run_case(Case(23), lambda line: None).digest == run_case(Case(23)).digest


_HASH = """
from jobcore_simulation.swarm import Case, run_case, run_seeds
record = []
print(run_case(Case(4), record.append).digest, run_seeds(range(60, 90)).digest)
print("\\n".join(record))
"""


def test_a_seed_is_the_same_run_whatever_the_hash_seed() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", _HASH],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    ("name", "seeds", "code"),
    [
        ("no_compare_and_set", 100, "S4"),
        ("timeout_is_a_failed_attempt", 200, "S2"),
        ("new_attempt_on_not_found", 200, "S2"),
        ("stop_is_not_passed_on", 60, "L1"),
        ("cleared_before_published", 30, "S7"),
        ("effect_before_intent", 20, "S6"),
        ("one_poisoned_job_ends_the_tick", 200, "L3"),
        ("every_look_is_written", 20, "S11"),
        ("external_use_is_believed_for_ever", 600, "L1"),
    ],
)
def test_a_seeded_bug_is_found(name, seeds, code) -> None:
    with MUTANTS[name]():
        tally = run_seeds(range(seeds), stop_at=1)
    assert tally.bad
    assert tally.bad[0].found[0].code == code


def test_a_bad_seed_shrinks_to_what_it_needs_and_its_command_replays_it(capsys) -> None:
    with MUTANTS["timeout_is_a_failed_attempt"]():
        bad = max(run_seeds(range(200), stop_at=5).bad, key=lambda bad: len(bad.struck))
        whole = Case(bad.seed, adapters_of(bad.seed))
        small = shrink(whole)
        (first, *_) = run_case(small).found
        assert first.code == bad.found[0].code
        assert 1 <= len(small.keep) < len(bad.struck)
        capsys.readouterr()
        assert swarm.main(small.options.split()) == 1
        assert f"FAILED {first.code}" in capsys.readouterr().out
    assert swarm.main(small.options.split()) == 0


def test_what_was_never_reached_is_named() -> None:
    tally = Tally()
    assert len(tally.missing()) > len(CELLS)
    tally.add(run_seeds(range(20)))
    tally.add(run_seeds(range(20, 40)))
    assert tally.seeds == 40
    assert "launch x late" in Tally().missing()
    assert "New -> Launching" not in tally.missing()


def test_a_failure_of_the_command_names_its_seed_and_how_to_replay_it(capsys) -> None:
    with MUTANTS["effect_before_intent"]():
        assert swarm.main(["--seeds", "20", "--processes", "1"]) == 1
    said = capsys.readouterr().out
    assert "FAILED S6" in said
    assert "python -m proof.swarm --replay" in said
    assert "faults of calls: {" in said


def test_the_command_says_what_was_run(capsys) -> None:
    assert swarm.main(["--seeds", "30", "--first", "1000", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    for part in ("30 seeds (", "port calls", "simulated years", "seeds/s", "never reached", "late"):
        assert part in said


def test_the_configuration_of_a_seed_can_be_read() -> None:
    assert draw(7).lines() == draw(7).lines()
    assert "adapters memory" in draw(7, "memory").lines()[0]
