"""The parts of a job file for one backend."""

from __future__ import annotations

from typing import Any

import pytest

from jobcore import InvalidJob, parse_job
from jobcore.jobfile import job_for_backend

BACKENDS = ("here", "there")


def chosen(backend: str, document: Any) -> Any:
    return job_for_backend(document, backend, backends=BACKENDS, service_tables=("service",))


def test_a_part_takes_the_place_of_the_same_fields_and_adds_to_tables() -> None:
    document = {
        "script": "train.py",
        "hyperparameters": {"lr": 0.1, "epochs": 2},
        "tags": {"a": "b"},
        "backend": {
            "here": {"python": "venv", "hyperparameters": {"epochs": 1, "fast": True}},
            "there": {"image": "torch", "service": {"x": 1}, "tags": {"a": "c"}},
        },
    }
    assert chosen("here", document) == {
        "script": "train.py",
        "python": "venv",
        "hyperparameters": {"lr": 0.1, "epochs": 1, "fast": True},
        "tags": {"a": "b"},
    }
    assert chosen("there", document) == {
        "script": "train.py",
        "image": "torch",
        "service": {"x": 1},
        "hyperparameters": {"lr": 0.1, "epochs": 2},
        "tags": {"a": "c"},
    }
    assert "backend" in document


@pytest.mark.parametrize(("outside", "inside"), [("pool", "pools"), ("pools", "pool")])
def test_pool_and_pools_are_one_field(outside: str, inside: str) -> None:
    document = {"script": "a.py", outside: "cpu", "backend": {"here": {inside: "gpu"}}}
    spec = parse_job(chosen("here", document), owner="ada")
    assert [place.pool for place in spec.placements] == ["gpu"]
    spec = parse_job(chosen("there", document), owner="ada")
    assert [place.pool for place in spec.placements] == ["cpu"]


def test_a_file_without_parts_is_as_it_was() -> None:
    for document in ({"script": "a.py"}, [], None, "x"):
        assert chosen("here", document) is document


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("here", "backend: expected a table, got a string"),
        ({"here": 1}, "backend.here: expected a table, got 1"),
        ({"her": {}}, "backend.her: unknown field; did you mean 'here'?"),
        ({"there": {"imagee": "x"}}, "backend.there.imagee: unknown field; did you mean 'image'?"),
        ({"there": {"backend": {}}}, "backend.there.backend: unknown field"),
        ({"there": {"entry_point": "x"}}, "backend.there.entry_point: unknown field; the field is called script"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_unknown_is_refused_on_every_backend(
    backend: str, parts: object, message: str
) -> None:
    with pytest.raises(InvalidJob) as caught:
        chosen(backend, {"script": "a.py", "backend": parts})
    assert str(caught.value).startswith(message)


def test_null_takes_a_value_away() -> None:
    document = {"script": "a.py", "name": "x", "backend": {"here": {"name": None}}}
    assert parse_job(chosen("here", document), owner="ada").name == "a"


def test_words_that_mean_the_parts_are_understood() -> None:
    with pytest.raises(
        InvalidJob, match=r"^overrides: unknown field; fields for one backend are in"
    ):
        parse_job({"script": "a.py", "overrides": {}}, owner="ada")
