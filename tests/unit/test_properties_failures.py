"""The classifier's parts one by one: where a code may stand, what is taken off, where each bound is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import Failure, FailureClass, classify
from jobcore.failures import DEFAULT_RULES, Rule, normalise, parse_quota, parse_rules
from jobcore.failures.classify import reported_errors
from jobcore.lifecycle import Quota, Retryable, Scope
from jobcore.ports import Evidence

CODED = Rule(name="coded", failure_class=FailureClass.THROTTLE, codes=("MyCode",))
JAVA = "Slow down (Service: SageMaker; Status Code: 400; Error Code: {}; Request ID: 1)"
GO = (
    "operation error SageMaker: CreateTrainingJob, https response error StatusCode: 400, "
    "RequestID: 1, api error {}: slow down"
)
BOTO = "An error occurred ({}) when calling the CreateTrainingJob operation: slow down"


def codes(text="", code=None) -> bool:
    """Whether the code is found."""
    evidence = Evidence(where="create", error_code=code, text=text)
    return classify(evidence, (CODED,)).rule == "coded"


@pytest.mark.parametrize("frame", [JAVA, GO, BOTO, "{}: slow down", "a.b.{}: slow down", "{}:"])
def test_a_code_is_found_where_sdks_write_it(frame):
    assert codes(frame.format("MyCode"))
    assert codes(frame.format("mycode"))
    assert not codes(frame.format("Other"))
    assert codes(frame.format("Other"), "MyCode"), "the one that is given comes first"
    assert not codes(frame.format("MyCode"), "Other")


@pytest.mark.parametrize(
    "vague", ["", " ", "ClientError", "Exception", "error", "Unknown", "BotoCoreError"]
)
def test_a_code_that_says_nothing_gives_way(vague):
    assert codes(BOTO.format("MyCode"), vague)
    assert codes("MyCode: slow down", vague)
    assert codes(JAVA.format("MyCode"), vague)
    assert not codes("slow down", vague)
    rule = replace(CODED, codes=(vague.strip() or "x",))
    assert (
        classify(Evidence(where="create", error_code=vague, text="x"), (rule,)).rule == "coded"
    ) == bool(vague.strip())


def test_a_word_that_says_nothing_is_no_code_of_a_text():
    rule = replace(CODED, codes=("ClientError", "Error"))
    for text in ("ClientError: x", "Error: x"):
        assert classify(Evidence(where="create", text=text), (rule,)).rule != "coded"
    assert Evidence(where="x") == Evidence(
        where="x", error_code=None, status=None, secondary_status=None, text=""
    )


def test_a_code_that_is_given_is_trimmed():
    assert codes("", " MyCode ")


@pytest.mark.parametrize(
    "own",
    [
        "AlgorithmError: ",
        "ExecuteUserScriptError: ",
        "Framework Error: ",
        "Traceback (most recent call last): ",
    ],
)
def test_what_a_training_writes_is_no_code_of_the_service(own):
    assert not codes(own + JAVA.format("MyCode"))
    assert not codes(own + BOTO.format("MyCode"))
    assert normalise(own + "Error: Failed. Reason: x").endswith("reason: x")


def test_a_wrapper_may_tell_the_code_and_what_it_wraps_may_tell_a_better_one():
    inner = "ClientError: Failed to invoke sagemaker:CreateTrainingJob. Error Details: "
    assert normalise(inner + "slow down") == "slow down"
    assert codes(inner + BOTO.format("MyCode"))
    assert codes(BOTO.format("MyCode") + ", Failed. Reason: x")
    assert codes("Failed. Reason: " + BOTO.format("MyCode"))
    assert codes(inner + JAVA.format("MyCode"))
    assert codes(inner + "MyCode: slow down")
    none = replace(CODED, codes=("",))
    assert classify(Evidence(where="create", text="x"), (none,)).rule == "no rule matched"
    vague = replace(CODED, codes=("ClientError",))
    assert classify(Evidence(where="create", text=inner + "x"), (vague,)).rule == "coded"


WRAPPED = [
    "Error for Training job abc: Failed. Reason: {}",
    "UnexpectedStatusException: Error for Training job abc: Failed. Reason: {}",
    "Error hosting endpoint abc: Failed. Reason: {}",
    "my-job.1: failed reason: {}",
    "Encountered unexpected failed state for job abc: Failed. Failure reason: {}",
    "AirflowException: SageMaker job failed because {}",
    "Received status from SageMaker: {}",
    "Failed. Reason: {}",
    "Failed for reason: '{}",
    "FailureReason: {}",
    "Failure reason {}",
    BOTO.replace("slow down", "{}").replace("({})", "(X)", 1),
    GO.replace("{}", "X").replace("slow down", "{}"),
]


@pytest.mark.parametrize("frame", WRAPPED)
def test_what_others_put_in_front_is_taken_off(frame):
    assert normalise(frame.format("CapacityError: no room")) == "capacityerror: no room"


@pytest.mark.parametrize("times", [1, 8, 9])
def test_up_to_eight_wrappers_are_taken_off(times):
    assert normalise("Failed. Reason: " * times + "x") == "failed. reason: " * (times - 8) + "x"


def test_a_text_is_cut_after_2048_characters_of_what_is_left():
    assert normalise("x" * 2047 + "yz") == "x" * 2047 + "y"
    wrapper = "Failed. Reason: "
    assert normalise(wrapper * 3 + "x" * 5000) == "x" * 2048
    assert len(normalise(wrapper * 8 + "x" * 9000)) == 2048
    long = "Error for training job " + "n" * 190 + ": Failed. Reason: "
    assert len(normalise(long * 8 + "x" * 9000)) == 2048
    assert normalise("x y " * 2000).endswith(" y ")


@given(st.text())
def test_a_normal_text_is_in_one_line_of_lower_case(text):
    line = normalise(text)
    assert len(line) <= 2048
    assert "  " not in line
    assert not re.search(r"[\n\t\r]", line)


# --- errors that a text reports ----------------------------------------------------------------


def test_the_last_32_names_are_looked_at():
    text = " ".join(f"e{n}error: x" for n in range(40))
    found = reported_errors(text)
    assert len(found) == 1 + 32
    assert found[0] == text
    assert found[1].startswith("e8error:")
    assert found[-1] == "e39error: x"
    few = reported_errors("aerror: x berror: y")
    assert few == ("aerror: x berror: y", "berror: y")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("algorithmerror: valueerror: x", ["valueerror: x"]),
        ('exitcode 1 errormessage "keyerror: 1"', ['keyerror: 1"']),
        ("it said torch.cuda.outofmemoryerror: x", ["it said", "torch.cuda.outofmemoryerror: x"]),
        ("std::bad_alloc", ["std::bad_alloc"]),
        ("x systemexit: 1", ["x", "systemexit: 1"]),
        ("keyboardinterrupt", ["keyboardinterrupt"]),
        ("a stopiteration", ["a", "stopiteration"]),
        ("my_valueerror_handler: x", ["my_valueerror_handler"]),
    ],
)
def test_names_of_errors(text, names):
    found = reported_errors(text)
    assert len(found) == len(names)
    assert all(one.startswith(name) for one, name in zip(found, names, strict=True))


# --- quotas ---------------------------------------------------------------------------------------

SENTENCE = (
    "The {kind}-level service limit {name} is {limit} Instances, with current utilization of {used} "
    "Instances and a request delta of {delta} Instances. Please contact support."
)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_a_quota_sentence_is_read_to_the_number(limit, used, delta, old):
    name = "for training-job/ml.p2.xlarge" if old else "'ml.p2.xlarge for training'"
    text = SENTENCE.format(kind="account", name=name, limit=limit, used=used, delta=delta)
    quota = parse_quota(text)
    label = "training-job/ml.p2.xlarge" if old else "ml.p2.xlarge for training"
    assert quota == Quota(name=label, limit=limit, used=used, requested=delta)
    assert quota.can_ever_fit == (delta <= limit)
    for code in ("ResourceLimitExceeded", "ResourceLimitExceededException"):
        assert parse_quota(f"{code}: {text}") == quota
    assert parse_quota(f"SomethingElse: {text}") is None
    assert parse_quota(BOTO.format("ResourceLimitExceeded").replace("slow down", text)) == quota
    assert parse_quota(text.replace("account-level", "resource-level")) == quota


def test_a_quota_may_have_no_name():
    text = SENTENCE.format(kind="account", name="''", limit=1, used=0, delta=1)
    assert parse_quota(text).name == ""


def test_a_rule_may_ask_whether_the_request_could_ever_fit():
    fits = replace(CODED, codes=(), quota_fits=True)
    never = replace(CODED, codes=(), quota_fits=False)
    small = SENTENCE.format(kind="account", name="'x'", limit=1, used=0, delta=1)
    large = SENTENCE.format(kind="account", name="'x'", limit=1, used=0, delta=2)

    def matched(text, rule):
        return classify(Evidence(where="create", text=text), (rule,)).rule == "coded"

    assert [matched(text, fits) for text in (small, large, "x")] == [True, False, False]
    assert [matched(text, never) for text in (small, large, "x")] == [False, True, False]
    assert matched("ResourceLimitExceeded: " + small, fits)


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
    assert classify(evidence, (rule, *DEFAULT_RULES)) == expected
    never = replace(rule, name="never", where="create")
    assert classify(evidence, (never, rule)) == expected, "the first that matches"
    assert classify(evidence, (rule, replace(rule, name="later"))) == expected
    assert classify(evidence, ()) == Failure(
        failure_class=FailureClass.UNKNOWN,
        scope=Scope.JOB,
        retryable=Retryable.LIMITED,
        rule="no rule matched",
        text=text[:1024],
    )


@pytest.mark.parametrize(("length", "kept"), [(1023, 1023), (1024, 1024), (1025, 1024)])
def test_a_failure_keeps_1024_characters(length, kept):
    assert len(classify(Evidence(where="x", text="x" * length), ()).text) == kept


def test_all_quotation_marks_are_alike():
    assert normalise("\u2018a\u2019 \u201cb\u201d \u00b4c\u00b4") == "'a' \"b\" 'c'"


@pytest.mark.parametrize("field", ["status", "secondary_status"])
def test_either_status_may_be_the_one(field):
    rule = replace(CODED, codes=(), statuses=("Failed", "Gone"))
    assert classify(Evidence(where="describe", **{field: "GONE"}), (rule,)).rule == "coded"
    assert classify(Evidence(where="describe", **{field: "Other"}), (rule,)).rule != "coded"
    assert classify(Evidence(where="describe"), (rule,)).rule != "coded"


def test_patterns_begin_where_the_text_does_and_may_span_lines():
    rule = replace(CODED, codes=(), pattern="a.*z")
    matched = [
        classify(Evidence(where="x", text=t), (rule,)).rule for t in ("a\nz", "ba z", "A  Z")
    ]
    assert matched == ["coded", "no rule matched", "coded"]
    inner = replace(CODED, codes=(), error="b")
    texts = ("aerror: x berror: y", "aerror: x cerror: b", "berror")
    matched = [classify(Evidence(where="x", text=t), (inner,)).rule == "coded" for t in texts]
    assert matched == [True, False, True]


def test_what_a_rule_is_unless_it_says_otherwise():
    (bare,) = parse_rules([{"name": "a", "class": "oom"}])
    assert bare == Rule(name="a", failure_class=FailureClass.OOM)
    assert (bare.scope, bare.retryable, bare.where) == (Scope.JOB, Retryable.NO, None)
    assert (bare.codes, bare.statuses, bare.pattern, bare.error, bare.quota_fits) == (
        (), (), None, None, None,
    )  # fmt: skip


def test_every_field_of_a_rule_is_read():
    entry = {
        "name": "a", "class": "quota", "scope": "pool", "retry": "limited", "where": "create",
        "codes": ["X"], "statuses": ("Y", "Z"), "pattern": "p", "error": "e", "quota_fits": False,
    }  # fmt: skip
    assert parse_rules([entry]) == (
        Rule(
            name="a",
            failure_class=FailureClass.QUOTA,
            scope=Scope.POOL,
            retryable=Retryable.LIMITED,
            where="create",
            codes=("X",),
            statuses=("Y", "Z"),
            pattern="p",
            error="e",
            quota_fits=False,
        ),
    )
    assert [rule.name for rule in parse_rules([entry, {**entry, "name": "b"}])] == ["a", "b"]
    assert parse_rules([{**entry, "where": "describe"}])[0].where == "describe"


BAD = [
    (3, "rule 2: expected a table, got int"),
    ({}, "rule 2: name: give each rule a name (a string)"),
    ({"name": ""}, "rule 2: name: give each rule a name (a string)"),
    ({"name": 3}, "rule 2: name: give each rule a name (a string)"),
    ({"name": "ok"}, "rule 'ok': name: used twice; rule names are unique"),
    ({"name": "a", "class": "oom", "z": 1, "b": 1}, ("rule 'a': b: unknown field; known: class, "
     "codes, error, name, pattern, quota_fits, retry, scope, statuses, where")),
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
        parse_rules([{"name": "ok", "class": "oom"}, entry])


@pytest.mark.parametrize("field", ["pattern", "error"])
def test_a_pattern_is_compiled_when_it_is_read_unless_that_can_wait(field):
    entry = {"name": "a", "class": "oom", field: "("}
    with pytest.raises(
        ValueError, match=rf"^rule 'a': {field}: not a regular expression: missing \)"
    ):
        parse_rules([entry])
    (rule,) = parse_rules([entry], compile_patterns=False)
    assert getattr(rule, field) == "("


@pytest.mark.parametrize(("length", "cut"), [(200, False), (201, True)])
def test_a_headline_has_200_characters_at_most(length, cut):
    failure = classify(Evidence(where="x", text="a" * length), ())
    assert len(failure.headline) == 200
    assert failure.headline.endswith("…") == cut
    spaced = classify(Evidence(where="x", text=" a \n b "), ())
    assert spaced.headline == "a b"
