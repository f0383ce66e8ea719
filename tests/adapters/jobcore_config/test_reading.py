"""Configuration is refused by field, value and what is allowed: every field of every class of settings."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import Limits
from jobcore.errors import InvalidSetting
from jobcore_aws import SageMakerSettings, settings_from
from jobcore_aws._pools import _Table
from jobcore_cli import main
from jobcore_client.aws import _Names
from jobcore_client.config import CliConfig, read_files
from jobcore_client.session import _LATER, _PLAIN
from jobcore_config.checks import (
    Check,
    above,
    at_least,
    between,
    each,
    matching,
    one_of,
    parse_json,
    parse_toml,
    report_all,
)
from jobcore_config.reading import _names, read
from jobcore_lambda._requests import ApiError, Hold, Listing, Submission, read_request
from jobcore_local import read_pools, write_pools
from jobcore_simulation import PoolConfig, Refusal, Script
from jobcore_simulation.sandbox import Fault, SandboxConfig
from jobcore_simulation.sandbox._control import _Advance, _Settings
from jobcore_simulation.simulator import PoolSpec, Provider, Scenario, Work
from jobcore_simulation.simulator._scenario import Outage

# --- every field of every class -----------------------------------------------------------

PROBES: Mapping[str, Any] = {
    "text": "no such thing", "true": True, "-5": -5, "0": 0, "1": 1, "0.5": 0.5, "2": 2, "'2'": "2",
    "nan": math.nan, "inf": math.inf, "huge": 10**400, "1h": "1h", "null": None,
    "[]": [], "[text]": ["x"], "[1, 2]": [1, 2], "[[0, 1]]": [[0, 1]], "[[0, -1]]": [[0, -1]],
    "{}": {}, "{text}": {"a": "x"}, "{-5}": {"a": -5}, "{0}": {"a": 0}, "{1}": {"a": 1},
    "{'2'}": {"a": "2"}, "{true}": {"a": True}, "{nan}": {"a": math.nan}, "{[1, 2]}": {"a": [1, 2]},
}  # fmt: skip

NULL = "null "
TEXT = NULL + "text '2' 1h"
FLAG = NULL + "true"
WHOLE = NULL + "1 2 huge"  # more than 0, with no upper bound
BOUNDED_WHOLE = NULL + "1 2"
COUNT = NULL + "0 1 2"
NUMBER = NULL + "0 0.5 1 2"
RATE = NULL + "0.5 1 2"
FRACTION = NULL + "0 0.5 1"
DURATION = NULL + "0 0.5 1 2 1h"
TEXTS = NULL + "[] [text]"
TABLE_OF_TEXTS = NULL + "{} {text} {'2'}"
TABLE_OF_COUNTS = NULL + "{} {0} {1}"
STEPS = NULL + "[] [[0, 1]]"
PAIR = NULL + "[1, 2]"
SPAN = NUMBER + " [1, 2]"
NONE = NULL + ""


class Settings(NamedTuple):
    """A class of settings: how it is read, the fields beside the one probed, and what each may be."""

    kind: Any
    read: Callable[[dict[str, Any]], Any]
    base: dict[str, Any]
    allowed: dict[str, str]
    beside: frozenset[str] = frozenset()


def http(kind: Any) -> Callable[[dict[str, Any]], Any]:
    def reader(document: dict[str, Any]) -> Any:
        try:
            return read_request(kind, document)
        except ApiError as error:
            problems = [(p["field"], p["message"]) for p in error.problems]
            raise InvalidSetting(problems) from None

    return reader


def under(*path: str | int) -> Callable[[dict[str, Any]], Any]:
    """Read a part of a scenario."""

    def reader(document: dict[str, Any]) -> Any:
        scenario: dict[str, Any] = {"pool": [{"name": "a"}]}
        if path == ("pool",):
            scenario["pool"] = [document]
        elif path == ("outage",):
            scenario["outage"] = [document]
        else:
            scenario[str(path[0])] = document
        return read(Scenario, scenario)

    return reader


LIMITS = {
    "pools": TABLE_OF_COUNTS, "shares": TABLE_OF_COUNTS, "share_default": COUNT + " huge",
    "share_weights": NULL + "{} {1}", "aging": NULL + "1 2 1h", "group_breaker": COUNT + " huge",
    "launches_max": COUNT + " huge", "pool_backoff": DURATION, "pool_backoff_max": DURATION,
}  # fmt: skip
POOL_TABLE = {
    "instance_type": NONE, "instance_types": NULL + "[]", "market": NONE, "region": NONE,
    "slots": COUNT + " huge", "plan": NONE,
}  # fmt: skip
CLASSES: Mapping[str, Settings] = {
    "deployment": Settings(
        SageMakerSettings,
        lambda document: settings_from({}, config=document),
        {},
        {
            "output": NONE, "pools": NULL + "{}", "pool_names": NULL + "{}", "roles": NULL + "{}",
            "images": TABLE_OF_TEXTS,
            "any_image": FLAG, "allowed_images": TEXTS, "allowed_inputs": TEXTS,
            "subnets": NULL + "[]", "security_groups": NULL + "[]", "network_isolation": FLAG,
            "encrypt_traffic": FLAG, "kms_key": TEXT, "volume_gb": WHOLE,
            "run_at_most": NULL + "1 2 1h", "run_at_most_max": NONE, "spot_wait": DURATION,
            "pending_at_most": NULL + "1h", "input_mode": NONE, "checkpoints": FLAG,
            "local_code": FLAG, "tags": TABLE_OF_TEXTS, "region": TEXT, "endpoint_url": TEXT,
            "create_rate": RATE, "create_burst": WHOLE, "at_once": WHOLE, "describe_rate": RATE,
            "list_rate": RATE, "search_from": COUNT + " huge", "limits": NULL + "{}",
        },
        frozenset({"limits"}),
    ),
    "limits": Settings(Limits, lambda document: read(Limits, document), {}, LIMITS),
    "pool of a deployment": Settings(
        _Table, lambda table: settings_from({}, config={"pools": {"ml.m5.large": table}}),
        {"instance_type": "ml.m5.large"}, POOL_TABLE
    ),
    "config.toml": Settings(
        CliConfig,
        lambda document: read_files([(Path("config.toml"), document)]),
        {},
        {
            "home": TEXT, "owner": TEXT, "backend": NONE, "rules": TEXT, "desktop": FLAG,
            "launch_lease": DURATION, "limits": NULL + "{}",
            "aws": NULL + "{} {text} {-5} {0} {1} {'2'} {true} {nan} {[1, 2]}",
        },
    ),
    "aws in config.toml": Settings(
        _Names,
        lambda document: read(_Names, document),
        {},
        {"table": TEXT, "topic_arn": TEXT, "bucket": TEXT, "stack": TEXT},
    ),
    "POST /jobs": Settings(
        Submission, http(Submission), {"jobs": [{}]},
        {"jobs": "[text] [1, 2] [[0, 1]] [[0, -1]]", "token": TEXT, "group": TEXT},
    ),
    "POST /jobs/{id}/hold": Settings(Hold, http(Hold), {}, {"reason": TEXT}),
    "scenario": Settings(
        Scenario, lambda document: read(Scenario, document), {"pool": [{"name": "a"}]},
        {
            "title": TEXT, "jobs": NULL + "{}", "pool": "", "provider": NULL + "{}",
            "outage": NULL + "[]", "clock_jump": PAIR, "horizon": NUMBER, "apart": FLAG,
        },
    ),
    "jobs of a scenario": Settings(
        Work, under("jobs"), {},
        {
            "count": COUNT, "shares": WHOLE, "skew": NUMBER + " -5", "over": NUMBER, "sweep": WHOLE,
            "run": PAIR, "sizes": NONE, "pools": NULL + "[]", "spread": FLAG, "fails": FRACTION,
            "flaky": FRACTION, "poison": FRACTION,
        },
    ),
    "pool of a scenario": Settings(
        PoolSpec, under("pool"), {"name": "a"},
        {
            "name": "text '2' 1h", "capacity": NULL + "0 1 2 [[0, 1]]", "repeat": NULL + "0 1 2",
            "flips": PAIR, "quota": COUNT, "quotas": STEPS, "others": STEPS, "spot": FLAG,
        },
    ),
    "provider of a scenario": Settings(
        Provider, under("provider"), {},
        {
            "rate": RATE, "burst": WHOLE, "start_up": PAIR, "gives_up": NUMBER,
            "gives_up_sigma": NUMBER, "max_pending": NUMBER, "listens": FLAG, "event_lag": NUMBER,
        },
    ),
    "outage of a scenario": Settings(
        Outage, under("outage"), {"port": "store", "begins": 0, "ends": 1},
        {"port": "", "begins": "0 0.5 1 2", "ends": "0 0.5 1 2"},
    ),
    "sandbox": Settings(
        SandboxConfig, lambda document: read(SandboxConfig, document), {},
        {
            "pools": NULL + "{}", "default_pool": "{}", "scripts": NULL + "[]",
            "seed": TEXT + " -5 0 1 2 huge", "account": NONE, "region": TEXT, "speed": RATE,
            "manual": FLAG, "start": NUMBER, "latency": NUMBER, "rates": NULL + "{} {1} {[1, 2]}",
            "quota_total": COUNT, "instances_per_job_max": WHOLE, "search_lag": NUMBER,
            "events_endpoint": TEXT, "events_lost": FRACTION, "events_twice": FRACTION,
            "run_scripts": TEXT, "aws_endpoint": TEXT,
        },
    ),
    "pool of the sandbox": Settings(
        PoolConfig, lambda document: read(PoolConfig, document), {},
        {
            "capacity": COUNT + " [] [[0, 1]]", "period": NONE, "quota": COUNT, "shortage": NONE,
            "capacity_error_after": NUMBER,
        },
    ),
    "script of the sandbox": Settings(
        Script, lambda document: read(Script, document), {},
        {
            "name": TEXT, "pool": TEXT, "where": TABLE_OF_TEXTS, "times": COUNT,
            **dict.fromkeys(
                ["noticing", "starting", "downloading", "training", "uploading", "stopping",
                 "restarting"], SPAN),
            "failure_rate": FRACTION, "failures": TEXTS, "fails_in": NONE,
            "interruptions": NULL + "[] [1, 2]", "refusal": NONE, "open_ended": FLAG,
            "metrics": NULL + "{} {-5} {0} {1} {[1, 2]}",
        },
    ),
    "refusal of a script": Settings(
        Refusal, lambda document: read(Refusal, document), {"code": "a", "text": "b"},
        {"code": "text '2' 1h", "text": "text '2' 1h"},
    ),
    "fault of the sandbox": Settings(
        Fault, lambda document: read(Fault, document), {"kind": "throttle"},
        {
            "kind": "", "operation": TEXT, "name": TEXT, "skip": COUNT, "times": COUNT,
            "seconds": NUMBER, "code": TEXT, "text": TEXT, "status": NONE,
        },
    ),
    "POST /_sandbox/advance": Settings(
        _Advance, lambda document: read(_Advance, document), {"to_next_event": True},
        {"seconds": NUMBER, "to_next_event": "true"},
    ),
    "POST /_sandbox/settings": Settings(
        _Settings, lambda document: read(_Settings, document), {},
        {"latency": NUMBER, "rates": "{} {1} {[1, 2]}"},
    ),
}  # fmt: skip


def words(allowed: str) -> set[str]:
    """Split the names of probes, some of which have spaces."""
    found = set()
    for name in sorted((name for name in PROBES if " " in name), key=len, reverse=True):
        if name in allowed:
            found.add(name)
            allowed = allowed.replace(name, "")
    return found | set(allowed.split())


@pytest.mark.parametrize("name", CLASSES)
def test_the_table_has_every_field(name: str) -> None:
    one = CLASSES[name]
    assert set(one.allowed) - one.beside == set(_names(one.kind).values())
    for allowed in one.allowed.values():
        assert words(allowed) <= set(PROBES)


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, c in CLASSES.items() for f in c.allowed])
def test_a_value_is_allowed_or_refused_by_the_name_of_its_field(name: str, field: str) -> None:
    one = CLASSES[name]
    one.read(one.base)
    for probe, value in PROBES.items():
        document = {**one.base, field: value}
        if probe in words(one.allowed[field]):
            one.read(document)
            continue
        with pytest.raises(InvalidSetting) as raised:
            pytest.fail(f"{field} = {probe} gives {one.read(document)}")
        problems = raised.value.problems
        # A relation of two fields stands under the one and names the other.
        assert any(field in path or field in said for path, said in problems), (probe, problems)
        for _, message in problems:
            assert message
            assert "Error" not in message  # no exception's name
            assert len(message) < 300


@pytest.mark.parametrize("name", CLASSES)
def test_a_field_that_is_not_there_is_refused_with_the_nearest(name: str) -> None:
    one = CLASSES[name]
    field = max(one.allowed, key=len)
    with pytest.raises(InvalidSetting) as raised:
        one.read({**one.base, field + "x": 1})
    ((path, message),) = raised.value.problems
    assert path.endswith(field + "x")
    assert message == f"unknown field; did you mean {field!r}?"
    with pytest.raises(InvalidSetting, match="unknown field"):
        one.read({**one.base, field + "x": None})


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("document", [3, "text", ["list"], True])
def test_a_document_that_is_no_table_is_refused(name: str, document: Any) -> None:
    with pytest.raises(InvalidSetting, match="expected a table"):
        read(CLASSES[name].kind, document)


def test_queries_are_texts() -> None:
    request = read_request(Listing, {"status": "New,,Failed", "limit": "7", "name": "a"})
    assert (sorted(request.statuses), request.limit, request.name) == (["Failed", "New"], 7, "a")
    with pytest.raises(ApiError) as raised:
        read_request(Listing, {"status": "Nwe", "limit": "0", "group": "a b", "page": "1"})
    assert raised.value.problems == [
        {"field": "status", "message": "expected any of New, Launching, Launched, InProgress, "
         "Stopping, Held, Completed, Failed, Stopped, got 'Nwe'"},
        {"field": "group", "message": "expected 1-128 letters, digits or . _ = , + @ -, got 'a b'"},
        {"field": "limit", "message": "expected 1 to 500, got 0"},
        {"field": "page", "message": "unknown field; known: cursor, group, limit, name, status"},
    ]  # fmt: skip


# --- what was accepted and then went wrong (the lines of the review) -----------------------

BAD_LIMITS = [
    ({"pools": {"cpu": "2"}}, "pools.cpu: expected a whole number, got '2'"),
    ({"pools": {"cpu": 2.5}}, "pools.cpu: expected a whole number, got 2.5"),
    ({"share_weights": {"ada": 0}}, "share_weights.ada: expected 0.000001 to 1,000,000, got 0"),
    ({"aging": "0s"}, "aging: expected at least 1 second, got 0 seconds"),
    ({"launches_max": -5}, "launches_max: expected 0 or more, got -5"),
    ({"share_default": -1}, "share_default: expected 0 or more, got -1"),
    ({"share_weights": {"ada": math.inf}}, "share_weights.ada: expected a number, got inf"),
]


@pytest.mark.parametrize(("limits", "said"), BAD_LIMITS)
def test_limits_are_refused_on_a_laptop_and_on_aws_in_one_voice(
    limits: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InvalidSetting) as raised:
        settings_from({"JOBCORE_CONFIG": json.dumps({"limits": limits})})
    assert str(raised.value) == f"JOBCORE_CONFIG: limits.{said}"
    with pytest.raises(InvalidSetting) as raised:
        read_files([(Path("config.toml"), {"limits": limits})])
    assert str(raised.value) == f"config.toml: limits.{said}"
    (tmp_path / "config.toml").write_text(f"limits = {_toml(limits)}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert main(["--home", str(tmp_path), "tick", "launch"]) == 2
    assert capsys.readouterr().err == f"jobcore: {tmp_path}/config.toml: limits.{said}\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return str(value) if value == math.inf else json.dumps(value)


# --- config.toml ---------------------------------------------------------------------------


def test_the_home_goes_over_the_user_and_the_file_at_fault_is_named() -> None:
    user = (Path("user"), {"owner": "ada", "desktop": True, "limits": {"aging": "1h"}})
    read_ = read_files(
        [user, (Path("home"), {"limits": {"launches_max": 3}, "launch_lease": "2s"})]
    )
    assert read_ == CliConfig(
        owner="ada",
        desktop=True,
        launch_lease=timedelta(seconds=2),
        limits=Limits(
            launches_max=3,
            pool_backoff=timedelta(seconds=1),
            pool_backoff_max=timedelta(seconds=30),
        ),
    )
    for name, document in (("user", {"owner": 3}), ("home", {"desktop": "no"})):
        files = [(Path(n), document if n == name else {"home": "x"}) for n in ("user", "home")]
        with pytest.raises(InvalidSetting, match=rf"^{name}: (owner|desktop): expected"):
            read_files(files)
    # A field that the home says is not read from the user's file.
    assert read_files([(Path("user"), {"owner": 3}), (Path("home"), {"owner": "b"})]).owner == "b"


def test_a_plain_config_is_known_without_its_class() -> None:
    assert {**_PLAIN, **_LATER}.keys() == attrs.fields_dict(CliConfig).keys()
    texts = {name for name, kind in get_type_hints(CliConfig).items() if kind == str | None}
    assert texts == set(_PLAIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("owner = 5\n", "owner: expected a string, got 5"),
        ("ownr = 'ada'\n", "ownr: unknown field; did you mean 'owner'?"),
        ("limits = 3\n", "limits: expected a table, got 3"),
        ("desktop = 'no'\n", "desktop: expected true or false, got 'no'"),
        ("owner =\n", "not valid TOML: Invalid value (at line 1, column 8)"),
    ],
)
def test_every_command_refuses_a_config_of_the_wrong_kind(
    text: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.toml").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert main(["--home", str(tmp_path), "list"]) == 2
    assert capsys.readouterr().err == f"jobcore: {tmp_path}/config.toml: {said}\n"


def loaded_by(code: str, **environ: str) -> set[str]:
    """Run *code* in an interpreter of its own; name the packages that it has loaded then."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "text", ["", "owner = 'ada'\n", "desktop = true\n[limits]\naging = '1h'\n"]
)
def test_a_command_that_only_looks_reads_no_settings_with_attrs(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    code = "from jobcore_cli import main; main(['list'])"
    loaded = loaded_by(code, JOBCORE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "none"))
    assert "jobcore_sqlite" in loaded
    assert not loaded & {"attr", "cattrs", "jobcore_code", "jobcore_local"}


