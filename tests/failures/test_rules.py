"""What a document of rules can say, how documents are combined, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobcore import Failure, FailureClass, classify
from jobcore.failures import GENERIC_RULES, Reading, Rule, Rules, normalise, parse_rules
from jobcore.lifecycle import Retryable, Scope
from jobcore.ports import Evidence


def parsed(*entries: Any) -> tuple[Rule, ...]:
    return parse_rules({"rule": list(entries)}).rules


def _verdict(failure: Failure) -> tuple[str, str, str]:
    return (failure.failure_class, failure.retryable, failure.rule)


def test_the_first_match_wins_so_a_users_rule_goes_in_front() -> None:
    mine = parse_rules(
        {
            "rule": [
                {
                    "name": "ours",
                    "class": "capacity",
                    "scope": "pool",
                    "retry": "yes",
                    "pattern": "rate",
                }
            ]
        }
    )
    failure = classify(
        Evidence(where="create", text="Rate exceeded"), mine.in_front_of(GENERIC_RULES)
    )
    assert _verdict(failure) == ("capacity", "yes", "ours")


def test_without_rules_nothing_is_known_and_nothing_is_lost() -> None:
    failure = classify(Evidence(where="create", text="x"), Rules())
    assert _verdict(failure) == ("unknown", "limited", "no rule matched")


# --- rules one by one ---------------------------------------------------------------------


def test_what_a_rule_is_unless_it_says_otherwise():
    (bare,) = parsed({"name": "a", "class": "oom"})
    assert bare == Rule(name="a", failure_class=FailureClass.OOM)
    assert (bare.scope, bare.retryable, bare.where) == (Scope.JOB, Retryable.NO, None)
    assert (bare.codes, bare.statuses, bare.own, bare.pattern, bare.error, bare.quota_fits) == (
        (), (), None, None, None, None,
    )  # fmt: skip


def test_every_field_of_a_rule_is_read():
    entry = {
        "name": "a", "class": "quota", "scope": "pool", "retry": "limited", "where": "create",
        "codes": ["X"], "statuses": ("Y", "Z"), "own": True, "pattern": "p", "error": "e",
        "quota_fits": False,
    }  # fmt: skip
    assert parsed(entry) == (
        Rule(
            name="a",
            failure_class=FailureClass.QUOTA,
            scope=Scope.POOL,
            retryable=Retryable.LIMITED,
            where="create",
            codes=("X",),
            statuses=("Y", "Z"),
            own=True,
            pattern="p",
            error="e",
            quota_fits=False,
        ),
    )
    assert [rule.name for rule in parsed(entry, {**entry, "name": "b"})] == ["a", "b"]
    assert parsed({**entry, "where": "describe"})[0].where == "describe"


BAD = [
    (3, "rule 2: expected a table, got int"),
    ({}, "rule 2: name: give each rule a name (a string)"),
    ({"name": ""}, "rule 2: name: give each rule a name (a string)"),
    ({"name": 3}, "rule 2: name: give each rule a name (a string)"),
    ({"name": "ok"}, "rule 'ok': name: used twice; rule names are unique"),
    ({"name": "a", "class": "oom", "z": 1, "b": 1}, ("rule 'a': b: unknown field; known: class, "
     "codes, error, name, own, pattern, quota_fits, retry, scope, statuses, where")),
    ({"name": "a", "class": 1}, "rule 'a': class: expected a string, got int"),
    ({"name": "a"}, ("rule 'a': class: None is not one of capacity, quota, throttle, "
     "service_internal, spot_interrupted, stopped_by_user, timeout, oom, algorithm, bad_input, "
     "permission, data_access, unknown")),
    ({"name": "a", "class": "oom", "scope": "x"}, "rule 'a': scope: 'x' is not one of job, pool, account"),
    ({"name": "a", "class": "oom", "retry": "x"}, "rule 'a': retry: 'x' is not one of yes, no, limited"),
    ({"name": "a", "class": "oom", "where": "x"}, "rule 'a': where: 'x' is neither 'create' nor 'describe'"),
    ({"name": "a", "class": "oom", "codes": "x"}, "rule 'a': codes: expected a list of strings"),
    ({"name": "a", "class": "oom", "codes": 3}, "rule 'a': codes: expected a list of strings"),
    ({"name": "a", "class": "oom", "statuses": ["x", 1]}, "rule 'a': statuses: expected a list of strings"),
    ({"name": "a", "class": "oom", "quota_fits": "x"}, "rule 'a': quota_fits: expected true or false"),
    ({"name": "a", "class": "oom", "error": 1}, "rule 'a': error: expected a string, got int"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "words"), BAD)
def test_what_is_wrong_with_a_rule_is_told_to_the_word(entry, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        parsed({"name": "ok", "class": "oom"}, entry)


@pytest.mark.parametrize("field", ["pattern", "error"])
def test_a_pattern_is_compiled_when_it_is_read_unless_that_can_wait(field):
    entry = {"name": "a", "class": "oom", field: "("}
    with pytest.raises(
        ValueError, match=rf"^rule 'a': {field}: not a regular expression: missing \)"
    ):
        parsed(entry)
    (rule,) = parse_rules({"rule": [entry]}, compile_patterns=False).rules
    assert getattr(rule, field) == "("


def test_an_error_pattern_looks_at_every_reported_error() -> None:
    rules = parse_rules(
        {"rule": [{"name": "mine", "class": "bad_input", "error": r"mypackage\.configerror: "}]}
    )
    text = 'AlgorithmError: ExecuteUserScriptError: ErrorMessage "mypackage.ConfigError: lr"'
    assert classify(Evidence(where="describe", text=text), rules).rule == "mine"


@pytest.mark.parametrize(("entry", "words"), [
    ("text", "rule 1: expected a table"),
    ({}, "rule 1: name:"),
    ({"name": "a"}, "rule 'a': class:"),
    ({"name": "a", "class": "nope"}, "rule 'a': class: 'nope' is not one of"),
    ({"name": "a", "class": "oom", "retry": "often"}, "rule 'a': retry: 'often'"),
    ({"name": "a", "class": "oom", "scope": "moon"}, "rule 'a': scope: 'moon'"),
    ({"name": "a", "class": "oom", "where": "there"}, "rule 'a': where: 'there'"),
    ({"name": "a", "class": "oom", "codes": "X"}, "rule 'a': codes: expected a list"),
    ({"name": "a", "class": "oom", "codes": [1]}, "rule 'a': codes: expected a list"),
    ({"name": "a", "class": "oom", "pattern": 1}, "rule 'a': pattern: expected a string"),
    ({"name": "a", "class": "oom", "pattern": "("}, "rule 'a': pattern: not a regular expression"),
    ({"name": "a", "class": "oom", "error": "["}, "rule 'a': error: not a regular expression"),
    ({"name": "a", "class": "oom", "quota_fits": 1}, "rule 'a': quota_fits:"),
    ({"name": "a", "class": "oom", "patern": "x"}, "rule 'a': patern: unknown field"),
])  # fmt: skip
def test_a_bad_rule_is_refused_by_name_and_field(entry: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        parsed(entry)


def test_a_name_used_twice_is_refused() -> None:
    entry = {"name": "a", "class": "oom"}
    with pytest.raises(ValueError, match="used twice"):
        parsed(entry, entry)


# --- patterns and fragments --------------------------------------------------------------


def test_a_pattern_may_be_a_list_of_alternatives():
    (rule,) = parsed({"name": "a", "class": "oom", "pattern": ["a|b", "c"], "error": ["x"]})
    assert (rule.pattern, rule.error) == ("(?:a|b|c)", "(?:x)")


def test_fragments_are_put_into_patterns():
    document = {
        "fragments": {"a": "x|y", "b": ["{{a}}z", "q"]},
        "reading": {"wrappers": ["w{{a}}"], "not_codes": ["{{A}}"]},
        "rule": [{"name": "n", "class": "oom", "pattern": "{{b}}{2}", "error": ["{{a}}", "{{b}}"]}],
    }
    rules = parse_rules(document)
    a, b = "(?:x|y)", "(?:(?:(?:x|y)z|q))"
    assert rules.fragments == {"a": a, "b": b}
    assert rules.rules[0].pattern == b + "{2}"
    assert rules.rules[0].error == f"(?:{a}|{b})"
    assert rules.reading == Reading(wrappers=(f"w{a}",), not_codes=("{{a}}",))


def test_fragments_of_the_rules_behind_may_be_used_and_replaced():
    base = parse_rules({"fragments": {"a": "x", "b": "y"}})
    document = {
        "fragments": {"b": "{{b}}{{a}}"},
        "rule": [{"name": "n", "class": "oom", "pattern": "{{a}}{{b}}"}],
    }
    assert parse_rules(document, base).rules[0].pattern == "(?:x)(?:(?:y)(?:x))"
    assert base.fragments["b"] == "(?:y)"


# --- rules of the base ---------------------------------------------------------------------

BASE = parse_rules(
    {
        "reading": {"wrappers": ["behind "], "own_words": ["user"]},
        "rule": [{"name": n, "class": "oom"} for n in ("one", "two", "three")],
    }
)


def test_a_document_stands_in_front_of_its_base():
    document = {
        "reading": {"wrappers": ["front "], "own_words": ["user", "me"]},
        "rule": [{"name": "mine", "class": "oom"}],
    }
    rules = parse_rules(document, BASE)
    assert [rule.name for rule in rules.rules] == ["mine", "one", "two", "three"]
    assert rules.reading == Reading(wrappers=("front ", "behind "), own_words=("user", "me"))
    assert normalise("front behind x", rules) == "x"


def test_a_rule_of_the_base_is_moved_to_where_it_is_used():
    entries = [{"use": "three"}, {"name": "mine", "class": "oom"}, {"use": "one"}]
    rules = parse_rules({"rule": entries}, BASE)
    assert [rule.name for rule in rules.rules] == ["three", "mine", "one", "two"]
    assert rules.rules[0] == BASE.rules[2]


def test_a_users_rule_may_have_the_name_of_another():
    rules = parse_rules({"rule": [{"name": "one", "class": "quota"}]}, BASE)
    assert [rule.failure_class for rule in rules.rules] == ["quota", "oom", "oom", "oom"]
    again = parse_rules({"rule": [{"use": "one"}]}, rules)
    assert again.rules[0].failure_class == "quota", "the one that decides"


def test_documents_are_combined_without_doubles():
    front = parse_rules({"rule": [{"use": "two"}]}, BASE)
    assert front.in_front_of(BASE).rules == front.rules
    assert Rules().in_front_of(BASE).rules == BASE.rules


def test_an_empty_document_changes_nothing():
    rules = parse_rules({}, BASE)
    assert (rules.rules, rules.reading) == (BASE.rules, BASE.reading)
    assert parse_rules({}).rules == ()


# --- what is refused -----------------------------------------------------------------------

BAD_DOCUMENTS = [
    ([], "expected a table with fragments, reading and rule, got list"),
    ({"rules": []}, "rules: unknown field; known: fragments, reading, rule"),
    ({"rule": {"name": "a"}}, "rule: expected a list of tables ([[rule]])"),
    ({"rule": "a"}, "rule: expected a list of tables ([[rule]])"),
    ({"fragments": []}, "fragments: expected a table, got list"),
    ({"fragments": {"a": 1}}, "fragments: a: expected a string, got int"),
    ({"fragments": {"a": "{{b}}", "b": "x"}}, "fragments: a: there is no fragment {{b}}; known: none"),
    ({"fragments": {"a": "x", "b": "{{c}}"}}, "fragments: b: there is no fragment {{c}}; known: a"),
    ({"reading": []}, "reading: expected a table, got list"),
    ({"reading": {"wrapers": []}}, ("reading: wrapers: unknown field; known: codes, not_codes, own_words, "
     "preamble, quotas, wrappers")),
    ({"reading": {"opening": "x"}}, ("reading: opening: unknown field; known: codes, not_codes, own_words, "
     "preamble, quotas, wrappers")),
    ({"reading": {"wrappers": "x"}}, "reading: wrappers: expected a list of strings"),
    ({"reading": {"wrappers": ["{{x}}"]}}, "reading: wrappers: there is no fragment {{x}}; known: none"),
    ({"reading": {"wrappers": ["x", "("]}}, "reading: wrappers: not a regular expression: missing ), unterminated subpattern at position 0"),
    ({"reading": {"wrappers": ["x*"]}}, "reading: wrappers: 'x*' matches an empty text, and so every text"),
    ({"reading": {"wrappers": ["$"]}}, "reading: wrappers: '$' matches an empty text, and so every text"),
    ({"reading": {"own_words": [""]}}, "reading: own_words: '' matches an empty text, and so every text"),
    ({"reading": {"codes": ["x"]}}, "reading: codes: the group (?P<code>...) is missing in 'x'"),
    ({"reading": {"quotas": ["(?P<limit>x)(?P<requested>y)"]}},
     "reading: quotas: the group (?P<used>...) is missing in '(?P<limit>x)(?P<requested>y)'"),
    ({"rule": [{"name": "a", "class": "oom", "pattern": "{{x}}"}]},
     "rule 'a': pattern: there is no fragment {{x}}; known: none"),
    ({"rule": [{"name": "a", "class": "oom", "pattern": ["x", 1]}]},
     "rule 'a': pattern: expected a string, got list"),
    ({"rule": [{"name": "a", "class": "oom", "error": ["(", "x"]}]},
     "rule 'a': error: not a regular expression: missing ), unterminated subpattern at position 0"),
    ({"rule": [{"name": "a", "class": "oom", "own": "yes"}]}, "rule 'a': own: expected true or false"),
    ({"rule": [{"use": ""}]}, "rule 1: use: give each rule a name (a string)"),
    ({"rule": [{"use": "x"}]}, "rule 'x': use: there is no such rule to put here; known: none"),
    ({"rule": [{"use": "x", "class": "oom"}]},
     "rule 'x': use: puts the rule here as it is; remove the other fields"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "words"), BAD_DOCUMENTS)
def test_what_is_wrong_with_a_document_is_told_to_the_word(document, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        parse_rules(document)


def test_a_rule_is_used_once():
    with pytest.raises(ValueError, match=r"^rule 'one': use: used twice; rule names are unique$"):
        parse_rules({"rule": [{"use": "one"}, {"use": "one"}]}, BASE)


def test_own_words_that_do_not_go_together_are_refused():
    with pytest.raises(
        ValueError, match="own_words: not a regular expression: redefinition of group"
    ):
        parse_rules({"reading": {"own_words": ["(?P<a>x)", "(?P<a>y)"]}})
