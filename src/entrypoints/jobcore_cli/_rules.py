"""The failure rules of the command and of a deployment: the user's own file, in front of the adapters'."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import CONFLICT, CliError

if TYPE_CHECKING:
    from jobcore.failures import Rules

    from ._stack import Stack

#: The name of the user's rules in the functions' zip file (`jobcore_lambda` reads it there).
RULES_FILE = "user_rules.toml"


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
        CliError: it cannot be read.
        InvalidSetting: a rule in it is wrong.
    """
    return _parsed(_content(file), base, str(file))


# --- of a deployment --------------------------------------------------------------------


def rules_to_deploy(config: Path | None, stack: Stack, s3: Any) -> bytes | None:
    """
    Return the file of rules for the functions' zip file; None if there is none.

    It is the file that ``rules`` in the configuration names (a path beside the configuration), or,
    without a configuration, the file of the present deployment: settings that are not given stay.

    Raises:
        CliError: a file or the present deployment cannot be read.
        InvalidSetting: a rule is wrong.
    """
    if config is None:
        content, where = _deployed(stack, s3), f"the rules of stack {stack.name}"
    else:
        file = _rules_file(config)
        content, where = (None, "") if file is None else (_content(file), str(file))
    if content is not None:
        _parsed(content, default_rules(is_aws=True), where)
    return content


def refuse_rules(config: Path | None) -> None:
    """
    Refuse a configuration that names a file of rules, for a deployment that runs an image.

    Raises:
        CliError: the configuration names one.
    """
    if config is not None and _rules_file(config) is not None:
        msg = f"{config}: rules: copy the file into the image (see deploy/Dockerfile), and leave it out here"
        raise CliError(msg)


def _rules_file(config: Path) -> Path | None:
    """Return the path of the rules that a deployment's configuration names."""
    from ._jobfiles import read_document

    chosen = read_document(config).get("rules")
    if chosen is None:
        return None
    if not isinstance(chosen, str):
        msg = f"{config}: rules: expected the path of a TOML file, got {chosen!r}"
        raise CliError(msg)
    return config.parent / Path(chosen).expanduser()


def _deployed(stack: Stack, s3: Any) -> bytes | None:
    """Read the rules out of the zip file that the functions run now."""
    from botocore.exceptions import ClientError

    found = stack.describe() or {}
    given = {p["ParameterKey"]: p["ParameterValue"] for p in found.get("Parameters", [])}
    if not given.get("CodeKey"):
        return None
    try:
        code = s3.get_object(Bucket=given["CodeBucket"], Key=given["CodeKey"])["Body"].read()
    except ClientError as error:
        msg = (
            f"s3://{given['CodeBucket']}/{given['CodeKey']}, the present code, cannot be read for its "
            f"failure rules: {error}; give --config, which says whether there are any"
        )
        raise CliError(msg, CONFLICT) from None
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        return archive.read(RULES_FILE) if RULES_FILE in archive.namelist() else None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise CliError(msg) from None


def _parsed(content: bytes, base: Rules, where: str) -> Rules:
    from jobcore.errors import InvalidSetting
    from jobcore.failures import parse_rules
    from jobcore_config.checks import parse_toml, problems_in

    try:
        return parse_rules(parse_toml(content, where=where), base)
    except InvalidSetting:
        raise
    except ValueError as error:
        raise InvalidSetting(problems_in(error), where) from None
