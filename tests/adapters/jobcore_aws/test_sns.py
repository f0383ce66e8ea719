"""The notifier: what it asks of SNS, and what arrives, through real boto3 against an emulator."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

import jobcore
from core_strategies import clean
from jobcore import Notifier, Placement, Spec, Status, Unavailable
from jobcore.lifecycle import OutboxEntry
from jobcore.messages import message_for
from jobcore.ports import Message, NextStep
from jobcore_aws import SnsNotifier
from jobcore_aws._sns import MESSAGE_BYTES_MAX, publish_request
from jobcore_conformance import NotifierContract
from jobcore_memory import ManualClock, MemoryStore, MemoryTrainer
from late_replies import LATE, impatient
from patience import SECONDS
from sagemaker_fixtures import client

TOPIC = "arn:aws:sns:us-east-1:123456789012:jobs"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SNS = botocore.session.get_session().get_service_model("sns")
PUBLISH = SNS.operation_model("Publish").input_shape


def message(**changes: Any) -> Message:
    job_id = "0" * 26
    values: dict[str, Any] = {
        "event_id": f"{job_id}/1/Failed",
        "job_id": job_id,
        "owner": "ada",
        "status": Status.FAILED,
        "subject": "[jobcore] Failed: digits",
        "body": "Job digits is Failed.\n\nWhy: oom: CUDA out of memory\n\nNext: jobcore logs 0\n",
        "next_step": NextStep.READ_LOGS_AND_RETRY,
        "attributes": {"status": "Failed", "owner": "ada", "job": job_id, "class": "oom"},
        "data": {"event_id": f"{job_id}/1/Failed", "job_id": job_id, "reason": "oom"},
    }
    return Message(**values | changes)


def size(request: dict[str, Any]) -> int:
    """What SNS counts: the message, and names, types and values of the attributes."""
    attributes = request["MessageAttributes"].items()
    return len(request["Message"].encode()) + sum(
        len(name.encode()) + len(value["DataType"]) + len(value["StringValue"].encode())
        for name, value in attributes
    )


# --- the request --------------------------------------------------------------------------


def test_people_and_machines_get_what_they_can_read() -> None:
    asked = publish_request(TOPIC, message())
    assert asked["Subject"] == "[jobcore] Failed: digits"
    assert asked["MessageStructure"] == "json"
    texts = json.loads(asked["Message"])
    assert "Why: oom: CUDA out of memory" in texts["email"]
    assert "Next: jobcore logs" in texts["email"]
    assert texts["email"].endswith(f"Event: {message().event_id}\n")
    assert json.loads(texts["default"])["event_id"] == message().event_id
    assert texts["sms"] == asked["Subject"]
    attributes = {k: v["StringValue"] for k, v in asked["MessageAttributes"].items()}
    assert attributes == {
        "event": "job.failed",
        "event_id": message().event_id,
        **message().attributes,
    }


def test_the_same_message_is_the_same_request() -> None:
    assert publish_request(TOPIC, message()) == publish_request(TOPIC, message())


def test_a_message_that_is_too_large_is_cut_and_says_so() -> None:
    large = message(
        body="ü" * 400_000, data={"event_id": "e", "reason": "ä" * 300_000, "n": 1, "none": None}
    )
    asked = publish_request(TOPIC, large)
    assert size(asked) <= MESSAGE_BYTES_MAX
    texts = json.loads(asked["Message"])
    assert texts["email"].startswith("üü")
    assert "cut: the message would be larger than SNS allows" in texts["email"]
    data = json.loads(texts["default"])
    assert data["event_id"] == "e"
    assert (data["n"], data["none"]) == (1, None)


TEXT = st.text(max_size=300) | st.text(alphabet="\x00\x1f\ud800\U0001f600ü\n", max_size=50)


@given(
    subject=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=99),
    body=TEXT,
    repeat=st.sampled_from([1, 2000]),
    attributes=st.dictionaries(TEXT, TEXT, max_size=15),
    data=st.dictionaries(TEXT, TEXT | st.none() | st.integers(), max_size=4),
    event_id=st.text(clean, min_size=1),
)
def test_whatever_a_message_holds_sns_takes_it(
    subject: str, body: str, repeat: int, attributes: Any, data: Any, event_id: str
) -> None:
    asked = publish_request(
        TOPIC,
        message(
            subject=subject, body=body * repeat, attributes=attributes, data=data, event_id=event_id
        ),
    )
    assert 1 <= len(asked["Subject"]) <= 99
    assert asked["Subject"].isascii()
    assert asked["Subject"].isprintable()
    assert not asked["Subject"].startswith(" ")
    assert size(asked) <= MESSAGE_BYTES_MAX
    assert isinstance(json.loads(json.loads(asked["Message"])["default"]), dict)
    assert len(asked["MessageAttributes"]) <= 10
    for name, value in asked["MessageAttributes"].items():
        assert value["StringValue"]
        assert not name.casefold().startswith(("aws.", "amazon."))
        assert ".." not in name
    validate_parameters(asked, PUBLISH)


@pytest.mark.parametrize(
    "arn",
    ["", "jobs", "arn:aws:sns:us-east-1:123456789012:jobs.fifo", "arn:aws:sqs:us-east-1:1:x"],
)
def test_only_a_standard_topic_will_do(arn: str) -> None:
    with pytest.raises(ValueError, match="standard SNS topic"):
        SnsNotifier(arn)


def test_a_client_is_made_in_the_topics_region(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")
    notifier = SnsNotifier(TOPIC.replace("us-east-1", "eu-west-1"))
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        notifier.publish(message())
    made = notifier._client()
    assert made.meta.region_name == "eu-west-1"
    assert made.meta.config.retries["total_max_attempts"] == 1


# --- an emulator, and a wire to it that breaks ----------------------------------------------


class Wire:
    """An HTTP proxy that hands requests on, and breaks where a test wants it to."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: list[str] = []  # for the next Publish calls
        self.publishes = 0
        handler = type("Handler", (_Handler,), {"wire": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wire: Wire

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = ""
        if b"Action=Publish" in body:
            self.wire.publishes += 1
            fault = self.wire.faults.pop(0) if self.wire.faults else ""
        if fault == "throttle":
            self._error(400, "Throttled", "Rate exceeded")
        elif fault == "fail-before":
            self._error(500, "InternalError", "try again")
        elif fault == "reset-before":
            self._reset()
        else:
            status, answer, kind = self._hand_on(body)
            if fault == "fail-after":
                self._error(500, "InternalError", "try again")
            elif fault == "reset-after":
                self._reset()
            else:
                self._send(status, answer, kind, late=fault == "late-reply")

    def _hand_on(self, body: bytes) -> tuple[int, bytes, str]:
        kept = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        asked = urllib.request.Request(self.wire.upstream + self.path, data=body, headers=kept)
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as reply:
                return reply.status, reply.read(), reply.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers["Content-Type"]

    def _error(self, status: int, code: str, text: str) -> None:
        answer = (
            "<ErrorResponse><Error><Type>Sender</Type>"
            f"<Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
        )
        self._send(status, answer.encode(), "text/xml")

    def _send(self, status: int, body: bytes, kind: str, *, late: bool = False) -> None:
        try:
            self.send_response(status)
            if late:
                self.send_header(LATE, "1")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the client has not waited
            self.close_connection = True

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True
        self.wfile = self.rfile = open("/dev/null", "r+b")  # noqa: SIM115

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Post:
    """A topic with a queue that is subscribed to it, by the raw message or in SNS's envelope."""

    def __init__(self, url: str, *, policy: dict[str, Any] | None = None) -> None:
        self.wire = Wire(url)
        self.sns, self.sqs = client(url, service="sns"), client(url, service="sqs")
        name = f"t{time.monotonic_ns()}"
        self.topic = self.sns.create_topic(Name=name)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        attributes = {"RawMessageDelivery": "true"}
        if policy is not None:
            attributes["FilterPolicy"] = json.dumps(policy)
        self.sns.subscribe(
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
            Attributes=attributes,
        )
        self.notifier = SnsNotifier(
            self.topic, client=impatient(client(self.wire.url, service="sns"))
        )

    def arrived(self) -> list[dict[str, Any]]:
        """Take what is in the queue."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
            if not page.get("Messages"):
                return found
            for one in page["Messages"]:
                found.append(json.loads(one["Body"]))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=one["ReceiptHandle"])

    def close(self) -> None:
        self.wire.close()


@pytest.fixture
def post(emulator):
    made = Post(emulator)
    yield made
    made.close()


def test_a_message_arrives_with_its_event_id(post) -> None:
    post.notifier.publish(message())
    (found,) = post.arrived()
    assert found == {"event_id": message().event_id, **message().data}


def test_filter_policies_see_the_attributes(emulator) -> None:
    post = Post(emulator, policy={"event": ["job.failed"], "owner": ["ada"]})
    post.notifier.publish(message())
    post.notifier.publish(message(status=Status.COMPLETED, event_id="e2"))
    post.notifier.publish(message(attributes={"owner": "bob"}, event_id="e3"))
    assert [found["event_id"] for found in post.arrived()] == [message().event_id]
    post.close()


FAULTS = ["throttle", "fail-before", "fail-after", "reset-before", "reset-after", "late-reply"]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_publish_that_is_not_certain_says_so_and_is_made_once(post, kind) -> None:
    post.wire.faults = [kind]
    with pytest.raises(Unavailable):
        post.notifier.publish(message())
    assert post.wire.publishes == 1
    post.notifier.publish(message())
    assert {found["event_id"] for found in post.arrived()} == {message().event_id}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_publish_leaves_one_visible_message(post, kind, times) -> None:
    """Through the notify tick: repetitions have one event id, and the job owes nothing more."""
    clock, store = ManualClock(NOW), MemoryStore()
    trainer = MemoryTrainer(clock=clock, slots={"cpu": 1})
    job_id = jobcore.job_id_from_token("tests", "sns")
    spec = Spec(name="job", owner="ada", placements=(Placement("cpu"),))
    jobcore.submit([spec], [job_id], store=store, now=NOW)
    settings = jobcore.Settings()
    post.wire.faults = [kind] * times
    for _ in range(10):
        jobcore.launch_tick(store, trainer, clock, settings)
        jobcore.monitor_tick(store, trainer, clock, settings)
        jobcore.notify_tick(store, post.notifier, clock, settings)
        clock.advance(jobcore.jobfile.parse_duration("2m"))
    job = store.get([job_id])[job_id]
    assert job.status is Status.COMPLETED
    assert job.outbox == ()
    found = post.arrived()
    assert {one["event_id"] for one in found} == {f"{job_id}/1/Completed"}
    applied = kind in ("fail-after", "reset-after", "late-reply")
    assert len(found) == 1 + (times if applied else 0)
    assert post.wire.publishes == 1 + times


class TestSnsNotifier(NotifierContract):
    @pytest.fixture(autouse=True)
    def _place(self, emulator):
        self.post = Post(emulator)
        yield
        self.post.close()

    def make_notifier(self) -> Notifier:
        return self.post.notifier

    def delivered(self, notifier: Notifier) -> list[str]:
        return [found["event_id"] for found in self.post.arrived()]


def stopped(name: str) -> Message:
    spec = Spec(name=name, owner="ada", placements=(Placement("cpu"),))
    entry = OutboxEntry(event_id="e", status=Status.STOPPED, at=NOW)
    return message_for(jobcore.new_job("0" * 26, spec, now=NOW), entry)


@given(st.text(min_size=1, max_size=150))
def test_a_subject_is_what_ascii_leaves_of_the_name(name: str) -> None:
    subject = publish_request(TOPIC, stopped(name))["Subject"]
    line = " ".join(f"[jobcore] Stopped: {name}".split())
    plain = "".join(c if 32 <= ord(c) <= 126 else "?" for c in line)
    assert subject == (plain if len(plain) <= 99 else plain[:96] + "...")


@pytest.mark.parametrize(("length", "cut"), [(80, False), (81, True)])
def test_a_subject_has_99_characters_at_most(length: int, cut: bool) -> None:
    subject = publish_request(TOPIC, stopped("~" * length))["Subject"]
    assert (len(subject), subject.endswith("...")) == (99, cut)
    assert subject.startswith("[jobcore] Stopped: ~~~")


def test_what_a_job_says_fits_as_it_is() -> None:
    """The message of a real job, with the longest reason that is kept."""
    spec = Spec(name="n" * 128, owner="ada", placements=(Placement("cpu"),), group="g" * 128)
    job = jobcore.new_job("0" * 26, spec, now=NOW)
    entry = OutboxEntry(event_id="e", status=Status.HELD, at=NOW, reason="ü" * 1024)
    asked = publish_request(TOPIC, message_for(job, entry))
    assert size(asked) < 8_000
    assert "cut:" not in asked["Message"]
