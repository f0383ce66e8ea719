"""The failure rules of the command and of a deployment: the user's own file, in front of the adapters'."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobcore_client.rules import default_rules, parse_file, read_file

from ._errors import CONFLICT, CliError

if TYPE_CHECKING:
    from ._stack import Stack

#: The name of the user's rules in the functions' zip file (`jobcore_lambda` reads it there).
RULES_FILE = "user_rules.toml"


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
        content, where = (None, "") if file is None else (read_file(file), str(file))
    if content is not None:
        parse_file(content, default_rules(is_aws=True), where)
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
    from jobcore_client.jobfiles import read_document

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
