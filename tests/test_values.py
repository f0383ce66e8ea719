"""Every field of every value that checks itself: a wrong kind is refused, and the message names the field."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ForwardRef, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobcore
from core_strategies import T0, make_failure
from jobcore import (
    Clocks,
    FailureClass,
    InvalidSetting,
    Limits,
    Placement,
    RetryPolicy,
    Settings,
    Spec,
    Status,
    lifecycle,
    metrics,
    ports,
)
from jobcore.lifecycle import EVENT_TYPES, GroupTally, PoolState, ShareUsage, events
from jobcore.scheduling import limits
from jobcore.ticks import run

PLACE = Placement("cpu")
SETTINGS = (Limits, Settings, ports.JobQuery)

#: One valid value of each class, with every field given.
VALID: dict[type, dict[str, Any]] = {
    Placement: {"pool": "cpu", "count": 2},
    RetryPolicy: {
        "budgets": {FailureClass.OOM: 1},
        "backoff": timedelta(seconds=1),
        "backoff_max": timedelta(hours=2),
    },
    Clocks: {
        "wait_at_most": timedelta(hours=1),
        "run_at_most": timedelta(hours=1),
        "finish_by": T0,
    },
    Spec: {
        "name": "n",
        "owner": "ada",
        "placements": (PLACE,),
        "args": {"script": "a.py"},
        "share": "s",
        "group": "g",
        "priority": 1,
        "retry": RetryPolicy(),
        "clocks": Clocks(),
        "tags": {"a": "b"},
    },
    Limits: {
        "pools": {"cpu": 1},
        "shares": {"ada": 1},
        "share_default": 1,
        "share_weights": {"ada": 1.5},
        "aging": timedelta(hours=1),
        "group_breaker": 1,
        "launches_max": 1,
        "pool_backoff": timedelta(seconds=1),
        "pool_backoff_max": timedelta(minutes=1),
    },
    Settings: {
        "limits": Limits(),
        "scheduler": Settings().scheduler,
        "rules": Settings().rules,
        "launch_lease": timedelta(seconds=1),
        "page": 10,
        "launches_together": 2,
        "on_change": print,
        "on_trouble": print,
        "go_on": bool,
    },
    PoolState: {
        "name": "cpu",
        "fade": 0.5,
        "growth": 1,
        "shrunk": True,
        "queue_granted": False,
        "limit": 1,
        "refusal": "b",
    }
    | dict.fromkeys(PoolState.COUNTS, 1)
    | dict.fromkeys(PoolState.TIMES, T0),
    ShareUsage: {"share": "ada", "hours": 1.5, "at": T0, "version": 1},
    GroupTally: {
        "group": "g",
        "owner": "ada",
        "at": T0,
        "version": 1,
        "failed": 1,
        "cause": "c",
        "reason": "r",
        "sound": False,
        "pausing": True,
    },
    ports.Due: {"job_id": "j", "at": T0, "status": Status.NEW, "attempt": 1},
    ports.Evidence: {
        "where": "create",
        "error_code": "E",
        "status": "S",
        "secondary_status": "T",
        "text": "t",
    },
    ports.JobQuery: {
        "statuses": frozenset({Status.NEW}),
        "owner": "ada",
        "group": "g",
        "name": "n",
        "id_prefix": "a",
        "cursor": "c",
        "limit": 10,
    },
    metrics.Metric: {
        "name": "loss",
        "final": 0.5,
        "step": 7,
        "count": 8,
        "lowest": 0.25,
        "lowest_step": 3,
        "highest": 2,
        "highest_step": 1,
    },
    ports.LaunchReply: {
        "result": ports.LaunchResult.REFUSED,
        "evidence": ports.Evidence(where="create"),
    },
    ports.LaunchRequest: {
        "name": "n",
        "job_id": "j",
        "attempt": 1,
        "spec_hash": "h",
        "placement": PLACE,
        "args": {},
        "run_at_most": timedelta(hours=1),
        "owner": "ada",
        "group": "g",
        "tags": {"a": "b"},
        "to_stop": True,
    },
    ports.Message: {
        "event_id": "e",
        "job_id": "j",
        "owner": "ada",
        "status": Status.FAILED,
        "subject": "s",
        "body": "b",
        "next_step": ports.NextStep.SHOW,
        "attributes": {"a": "b"},
        "data": {"a": 1},
    },
    ports.Page: {"jobs": (), "cursor": "c"},
    ports.Training: {
        "name": "n",
        "state": ports.TrainingState.RUNNING,
        "job_id": "j",
        "attempt": 1,
        "spec_hash": "h",
        "detail": "d",
        "started_at": T0,
        "ended_at": T0,
        "evidence": ports.Evidence(where="create"),
        "metrics": (metrics.Metric(name="loss", final=0.5),),
    },
    ports.Usage: {"pool": "cpu", "share": "ada", "slots": 2, "running": 1},
    ports.Waiting: {
        "job_id": "j",
        "priority": 0,
        "share": "ada",
        "placements": (PLACE,),
        "submitted_at": T0,
        "attempt": 1,
    },
    events.LaunchDecided: {"attempt": 1, "placement": PLACE},
    events.LaunchAccepted: {"attempt": 1, "placement": PLACE},
    events.LaunchRefused: {"attempt": 1, "failure": make_failure()},
    events.NameTaken: {"attempt": 1, "reason": "r"},
    events.TrainingSeen: {"attempt": 1, "running": True, "detail": "d", "started_at": T0},
    events.TrainingEnded: {
        "attempt": 1,
        "outcome": Status.FAILED,
        "failure": make_failure(),
        "started_at": T0,
        "ended_at": T0,
        "metrics": (metrics.Metric(name="loss", final=0.5),),
    },
    events.TrainingMissing: {"attempt": 1},
    events.StopRequested: {"by": "ada"},
    events.HoldRequested: {
        "by": "ada",
        "reason": "r",
        "code": lifecycle.HoldCode.USER,
        "notify": True,
    },
    events.ReleaseRequested: {"by": "ada"},
    events.TimePassed: {},
    events.MessagePublished: {"event_id": "e"},
}
#: Fields that are refused under another name: the one that a job file has.
ALIASES = {(Spec, "placements"): "pools"} | {
    (RetryPolicy, field): f"retry.{field}" for field in ("backoff", "backoff_max")
}
ALIASES[RetryPolicy, "budgets"] = "retry"
#: Fields that nothing checks here: the caller does not give them.
UNCHECKED = {(Spec, "digest")}
#: Tables of which only the outside is checked: their content comes from a spec, or from the core.
SHALLOW = {(ports.LaunchRequest, "args"), (ports.Message, "data")}
FIELDS = [(kind, name) for kind, values in VALID.items() for name in values]

TIMES = [
    datetime(2026, 1, 1),  # noqa: DTZ001
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
    datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/London")),  # at 0 hours from UTC, until March
]
JUNK = [
    None, True, 0, 7, -1, 1.5, math.nan, "x", b"x", [], [1], {}, {1: 2}, (), (1,), {1}, object(),
    int, timedelta(seconds=5), Status.NEW, T0, *TIMES,
]  # fmt: skip


def hint_of(kind: type, name: str) -> Any:
    return Mapping[Any, Any] if (kind, name) in SHALLOW else get_type_hints(kind)[name]


def is_of(value: object, hint: Any) -> bool:
    """Say whether *value* is of the kind that a field is annotated with; bounds are other tests'."""
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):
        return any(is_of(value, part) for part in get_args(hint))
    if isinstance(hint, ForwardRef) or hint is Any:
        return True
    if origin is Mapping:
        kinds = get_args(hint)
        return isinstance(value, Mapping) and all(
            is_of(item, kind)
            for pair in value.items()
            for item, kind in zip(pair, kinds, strict=True)
        )
    if origin is tuple:
        return isinstance(value, tuple) and all(is_of(item, get_args(hint)[0]) for item in value)
    if origin is frozenset:
        return isinstance(value, frozenset)
    if origin is Callable:
        return callable(value)
    return _is_plain(value, hint)


