"""The power is cut under the store at random moments: what was acknowledged is there, and whole.

`python -m proof.powercut` does the same ten thousand times.
"""

from __future__ import annotations

import random

import pytest
from proof.disk_model import SECTOR, Disk
from proof.sqlite_vfs import Op, is_available

from proof import powercut

needs_sqlite = pytest.mark.skipif(
    not is_available(), reason="this Python's SQLite library cannot be reached from outside"
)
TWO_SECTORS = b"a" * SECTOR + b"b" * SECTOR


def cuts(disk: Disk, count: int = 300) -> set[tuple[tuple[str, bytes], ...]]:
    draw = random.Random(1)
    return {tuple(disk.cut(draw).items()) for _ in range(count)}


@needs_sqlite
def test_no_acknowledged_write_is_lost_by_a_power_cut() -> None:
    found, where = powercut.run("FULL", 300)
    assert where == []
    assert found == {"whole": 300}


@needs_sqlite
@pytest.mark.parametrize("synchronous", powercut.CONTROLS)
def test_the_check_notices_what_a_weaker_setting_loses(synchronous) -> None:
    found, _ = powercut.run(synchronous, 100)
    assert found["lost"] > 0
    assert found["mixed"] + found["corrupt"] == 0 or synchronous == "OFF"


@needs_sqlite
def test_a_finding_can_be_had_again_by_its_seed() -> None:
    assert powercut.run("NORMAL", 40, seed=2) == powercut.run("NORMAL", 40, seed=2)


def test_what_was_synced_is_there_and_what_was_not_may_be() -> None:
    disk = Disk({"db": b""})
    disk.apply(Op("write", "db", 0, b"A" * SECTOR))
    disk.apply(Op("sync", "db"))
    assert cuts(disk) == {(("db", b"A" * SECTOR),)}
    disk.apply(Op("write", "db", 0, TWO_SECTORS))
    old, new = b"A" * SECTOR, b"a" * SECTOR
    whole = {content for ((_, content),) in cuts(disk)}
    assert whole == {old, new, old + b"b" * SECTOR, TWO_SECTORS}


def test_a_lost_sector_in_a_file_that_grew_is_zeros_or_garbage() -> None:
    disk = Disk({"db": b""})
    disk.apply(Op("write", "db", 0, TWO_SECTORS))
    firsts = {dict(image)["db"][:SECTOR] for image in cuts(disk)} - {b"", b"a" * SECTOR}
    assert bytes(SECTOR) in firsts
    assert len(firsts) > 1


def test_an_entry_of_the_folder_is_certain_after_the_folder_s_sync() -> None:
    disk = Disk({})
    disk.apply(Op("create", "log"))
    assert cuts(disk) == {(), (("log", b""),)}
    disk.apply(Op("sync_folder", ""))
    assert cuts(disk) == {(("log", b""),)}
    disk.apply(Op("delete", "log"))
    assert cuts(disk) == {(), (("log", b""),)}


def test_a_sync_after_a_failed_one_does_not_cover_what_that_left() -> None:
    disk = Disk({"db": b""})
    disk.apply(Op("write", "db", 0, TWO_SECTORS))
    disk.apply(Op("sync", "db", failed=True))
    disk.apply(Op("sync", "db"))
    assert len(cuts(disk)) > 1
    disk.apply(Op("write", "db", 0, TWO_SECTORS))  # who writes it again may rely on the next sync
    disk.apply(Op("sync", "db"))
    assert cuts(disk) == {(("db", TWO_SECTORS),)}
