"""The specs of jobs: an item each, or an object in S3 for a large one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from jobcore import CorruptRecord, Job, Spec, Unavailable
from jobcore.errors import Problem
from jobcore.lifecycle import SCHEMA, decode_spec, encode_spec, spec_hash

from ._calls import TRIES, answered, error_code, is_transient, make_client, retried
from ._items import UNREADABLE, Item, item_size, spec_key

__all__ = ["SPEC_BYTES_MAX", "Specs", "check_item_size"]

SPEC_BYTES_MAX = 300 * 1024  # larger ones go to S3; DynamoDB's own limit is 400 KB an item


class SpecUnavailable(CorruptRecord, Unavailable):
    """
    The spec of one job could not be read, and the same read may succeed later.

    It is a `CorruptRecord`, so that a reader of several jobs continues with the others, and an
    `Unavailable`, so that a reader of this job tries again.
    """


def check_item_size(spec: Spec, *, bucket: str | None) -> list[Problem]:
    """
    Check that the table can hold a spec; entry points call this before they submit the job.

    Args:
        bucket: the bucket of large specs; None if there is none.
    """
    _, problem = _inline_item("0" * 26, spec)  # job ids are of one length
    return [] if bucket is not None or problem is None else [problem]


def _inline_item(job_id: str, spec: Spec) -> tuple[Item, Problem | None]:
    """Make the item that holds a whole spec, with the problem if it is too large."""
    document = encode_spec(spec)
    args = _text(document.pop("JobArgs"))
    rest = _text(document)
    item = _head(job_id) | {"JobArgs": {"S": args}, "spec": {"S": rest}}
    size = item_size(item)
    if size <= SPEC_BYTES_MAX:
        return item, None
    message = (
        f"the job takes {size:,} bytes, and the table holds at most {SPEC_BYTES_MAX:,}; put large "
        "values in S3 and name them here, or configure a bucket for large jobs"
    )
    return item, Problem("args" if len(args) >= len(rest) else "tags", message)


def _head(job_id: str) -> Item:
    return spec_key(job_id) | {"JobId": {"S": job_id}, "schema": {"N": str(SCHEMA)}}


class Specs:
    """The specs of one table."""

    def __init__(self, s3: Any, bucket: str | None, threads: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._threads = threads
        self._tries = TRIES

    def item(self, job: Job) -> Item:
        """
        Make the item of a job's spec; a large spec's item has only its place in S3.

        Raises:
            ValueError: it is too large and no bucket is configured.
        """
        item, problem = _inline_item(job.job_id, job.spec)
        if problem is None:
            return item
        if self._bucket is None:
            raise ValueError(str(problem))
        # The hash is part of the name, so that a clash cannot overwrite the spec of the stored job.
        digest = spec_hash(job.spec)
        at = f"specs/{job.job_id}/{digest}.json"
        return _head(job.job_id) | {"JobArgsAt": {"S": at}, "_hash": {"S": digest}}

    def upload(self, job: Job, item: Item) -> None:
        """Write a large spec to the place in S3 that its item has."""
        if "JobArgsAt" not in item:
            return
        text, s3 = _text(encode_spec(job.spec)), self._client()
        retried(
            f"S3 PutObject to {self._bucket}",
            partial(
                answered,
                s3.put_object,
                Bucket=self._bucket,
                Key=item["JobArgsAt"]["S"],
                Body=text.encode("ascii"),
                ContentType="application/json",
            ),
        )

    def read(self, job_id: str, item: Mapping[str, Any]) -> Spec:
        """
        Read and decode a spec.

        Raises:
            CorruptRecord: it is missing or damaged, or of a newer schema.
            SpecUnavailable: S3 did not answer or denies the object, or no bucket is configured.
        """
        try:
            schema = int(item["schema"]["N"])
            if not 1 <= schema <= SCHEMA:
                msg = f"schema {schema} is not one that this release reads (1 to {SCHEMA})"
                raise ValueError(msg)
            if "JobArgsAt" not in item:
                document = json.loads(item["spec"]["S"])
                return decode_spec(document | {"JobArgs": json.loads(item["JobArgs"]["S"])})
            at = item["JobArgsAt"]["S"]
            spec = decode_spec(json.loads(self._download(job_id, at)))
            if spec_hash(spec) != item["_hash"]["S"]:
                msg = f"the object in S3 ({at}) is not what was submitted"
                raise ValueError(msg)
        except CorruptRecord:
            raise
        except UNREADABLE as error:
            raise CorruptRecord(job_id, f"its spec: {type(error).__name__}: {error}") from error
        return spec

    def is_same(self, job: Job, item: Item) -> bool:
        """Check whether a stored spec is the job's; one that cannot be read is not."""
        if "_hash" in item:
            return bool(item["_hash"]["S"] == spec_hash(job.spec))
        try:
            return spec_hash(self.read(job.job_id, item)) == spec_hash(job.spec)
        except CorruptRecord:
            return False

    def _download(self, job_id: str, at: str) -> bytes:
        """
        Read an object; its errors concern this job only.

        S3 answers 404 for a missing object if the caller may list the bucket, else 403.
        """
        if self._bucket is None:
            raise SpecUnavailable(job_id, "its spec is in S3, but no bucket is configured here")
        try:
            what = f"S3 GetObject from {self._bucket}"
            body = retried(
                what, partial(_body, self._client(), self._bucket, at), tries=self._tries
            )
        except Exception as error:
            cause = error.__cause__ if isinstance(error, Unavailable) else error
            code = error_code(cause) if isinstance(cause, Exception) else ""
            if code in {"NoSuchKey", "404"}:
                raise CorruptRecord(job_id, f"its spec is missing from S3 ({at})") from error
            if code in {"AccessDenied", "403"}:
                why = f"its spec in S3 ({at}) is missing, or may not be read ({code})"
                raise SpecUnavailable(job_id, why) from error
            # While S3 does not answer, read the specs of other jobs with one try each: all tries
            # together would take longer than a Lambda function may run.
            self._tries = 1 if is_transient(cause) else self._tries
            raise SpecUnavailable(job_id, f"its spec in S3 ({at}): {error}") from error
        self._tries = TRIES
        return body

    def _client(self) -> Any:
        if self._s3 is None:
            self._s3 = make_client("s3", self._threads)
        return self._s3


def _body(s3: Any, bucket: str, key: str) -> bytes:
    body: bytes = answered(s3.get_object, Bucket=bucket, Key=key)["Body"].read()
    return body


def _text(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
