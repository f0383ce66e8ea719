"""How SageMaker's and the SDKs' texts are read: wrappers, codes, quotas, statuses, and quotations in user code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobcore import Failure, FailureClass, classify, failures
from jobcore.failures import Rule, Rules
from jobcore.failures.classify import reported_errors
from jobcore.lifecycle import Quota, Retryable, Scope
from jobcore.ports import Evidence
from jobcore_aws import failure_rules

RULES = failure_rules()


def normalise(text: str) -> str:
    return failures.normalise(text, RULES)


def find_quota(text: str) -> Quota | None:
    return failures.find_quota(text, RULES)


def _failed(text: str, **fields: Any) -> Failure:
    values: dict[str, Any] = {"where": "describe", "status": "Failed", "secondary_status": "Failed"}
    return classify(Evidence(**{**values, **fields, "text": text}), RULES)


def _refused(text: str, code: str | None = None) -> Failure:
    return classify(Evidence(where="create", error_code=code, text=text), RULES)


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
    found = reported_errors(text, RULES)
    assert [entry.split(":")[0] for entry in found] == ["keyerror", "torch.cuda.outofmemoryerror"]


def test_reported_errors_of_nothing() -> None:
    assert reported_errors("", RULES) == ("",)


# --- quotas -----------------------------------------------------------------------------


QUOTA = (
    "The account-level service limit 'ml.g5.2xlarge for spot training job usage' is 1 Instances, "
    "with current utilization of 3 Instances and a request delta of {delta} Instances. Please"
)


def test_find_quota() -> None:
    quota = find_quota("ResourceLimitExceeded: " + QUOTA.format(delta=1))
    assert quota == Quota(
        name="ml.g5.2xlarge for spot training job usage", limit=1, used=3, requested=1
    )
    assert quota.can_ever_fit
    assert find_quota("The account-level service limit 'x' is 1 Instances.") is None


def test_find_quota_in_other_units_and_words() -> None:
    old = find_quota(
        "The account-level service limit for training-job/ml.p2.xlarge is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 2 Instances."
    )
    assert old == Quota(name="training-job/ml.p2.xlarge", limit=0, used=0, requested=2)
    components = find_quota(
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
    failure = classify(evidence, RULES)
    names = {rule.name for rule in RULES.rules} | {"no rule matched"}
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


# --- parts of a text, one by one ------------------------------------------------------------

CODED = Rule(name="coded", failure_class=FailureClass.THROTTLE, codes=("MyCode",))
JAVA = "Slow down (Service: SageMaker; Status Code: 400; Error Code: {}; Request ID: 1)"
GO = (
    "operation error SageMaker: CreateTrainingJob, https response error StatusCode: 400, "
    "RequestID: 1, api error {}: slow down"
)
BOTO = "An error occurred ({}) when calling the CreateTrainingJob operation: slow down"


def with_reading(*rules: Rule) -> Rules:
    return Rules(rules, RULES.reading)


def codes(text: str = "", code: str | None = None) -> bool:
    """Whether the code is found."""
    evidence = Evidence(where="create", error_code=code, text=text)
    return classify(evidence, with_reading(CODED)).rule == "coded"


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
        classify(Evidence(where="create", error_code=vague, text="x"), with_reading(rule)).rule
        == "coded"
    ) == bool(vague.strip())


def test_a_word_that_says_nothing_is_no_code_of_a_text():
    rule = replace(CODED, codes=("ClientError", "Error"))
    for text in ("ClientError: x", "Error: x"):
        assert classify(Evidence(where="create", text=text), with_reading(rule)).rule != "coded"
    assert Evidence(where="x") == Evidence(
        where="x", error_code=None, status=None, secondary_status=None, text=""
    )


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
    assert (
        classify(Evidence(where="create", text="x"), with_reading(none)).rule == "no rule matched"
    )
    vague = replace(CODED, codes=("ClientError",))
    assert classify(Evidence(where="create", text=inner + "x"), with_reading(vague)).rule == "coded"


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
    found = reported_errors(text, RULES)
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
    quota = find_quota(text)
    label = "training-job/ml.p2.xlarge" if old else "ml.p2.xlarge for training"
    assert quota == Quota(name=label, limit=limit, used=used, requested=delta)
    assert quota.can_ever_fit == (delta <= limit)
    for code in ("ResourceLimitExceeded", "ResourceLimitExceededException"):
        assert find_quota(f"{code}: {text}") == quota
    assert find_quota(f"SomethingElse: {text}") is None
    assert find_quota(BOTO.format("ResourceLimitExceeded").replace("slow down", text)) == quota
    assert find_quota(text.replace("account-level", "resource-level")) == quota


def test_a_quota_may_have_no_name():
    text = SENTENCE.format(kind="account", name="''", limit=1, used=0, delta=1)
    assert find_quota(text).name == ""


def test_a_rule_may_ask_whether_the_request_could_ever_fit():
    fits = replace(CODED, codes=(), quota_fits=True)
    never = replace(CODED, codes=(), quota_fits=False)
    small = SENTENCE.format(kind="account", name="'x'", limit=1, used=0, delta=1)
    large = SENTENCE.format(kind="account", name="'x'", limit=1, used=0, delta=2)

    def matched(text, rule):
        return classify(Evidence(where="create", text=text), with_reading(rule)).rule == "coded"

    assert [matched(text, fits) for text in (small, large, "x")] == [True, False, False]
    assert [matched(text, never) for text in (small, large, "x")] == [False, True, False]
    assert matched("ResourceLimitExceeded: " + small, fits)
