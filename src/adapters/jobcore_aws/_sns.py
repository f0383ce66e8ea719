"""The notifier on SNS: a standard topic, attributes to filter by, a text for people, JSON for machines."""

from __future__ import annotations

import json
import re
from typing import Any

from jobcore import Message, Unavailable

from ._calls import repeatedly

__all__ = ["SnsNotifier"]

SUBJECT_CHARS_MAX = 99  # printable ASCII, below 100 (botocore's model of Publish)
MESSAGE_BYTES_MAX = 256 * 1024
_CUT = "\n[cut: the text was longer than SNS takes]\n"
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
#: Attribute names are SNS's: letters, digits, _ - and dots, not beginning with AWS. or Amazon.
_ATTRIBUTE = re.compile(r"(?!AWS\.|Amazon\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.IGNORECASE)
_JSON_FOR = ("default", "sqs", "lambda", "http", "https", "firehose")


class SnsNotifier:
    """
    A `jobcore.Notifier` on one SNS topic.

    Subscribers filter by the message's attributes (status, owner, group, class, job). E-mail gets
    the readable body; queues, functions and URLs get JSON. Both carry the event id, the same
    however often the message is sent, so that a consumer can drop a repetition.

    Args:
        topic_arn: a standard topic.
        client: an SNS client that makes one attempt per call; made if not given.

    Raises:
        ValueError: *topic_arn* is not the ARN of a standard topic.
    """

    def __init__(self, topic_arn: str, *, client: Any = None) -> None:
        """Publish to *topic_arn*; no call is made yet."""
        if not _TOPIC.fullmatch(topic_arn):
            msg = f"topic: expected the ARN of a standard SNS topic, got {topic_arn!r}"
            raise ValueError(msg)
        if client is None:
            from ._clients import client as make_client

            client = make_client("sns", mutating=True)
        self.topic_arn = topic_arn
        self._client = client

    def publish(self, message: Message) -> None:
        """
        Hand a message to SNS.

        Raises:
            Unavailable: it is not certain that SNS took it; it will be sent again.
        """
        texts = render(message)
        publish = self._client.publish
        try:
            repeatedly(
                lambda: publish(
                    TopicArn=self.topic_arn,
                    Subject=subject_of(message),
                    Message=json.dumps(texts),
                    MessageStructure="json",
                    MessageAttributes=attributes_of(message),
                ),
                f"SNS: message {message.event_id}",
                tries=3,
            )
        except Unavailable:
            raise
        except Exception as error:
            # Refused for good (no such topic, not allowed): kept, and tried again once it is mended.
            msg = f"SNS: message {message.event_id}: {error}"
            raise Unavailable(msg) from None


def render(message: Message) -> dict[str, str]:
    """
    Write a message for each protocol, together within SNS's 256 KB.

    JSON repeats under several names, so a long body is cut for people before anything is dropped
    for machines.
    """
    machine = json.dumps({**message.data, "owner": message.owner, "event_id": message.event_id})
    texts = {
        **dict.fromkeys(_JSON_FOR, machine),
        "email": message.body,
        "email-json": machine,
        "sms": message.subject[:140],
    }
    over = _size(texts) - MESSAGE_BYTES_MAX
    if over > 0:
        texts["email"] = _cut(message.body, over)
    if _size(texts) > MESSAGE_BYTES_MAX:  # the JSON itself: only what names the event is kept
        kept = {k: message.data.get(k) for k in ("event_id", "job_id", "status", "at")}
        machine = json.dumps({**kept, "owner": message.owner[:256], "cut": True})
        texts |= {**dict.fromkeys(_JSON_FOR, machine), "email-json": machine}
        texts["email"] = message.body
        if (over := _size(texts) - MESSAGE_BYTES_MAX) > 0:
            texts["email"] = _cut(message.body, over)
    return texts


def _size(texts: dict[str, str]) -> int:
    return len(json.dumps(texts).encode())


def _cut(body: str, over: int) -> str:
    # json.dumps writes up to 12 characters for one; a cut by as many more is always enough.
    low, high = 0, max(0, len(body) - over // 12)
    budget = len(json.dumps(body)) - over
    while low < high:
        middle = (low + high + 1) // 2
        if len(json.dumps(body[:middle] + _CUT)) <= budget:
            low = middle
        else:
            high = middle - 1
    return body[:low] + _CUT


def subject_of(message: Message) -> str:
    """Write the subject as SNS takes it: printable ASCII, 1 to 99 characters, no line breaks."""
    words = " ".join(message.subject.split())
    text = "".join(c if " " <= c <= "~" else "?" for c in words)[:SUBJECT_CHARS_MAX].strip()
    return text or "[jobcore]"


def attributes_of(message: Message) -> dict[str, dict[str, str]]:
    """Give the attributes that filter policies read; an empty value is left out, as SNS wants."""
    return {
        name: {"DataType": "String", "StringValue": value[:1024]}
        for name, value in {"event": "job", **message.attributes}.items()
        if value and _ATTRIBUTE.fullmatch(name)
    }