def test_a_function_without_config_reads_it_without_cattrs() -> None:
    code = "from jobcore_aws import settings_from; settings_from({'JOBCORE_CONFIG': '{}'})"
    loaded = loaded_by(code)
    assert "attr" in loaded
    assert "cattrs" not in loaded
    assert "cattrs" in loaded_by(
        f"{code}; settings_from({{'JOBCORE_CONFIG': '{{\"at_once\": 1}}'}})"
    )


def test_the_embedded_adapters_need_the_standard_library_only() -> None:
    loaded = loaded_by(
        "import jobcore_local, jobcore_memory, jobcore_sqlite, jobcore_config.checks"
    )
    assert not loaded & {"attr", "attrs", "cattrs", "boto3", "click"}


# --- pools.toml ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools = 3", "pools: expected tables such as [pools.cpu] with slots = 4"),
        ("[pools.cpu]\nslots = '2'", "pools.cpu.slots: expected a whole number from 0 to 4096, got '2'"),
        ("[pools.cpu]\nslots = true", "pools.cpu.slots: expected a whole number from 0 to 4096, got true"),
        ("[pools.cpu]\nslots = 2\ngpus = -1", "pools.cpu.gpus: expected a whole number from 0 to 4096, got -1"),
        ("[pools.cpu]", "pools.cpu.slots: expected a whole number from 0 to 4096, got null"),
        ("[pools.'a b']\nslots = 1", "pools.a b: a pool's name has letters, digits, . _ -, in up to three parts between /, and at most 128 characters"),
        ("pools =", "not valid TOML: Invalid value (at end of document)"),
        (b"# \xff", "not valid TOML: 'utf-8' codec can't decode byte 0xff in position 2: invalid start byte"),
    ],
)  # fmt: skip
def test_a_pools_file_is_refused_in_the_same_voice(
    text: str | bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "pools.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidSetting) as raised:
        read_pools(tmp_path)
    assert str(raised.value) == f"{path}: {said}"


def test_all_pools_that_are_wrong_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting) as raised:
        write_pools(tmp_path, {"cpu": -1, "gpu": 1, "a/b/c/d": 2})
    assert [path for path, _ in raised.value.problems] == ["pools.cpu.slots", "pools.a/b/c/d"]
    assert not (tmp_path / "pools.toml").exists()


