"""The failure rules of a backend, and a user's own file of rules in front of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import RequestError

if TYPE_CHECKING:
    from jobcore.failures import Rules


def default_rules(*, is_aws: bool) -> Rules:
    """Return the rules of the backend in use."""
    import jobcore_aws

    if is_aws:
        return jobcore_aws.failure_rules()
    import jobcore_local

    # Scripts on this machine quote boto3's errors, too. Reading the rules needs no boto3.
    return jobcore_local.failure_rules(jobcore_aws.failure_rules())


def read_rules(file: Path, base: Rules) -> Rules:
    """
    Read a user's file of rules and put them in front of *base*.

    Raises:
        RequestError: it cannot be read.
        InvalidSetting: a rule in it is wrong.
    """
    return parse_file(read_file(file), base, str(file))


def read_file(file: Path) -> bytes:
    """
    Read a file of rules.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise RequestError(msg) from None


def parse_file(content: bytes, base: Rules, where: str) -> Rules:
    """
    Decode a file of rules, and put them in front of *base*.

    Raises:
        InvalidSetting: a rule in it is wrong; the text begins with *where*.
    """
    from jobcore.errors import InvalidSetting
    from jobcore.failures import parse_rules
    from jobcore_config.checks import parse_toml, problems_in

    try:
        return parse_rules(parse_toml(content, where=where), base)
    except InvalidSetting:
        raise
    except ValueError as error:
        raise InvalidSetting(problems_in(error), where) from None
