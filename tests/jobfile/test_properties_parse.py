"""Job files: what is read out of each field, where each limit is, and what a mistake is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import Clocks, FailureClass, InvalidJob, Placement, RetryPolicy, Spec, parse_job
from jobcore.errors import Problem
from jobcore.jobfile import validate
from jobcore.lifecycle import encode_spec

BASE = {"script": "a.py"}
SPEC_BYTES = 350_000


def read(**fields) -> Spec:
    return parse_job(BASE | fields, owner="ada", service_tables=["service"])


def problems(document, **options) -> list[tuple[str, str]]:
    with pytest.raises(InvalidJob) as caught:
        parse_job(document, owner="ada", service_tables=["service"], **options)
    found = caught.value.problems
    assert str(caught.value) == "; ".join(f"{p.field}: {p.message}" for p in found)
    return [(p.field, p.message) for p in found]


def told(**fields) -> list[tuple[str, str]]:
    return problems(BASE | fields)


# --- what is read -------------------------------------------------------------------------


def test_a_file_with_a_script_alone():
    assert parse_job({"script": "dir/train.py"}, owner="ada") == Spec(
        name="train",
        owner="ada",
        placements=(Placement("cpu", 1),),
        args={"script": "dir/train.py"},
    )


def test_every_field_has_its_place():
    document = {
        "script": "train.py",
        "source_dir": "src",
        "python": "python3.12",
        "image": "img:1",
        "role": "research",
        "hyperparameters": {"lr": 0.1, "flag": True, "none": None, "deep": {"a": [1, "x"]}},
        "channels": {"train": "s3://b/train"},
        "environment": {"MODE": "fast", "_x9": ""},
        "arguments": ["--verbose"],
        "stop_grace": "1m30s",
        "volume_gb": 50,
        "metrics": {"loss": {"regex": "loss=(.)", "goal": "minimize"}},
        "service": {"EnableNetworkIsolation": True},
        "name": "resnet",
        "owner": "bob",
        "share": "vision",
        "group": "g",
        "priority": -3,
        "tags": {"team": "vision"},
        "pools": ["cpu", {"pool": "gpu", "count": 2}, "us-east-1/ml.g5.xlarge/spot"],
        "retry": {"spot_interrupted": 7, "oom": 0, "backoff": "10s", "backoff_max": 60},
        "clocks": {
            "wait_at_most": "2d",
            "run_at_most": "90m",
            "finish_by": "2026-12-01T08:00:00+01:00",
        },
        "sweep": {"grid": {}},
    }
    args = {
        name: document[name]
        for name in (
            "script", "source_dir", "python", "image", "role", "hyperparameters",
            "channels", "environment", "arguments", "volume_gb", "metrics", "service",
        )
    }  # fmt: skip
    assert parse_job(document, owner="ada", service_tables=["service"]) == Spec(
        name="resnet",
        owner="bob",
        placements=(
            Placement("cpu"),
            Placement("gpu", 2),
            Placement("us-east-1/ml.g5.xlarge/spot"),
        ),
        args=args | {"stop_grace_seconds": 90.0},
        share="vision",
        group="g",
        priority=-3,
        retry=RetryPolicy(
            budgets={FailureClass.SPOT_INTERRUPTED: 7, FailureClass.OOM: 0},
            backoff=timedelta(seconds=10),
            backoff_max=timedelta(seconds=60),
        ),
        clocks=Clocks(
            wait_at_most=timedelta(days=2),
            run_at_most=timedelta(minutes=90),
            finish_by=datetime(2026, 12, 1, 7, tzinfo=UTC),
        ),
        tags={"team": "vision"},
    )


def test_what_is_empty_is_left_out_of_the_arguments():
    empty = {"hyperparameters": {}, "channels": {}, "environment": {}, "arguments": []}
    assert read(**empty, service={}, volume_gb=0).args == BASE
    none = dict.fromkeys(("name", "owner", "group", "tags", "retry", "clocks", "stop_grace"))
    assert read(**none) == read()


def test_the_submission_names_the_group_before_the_file():
    assert parse_job(BASE | {"group": "file"}, owner="ada", group="sweep").group == "sweep"
    assert read(group="file").group == "file"
    assert read().group is None


def test_an_image_needs_no_script_and_a_wrong_script_is_told_once():
    assert parse_job({"image": "img"}, owner="ada").args == {"image": "img"}
    assert [field for field, _ in problems({"script": 3})] == ["script"]
    ((field, message),) = problems({})
    assert (field, message.split(";")[0]) == ("script", "missing")


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("a.b.py", "a.b"),
        ("x/y/my train!.py", "my-train"),
        ("-._x_.-", "x_"),
        ("???.py", "job"),
        ("a  b", "a-b"),
        ("_train.py", "train"),
        ("XtrainX", "XtrainX"),
        ("x" * 127 + "-y.py", "x" * 127),
        ("x" * 200, "x" * 128),
    ],
)
def test_a_name_is_made_of_the_script(script, name):
    assert parse_job({"script": script}, owner="ada").name == name


def test_a_longest_back_off_follows_a_longer_first_one():
    hours = RetryPolicy(backoff=timedelta(hours=5), backoff_max=timedelta(hours=5))
    assert read(retry={"backoff": "5h"}).retry == hours
    assert read(retry={"backoff": "5s"}).retry.backoff_max == timedelta(hours=1)
    assert read(retry={"backoff_max": "40s"}).retry.backoff == timedelta(seconds=30)


def test_a_time_is_converted_to_utc():
    east = read(clocks={"finish_by": "2026-12-01T08:00:00+05:30"}).clocks.finish_by
    assert (east.tzinfo, east) == (UTC, datetime(2026, 12, 1, 2, 30, tzinfo=UTC))
    london = datetime(2026, 12, 1, tzinfo=ZoneInfo("Europe/London"))
    assert read(clocks={"finish_by": london}).clocks.finish_by.tzinfo is UTC


def test_a_time_may_come_decoded():
    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert read(clocks={"finish_by": at}).clocks == Clocks(finish_by=at)


# --- limits -------------------------------------------------------------------------------

LIMITS = [
    # (document for n, the field that is named, the largest n that is fine)
    (lambda n: {"name": "n" * n}, "name", 128),
    (lambda n: {"share": "n" * n}, "share", 128),
    (lambda n: {"group": "n" * n}, "group", 128),
    (lambda n: {"owner": "é" * n, "share": "s"}, "owner", 256),
    (lambda n: {"priority": n}, "priority", 1_000_000),
    (lambda n: {"priority": -n}, "priority", 1_000_000),
    (lambda n: {"pool": "p" * n}, "pools.pool", 128),
    (lambda n: {"channels": {"c" * n: "x"}}, "channels." + "c" * 40, 128),
]


@pytest.mark.parametrize(("make", "field", "most"), LIMITS, ids=[str(f) for _, f, _ in LIMITS])
def test_a_limit_is_where_it_is(make, field, most):
    read(**make(most))
    found = told(**make(most + 1))
    assert len(found) == 1
    assert found[0][0] == field


def test_a_job_file_of_350_000_bytes_is_the_largest():
    def bytes_of(filling):
        return len(json.dumps(encode_spec(read(service={"x": filling}))))

    room = SPEC_BYTES - bytes_of("")
    assert bytes_of("x" * room) == SPEC_BYTES
    ((field, message),) = told(service={"x": "x" * (room + 1)})
    assert field == "job file"
    assert message.startswith("350,001 bytes as JSON; at most 350,000 (put")


def test_an_empty_name_of_a_hyperparameter_is_refused():
    assert told(hyperparameters={"": 1}) == [("hyperparameters.", "the name is empty")]
    assert told(tags={"": "x"}) == [("tags.", "the name is empty")]


@pytest.mark.parametrize(
    "fields",
    [
        {"pools": [f"p{i}" for i in range(20)]},
        {"hyperparameters": {f"h{i}": i for i in range(500)}},
        {"hyperparameters": {"h" * 300: "v" * 3000}},
        {"environment": {f"E{i}": "" for i in range(500)}},
        {"environment": {"E" * 600: "v" * 600}},
        {"tags": {f"t{i}": "" for i in range(60)}},
        {"tags": {"t" * 200: "v" * 300}},
        {"channels": {f"c{i}": "x" for i in range(30)}},
    ],
)
def test_the_limits_of_a_service_are_not_those_of_every_backend(fields):
    """SageMaker refuses each of these (test_sagemaker_request.py); a laptop runs them."""
    assert read(**fields).placements


@pytest.mark.parametrize("name", ["a", "a.b_c=d,e+f@g-h", "9"])
def test_a_name_that_is_fine(name):
    assert validate(read(name=name, share=name, group=name)) == []


@pytest.mark.parametrize("name", ["-a", ".a", "a b", "a/b", "ä", "a\n"])
@pytest.mark.parametrize("field", ["name", "share", "group"])
def test_a_name_that_is_not(field, name):
    ((named, message),) = told(**{field: name})
    assert named == field
    assert message.startswith("expected 1-128 letters")
    assert message.endswith(f"got {name!r}")


@pytest.mark.parametrize("key", ["SM_X", "JOBCORE_ID", "9A", "a-b", "", "A B"])
def test_a_variable_that_cannot_be_set(key):
    fields = [field for field, _ in told(environment={key: "x"})]
    assert f"environment.{key}" in fields


@pytest.mark.parametrize("key", ["SMX", "_", "a9", "JOBCORE"])
def test_a_variable_that_can(key):
    assert read(environment={key: "x"}).args["environment"] == {key: "x"}


# --- what a mistake is told -----------------------------------------------------------------

MISTAKES = [
    ({"name": 3}, "name", "expected a string, got 3"),
    ({"name": [1]}, "name", "expected a string, got a list ([1])"),
    ({"name": {}}, "name", "expected a string, got a table ({})"),
    ({"name": True}, "name", "expected a string, got true or false (True)"),
    ({"name": "a\0"}, "name", "contains a NUL character; remove it"),
    ({"priority": "1"}, "priority", "expected a whole number, got a string ('1')"),
    ({"priority": 1.0}, "priority", "expected a whole number, got 1.0"),
    ({"priority": False}, "priority", "expected a whole number, got true or false (False)"),
    ({"volume_gb": "x"}, "volume_gb", "expected a whole number, got a string ('x')"),
    # What may be a secret (hyperparameters, environment, arguments, tags, a service's table) is not quoted.
    ({"hyperparameters": 1}, "hyperparameters", "expected a table, got a number"),
    ({"environment": {"A": 1.5}}, "environment.A", "expected a string, got a number"),
    ({"environment": ["s"]}, "environment", "expected a table, got a list"),
    ({"service": "s"}, "service", "expected a table, got a string"),
    ({"service": {"x": {1}}}, "service.x", "not JSON data: only texts, numbers, lists and tables are"),
    ({"tags": True}, "tags", "expected a table, got true or false"),
    ({"tags": {"a": 1}}, "tags.a", "expected a string, got a number"),
    ({"tags": {"a": "\0"}}, "tags.a", "expected a string, got one with a NUL character"),
    ({"channels": {"a": None}}, "channels.a", "expected a string, got None"),
    ({"arguments": "x"}, "arguments", "expected a list of strings, got a string"),
    ({"arguments": ["x", 1]}, "arguments", "expected a list of strings"),
    ({"hyperparameters": {"x": {1}}}, "hyperparameters.x", "not JSON data: only texts, numbers, lists and tables are"),
    ({"pool": "a", "pools": ["b"]}, "pool", "give either pool or pools, not both"),
    ({"pools": []}, "pools", "expected at least one pool"),
    ({"pools": [1]}, "pools[0]", "expected a pool's name or a table, got 1"),
    ({"pools": ["a", {"pool": "b", "count": 0}]}, "pools[1].count", "expected at least 1, got 0"),
    ({"pool": {"count": 2}}, "pools.pool", None),
    ({"pools": [{"pool": "a", "n": 2}]}, "pools[0].n", "unknown field; known: count, pool"),
    ({"retry": {"oom": -1}}, "retry.oom", "expected 0 or more, got -1"),
    ({"retry": {"backoff": "2h", "backoff_max": "1h"}}, "retry.backoff_max", None),
    ({"retry": {"backoff": -1}}, "retry.backoff", 'expected a duration such as "90s", "1h30m" or "2d", got -1'),
    ({"retry": {"oomm": 1}}, "retry.oomm", "unknown field; did you mean 'oom'?"),
    ({"clocks": {"wait_at_most": 0}}, "clocks.wait_at_most", "expected at least 1 second, got 0 seconds"),
    ({"clocks": {"run_at_most": -1}}, "clocks.run_at_most", 'expected a duration such as "90s", "1h30m" or "2d", got -1'),
    ({"clocks": {"run_at_most": "0.0001s"}}, "clocks.run_at_most", "expected at least 1 second, got 0.0001 seconds"),
    ({"clocks": {"finish_by": "1970-01-01T00:00:00+05:00"}}, "clocks.finish_by", None),
    ({"stop_grace": -5}, "stop_grace", 'expected a duration such as "90s", "1h30m" or "2d", got -5'),
    ({"volume_gb": -3}, "volume_gb", "expected 0 or more, got -3"),
    ({"arguments": ["x", "secret\0"]}, "arguments", "contains a NUL character; remove it"),
    ({"hyperparameters": {"x": "secret\0"}}, "hyperparameters.x", "contains a NUL character; remove it"),
    ({"hyperparameters": {"x": [{"y": "secret\0"}]}}, "hyperparameters.x", "contains a NUL character; remove it"),
    ({"hyperparameters": {"x\0": 1}}, "hyperparameters.x\\x00", "contains a NUL character; remove it"),
    ({"service": {"x": {"y\0": 1}}}, "service.x", "contains a NUL character; remove it"),
    ({"environment": {"A": "secret\0"}}, "environment.A", "expected a string, got one with a NUL character"),
    ({"environment": {"A\0": "x"}}, "environment.A\\x00", "expected a string, got one with a NUL character"),
    ({"channels": {"a\0": "x"}}, "channels.a\\x00", "expected a string, got one with a NUL character"),
    ({"pools": ["a\0"]}, "pools[0].pool", None),
    ({"owner": "\ud800"}, "owner", None),
    ({"clocks": {"finish_by": "x"}}, "clocks.finish_by", "expected a date and time, got 'x'"),
    ({"clocks": {"finish_by": 3}}, "clocks.finish_by", "expected a date and time, got 3"),
    ({"clocks": {"finish_by": "2026-12-01T08:00"}}, "clocks.finish_by", "give the time zone too, such as 2026-12-01T08:00:00+01:00"),
    ({"clocks": {"finish_bye": 3}}, "clocks.finish_bye", "unknown field; did you mean 'finish_by'?"),
    ({"channels": {"a b": "x"}}, "channels.a b", "not a channel name (1-128 letters, digits or . _ -; not . or ..)"),
    ({"channels": {"..": "x"}}, "channels...", None),
    ({"channels": {".": "x"}}, "channels..", None),
    ({"stop_grace": "x"}, "stop_grace", None),
    ({"nam": "x"}, "nam", "unknown field; did you mean 'name'?"),
    ({"ppools": "x"}, "ppools", "unknown field; did you mean 'pools'?"),
    ({"naxyz": "x"}, "naxyz", None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "field", "message"), MISTAKES)
def test_one_mistake_is_one_problem_with_its_field(fields, field, message):
    ((named, said),) = told(**fields)
    assert named == field
    assert said
    assert named.isprintable()
    assert "secret" not in said
    assert message is None or said == message


def test_a_word_that_is_near_nothing_is_told_all_that_is_known():
    ((_, message),) = told(zzzzzzzz=1)
    known = message.removeprefix("unknown field; known: ").split(", ")
    assert known == sorted(known)
    assert set(known) >= {"script", "pool", "pools", "sweep", "retry", "clocks", "arguments"}


@pytest.mark.parametrize(
    ("word", "near"),
    [("shar", "share"), ("sh", None), ("arguements", "arguments"), ("rol", "role"),
     ("ooool", "pool"), ("pol", "pool"), ("gorup", "group"), ("tgs", "tags"), ("tagsabc", None), ("naaame", "name"), ("argumts", "arguments"), ("argmts", None)],
)  # fmt: skip
def test_two_letters_off_is_near(word, near):
    ((_, message),) = told(**{word: 1})
    assert message.startswith(
        f"unknown field; did you mean {near!r}?" if near else "unknown field; known"
    )


def test_what_is_shown_is_short():
    ((_, message),) = told(name=["x" * 60])
    assert message == "expected a string, got a list (['" + "x" * 37 + "…)"
    ((_, message),) = told(name=["x" * 37])
    assert message == "expected a string, got a list (['" + "x" * 37 + "…)"
    ((_, message),) = told(name=["x" * 36])
    assert message == "expected a string, got a list (['" + "x" * 36 + "'])"


def test_what_is_no_table_is_no_job_file():
    assert problems([1]) == [("job file", "expected a table of fields, got a list ([1])")]
    assert str(Problem("a", "b")) == "a: b"


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(json_data)
def test_json_data_of_any_shape_is_a_hyperparameter(value):
    assert read(hyperparameters={"x": value}).args["hyperparameters"] == {"x": value}


@given(json_data, st.sampled_from([float("inf"), float("nan"), {1}, b"", {1: 2}, (1,)]))
def test_what_holds_anything_else_is_none(value, wrong):
    for shape in (wrong, [value, wrong], {"a": value, "b": wrong}, [{"a": [wrong]}]):
        ((field, _),) = told(hyperparameters={"x": shape})
        assert field == "hyperparameters.x"