# --- the reader ----------------------------------------------------------------------------


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Inner:
    key: str = attrs.field(default="k", validator=Check("a key", str.isalnum, quote=False))
    count: int = attrs.field(default=1, validator=between(1, 9))


@attrs.frozen(kw_only=True, field_transformer=report_all)
class Outer:
    inner: Inner = attrs.field(factory=Inner)
    many: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = attrs.field(factory=dict)
    pair: tuple[float, int] | None = None
    rates: Mapping[str, float] = attrs.field(factory=dict, validator=each(above(0)))
    mode: str = attrs.field(default="a", validator=one_of("a", "b", "c"))
    code: str = attrs.field(default="x", validator=matching("[a-z]+", "small letters"))
    wait: timedelta = attrs.field(
        default=timedelta(seconds=2), validator=at_least(timedelta(seconds=2))
    )


def test_every_problem_is_told_by_its_path() -> None:
    with pytest.raises(InvalidSetting) as raised:
        read(
            Outer,
            {
                "inner": {"count": 10, "cuont": 1},
                "many": [{}, {"count": "x"}],
                "named": {"one": {"count": 0}, "two": 3},
                "pair": [1],
                "rates": {"a": 1, "b": 0, "c": -1.5},
                "mode": "d",
                "code": "X",
                "wait": 1,
                "unknown": 1,
                "another": 2,
            },
            where="file",
        )
    assert str(raised.value).startswith("file: inner.count: expected 1 to 9, got 10; ")
    known = "code, inner, many, mode, named, pair, rates, wait"
    assert raised.value.problems == (
        ("inner.count", "expected 1 to 9, got 10"),
        ("inner.cuont", "unknown field; did you mean 'count'?"),
        ("many[1].count", "expected a whole number, got 'x'"),
        ("named.one.count", "expected 1 to 9, got 0"),
        ("named.two", "expected a table, got 3"),
        ("pair", "expected a list of 2, got a list of 1"),
        ("rates.b", "expected more than 0, got 0"),
        ("rates.c", "expected more than 0, got -1.5"),
        ("mode", "expected a, b or c, got 'd'"),
        ("code", "expected small letters, got 'X'"),
        ("wait", "expected 2s or more, got 1s"),
        ("another", f"unknown field; known: {known}"),
        ("unknown", "unknown field"),
    )


