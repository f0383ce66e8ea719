"""Job files: what is accepted, and that each mistake is named by its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import FailureClass, InvalidJob, Placement, parse_job
from jobcore.errors import Problem

WRONG = [
    ([], "job file"),
    ("text", "job file"),
    ({}, "script"),
    ({"script": 3}, "script"),
    ({"script": "a\0b"}, "script"),
    ({"script": "a.py", "scrpt": "b.py"}, "scrpt"),
    ({"script": "a.py", "name": ["n"]}, "name"),
    ({"script": "a.py", "name": "../etc"}, "name"),
    ({"script": "a.py", "name": "n" * 129}, "name"),
    ({"script": "a.py", "group": "a b"}, "group"),
    ({"script": "a.py", "owner": "a\nb"}, "owner"),
    ({"script": "a.py", "priority": "high"}, "priority"),
    ({"script": "a.py", "priority": True}, "priority"),
    ({"script": "a.py", "priority": 10**7}, "priority"),
    ({"script": "a.py", "hyperparameters": []}, "hyperparameters"),
    ({"script": "a.py", "hyperparameters": {"x": {1, 2}}}, "hyperparameters.x"),
    ({"script": "a.py", "hyperparameters": {"x": float("nan")}}, "hyperparameters.x"),
    ({"script": "a.py", "hyperparameters": {1: 2}}, "hyperparameters.1"),
    ({"script": "a.py", "service": {"x": datetime(2026, 1, 1, tzinfo=UTC)}}, "service.x"),
    ({"script": "a.py", "service": {"x": [{1: 2}]}}, "service.x"),
    ({"script": "a.py", "clocks": {"wait_at_most": "10000000d"}}, "clocks.wait_at_most"),
    ({"script": "a.py", "clocks": {"run_at_most": 1e300}}, "clocks.run_at_most"),
    ({"script": "a.py", "retry": {"backoff": "9" * 400 + "s"}}, "retry.backoff"),
    ({"script": "a.py", "clocks": {"finish_by": "9999-12-31T23:59:59-23:00"}}, "clocks.finish_by"),
    ({"script": "a.py", "environment": {"A": 1}}, "environment.A"),
    ({"script": "a.py", "environment": {"SM_HPS": "x"}}, "environment.SM_HPS"),
    ({"script": "a.py", "environment": {"a-b": "x"}}, "environment.a-b"),
    ({"script": "a.py", "channels": {"a/b": "x"}}, "channels.a/b"),
    ({"script": "a.py", "arguments": "x"}, "arguments"),
    ({"script": "a.py", "arguments": [1]}, "arguments"),
    ({"script": "a.py", "stop_grace": "soon"}, "stop_grace"),
    ({"script": "a.py", "pool": "cpu", "pools": ["gpu"]}, "pool"),
    ({"script": "a.py", "pools": []}, "pools"),
    ({"script": "a.py", "pools": [3]}, "pools[0]"),
    ({"script": "a.py", "pools": [{"pool": "cpu", "cnt": 1}]}, "pools[0].cnt"),
    ({"script": "a.py", "pools": [{"pool": "cpu", "count": 0}]}, "pools[0].count"),
    ({"script": "a.py", "pools": ["cpu", "../cpu"]}, "pools[1].pool"),
    ({"script": "a.py", "pools": ["a/../b"]}, "pools[0].pool"),
    ({"script": "a.py", "pools": ["a//b"]}, "pools[0].pool"),
    ({"script": "a.py", "pools": ["/etc"]}, "pools[0].pool"),
    ({"script": "a.py", "pools": ["a/b/c/d"]}, "pools[0].pool"),
    ({"script": "a.py", "pools": ["p" * 129]}, "pools[0].pool"),
    ({"script": "a.py", "retry": {"capacty": 3}}, "retry.capacty"),
    ({"script": "a.py", "retry": {"algorithm": -1}}, "retry.algorithm"),
    ({"script": "a.py", "retry": {"algorithm": "many"}}, "retry.algorithm"),
    ({"script": "a.py", "retry": {"backoff": "1h", "backoff_max": "1m"}}, "retry.backoff_max"),
    ({"script": "a.py", "clocks": {"run_at_most": "0s"}}, "clocks.run_at_most"),
    ({"script": "a.py", "clocks": {"wait_at_most": "yes"}}, "clocks.wait_at_most"),
    ({"script": "a.py", "clocks": {"finish_by": "tomorrow"}}, "clocks.finish_by"),
    ({"script": "a.py", "clocks": {"finish_by": 3}}, "clocks.finish_by"),
    ({"script": "a.py", "clocks": {"finish_by": "2026-12-01T08:00:00"}}, "clocks.finish_by"),
    ({"script": "a.py", "clocks": {"finish": "2026-12-01"}}, "clocks.finish"),
    (
        {"script": "a.py", "service": {"x": "x" * 400_000}},
        "job file",
    ),
]


@pytest.mark.parametrize(("document", "field"), WRONG)
def test_a_mistake_is_named_by_its_field(document: object, field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse_job(document, owner="ada", service_tables=["service"])
    assert field in {problem.field for problem in caught.value.problems}
    assert str(caught.value).isprintable()


def test_all_mistakes_are_told_at_once() -> None:
    document = {"name": "../x", "priority": "p", "clocks": {"run_at_most": "never"}, "typo": 1}
    with pytest.raises(InvalidJob) as caught:
        parse_job(document, owner="ada", service_tables=["service"])
    fields = {problem.field for problem in caught.value.problems}
    assert {"script", "priority", "clocks.run_at_most", "typo"} <= fields


def test_a_typo_is_told_what_was_meant() -> None:
    with pytest.raises(InvalidJob, match="did you mean 'hyperparameters'"):
        parse_job({"script": "a.py", "hyperparameter": {}}, owner="ada")


def test_a_full_job_file_is_read() -> None:
    spec = parse_job(
        {
            "name": "resnet",
            "owner": "bob",
            "share": "vision",
            "group": "g",
            "priority": 3,
            "script": "train.py",
            "source_dir": "src",
            "image": "img:1",
            "role": "research",
            "hyperparameters": {"lr": 0.1, "layers": [1, 2], "deep": {"a": None}},
            "channels": {"train": "s3://bucket/train"},
            "environment": {"MODE": "fast"},
            "arguments": ["--verbose"],
            "tags": {"team": "vision"},
            "stop_grace": "30s",
            "pools": ["cpu", {"pool": "gpu", "count": 2}],
            "retry": {"spot_interrupted": 7, "backoff": "10s"},
            "clocks": {"run_at_most": "1h30m", "finish_by": "2026-12-01T08:00:00+01:00"},
            "service": {"EnableNetworkIsolation": True},
        },
        owner="ada",
        service_tables=["service"],
    )
    assert (spec.name, spec.owner, spec.share, spec.group) == ("resnet", "bob", "vision", "g")
    assert spec.placements == (Placement("cpu"), Placement("gpu", 2))
    assert spec.clocks.run_at_most == timedelta(minutes=90)
    assert spec.clocks.finish_by == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert spec.retry.budgets == {FailureClass("spot_interrupted"): 7}
    assert spec.retry.backoff == timedelta(seconds=10)
    assert spec.args["stop_grace_seconds"] == 30
    assert spec.args["hyperparameters"] == {"lr": 0.1, "layers": [1, 2], "deep": {"a": None}}


def test_a_pool_may_be_one_of_a_cloud() -> None:
    pool = "us-east-1/ml.g5.2xlarge/spot"
    assert parse_job({"script": "a.py", "pool": pool}, owner="ada").placements == (Placement(pool),)


def test_a_job_is_named_after_its_script_by_default() -> None:
    assert parse_job({"script": "src/my train.py"}, owner="ada").name == "my-train"
    assert parse_job({"image": "img"}, owner="ada").name == "job"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "name", "owner", "share", "group", "priority", "script", "source_dir", "python", "image", "role",
    "hyperparameters", "channels", "environment", "arguments", "tags", "stop_grace", "pool", "pools",
    "retry", "clocks", "service", "sweep", "volume_gb",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), json_like, max_size=6))
def test_any_document_is_read_or_refused_in_words(document: dict) -> None:
    try:
        spec = parse_job(document, owner="ada", service_tables=["service"])
    except InvalidJob as error:
        said = [problem.message for problem in error.problems]
    else:
        said = [spec.name]
    assert all(said)


def problems_of(document: object) -> list[Problem]:
    with pytest.raises(InvalidJob) as caught:
        parse_job(document, owner="ada", service_tables=["service"])
    return list(caught.value.problems)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("field", ["hyperparameters", "service", "arguments", "name", "pools", "x"])
def test_what_nests_too_deeply_is_a_problem_and_no_recursion(field):
    document = {"script": "train.py", field: {"x": nested(900)}}
    problems = problems_of(document)
    assert [p.field for p in problems] == [field]
    assert "50 levels" in problems[0].message


def test_a_table_that_holds_itself_is_a_problem():
    table: dict[str, object] = {}
    table["x"] = table
    assert "levels deep" in str(problems_of({"script": "t.py", "hyperparameters": table})[0])


def test_a_few_lines_that_hold_millions_of_values_are_a_problem():
    value: object = "lol"
    for _ in range(12):
        value = [value] * 9
    problems = problems_of({"script": "t.py", "hyperparameters": {"x": value}})
    assert "more than 350,000 values" in str(problems[0])


def test_what_nests_as_deeply_as_allowed_is_taken():
    assert parse_job({"script": "t.py", "hyperparameters": {"x": nested(48)}}, owner="ada")


def test_the_sweep_is_left_to_expand_sweep():
    deep: list = []
    for _ in range(60):
        deep = [deep]
    assert parse_job({"script": "a.py", "sweep": {"list": deep}}, owner="ada").name == "a"


def test_a_table_of_a_service_is_read_only_where_it_is_named():
    document = {"script": "a.py", "service": {"key": "s3cr3t"}}
    with pytest.raises(InvalidJob, match="service: unknown field"):
        parse_job(document, owner="ada")
    with pytest.raises(InvalidJob) as caught:
        parse_job({**document, "service": "s3cr3t"}, owner="ada", service_tables=["service"])
    assert "s3cr3t" not in str(caught.value)
