"""The record that earlier releases shared: each entry becomes a record, and a damaged one hides no other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core_strategies import T0
from jobcore.lifecycle import GroupKey, GroupTally, ShareUsage
from jobcore.scheduling.legacy import split_shared_record

MICROS = int(T0.timestamp()) * 1_000_000
HOUR = timedelta(hours=1)
TALLY = {"cause": "x", "failed": 3, "why": "KeyError", "at": int(T0.timestamp())}


def test_shares_and_tallies_become_records_that_no_one_has_saved():
    found = split_shared_record(
        {
            "served": {"ada": 1.5, "vision": 2},
            "served_at": MICROS,
            "groups": {"g\nada": TALLY, "a\nb\nbob": {"at": TALLY["at"] + 3600, "sound": True}},
        }
    )
    assert found.shares == {
        "ada": ShareUsage(share="ada", hours=1.5, at=T0, version=0),
        "vision": ShareUsage(share="vision", hours=2.0, at=T0, version=0),
    }
    tally = GroupTally(group="g", owner="ada", at=T0, failed=3, cause="x", reason="KeyError")
    sound = GroupTally(group="a", owner="b\nbob", at=T0 + HOUR, sound=True)
    assert found.tallies == {GroupKey("g", "ada"): tally, GroupKey("a", "b\nbob"): sound}
    assert found.damaged == ()
    assert found.newest == T0 + HOUR


@pytest.mark.parametrize("document", [{}, {"served": None, "groups": None}, {"served_at": MICROS}])
def test_a_record_that_holds_nothing_was_never_changed(document):
    found = split_shared_record(document)
    assert (found.shares, found.tallies, found.damaged, found.newest) == ({}, {}, (), None)


def test_a_tally_without_an_owner_is_too_old_to_count():
    assert split_shared_record({"groups": {"g": TALLY}}).tallies == {}


@pytest.mark.parametrize(
    ("document", "kind", "key"),
    [
        ({"served": {"ada": 1.0, "bob": "x"}, "served_at": MICROS}, "share", "bob"),
        ({"served": {"ada": 1.0}}, "share", "ada"),
        ({"groups": {"g\nada": {**TALLY, "at": "x"}, "h\nada": TALLY}}, "group", "g/ada"),
        ({"groups": {"g\nada": {**TALLY, "failed": "x"}}}, "group", "g/ada"),
        ({"groups": {"g\nada": []}}, "group", "g/ada"),
    ],
)
def test_a_damaged_entry_is_left_out_and_listed(document, kind, key):
    found = split_shared_record(document)
    (error,) = found.damaged
    assert (error.kind, error.key) == (kind, key)
    entries = len(document.get("served", {})) + len(document.get("groups", {}))
    assert len(found.shares) + len(found.tallies) == entries - 1
