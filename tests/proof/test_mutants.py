"""The seeded bugs fit the code as it is; `make mutants` checks that each is found."""

from __future__ import annotations

import pytest
from proof.mutants import MUTANTS, cells
from proof.swarm_mutants import MUTANTS as SWARM_MUTANTS


@pytest.mark.parametrize("mutant", [*MUTANTS, *cells()], ids=lambda mutant: mutant.name)
def test_a_seeded_bug_of_the_protocol_can_be_put_in_and_taken_out(mutant) -> None:
    for _ in range(2):
        with mutant.patch():
            pass


@pytest.mark.parametrize("name", SWARM_MUTANTS)
def test_a_seeded_bug_of_the_swarm_can_be_put_in_and_taken_out(name: str) -> None:
    for _ in range(2):
        with SWARM_MUTANTS[name]():
            pass