def _is_plain(value: object, hint: Any) -> bool:
    if hint in (None, type(None)):
        return value is None
    if hint is int:
        return type(value) is int
    if hint is float:
        return type(value) in (int, float)
    if hint is datetime:
        return isinstance(value, datetime) and value.tzinfo is UTC
    if getattr(hint, "_is_protocol", False):
        return hasattr(value, "plan")
    return isinstance(value, hint)


def refused(kind: type, name: str, value: object) -> str | None:
    """Make a value with one field changed; give the message if it is refused with a ValueError."""
    try:
        kind(**VALID[kind] | {name: value})
    except ValueError as error:
        return str(error)
    return None


def starts_with(message: str, field: str) -> bool:
    return message.startswith((f"{field}: ", f"{field}."))


@pytest.mark.parametrize(
    ("kind", "name"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in FIELDS]
)
def test_a_field_of_a_wrong_kind_is_refused_by_its_name(kind, name):
    assert refused(kind, name, VALID[kind][name]) is None
    hint = hint_of(kind, name)
    for value in JUNK:
        if is_of(value, hint):
            continue
        message = refused(kind, name, value)
        assert message is not None, (kind.__name__, name, value)
        assert starts_with(message, ALIASES.get((kind, name), name)), message


TIME_FIELDS = [
    (kind, name)
    for kind, name in FIELDS
    if datetime in (hint := get_type_hints(kind)[name], *get_args(hint))
]


