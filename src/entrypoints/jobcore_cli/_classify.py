"""`jobcore classify`: the classes of failure messages."""

from __future__ import annotations

import json
import sys
from typing import IO

import click

import jobcore

from ._app import common
from ._errors import USAGE
from ._session import Session

_TEXTS = ("where", "error_code", "status", "secondary_status", "text")


@click.command("classify")
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"), default="-")
@click.option(
    "--rules", metavar="FILE", help="Your own rules (TOML), tried before the default ones."
)
@common
@click.pass_obj
def classify_command(session: Session, /, file: IO[str], rules: str | None) -> int:
    """
    Classify failure messages.

    Reads JSON lines with where ("create" or "describe"), error_code, status,
    secondary_status and text; writes for each class, scope, retry (yes, no, limited) and the
    rule that decided. A line that cannot be read is answered with an error; the exit code
    is then 2.
    """
    chosen = session.rules(rules)
    code = 0
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            evidence = _evidence(line)
        except ValueError as error:
            code = USAGE
            print(f"jobcore: line {number}: {error}", file=sys.stderr)
            print(json.dumps({"error": f"line {number}: {error}"}))
            continue
        failure = jobcore.classify(evidence, chosen)
        answer = {
            "class": failure.failure_class,
            "scope": failure.scope,
            "retry": failure.retryable,
            "rule": failure.rule,
        }
        print(json.dumps(answer))
    return code


def _evidence(line: str) -> jobcore.ports.Evidence:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise ValueError(msg) from None
    if not isinstance(document, dict):
        msg = "expected an object with where, error_code, status, secondary_status, text"
        raise ValueError(msg)
    for field in _TEXTS:
        value = document.get(field)
        if value is not None and not isinstance(value, str):
            msg = f"{field}: expected a string or null, got {type(value).__name__}"
            raise ValueError(msg)
    if document.get("where") not in ("create", "describe"):
        msg = f'where: expected "create" or "describe", got {document.get("where")!r}'
        raise ValueError(msg)
    return jobcore.ports.Evidence(
        where=document["where"],
        error_code=document.get("error_code"),
        status=document.get("status"),
        secondary_status=document.get("secondary_status"),
        text=document.get("text") or "",
    )
