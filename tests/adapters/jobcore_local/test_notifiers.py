"""Subjects of any letters reach a stream that has not all of them."""

from __future__ import annotations

import io

import pytest

from core_strategies import after, make_job
from jobcore import StopRequested
from jobcore.messages import message_for
from jobcore_local import ConsoleNotifier


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "größe 試験"), ("ascii", r"gr\xf6\xdfe \u8a66\u9a13")],
)
def test_a_subject_is_written_as_far_as_the_stream_has_its_letters(encoding, shown):
    job = after(make_job(name="größe 試験"), StopRequested(by="ada"))
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    ConsoleNotifier(stream).publish(message_for(job, job.outbox[0]))
    assert raw.getvalue().decode(encoding) == f"[jobcore] Stopped: {shown}\n"
