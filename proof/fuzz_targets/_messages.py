"""Targets: notifications."""

from __future__ import annotations

import json

import jobcore
from jobcore_aws._sns import publish_request
from proof._source import Source

from ._values import ACCOUNT, T0, jobs

__all__ = ["sns"]


def _text(source: Source, longest: int) -> str:
    """Read text that a spec may hold: without NUL and lone surrogates."""
    return source.text(longest).encode("utf-8", "replace").decode().replace("\x00", "")


def sns(data: bytes) -> None:
    source = Source(data)
    job = source.one_of(jobs())
    document = jobcore.lifecycle.encode_spec(job.spec)
    document |= {"name": source.text(300) or "x", "owner": source.text(300) or "x"}
    document["group"] = source.text(100)
    try:
        spec = jobcore.lifecycle.decode_spec(document)
    except ValueError:
        return  # a spec that cannot be made has no message
    job = jobcore.lifecycle.decode_job(jobcore.lifecycle.encode_job(job), spec, version=1)
    reason = source.text(400) * source.one_of((1, 1, 10, 3000))
    entry = jobcore.lifecycle.OutboxEntry(
        event_id=f"{job.job_id}:{_text(source, 20)}", status=job.status, at=T0, reason=reason
    )
    message = jobcore.messages.message_for(job, entry)
    assert message.subject.isprintable()
    assert json.dumps(message.data)
    request = publish_request(f"arn:aws:sns:us-east-1:{ACCOUNT}:t", message)
    subject = request["Subject"]
    assert 1 <= len(subject) <= 99
    assert subject.isascii()
    assert subject.isprintable()
    assert subject[0] != " "
    size = len(request["Message"].encode())
    for name, value in request["MessageAttributes"].items():
        assert value["StringValue"]
        size += len(name) + len(value["DataType"]) + len(value["StringValue"].encode())
    assert size <= 256 * 1024, size
    assert len(request["MessageAttributes"]) <= 10
    texts = json.loads(request["Message"])
    assert set(texts) == {"default", "email", "sms"}
    assert json.loads(texts["default"])["event_id"]
