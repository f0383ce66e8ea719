"""The files of a channel: how SageMaker names the objects of an S3 prefix in its folder."""

from __future__ import annotations


def path_in_channel(prefix: str, key: str) -> str:
    """
    Name an object within its channel: the part of its key after the prefix's last whole folder.

    All objects whose keys begin with the prefix belong to the channel, so that ``data/train`` also
    takes ``data/train.csv``; a prefix that is the key of one object gives that file.
    """
    whole = prefix.rstrip("/") + "/"
    if key.startswith(whole) or whole == "/":
        return key.removeprefix(whole)
    return key[prefix.rfind("/") + 1 :]
