"""The notifier on SNS: one standard topic, a text for mail, and JSON for programs.

Mail subscriptions get the text. All others (SQS, Lambda, HTTPS, Firehose) get the JSON, which is the
message's default.

The topic is standard and not FIFO: a FIFO topic delivers to SQS only, and deduplicates for five
minutes only, while a message may be repeated later. Consumers drop repetitions by the event id.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobcore import Unavailable
from jobcore.lifecycle import Json
from jobcore.ports import Message

from ._clients import client as make_client
from ._errors import error_code, error_text

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

__all__ = ["SnsNotifier"]

SUBJECT_CHARS_MAX = 99  # the service model: fewer than 100
MESSAGE_BYTES_MAX = 256 * 1024  # message and attributes together; a topic's default
TEXT_CHARS_MAX = 1000  # of one value, if the message would be too large
ATTRIBUTES_MAX = 10  # with more, raw delivery to SQS drops the message
ATTRIBUTE_CHARS_MAX = 256
_NOTE = "\n[… cut: the message would be larger than SNS allows]\n"
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ATTRIBUTE_NAME = re.compile(
    r"(?!\.)(?!(?:aws|amazon)\.)(?:[A-Za-z0-9_-]|\.(?!\.|$)){1,256}", re.IGNORECASE
)


class SnsNotifier:
    """
    A `jobcore.Notifier` that publishes to a topic.

    Args:
        topic_arn: a standard topic.
        client: used instead of a new client in the topic's region.

    Raises:
        ValueError: *topic_arn* is not the ARN of a standard topic.
    """

    def __init__(self, topic_arn: str, *, client: SNSClient | None = None) -> None:
        match = _TOPIC.fullmatch(topic_arn)
        if match is None:
            msg = f"topic_arn: expected the ARN of a standard SNS topic, got {topic_arn!r}"
            raise ValueError(msg)
        self.topic_arn = topic_arn
        self._region = match["region"]
        self._made = client
        self._guard = threading.Lock()

    def publish(self, message: Message) -> None:
        """
        Publish a message; on return SNS has accepted it.

        Raises:
            Unavailable: it is not certain that SNS has accepted it.
        """
        try:
            self._client().publish(**publish_request(self.topic_arn, message))
        except Exception as error:
            msg = f"publish {message.event_id}: {error_code(error)}: {error_text(error)}"
            raise Unavailable(msg) from None

    def _client(self) -> SNSClient:
        with self._guard:
            if self._made is None:
                self._made = make_client("sns", region=self._region, mutating=True)
            return self._made


def publish_request(topic_arn: str, message: Message) -> dict[str, Any]:
    """Make the Publish request of a message, within SNS's limits for any message."""
    attributes = _attributes(message)
    room = MESSAGE_BYTES_MAX - sum(
        len(name) + len("String") + len(value["StringValue"].encode())
        for name, value in attributes.items()
    )
    return {
        "TopicArn": topic_arn,
        "Subject": _subject(message.subject),
        "MessageStructure": "json",
        "Message": _message(message, room),
        "MessageAttributes": attributes,
    }


def _subject(text: str) -> str:
    """Make a subject: printable ASCII, 1 to 99 characters, the first one not a space."""
    line = " ".join("".join(c if " " <= c <= "~" else "?" for c in " ".join(text.split())).split())
    if len(line) > SUBJECT_CHARS_MAX:
        line = line[: SUBJECT_CHARS_MAX - 3] + "..."
    return line or "[jobcore]"


def _attributes(message: Message) -> dict[str, dict[str, str]]:
    """Make the attributes for filter policies: the event, its id, and the message's own attributes."""
    named = {
        "event": f"job.{message.status.lower()}",
        "event_id": message.event_id,
        **message.attributes,
    }
    attributes: dict[str, dict[str, str]] = {}
    for name, value in named.items():
        text = _CONTROL.sub("", value)[:ATTRIBUTE_CHARS_MAX]
        if text and _ATTRIBUTE_NAME.fullmatch(name) and len(attributes) < ATTRIBUTES_MAX:
            attributes[name] = {"DataType": "String", "StringValue": text}
    return attributes


def _message(message: Message, room: int) -> str:
    """Make the texts of all protocols, in at most *room* bytes."""
    data: Mapping[str, Json] = {"event_id": message.event_id, **message.data}
    body = message.body.rstrip("\n") + f"\n\nEvent: {message.event_id}\n"
    body = _CONTROL.sub("\ufffd", body)
    text = _structured(message, body, data)
    if len(text.encode()) <= room:
        return text
    data = {key: _shortened(value) for key, value in data.items()}
    spare = room - len(_structured(message, _NOTE, data).encode())
    # 4 bytes for each character of the body: longer escapes are of control characters, which it has none of.
    return _structured(message, body[: max(0, spare // 4)] + _NOTE, data)


def _structured(message: Message, body: str, data: Mapping[str, Json]) -> str:
    """Make a text for each protocol; those that are not named get the default."""
    texts = {
        "default": json.dumps(data, sort_keys=True, ensure_ascii=False),
        "email": body,
        "sms": _subject(message.subject),
    }
    return json.dumps(texts, ensure_ascii=False).encode("utf-8", "replace").decode()


def _shortened(value: Json) -> Json:
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
