"""The fuzz targets of `proof.fuzz_targets`, on a fixed set of inputs: what `python -m proof.fuzz` does for hours."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from proof.fuzz_targets import TARGETS

import jobcore

EXAMPLES = 60


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_gets_past_the_oracle(name):
    target = TARGETS[name]

    @settings(max_examples=max(20, int(EXAMPLES * min(target.weight, 1))))
    @given(st.binary(max_size=200))
    @example(b"")
    @example(bytes(range(128)))
    def inputs(data):
        target.run(data)

    for seed in target.seeds:
        target.run(seed)
    inputs()


def test_a_target_finds_what_its_oracle_forbids(monkeypatch):
    """The oracles are no decoration: an error that is not allowed comes out."""

    def broken(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(jobcore, "parse_job", broken)
    with pytest.raises(RecursionError):
        TARGETS["job-file-table"].run(b"")
