"""The classifier's parts one by one: where a code may stand, what is removed, where each bound is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import Failure, FailureClass, classify
from jobcore.failures import GENERIC_RULES, Reading, Rule, Rules, find_quota, normalise
from jobcore.failures.classify import reported_errors
from jobcore.lifecycle import Quota, Retryable, Scope
from jobcore.ports import Evidence

CODED = Rule(name="coded", failure_class=FailureClass.THROTTLE, codes=("MyCode",))


def matched(rules: Rules, text="", **fields) -> str:
    """The name of the rule that decides."""
    evidence = Evidence(**{"where": "create", **fields, "text": text})
    return classify(evidence, rules).rule


def read(**reading) -> Rules:
    """Rules that look for one code, and read texts so."""
    return Rules((CODED,), Reading(**reading))


# --- the code ------------------------------------------------------------------------------------

BRACKETS = r".*?\[code (?P<code>\w+)\]"
LEADING = r"(?P<code>\w+): ?"


def test_a_code_that_is_given_is_trimmed_and_folded():
    assert matched(read(), error_code=" MyCODE ") == "coded"
    assert matched(read(), error_code="Other") == "no rule matched"


def test_a_code_is_found_where_a_pattern_says():
    rules = read(codes=(BRACKETS, LEADING))
    assert matched(rules, "it failed [code MyCode]") == "coded"
    assert matched(rules, "MyCode: it failed") == "coded"
    assert matched(rules, "it failed: MyCode") == "no rule matched"
    assert matched(rules, "MyCode: it failed [code Other]") == "no rule matched", (
        "the first pattern"
    )
    assert matched(rules, "MyCode: it failed", error_code="Other") == "no rule matched", "as given"


def test_a_name_that_is_no_code_gives_way():
    rules = read(codes=(BRACKETS, LEADING), not_codes=("vague",))
    assert matched(rules, "MyCode: x", error_code="Vague") == "coded"
    assert matched(rules, "MyCode: x [code vague]") == "coded"
    vague = Rules((replace(CODED, codes=("Vague",)),), rules.reading)
    assert matched(vague, "x", error_code="Vague") == "coded", "there is no better one"
    assert matched(vague, "Vague: x") == "no rule matched", "a text's vague name is a word of it"


def test_a_group_that_took_no_part_is_no_code():
    rules = read(codes=(r"(?P<code>zz)?my", LEADING))
    assert matched(rules, "MyCode: x") == "coded"


# --- wrappers ------------------------------------------------------------------------------------

JOB = r"job \S+ failed: ?"
SAID = r"said (?P<code>\w+), "


def test_wrappers_are_removed_one_inside_the_other():
    rules = read(wrappers=(JOB, SAID))
    assert normalise("Job 1 failed: job 2  FAILED: said X, Why", rules) == "why"
    assert normalise("why: job 2 failed: x", rules) == "why: job 2 failed: x", "only in front"


@pytest.mark.parametrize("times", [1, 8, 9])
def test_up_to_eight_wrappers_are_removed(times):
    text = normalise("job 1 failed: " * times + "x", read(wrappers=(JOB,)))
    assert text == "job 1 failed: " * (times - 8) + "x"


def test_the_innermost_wrapper_that_tells_a_code_decides():
    rules = read(wrappers=(JOB, SAID), codes=(LEADING,))
    assert matched(rules, "said MyCode, x") == "coded"
    assert matched(rules, "said Other, said MyCode, x") == "coded"
    assert matched(rules, "said MyCode, job 1 failed: x") == "coded"
    assert matched(rules, "said MyCode, Other: x") == "coded", "before what the text has"
    assert matched(rules, "said MyCode, x", error_code="Other") == "no rule matched"


def test_a_text_is_cut_after_2048_characters_of_what_is_left():
    rules = read(wrappers=(JOB,))
    assert normalise("x" * 2047 + "yz", rules) == "x" * 2047 + "y"
    assert normalise("job 1 failed: " * 3 + "x" * 5000, rules) == "x" * 2048
    assert len(normalise(f"job {'n' * 700} failed: " * 8 + "x" * 9000, rules)) == 2048


# --- the training's own words --------------------------------------------------------------------


def test_a_text_of_the_training_is_not_unwrapped_and_gives_no_code():
    rules = read(wrappers=(JOB, SAID), codes=(LEADING,), own_words=("user",))
    assert matched(rules, "said MyCode, x") == "coded"
    for text in ("user said MyCode, x", "user: said MyCode, x", "user: job 1 failed: MyCode: x"):
        assert matched(rules, text) == "no rule matched"
        assert normalise(text, rules) == text.casefold()
    assert matched(rules, "job 1 failed: user: said MyCode, x") == "no rule matched"
    assert matched(rules, "users: x") == "no rule matched"
    assert matched(read(codes=(LEADING,)), "user: MyCode") == "no rule matched"


@pytest.mark.parametrize(
    ("own", "text", "is_matched"),
    [
        (True, "user: it broke", True),
        (True, "user: user code: it broke", True),
        (True, "it broke", False),
        (True, "user: so it broke", False),
        (True, "users: it broke", False),
        (False, "it broke", True),
        (False, "user: it broke", False),
        (None, "it broke", True),
        (None, "user: it broke", False),
    ],
)
def test_a_rule_about_own_words_looks_behind_them(own, text, is_matched):
    rule = replace(CODED, codes=(), own=own, pattern="it broke")
    rules = Rules((rule,), Reading(own_words=("user code", "user")))
    assert (matched(rules, text) == "coded") is is_matched


def test_without_own_words_no_text_is_the_trainings():
    rules = Rules(
        (replace(CODED, codes=(), own=True), replace(CODED, codes=(), own=False, name="b"))
    )
    assert matched(rules, "Traceback (most recent call last): x") == "b"


def test_errors_are_looked_for_behind_own_words_and_preamble():
    rules = read(own_words=("user code",), preamble=(r"exit \d+",))
    found = reported_errors("user code: exit 3, 'it broke: keyerror: 1", rules)
    assert found == ("it broke: keyerror: 1", "keyerror: 1")


# --- quotas --------------------------------------------------------------------------------------

LIMITED = r"(?P<name>\w+) allows (?P<limit>\S+), (?P<used>\d+) in use, (?P<requested>\d+)(?: more)?"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_quota_sentence_is_read_to_the_number(limit, used, requested):
    quota = find_quota(
        f"Pool allows {limit}, {used} in use, {requested} more", read(quotas=(LIMITED,))
    )
    assert quota == Quota(name="pool", limit=limit, used=used, requested=requested)


@pytest.mark.parametrize("limit", ["x", "9" * 5000])
def test_a_quota_whose_numbers_are_none_is_no_quota(limit):
    rules = read(quotas=(LIMITED,))
    assert find_quota(f"pool allows {limit}, 1 in use, 1", rules) is None
    assert matched(rules, f"pool allows {limit}, 1 in use, 1") == "no rule matched"


def test_a_quota_whose_numbers_are_none_leaves_the_text_to_the_next_pattern():
    words = r"(?P<limit>\w+) (?P<used>\w+) (?P<requested>\w+)"
    quota = find_quota("pool allows 8, 7 in use, 2", read(quotas=(words + ".*", LIMITED)))
    assert quota == Quota(name="pool", limit=8, used=7, requested=2)


def test_a_rule_may_ask_whether_the_request_could_ever_fit():
    for fits, expected in ((True, [True, False, False]), (False, [False, True, False])):
        rule = replace(CODED, codes=(), quota_fits=fits)
        rules = Rules((rule,), Reading(quotas=(LIMITED,)))
        texts = ("pool allows 1, 1 in use, 1", "pool allows 1, 0 in use, 2", "x")
        assert [matched(rules, text) == "coded" for text in texts] == expected


# --- the form of a text --------------------------------------------------------------------------


@given(st.text())
def test_a_normal_text_is_in_one_line_of_lower_case(text):
    line = normalise(text, GENERIC_RULES)
    assert len(line) <= 2048
    assert "  " not in line
    assert not re.search(r"[\n\t\r]", line)


# --- errors that a text reports ----------------------------------------------------------------


def test_the_last_32_names_are_looked_at():
    text = " ".join(f"e{n}error: x" for n in range(40))
    found = reported_errors(text, GENERIC_RULES)
    assert len(found) == 1 + 32
    assert found[0] == text
    assert found[1].startswith("e8error:")
    assert found[-1] == "e39error: x"
    few = reported_errors("aerror: x berror: y", GENERIC_RULES)
    assert few == ("aerror: x berror: y", "berror: y")


# --- rules -----------------------------------------------------------------------------------------


@given(
    st.text(max_size=1100),
    st.sampled_from(FailureClass),
    st.sampled_from(Scope),
    st.sampled_from(Retryable),
)
def test_a_failure_is_what_its_rule_says_and_what_was_written(text, kind, scope, retryable):
    rule = Rule(name="mine", failure_class=kind, scope=scope, retryable=retryable)
    evidence = Evidence(where="describe", text=text)
    expected = Failure(
        failure_class=kind, scope=scope, retryable=retryable, rule="mine", text=text[:1024]
    )
    assert classify(evidence, Rules((rule,)).in_front_of(GENERIC_RULES)) == expected
    never = replace(rule, name="never", where="create")
    assert classify(evidence, Rules((never, rule))) == expected, "the first that matches"
    assert classify(evidence, Rules((rule, replace(rule, name="later")))) == expected
    assert classify(evidence, Rules()) == Failure(
        failure_class=FailureClass.UNKNOWN,
        scope=Scope.JOB,
        retryable=Retryable.LIMITED,
        rule="no rule matched",
        text=text[:1024],
    )


@pytest.mark.parametrize(("length", "kept"), [(1023, 1023), (1024, 1024), (1025, 1024)])
def test_a_failure_keeps_1024_characters(length, kept):
    assert len(classify(Evidence(where="x", text="x" * length), Rules()).text) == kept


def test_all_quotation_marks_are_alike():
    assert normalise("\u2018a\u2019 \u201cb\u201d \u00b4c\u00b4", GENERIC_RULES) == "'a' \"b\" 'c'"


@pytest.mark.parametrize("field", ["status", "secondary_status"])
def test_either_status_may_be_the_one(field):
    rule = replace(CODED, codes=(), statuses=("Failed", "Gone"))
    assert classify(Evidence(where="describe", **{field: "GONE"}), Rules((rule,))).rule == "coded"
    assert classify(Evidence(where="describe", **{field: "Other"}), Rules((rule,))).rule != "coded"
    assert classify(Evidence(where="describe"), Rules((rule,))).rule != "coded"


def test_patterns_begin_where_the_text_does_and_may_span_lines():
    rule = replace(CODED, codes=(), pattern="a.*z")
    matched = [
        classify(Evidence(where="x", text=t), Rules((rule,))).rule for t in ("a\nz", "ba z", "A  Z")
    ]
    assert matched == ["coded", "no rule matched", "coded"]
    inner = replace(CODED, codes=(), error="b")
    texts = ("aerror: x berror: y", "aerror: x cerror: b", "berror")
    matched = [
        classify(Evidence(where="x", text=t), Rules((inner,))).rule == "coded" for t in texts
    ]
    assert matched == [True, False, True]


@pytest.mark.parametrize(("length", "cut"), [(200, False), (201, True)])
def test_a_headline_has_200_characters_at_most(length, cut):
    failure = classify(Evidence(where="x", text="a" * length), Rules())
    assert len(failure.headline) == 200
    assert failure.headline.endswith("…") == cut
    spaced = classify(Evidence(where="x", text=" a \n b "), Rules())
    assert spaced.headline == "a b"


def test_every_condition_of_a_rule_must_hold() -> None:
    rule = Rule(
        name="r",
        failure_class=FailureClass.DATA_ACCESS,
        where="describe",
        codes=("A",),
        statuses=("Failed",),
        pattern="x",
        error="valueerror: y",
    )
    whole: dict[str, Any] = {
        "where": "describe", "error_code": "a", "status": "FAILED", "text": "X ValueError: y",
    }  # fmt: skip
    assert classify(Evidence(**whole), Rules((rule,))).rule == "r"
    for field, other in (
        ("where", "create"), ("error_code", "b"), ("status", None), ("text", "X ValueError: z"),
        ("text", "ValueError: y"),
    ):  # fmt: skip
        failure = classify(Evidence(**{**whole, field: other}), Rules((rule,)))
        assert failure.rule == "no rule matched", field


def test_classify_remembers_by_rules_and_evidence():
    other = Rules((replace(CODED, name="other"),))
    evidence = Evidence(where="create", error_code="MyCode", text="x")
    assert [classify(evidence, rules).rule for rules in (Rules((CODED,)), other)] == [
        "coded",
        "other",
    ]
    assert classify(evidence, other) is classify(evidence, other)
