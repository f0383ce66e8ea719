"""Limits that every spec keeps, wherever it runs."""

from __future__ import annotations

import json
import re

from jobcore.errors import Problem
from jobcore.lifecycle.codec import encode_spec
from jobcore.lifecycle.model import Spec

__all__ = [
    "SPEC_BYTES_MAX",
    "validate",
]

SPEC_BYTES_MAX = 350_000  # DynamoDB refuses items over 400 KB
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+@-]{0,127}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHANNEL = re.compile(r"[A-Za-z0-9._-]{1,64}")  # SageMaker's ChannelName


def validate(spec: Spec) -> list[Problem]:
    """
    Check a spec against the limits of the services that it may meet.

    Sources: botocore's service model for SageMaker's CreateTrainingJob (hyperparameters,
    environment, tags, channels), DynamoDB's item size.
    """
    problems: list[Problem] = []

    def check(ok: bool, field: str, message: str) -> None:
        if not ok:
            problems.append(Problem(field, message))

    for field in ("name", "share", "group"):
        value = getattr(spec, field)
        ok = value is None or _NAME.fullmatch(value) is not None
        wants = "expected 1-128 letters, digits or . _ = , + @ -, starting with a letter or digit"
        check(ok, field, f"{wants}, got {value!r}")
    check(len(spec.owner) <= 256 and spec.owner.isprintable(), "owner", "expected printable text")
    check(len(spec.placements) <= 5, "pools", "expected at most 5 pools (SageMaker's limit)")
    check(
        abs(spec.priority) <= 1_000_000,
        "priority",
        f"expected -1,000,000 to 1,000,000, got {spec.priority}",
    )
    _check_map(problems, "hyperparameters", spec.args.get("hyperparameters"), 100, 256, 2500)
    _check_map(problems, "environment", spec.args.get("environment"), 100, 512, 512)
    _check_map(problems, "tags", dict(spec.tags), 45, 128, 256)
    environment = spec.args.get("environment")
    for key in environment if isinstance(environment, dict) else {}:
        ok = _ENV_NAME.fullmatch(key) is not None and not key.startswith(("SM_", "JOBCORE_"))
        check(ok, f"environment.{key}", "not a name you can set (letters, digits, _; not SM_*)")
    channels = spec.args.get("channels")
    for key in channels if isinstance(channels, dict) else {}:
        check(_CHANNEL.fullmatch(key) is not None, f"channels.{key}", "not a channel name")
    check(not isinstance(channels, dict) or len(channels) <= 20, "channels", "expected at most 20")
    if not problems:
        size = len(json.dumps(encode_spec(spec)))
        check(
            size <= SPEC_BYTES_MAX,
            "job file",
            f"{size:,} bytes as JSON; at most {SPEC_BYTES_MAX:,} (put large data into a channel)",
        )
    return problems


def _check_map(
    problems: list[Problem], field: str, value: object, count: int, key_max: int, value_max: int
) -> None:
    if not isinstance(value, dict):
        return
    if len(value) > count:
        problems.append(Problem(field, f"{len(value)} entries; at most {count}"))
    for key, item in value.items():
        text = item if isinstance(item, str) else json.dumps(item)
        if not 1 <= len(key) <= key_max:
            message = f"the name has {len(key)} characters; 1 to {key_max} are allowed"
            problems.append(Problem(f"{field}.{key[:40]}", message))
        if len(text) > value_max:
            message = f"the value has {len(text)} characters; at most {value_max} are allowed"
            problems.append(Problem(f"{field}.{key[:40]}", message))
