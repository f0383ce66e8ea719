"""The words of the checks that values run: what was expected, and what was got."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest

from jobcore import InvalidSetting
from jobcore.checks import (
    JSON_DEPTH_MAX,
    described,
    if_given,
    kind_of,
    refuse,
    refuse_setting,
    wrong_duration,
    wrong_flag,
    wrong_in,
    wrong_json,
    wrong_kind,
    wrong_number,
    wrong_optional_string,
    wrong_secret,
    wrong_string,
    wrong_table,
    wrong_text,
    wrong_time,
    wrong_whole,
)

S = timedelta(seconds=1)
EAST = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))
HALF = "contains a lone surrogate, which is half a character; remove it"
NUL = "contains a NUL character; remove it"


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (wrong_whole(1), None),
        (wrong_whole(-1, -1, 1), None),
        (wrong_whole(1, -1, 1), None),
        (wrong_whole(True), "expected a whole number, got true or false (True)"),
        (wrong_whole("1", 0), "expected a whole number of 0 or more, got a string ('1')"),
        (wrong_whole(1.0, 2), "expected a whole number of at least 2, got 1.0"),
        (wrong_whole(None, 1, 1000), "expected a whole number from 1 to 1,000, got None"),
        (wrong_whole(1001, 1, 1000), "expected 1 to 1,000, got 1001"),
        (wrong_whole(0, 1), "expected at least 1, got 0"),
        (wrong_whole(-1, 0), "expected 0 or more, got -1"),
        (wrong_whole(9, None, 8), "expected at most 8, got 9"),
        (wrong_whole(10**5000, 0, 1), "expected 0 to 1, got a number too long to show"),
        (wrong_number(0.5, 0.5, 1), None),
        (wrong_number(1, 0.5, 1), None),
        (wrong_number(0.4, 0.5, 1e6), "expected 0.5 to 1,000,000, got 0.4"),
        (wrong_number(1.5, 0, 1), "expected 0 to 1, got 1.5"),
        (wrong_number(math.nan, 0, 1), "expected 0 to 1, got nan"),
        (wrong_number(True, 0, 1), "expected a number from 0 to 1, got true or false (True)"),
        (wrong_number("1", 0, 1), "expected a number from 0 to 1, got a string ('1')"),
        (wrong_text("ä"), None),
        (wrong_text("", "a name"), "expected a name, got nothing"),
        (wrong_text("", empty=True), None),
        (wrong_text(3, "a name"), "expected a name, got 3"),
        (wrong_text(b"x"), "expected text, got b'x'"),
        (wrong_text("a\0"), NUL),
        (wrong_text("\ud800"), HALF),
        (wrong_secret(["s"]), "expected text, got a list"),
        (wrong_secret(""), None),
        (wrong_string("\ud800\0"), None),
        (wrong_string(None), "expected text, got None"),
        (wrong_optional_string(None), None),
        (wrong_optional_string(3), "expected text, got 3"),
        (wrong_flag(False), None),  # noqa: FBT003
        (wrong_flag(0), "expected true or false, got 0"),
        (wrong_kind(3, int, "a number"), None),
        (wrong_kind([], int, "a number"), "expected a number, got a list ([])"),
        (wrong_table({}), None),
        (wrong_table(MappingProxyType({})), None),
        (wrong_table([1]), "expected a table, got a list ([1])"),
        (wrong_table([1], secret=True), "expected a table, got a list"),
        (wrong_time(EAST.astimezone(UTC)), None),
        (wrong_time(EAST), "expected an aware datetime in UTC, got 2026-01-01T00:00:00+02:00; convert it with astimezone(UTC)"),
        (wrong_time(EAST.replace(tzinfo=None)), "expected an aware datetime (UTC), got a naive one"),
        (wrong_time(3), "expected an aware datetime (UTC), got 3"),
        (wrong_duration(0 * S), None),
        (wrong_duration(S, S, S), None),
        (wrong_duration(-S), "expected 0 or more, got -1 second"),
        (wrong_duration(0 * S, S), "expected at least 1 second, got 0 seconds"),
        (wrong_duration(S / 2, S), "expected at least 1 second, got 0.5 seconds"),
        (wrong_duration(120 * S, most=60 * S), "expected at most 1 minute, got 2 minutes"),
        (wrong_duration(7200 * S, most=3600 * S), "expected at most 1 hour, got 2 hours"),
        (wrong_duration(86400 * S, most=S), "expected at most 1 second, got 1 day"),
        (wrong_duration(3), "expected a duration, got 3"),
        (if_given(wrong_whole, None, 1), None),
        (if_given(wrong_whole, 0, 1), "expected at least 1, got 0"),
        (wrong_json({"a": [None, True, 1, 1.5, "x", {"": []}]}), None),
        (wrong_json("\udcff"), None),
        (wrong_json(["\0"]), NUL),
        (wrong_json({"\0": 1}), NUL),
        (wrong_json({"a": {1: 2}}), "not JSON data: a name is not a text; put it in quotation marks"),
        (wrong_json([math.inf]), "not JSON data: only texts, numbers, lists and tables are"),
        (wrong_json((1,)), "not JSON data: only texts, numbers, lists and tables are"),
        (wrong_json(nested(JSON_DEPTH_MAX)), None),
        (wrong_json(nested(JSON_DEPTH_MAX + 1)), "nested more than 200 levels deep"),
        (kind_of({}), "a table"),
        (kind_of(1.5), "a number"),
        (kind_of(None), "NoneType"),
        (described("x" * 50), "a string ('" + "x" * 38 + "…)"),
        (described("x" * 38), "a string ('" + "x" * 38 + "')"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(said, message):
    assert said == message


def test_the_entries_of_a_table_are_named():
    def check(value):
        return wrong_whole(value, 0)

    assert wrong_in("pools", {"a": 0, "b": 1}, check) == {}
    found = wrong_in("pools", {"a": -1, "b": 1, "c" * 50: "x", "": 1}, check)
    assert list(found) == ["pools.a", "pools." + "c" * 40, "pools."]
    assert found["pools."] == "expected a name, got nothing"
    assert wrong_in("pools", {"": 1}, check, name=wrong_string) == {}
    assert wrong_in("tags", "secret", check, secret=True) == {
        "tags": "expected a table, got a string"
    }


def test_the_first_field_is_refused_and_settings_with_all():
    refuse(a=None, b=None)
    refuse_setting(a=None)
    with pytest.raises(ValueError, match=r"^b: wrong$"):
        refuse(a=None, b="wrong", c="too")
    with pytest.raises(InvalidSetting) as caught:
        refuse_setting(a=None, b="wrong", c="too")
    assert [str(problem) for problem in caught.value.problems] == ["b: wrong", "c: too"]
