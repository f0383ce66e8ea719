"""`jobcore status`: a deployment's stack, functions, lost hints, and the delay of its work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from jobcore_client.words import ago

from ._app import common
from ._deployment import client, stack_options, with_aws_errors
from ._errors import FAILED, NOT_FOUND, CliError
from ._render import print_json
from ._session import Session
from ._stack import Stack

FUNCTIONS = ("Submit", "Launch", "Monitor", "Notify", "Stream", "Reap")


@click.command("status")
@stack_options
@common
@click.pass_obj
@with_aws_errors
def status_command(session: Session, /, name: str, region: str | None, timeout: float) -> int:
    """Show a deployment: its stack, functions, lost hints, and the delay of the oldest work."""
    stack = Stack(client("cloudformation", region), name)
    found = stack.describe()
    if found is None:
        msg = f"there is no stack {name}; jobcore deploy makes it"
        raise CliError(msg, NOT_FOUND)
    outputs = stack.outputs()
    resources = stack.resources()
    functions = _functions(client("lambda", region), resources)
    lost = _queue_depth(client("sqs", region), outputs.get("DeadLettersUrl"))
    parameters = {p["ParameterKey"]: p.get("ParameterValue") for p in found.get("Parameters", [])}
    work = _work(outputs, region)
    document = {
        "stack": name,
        "status": found["StackStatus"],
        "paused": parameters.get("Paused") == "true",
        "functions": functions,
        "lost_hints": lost,
        **work,
        "outputs": outputs,
    }
    status = found["StackStatus"]
    healthy = status.endswith("_COMPLETE") and not status.startswith("ROLLBACK")
    healthy = healthy and all(f["state"] in ("Active", "Inactive") for f in functions.values())
    if session.as_json:
        print_json(document)
    else:
        _print_status(document)
    return 0 if healthy else FAILED


def _print_status(document: Mapping[str, Any]) -> None:
    lost = document["lost_hints"]
    print(f"{document['stack']}  {document['status']}" + ("  PAUSED" if document["paused"] else ""))
    for label, function in document["functions"].items():
        print(
            f"  {label.lower():<8} {function['state']:<8} {function['package']}  {function['code']}"
        )
    print(f"  lost hints: {lost}" + ("  (see the dead-letter queue)" if lost else ""))
    for tick, seconds in document["oldest_due_seconds"].items():
        late = "nothing due"
        if seconds is not None:
            late = f"oldest due for {ago(timedelta(seconds=seconds))}"
        print(f"  {tick}: {late}")
    print("  jobs: " + (", ".join(f"{n} {s}" for s, n in document["jobs"].items()) or "none"))
    for key, value in document["outputs"].items():
        print(f"  {key:<20} {value}")


def _functions(
    lambda_: Any, resources: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    functions = {}
    for label in FUNCTIONS:
        resource = resources.get(f"{label}Function")
        if resource is None:
            continue
        found = lambda_.get_function_configuration(FunctionName=resource["PhysicalResourceId"])
        functions[label] = {
            "name": found["FunctionName"],
            "state": found.get("State", "Active"),
            "package": found.get("Runtime") or found.get("PackageType", "Image"),
            "code": found.get("CodeSha256", "")[:12],
        }
    return functions


def _queue_depth(sqs: Any, url: str | None) -> int | None:
    if url is None:
        return None
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def _work(outputs: Mapping[str, str], region: str | None) -> dict[str, Any]:
    """Read the delay of the oldest due work, and the number of jobs by status, from the store."""
    import jobcore
    from jobcore_aws import DynamoStore

    store = DynamoStore(outputs["TableName"], client=client("dynamodb", region))
    now = datetime.now(UTC)
    late: dict[str, float | None] = {}
    for tick in (jobcore.lifecycle.Tick.LAUNCH, jobcore.lifecycle.Tick.NOTIFY):
        due = store.due(tick, before=now, limit=1)
        late[str(tick)] = (now - due[0].at).total_seconds() if due else None
    counts = {str(status): count for status, count in store.counts().items() if count}
    return {"oldest_due_seconds": late, "jobs": counts}
