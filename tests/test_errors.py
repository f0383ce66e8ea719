"""What errors say: every problem by its field on one line, where it is from, and which record is damaged."""

from __future__ import annotations

import pickle

import pytest

from jobcore.errors import CorruptRecord, InvalidJob, InvalidSetting, Problem

NAME, WHOLE = ("name", "missing"), ("", "expected a table")


@pytest.mark.parametrize("kind", [InvalidJob, InvalidSetting])
def test_a_refusal_names_every_problem_on_one_line(kind):
    error = kind([NAME, WHOLE], "job.toml")
    assert error.problems == (Problem(*NAME), Problem(*WHOLE))
    assert str(error) == "job.toml: name: missing; expected a table"
    assert str(kind([Problem(*NAME)])) == "name: missing"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", [InvalidJob, InvalidSetting])
def test_a_refusal_crosses_processes(kind):
    error = pickle.loads(pickle.dumps(kind(iter([NAME]), "job.toml")))
    assert (type(error), error.problems, error.where) == (kind, (Problem(*NAME),), "job.toml")
    assert str(error) == "job.toml: name: missing"


def test_a_record_that_cannot_be_read_is_named_by_kind_and_key():
    job = CorruptRecord("0" * 26, "it is empty")
    assert str(job) == f"job {'0' * 26}: stored record cannot be read: it is empty"
    assert (job.kind, job.key, job.job_id) == ("job", "0" * 26, "0" * 26)
    pool = CorruptRecord("a", "it is empty", "pool")
    assert str(pool).startswith("pool a: ")
    assert (pool.key, pool.job_id) == ("a", "")
