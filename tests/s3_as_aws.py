"""
An S3 that answers as AWS does where the emulators answer otherwise.

Without `s3:ListBucket` AWS answers GetObject of a missing key with 403 AccessDenied, so that the
answer does not tell which keys exist; moto and MiniStack always answer 404 NoSuchKey.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

ANSWERED = {"ResponseMetadata": {"RequestId": "1", "HTTPStatusCode": 200}}


def refusal(code: str, status: int, message: str = "so it is") -> ClientError:
    """Make the error that boto3 raises for an answer of S3."""
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RequestId": "1", "HTTPStatusCode": status},
    }
    return ClientError(answer, "GetObject")


class S3AsAws:
    """
    A client of S3 with one bucket, kept in memory.

    Attributes:
        may_list: whether the caller has s3:ListBucket.
        objects: the bodies by key.
        faults: by key, called in the place of an answer; the key "" stands for all keys.
        reads: how often each key was asked for.
    """

    def __init__(self, *, may_list: bool = False) -> None:
        self.may_list = may_list
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, Callable[[], Any]] = {}
        self.reads: Counter[str] = Counter()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.objects[Key] = Body
        return dict(ANSWERED)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self.reads[Key] += 1
        fault = self.faults.get(Key) or self.faults.get("")
        if fault is not None:
            return dict(fault())
        if Key not in self.objects:
            raise refusal("NoSuchKey", 404) if self.may_list else refusal("AccessDenied", 403)
        return ANSWERED | {"Body": io.BytesIO(self.objects[Key])}
