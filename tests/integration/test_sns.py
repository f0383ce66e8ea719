"""Messages on SNS: who gets which text, what is filtered by, and nothing too large."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_fixtures import connect, table_name
from jobcore import Message, Status, Unavailable
from jobcore_aws import SnsNotifier
from jobcore_aws._sns import MESSAGE_BYTES_MAX, attributes_of, render, subject_of

TOPIC = "arn:aws:sns:us-east-1:123456789012:jobs"


def message(*, body: str = "why\nNext: jobcore show x\n", subject: str = "done") -> Message:
    return Message(
        event_id="event-1",
        job_id="0" * 26,
        owner="ada",
        status=Status.FAILED,
        subject=subject,
        body=body,
        attributes={"status": "Failed", "owner": "ada", "group": "g", "class": "algorithm"},
        data={"event_id": "event-1", "job_id": "0" * 26, "status": "Failed", "at": "2026"},
    )


class Api:
    """Takes what SNS would take; fails as told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[dict] = []

    def publish(self, **asked: object) -> dict:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(asked)
        return {"MessageId": "m"}


def error(code: str, status: int = 400) -> Exception:
    from botocore.exceptions import ClientError

    answer = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Publish")


def test_people_get_text_and_machines_get_json() -> None:
    api = Api()
    SnsNotifier(TOPIC, client=api).publish(message())
    (sent,) = api.sent
    texts = json.loads(sent["Message"])
    assert texts["email"].endswith("Next: jobcore show x\n")
    for protocol in ("default", "sqs", "lambda", "https"):
        assert json.loads(texts[protocol])["event_id"] == "event-1"
    assert sent["MessageAttributes"]["class"]["StringValue"] == "algorithm"


def test_what_passes_is_tried_again_and_what_does_not_is_kept() -> None:
    api = Api(error("Throttled", 429), error("InternalError", 500))
    SnsNotifier(TOPIC, client=api).publish(message())
    assert len(api.sent) == 1
    with pytest.raises(Unavailable, match="event-1"):
        SnsNotifier(TOPIC, client=Api(error("NotFound", 404))).publish(message())


@given(st.text(max_size=300))
def test_every_subject_is_one_that_sns_takes(text: str) -> None:
    subject = subject_of(message(subject=text))
    assert 1 <= len(subject) <= 99
    assert all(" " <= c <= "~" for c in subject)


@pytest.mark.parametrize("body", ["a" * 400_000, "é" * 200_000, '"' * 300_000, "\x00" * 100_000])
def test_a_long_body_is_cut_and_says_so(body: str) -> None:
    texts = render(message(body=body))
    assert len(json.dumps(texts).encode()) <= MESSAGE_BYTES_MAX
    assert "cut" in texts["email"]
    assert json.loads(texts["sqs"])["event_id"] == "event-1"


def test_empty_attributes_are_left_out() -> None:
    odd = Message(
        **{**{f: getattr(message(), f) for f in Message.__slots__}, "attributes": {"a": ""}}
    )
    assert set(attributes_of(odd)) == {"event"}


@pytest.mark.parametrize("arn", ["", "jobs", TOPIC + ".fifo", "arn:aws:sqs:us-east-1:1:x"])
def test_what_is_no_standard_topic_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        SnsNotifier(arn, client=Api())


def test_a_filter_policy_lets_through_what_it_names(ministack: str) -> None:
    sns, sqs = connect("sns", ministack), connect("sqs", ministack)
    name = table_name()
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn["QueueArn"],
        Attributes={
            "FilterPolicy": json.dumps({"status": ["Failed"]}),
            "RawMessageDelivery": "true",
        },
    )
    notifier = SnsNotifier(topic, client=sns)
    notifier.publish(message())
    fields = {f: getattr(message(), f) for f in Message.__slots__}
    notifier.publish(Message(**{**fields, "attributes": {"status": "Completed"}}))
    got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(m["Body"])["event_id"] for m in got] == ["event-1"]
