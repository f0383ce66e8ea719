"""The output of jobs, line by line, from their files on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_world import make_world
from jobcore_client import NotFound
from jobcore_client.logs import lines_of
from patience import SECONDS, until


@pytest.fixture
def world(request, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return make_world("local", request, tmp_path)


def test_lines_are_read_followed_and_cut_to_the_last(world, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = world.client().submit(world.job(lr=1, seed=2, gate=str(gate)))
    lines = job.logs(follow=True)
    assert [next(lines), next(lines)] == ["lr 1", "seed 2"]
    gate.touch()
    assert list(lines) == []
    assert job.wait(SECONDS).status == "Completed"
    assert list(job.logs()) == list(job.logs(attempt=1)) == ["lr 1", "seed 2"]
    assert list(job.logs(tail=1)) == ["seed 2"]
    assert list(job.logs(tail=0)) == []
    with pytest.raises(NotFound, match=r"attempt 2 of .* has written nothing"):
        list(job.logs(attempt=2))


def test_a_job_that_has_not_begun_has_no_lines(world) -> None:
    job = world.client().submit(world.job(), hold=True)
    with pytest.raises(NotFound, match="has written nothing"):
        next(job.logs())
    job.release()
    assert until(lambda: list(job.logs(follow=True)))[0] == "lr None"


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb", b"c\n\n", b"d"], ["a", "bc", "", "d"]),
        ([], []),
        ([b"\xff\r\n"], ["�"]),
        ([b"\xc3", b"\xa9\n"], ["é"]),
    ],
)
def test_pieces_are_split_into_lines(chunks, lines) -> None:
    assert list(lines_of(iter(chunks))) == lines
