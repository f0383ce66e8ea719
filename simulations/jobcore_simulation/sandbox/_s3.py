"""The files of a training in an emulated S3: code, channels, checkpoints and the model."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from jobcore_contract import path_in_channel

__all__ = ["Files"]


class Files:
    """
    The buckets of an S3 endpoint.

    Args:
        endpoint: e.g. MiniStack's.
    """

    def __init__(self, endpoint: str, region: str, account: str) -> None:
        """Make the client; nothing is read yet."""
        from ._clients import client_of

        self._client: Any = client_of("s3", endpoint, region, account)

    def fetch(self, uri: str, file: Path) -> None:
        """Read one object into a file."""
        bucket, key = _split(uri)
        self._client.download_file(bucket, key, str(file))

    def fetch_all(self, uri: str, folder: Path) -> None:
        """
        Read the objects whose keys begin with a prefix into a folder, as File mode does.

        Raises:
            ValueError: a key leads out of the folder.
        """
        bucket, prefix = _split(uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for found in (entry for page in pages for entry in page.get("Contents", ())):
            key: str = found["Key"]
            file = (folder / path_in_channel(prefix, key)).resolve()
            if not file.is_relative_to(folder.resolve()):
                msg = f"s3://{bucket}/{key} leads out of the folder"
                raise ValueError(msg)
            if not key.endswith("/"):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(bucket, key, str(file))

    def put_all(self, folder: Path, uri: str) -> None:
        """Write the files of a folder under a prefix."""
        bucket, prefix = _split(uri)
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                key = f"{prefix.rstrip('/')}/{file.relative_to(folder).as_posix()}".lstrip("/")
                self._client.upload_file(str(file), bucket, key)

    def put_archive(self, folder: Path, uri: str, file: Path) -> None:
        """Write a folder as a tar.gz, made as *file*; an empty one is not written."""
        if not any(folder.iterdir()):
            return
        with tarfile.open(file, "w:gz") as archive:
            for entry in sorted(folder.iterdir()):
                archive.add(entry, entry.name)
        bucket, key = _split(uri)
        self._client.upload_file(str(file), bucket, key)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