def test_code_is_told_of_every_field_too() -> None:
    with pytest.raises(InvalidSetting) as raised:
        Outer(rates={"a": True}, mode="d", wait=timedelta(days=-1))
    assert [path for path, _ in raised.value.problems] == ["rates.a", "mode", "wait"]


def test_what_may_be_a_secret_is_not_shown() -> None:
    with pytest.raises(InvalidSetting) as raised:
        read(Inner, {"key": "hunter2 hunter2"})
    assert "hunter2" not in str(raised.value)
    with pytest.raises(InvalidSetting) as raised:  # by its form, wherever it stands
        read(Inner, {"count": "AKIAIOSFODNN7EXAMPLE"})
    assert "AKIAIOSFODNN7EXAMPLE" not in str(raised.value)
    with pytest.raises(ApiError) as refused:
        read_request(Submission, {"jobs": [1], "token": "hunter2\n"})
    assert "hunter2" not in str(refused.value)


def test_long_names_and_values_are_cut() -> None:
    with pytest.raises(InvalidSetting) as raised:
        read(Outer, {"x" * 10**6: 1, "code": "Y" * 10**6, "rates": {"k" * 10**6: 0}})
    assert len(str(raised.value)) < 1000


def test_an_error_survives_pickle_and_has_its_problems() -> None:
    error = InvalidSetting([("a.b", "expected 1"), ("", "none")], "file")
    again = pickle.loads(pickle.dumps(error))
    assert (again.problems, again.where) == (error.problems, "file")
    assert str(again) == "file: a.b: expected 1; none"


