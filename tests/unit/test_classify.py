"""The classifier: normalising, quotas, order of rules, traps, and what a rule file may say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobcore import Failure, FailureClass, classify
from jobcore.failures import DEFAULT_RULES, Rule, normalise, parse_quota, parse_rules
from jobcore.failures.classify import reported_errors
from jobcore.lifecycle import Quota, Retryable, Scope
from jobcore.ports import Evidence


def _failed(text: str, **fields: Any) -> Failure:
    values: dict[str, Any] = {"where": "describe", "status": "Failed", "secondary_status": "Failed"}
    return classify(Evidence(**{**values, **fields, "text": text}), DEFAULT_RULES)


def _refused(text: str, code: str | None = None) -> Failure:
    return classify(Evidence(where="create", error_code=code, text=text), DEFAULT_RULES)


def _verdict(failure: Failure) -> tuple[str, str, str]:
    return (failure.failure_class, failure.retryable, failure.rule)


# --- normalising ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Internal\n error.  Please\ttry ", "internal error. please try"),
        ("An error occurred (X) when calling the Y operation: Message", "message"),
        ("An error occurred (X) when calling the Y operation (reached max retries: 4): m", "m"),
        (
            "botocore.exceptions.ClientError: An error occurred (X) when calling the Y operation: m",
            "m",
        ),
        ("An error occurred (X) when calling the Y operation", ""),
        ("Error for Training job foo-2020: Failed. Reason: ClientError: no", "clienterror: no"),
        ("UnexpectedStatusException: Error for Processing job a: Failed. Reason: b", "b"),
        ("ValueError: Error training a-1: Failed Reason: AlgorithmError: b", "algorithmerror: b"),
        ("Received status from SageMaker:InternalServerError: x", "internalservererror: x"),
        ("Received status from SageMaker: InternalServerError: x", "internalservererror: x"),
        ("ClientError: ClientError: twice", "clienterror: twice"),
        ("SageMaker job failed because ClientError: a", "clienterror: a"),
        ("a \u201cquoted\u201d \u2018word\u2019", "a \"quoted\" 'word'"),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_normalise_cuts_what_never_decides() -> None:
    assert len(normalise("x" * 1_000_000)) == 2048


@given(st.text())
@example("An error occurred (X) when calling the Y operation: An error occurred (Z) when calling ")
def test_normalise_of_normalised_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    # At most eight wrappers come off at a time, so the second pass may take off what was inside.
    assert once.endswith(normalise(once))


def test_reported_errors_are_names_at_the_start_of_a_word() -> None:
    text = normalise(
        'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "KeyError: 1\n'
        'during handling: torch.cuda.OutOfMemoryError: CUDA out of memory", exit code: 1'
    )
    found = reported_errors(text)
    assert [entry.split(":")[0] for entry in found] == ["keyerror", "torch.cuda.outofmemoryerror"]


def test_reported_errors_of_nothing() -> None:
    assert reported_errors("") == ("",)


# --- quotas -----------------------------------------------------------------------------


QUOTA = (
    "The account-level service limit 'ml.g5.2xlarge for spot training job usage' is 1 Instances, "
    "with current utilization of 3 Instances and a request delta of {delta} Instances. Please"
)


def test_parse_quota() -> None:
    quota = parse_quota("ResourceLimitExceeded: " + QUOTA.format(delta=1))
    assert quota == Quota(
        name="ml.g5.2xlarge for spot training job usage", limit=1, used=3, requested=1
    )
    assert quota.can_ever_fit
    assert parse_quota("The account-level service limit 'x' is 1 Instances.") is None


def test_parse_quota_in_other_units_and_words() -> None:
    old = parse_quota(
        "The account-level service limit for training-job/ml.p2.xlarge is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 2 Instances."
    )
    assert old == Quota(name="training-job/ml.p2.xlarge", limit=0, used=0, requested=2)
    components = parse_quota(
        "The account-level service limit 'Total, of a trial' is 50 Trial Components, with current "
        "utilization of 0 Trial Components and a request delta of 51 Trial Components."
    )
    assert components is not None
    assert not components.can_ever_fit


def test_a_quota_that_is_full_is_waited_for_and_one_that_is_too_small_is_not() -> None:
    full = _refused(QUOTA.format(delta=1), "ResourceLimitExceeded")
    small = _refused(QUOTA.format(delta=2), "ResourceLimitExceeded")
    assert (full.failure_class, full.retryable) == (FailureClass.QUOTA, Retryable.YES)
    assert (small.failure_class, small.retryable) == (FailureClass.QUOTA, Retryable.NO)
    assert full.scope is small.scope is Scope.POOL


# --- traps ------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [
    "CapacityError: Unable to provision requested ML compute capacity.",
    "ThrottlingException: Rate exceeded",
    "InternalServerError: We encountered an internal error. Please try again.",
    "An error occurred (ThrottlingException) when calling the PutItem operation: Rate exceeded",
    (
        "The account-level service limit 'x' is 5 Instances, with current utilization of 5 "
        "Instances and a request delta of 1 Instances."
    ),
    "ServiceUnavailable",
    "Training job waiting for capacity",
    "the managed spot training instances were interrupted",
    "The job stopped because it exceeded the maximum allowed runtime.",
])  # fmt: skip
@pytest.mark.parametrize("frame", [
    "AlgorithmError: {}",
    "AlgorithmError: , {}, exit code: 1",
    "AlgorithmError: Error for Training job a-1: Failed. Reason: {}",
    "AlgorithmError: botocore.exceptions.ClientError: {}",
    "AlgorithmError: (Service: AWSBatch; Status Code: 429; Error Code: SlowDown; x) {}",
    'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "RuntimeError: {}"\nCommand "x"',
    "AlgorithmError: framework error: \nTraceback (most recent call last):\n  File \"t.py\", line 1\n{}",
    "Error for Training job a-1: Failed. Reason: AlgorithmError: uncaught exception during training: {}",
])  # fmt: skip
def test_what_user_code_says_of_the_service_is_not_believed(word: str, frame: str) -> None:
    if frame == "AlgorithmError: {}" and word.startswith("InternalServerError"):
        word = word.replace("InternalServerError: ", "openai.InternalServerError: ")
    failure = _failed(frame.format(word))
    assert failure.failure_class is FailureClass.ALGORITHM, failure.rule
    assert failure.retryable is Retryable.NO


def test_a_full_region_is_no_full_quota() -> None:
    failure = _refused(
        "The requested resource training-job/ml.p2.xlarge is not available in this region",
        "ResourceLimitExceeded",
    )
    assert (failure.failure_class, failure.retryable) == (FailureClass.BAD_INPUT, Retryable.NO)


def test_a_misleading_prefix_does_not_mislead() -> None:
    text = "ClientError: Artifact upload failed:ClientError: Out of Memory. Please use a larger"
    assert _failed(text).failure_class is FailureClass.OOM


@pytest.mark.parametrize(("code", "expected", "retry"), [
    ("1", FailureClass.ALGORITHM, Retryable.NO),
    ("2", FailureClass.ALGORITHM, Retryable.NO),
    ("126", FailureClass.ALGORITHM, Retryable.NO),
    ("127", FailureClass.ALGORITHM, Retryable.NO),
    ("255", FailureClass.ALGORITHM, Retryable.NO),
    ("134", FailureClass.ALGORITHM, Retryable.LIMITED),
    ("139", FailureClass.ALGORITHM, Retryable.LIMITED),
    ("137", FailureClass.OOM, Retryable.LIMITED),
])  # fmt: skip
@pytest.mark.parametrize("frame", [
    "AlgorithmError: , exit code: {}",
    "AlgorithmError: Exit Code: {}",
    "AlgorithmError: ExecuteUserScriptError:\nExitCode {}\nErrorMessage \"\"\nCommand \"x\"",
    "AlgorithmError: ExecuteUserScriptError:\nExitCode {0}\nErrorMessage \"\", exit code: {0}",
])  # fmt: skip
def test_exit_codes(code: str, expected: FailureClass, retry: Retryable, frame: str) -> None:
    failure = _failed(frame.format(code))
    assert (failure.failure_class, failure.retryable) == (expected, retry), failure.rule


@pytest.mark.parametrize(("status", "secondary", "text", "expected", "retry"), [
    ("Stopped", "MaxRuntimeExceeded", "", "timeout", "no"),
    ("Stopped", "MaxWaitTimeExceeded", "", "timeout", "limited"),
    ("Stopped", "Stopped", "", "stopped_by_user", "no"),
    ("Stopped", None, "Training job times out waiting for capacity", "capacity", "yes"),
    ("Stopped", "SomethingNew", "Timed out pending, waiting for capacity", "capacity", "yes"),
    ("InProgress", "Interrupted", "", "spot_interrupted", "yes"),
    ("InProgress", "Pending", "", "capacity", "yes"),
    ("InProgress", "Starting", "Launched instance was unhealthy, replacing it!", "service_internal", "yes"),
    ("InProgress", "Starting", "Insufficient capacity error from EC2 while launching instances, retrying!", "capacity", "yes"),
    ("Failed", "Failed", "", "unknown", "limited"),
    ("Failed", "NeverSeenBefore", "", "unknown", "limited"),
    (None, None, "", "unknown", "limited"),
])  # fmt: skip
def test_a_status_decides_where_there_is_no_reason(
    status: str | None, secondary: str | None, text: str, expected: str, retry: str
) -> None:
    failure = _failed(text, status=status, secondary_status=secondary)
    assert (failure.failure_class, failure.retryable) == (expected, retry), failure.rule


@pytest.mark.parametrize("code", [
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded",
    "SlowDown", "LimitExceededException", "ProvisionedThroughputExceededException",
])  # fmt: skip
def test_throttling_by_any_name_is_retried(code: str) -> None:
    for failure in (
        _refused("Rate exceeded", code),
        _refused(f"An error occurred ({code}) when calling the CreateTrainingJob operation: x"),
        _refused(f"{code}: slow"),
        _refused(f"Rate (Service: AmazonSageMaker; Status Code: 400; Error Code: {code}; Request"),
    ):
        assert (failure.failure_class, failure.retryable) == (FailureClass.THROTTLE, Retryable.YES)


# --- invariances ------------------------------------------------------------------------

TEXTS = (
    "CapacityError: Unable to provision requested ML compute capacity",
    "ClientError: Data download failed:Insufficient disk space",
    'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "MemoryError"',
    "AlgorithmError: FileNotFoundError: [Errno 2] No such file: '/opt/ml/input/data/train'",
    QUOTA.format(delta=1),
    QUOTA.format(delta=9),
    "Requested resource not found.",
    'No S3 objects found under S3 URL "s3://a/b" given in input data source.',
    "1 validation error detected: Value 'x' at 'y' failed to satisfy constraint",
    "Could not assume role arn:aws:iam::1:role/r. Please ensure",
    "Rate exceeded",
)
CODES = (None, "ValidationException", "ThrottlingException", "AccessDeniedException", "Unheard")
ANY_CODE = st.none() | st.sampled_from(CODES[1:]) | st.text(max_size=12)
ANY_STATUS = st.none() | st.sampled_from(["Failed", "Stopped", "InProgress"]) | st.text(max_size=8)


@given(
    where=st.sampled_from(["create", "describe"]) | st.text(max_size=5),
    code=ANY_CODE,
    status=ANY_STATUS,
    secondary=ANY_STATUS,
    text=st.text() | st.builds(lambda a, b: a + b, st.sampled_from(TEXTS), st.text()),
)
def test_classify_never_raises(
    where: str, code: str | None, status: str | None, secondary: str | None, text: str
) -> None:
    evidence = Evidence(
        where=where, error_code=code, status=status, secondary_status=secondary, text=text
    )
    failure = classify(evidence, DEFAULT_RULES)
    names = {rule.name for rule in DEFAULT_RULES} | {"no rule matched"}
    assert failure.rule in names
    assert len(failure.text) <= 1024


@given(text=st.sampled_from(TEXTS), code=st.sampled_from(CODES), data=st.data())
def test_spacing_and_case_change_nothing(text: str, code: str | None, data: st.DataObject) -> None:
    gaps = st.sampled_from([" ", "  ", "\n", "\t ", " \r\n"])
    spaced = "".join(data.draw(gaps) if c.isspace() else c for c in text)
    cased = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in spaced)
    assert _verdict(_failed(cased, error_code=code)) == _verdict(_failed(text, error_code=code))


@given(
    text=st.sampled_from(TEXTS),
    code=st.sampled_from(CODES[1:]),
    tries=st.sampled_from(["", " (reached max retries: 4)"]),
    name=st.sampled_from(["", "botocore.exceptions.ClientError: ", "ClientError: "]),
)
def test_the_sdk_prefix_says_what_a_code_says(text: str, code: str, tries: str, name: str) -> None:
    prefix = (
        f"{name}An error occurred ({code}) when calling the CreateTrainingJob operation{tries}: "
    )
    expected = _verdict(_refused(text, code))
    assert _verdict(_refused(prefix + text)) == expected
    assert _verdict(_refused(prefix + text, code)) == expected


# --- rules ------------------------------------------------------------------------------


def test_the_first_match_wins_so_a_users_rule_goes_in_front() -> None:
    mine = parse_rules(
        [{"name": "ours", "class": "capacity", "scope": "pool", "retry": "yes", "pattern": "rate"}]
    )
    failure = classify(Evidence(where="create", text="Rate exceeded"), (*mine, *DEFAULT_RULES))
    assert _verdict(failure) == ("capacity", "yes", "ours")


def test_without_rules_nothing_is_known_and_nothing_is_lost() -> None:
    failure = classify(Evidence(where="create", text="x"), ())
    assert _verdict(failure) == ("unknown", "limited", "no rule matched")


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
    assert classify(Evidence(**whole), (rule,)).rule == "r"
    for field, other in (
        ("where", "create"), ("error_code", "b"), ("status", None), ("text", "X ValueError: z"),
        ("text", "ValueError: y"),
    ):  # fmt: skip
        failure = classify(Evidence(**{**whole, field: other}), (rule,))
        assert failure.rule == "no rule matched", field


def test_an_error_pattern_looks_at_every_reported_error() -> None:
    rules = parse_rules(
        [{"name": "mine", "class": "bad_input", "error": r"mypackage\.configerror: "}]
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
        parse_rules([entry])


def test_a_name_used_twice_is_refused() -> None:
    entry = {"name": "a", "class": "oom"}
    with pytest.raises(ValueError, match="used twice"):
        parse_rules([entry, entry])


def test_headline_is_one_short_line() -> None:
    failure = _refused("a\nb " + "c" * 500)
    assert "\n" not in failure.headline
    assert len(failure.headline) == 200