@pytest.mark.parametrize("at", TIMES)
@pytest.mark.parametrize(
    ("kind", "name"), TIME_FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in TIME_FIELDS]
)
def test_a_time_that_is_not_in_utc_is_refused(kind, name, at):
    assert "expected an aware datetime" in str(refused(kind, name, at))
    assert refused(kind, name, at.astimezone(UTC)) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.datetimes() | st.timedeltas() | st.sampled_from(JUNK[:-3]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    | st.tuples(inner),
    max_leaves=4,
)  # fmt: skip


@given(st.sampled_from(FIELDS), anything)
def test_anything_is_allowed_or_refused_with_a_value_error_that_names_the_field(field, value):
    kind, name = field
    message = refused(kind, name, value)
    if message is None:
        assert is_of(value, hint_of(kind, name))
    elif kind is events.TrainingEnded and name in ("outcome", "failure"):
        assert message.startswith(("outcome: ", "failure: "))
    else:
        assert starts_with(message, ALIASES.get(field, name)) or "retry.backoff_max" in message


@given(st.dictionaries(st.sampled_from(sorted(VALID[Limits])), anything))
def test_limits_name_every_field_that_is_wrong(changes):
    wrong = {name for name, value in changes.items() if refused(Limits, name, value)}
    if not wrong:
        assert Limits(**changes)
        return
    with pytest.raises(InvalidSetting) as caught:
        Limits(**changes)
    assert {problem.field.split(".")[0] for problem in caught.value.problems} == wrong


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_raise_invalid_setting(kind):
    name = next(iter(VALID[kind]))
    with pytest.raises(InvalidSetting) as caught:
        kind(**{name: object()})
    assert [problem.field for problem in caught.value.problems] == [name]


def test_every_public_value_is_walked():
    modules = (jobcore, jobcore.port_values, lifecycle, events, limits, metrics, run)
    public = {
        value
        for module in modules
        for name in module.__all__
        if isinstance(value := getattr(module, name), type) and dataclasses.is_dataclass(value)
    }
    # Made by a step, a plan or the table of transitions, out of checked values.
    made = {
        "Announce", "Attempt", "Change", "Completed", "Failed", "Failure", "GiveUp", "Go", "Held",
        "Hold", "Ignore", "InProgress", "Job", "LaunchTraining", "Launched", "Launching", "Mark",
        "New", "ObserveTraining", "OutboxEntry", "Quota", "Refuse", "Snapshot", "Step",
        "StopRequest", "StopTraining", "Stopped", "Stopping", "TickReport", "TryAgain", "Violation",
    }  # fmt: skip
    assert {kind.__name__ for kind in public - set(VALID)} <= made
    for kind, values in VALID.items():
        names = {field.name for field in dataclasses.fields(kind)}
        left = {name for name in names if (kind, name) not in UNCHECKED}
        assert left == set(values), kind
    assert set(EVENT_TYPES) <= set(VALID)


def test_step_refuses_a_time_that_is_not_in_utc():
    job = jobcore.new_job("0" * 26, Spec(name="n", owner="o", placements=(PLACE,)), now=T0)
    for at in TIMES:
        with pytest.raises(ValueError, match=r"^now: expected an aware datetime"):
            jobcore.step(job, events.TimePassed(), now=at)
    assert jobcore.step(job, events.TimePassed(), now=T0.astimezone(UTC)).job is job


def test_a_message_quotes_no_attribute_that_is_wrong():
    message = VALID[ports.Message] | {"attributes": "s3cr3t"}
    with pytest.raises(ValueError, match="attributes: expected a table") as caught:
        ports.Message(**message)
    assert "s3cr3t" not in str(caught.value)


def test_a_request_has_the_names_of_tags_as_the_job_has_them():
    assert ports.LaunchRequest(**VALID[ports.LaunchRequest] | {"tags": {"": "x"}}).tags == {"": "x"}
