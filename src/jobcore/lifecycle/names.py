"""Ids, training names and hashes: pure functions of what they name.

A training service may have no other idempotency key than the name, so everything here is
deterministic: the same job and attempt always get the same name, on every machine and after any
crash.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import NamedTuple

__all__ = [
    "ATTEMPTS_MAX", "TrainingName", "hash_fraction", "is_job_id", "job_id_from_bytes",
    "job_id_from_token", "parse_training_name", "training_name",
]  # fmt: skip

# Crockford's base 32, lower case: without i, l, o, u, so that an id can be read aloud.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_JOB_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
# 3 + 26 + 1 + at most 9 characters: services allow 63. Only letters, digits and hyphens.
_TRAINING_NAME = re.compile(r"jc-([0-9a-hjkmnp-tv-z]{26})-([1-9][0-9]{0,8})")
ATTEMPTS_MAX = 999_999_999


class TrainingName(NamedTuple):
    """The parts of a training name: the job and the attempt that it belongs to."""

    job_id: str
    attempt: int


@lru_cache(maxsize=2**14)
def is_job_id(text: str) -> bool:
    """Check whether *text* is a well-formed job id: 26 characters, safe in paths and names."""
    return _JOB_ID.fullmatch(text) is not None


def job_id_from_bytes(entropy: bytes) -> str:
    """
    Make a job id out of 16 bytes.

    Args:
        entropy: 16 random bytes, drawn by the caller: the core has no randomness.

    Raises:
        ValueError: *entropy* is not 16 bytes long.
    """
    if len(entropy) != 16:
        msg = f"entropy: expected 16 bytes, got {len(entropy)}"
        raise ValueError(msg)
    number = int.from_bytes(entropy, "big")
    return "".join([_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)])


def job_id_from_token(owner: str, token: str) -> str:
    """
    Make a job id from a caller's idempotency key.

    The same owner and token always give the same id, so a submit that is repeated after a lost
    reply finds the job that the first call made.
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    digest = hashlib.sha256(f"{len(owner)}:{owner}:{token}".encode("utf-8", "surrogatepass"))
    return job_id_from_bytes(digest.digest()[:16])


def training_name(job_id: str, attempt: int) -> str:
    """
    Name the training of one attempt: injective, reversible, at most 39 characters.

    Raises:
        ValueError: *job_id* is not a job id or *attempt* is outside 1..999,999,999.
    """
    if not is_job_id(job_id):
        msg = f"job_id: {job_id!r} is not a job id (26 characters of 0-9 a-z without i, l, o, u)"
        raise ValueError(msg)
    if not 1 <= attempt <= ATTEMPTS_MAX:
        msg = f"attempt: {attempt} is outside 1..{ATTEMPTS_MAX}"
        raise ValueError(msg)
    return f"jc-{job_id}-{attempt}"


def parse_training_name(name: str) -> TrainingName | None:
    """Read a training name back; None for a name that `training_name` does not make."""
    match = _TRAINING_NAME.fullmatch(name)
    return TrainingName(match[1], int(match[2])) if match else None


def hash_fraction(*parts: str | int) -> float:
    """
    Map *parts* to a number in [0, 1), evenly spread, the same at each call.

    Jitter comes from here, so that a retry time is a function of the job and its attempt and a
    simulation repeats to the microsecond.
    """
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") / (1 << 56)