def test_a_fault_of_the_program_is_no_problem_of_the_settings() -> None:
    def broken(value: object, kind: Any) -> Any:
        raise ZeroDivisionError

    @attrs.frozen
    class Broken:
        field: int = attrs.field(metadata={"override": {"struct_hook": broken}})

    with pytest.raises(ZeroDivisionError):
        read(Broken, {"field": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(data=st.data(), name=st.sampled_from(sorted(CLASSES)))
def test_any_data_is_read_or_refused(data: st.DataObject, name: str) -> None:
    one = CLASSES[name]
    fields = st.sampled_from(sorted(one.allowed)) | st.text(max_size=5)
    document = {**one.base, **data.draw(st.dictionaries(fields, JSON, max_size=4))}
    problems: tuple[tuple[str, str], ...] = ()
    try:
        one.read(document)
    except InvalidSetting as error:
        problems = error.problems or (("", ""),)
    assert all(message for _, message in problems)


@pytest.mark.parametrize("parse", [parse_toml, parse_json])
@pytest.mark.parametrize("text", ["{", "[" * 100_000, "a = ", "\x00"])
def test_what_cannot_be_decoded_is_refused_with_its_source(
    parse: Callable[..., Any], text: str
) -> None:
    with pytest.raises(InvalidSetting, match=r"^file: not valid (TOML|JSON): "):
        parse(text, where="file")
