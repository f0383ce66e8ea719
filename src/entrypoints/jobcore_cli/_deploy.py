"""`jobcore deploy`, `jobcore destroy` and `jobcore status`: the functions on AWS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ._app import common
from ._errors import CONFLICT, FAILED, NOT_FOUND, UNAVAILABLE, CliError
from ._render import ago, plain, print_json
from ._session import Session
from ._stack import Stack, StackEvent

FUNCTIONS = ("Submit", "Launch", "Monitor", "Notify", "Stream", "Reap")


def _place(command: Any) -> Any:
    options = (
        click.option("--stack", "name", default="jobcore", show_default=True, help="The stack."),
        click.option("--region", help="The AWS region; the one of your AWS profile if not given."),
        click.option(
            "--timeout", default=1800.0, show_default=True, help="Seconds to wait for AWS."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _client(service: str, region: str | None) -> Any:
    from jobcore_aws import client

    return client(service, region=region)


def _explained(command: Callable[..., int]) -> Callable[..., int]:
    """Tell what AWS says in one line, and what to do."""

    @wraps(command)
    def explained(*args: Any, **kwargs: Any) -> int:
        try:
            from botocore import exceptions
        except ImportError:
            msg = "the AWS SDK is not installed; pip install 'jobcore-scheduler[lambda,cli]'"
            raise CliError(msg, CONFLICT) from None
        try:
            return command(*args, **kwargs)
        except exceptions.NoRegionError:
            msg = "no AWS region is set; give --region or set AWS_DEFAULT_REGION"
            raise CliError(msg) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            msg = "there are no AWS credentials; sign in (aws sso login) or set AWS_PROFILE"
            raise CliError(msg, CONFLICT) from None
        except exceptions.ClientError as error:
            answer = error.response.get("Error", {})
            reason = answer.get("Message") or answer.get("Code", "")
            msg = f"AWS refuses {error.operation_name}: {reason}"
            raise CliError(msg, CONFLICT) from None
        except exceptions.BotoCoreError as error:
            msg = f"AWS does not answer: {error}"
            raise CliError(msg, UNAVAILABLE) from None

    return explained


# --- deploy -----------------------------------------------------------------------------


@click.command("deploy")
@_place
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Pools, roles, output path and failure rules: a TOML, YAML or JSON file.",
)
@click.option("--image", metavar="URI", help="Run a container image from ECR, not the zip file.")
@click.option("--bucket", help="Where the code goes; made if not given.")
@click.option(
    "--runtime", help="The functions' Python; this one's version if Lambda has it, or python3.14."
)
@click.option("--pin-boto3", is_flag=True, help="Take this environment's boto3 along.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the template, such as Paused=true.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@common
@click.pass_obj
@_explained
def deploy_command(
    session: Session,
    /,
    name: str,
    region: str | None,
    timeout: float,
    config: Path | None,
    image: str | None,
    bucket: str | None,
    runtime: str | None,
    pin_boto3: bool,
    settings: Sequence[str],
    dry_run: bool,
) -> int:
    """
    Put the table, the topic and the functions onto AWS, or bring them up to date.

    Repeat it after each upgrade; settings that are not given keep their values.
    """
    from ._bundle import build_zip, content_key, find_template, runtime_here
    from ._rules import refuse_rules, rules_to_deploy

    template = find_template()
    if config is not None:
        _check(config)
    parameters = _parameters(config, settings, region)
    bucket = bucket or _bucket_name(region)
    runtime = runtime or runtime_here()
    uploads = {f"jobcore/{name}/{content_key(template.encode())}.yaml": template.encode()}
    (template_key,) = uploads
    stack = Stack(_client("cloudformation", region), name, poll_seconds=_poll_seconds())
    s3 = _client("s3", region)
    if image:
        refuse_rules(config)
        parameters |= {"ImageUri": image}
    else:
        code = build_zip(runtime, pin_sdk=pin_boto3, rules=rules_to_deploy(config, stack, s3))
        key = f"jobcore/{name}/{content_key(code)}.zip"
        uploads[key] = code
        parameters |= {"CodeBucket": bucket, "CodeKey": key, "ImageUri": "", "Runtime": runtime}
        _say(session, f"code      {len(code):,} bytes for {runtime}  {content_key(code)[:12]}")
    if dry_run and stack.describe() is None:
        return _say_new(session, name, template, parameters)
    _upload(session, s3, bucket, uploads, region)
    url = f"{s3.meta.endpoint_url.rstrip('/')}/{bucket}/{template_key}"
    label = f"jobcore-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    changes = stack.change_set(url, parameters, label=label)
    if changes is None:
        return _say_outputs(session, stack, changed=0, note="nothing to change")
    for change in changes:
        _say(session, _change_line(change))
    if dry_run:
        stack.drop_change_set(label)
        if session.as_json:
            print_json({"dry_run": True, "changes": [_change_document(c) for c in changes]})
        else:
            print(f"{len(changes)} changes; nothing was changed (--dry-run)")
        return 0
    stack.execute(
        label, _Progress(session, {c["LogicalResourceId"] for c in changes}), timeout=timeout
    )
    return _say_outputs(session, stack, changed=len(changes), note=f"stack {name} is deployed")


def _check(config: Path) -> None:
    """
    Refuse a configuration that every function would refuse at its start.

    Raises:
        InvalidSetting: with every problem.
    """
    from jobcore.errors import InvalidSetting
    from jobcore_aws import settings_from

    from ._jobfiles import read_document

    try:
        document = read_document(config)
        document.pop("rules", None)  # read when the zip file is made
        settings_from({}, config=document)
    except InvalidSetting as error:
        raise InvalidSetting(error.problems, str(config)) from None


def _parameters(config: Path | None, settings: Sequence[str], region: str | None) -> dict[str, str]:
    """Turn the options into the template's parameters."""
    parameters: dict[str, str] = {}
    if config is not None:
        from ._jobfiles import read_document

        document = read_document(config)
        document.pop("rules", None)  # goes into the functions' zip file
        parameters["Config"] = json.dumps(document, separators=(",", ":"), default=str)
        if len(parameters["Config"]) > 3000:
            msg = f"{config}: {len(parameters['Config']):,} characters as JSON; Lambda takes 3,000"
            raise CliError(msg)
        roles = document.get("roles")
        if isinstance(roles, Mapping) and roles:
            parameters["TrainingRoleArns"] = ",".join(sorted({str(arn) for arn in roles.values()}))
        pools = [str(pool) for pool in document.get("pools", {})]
        if any(map(_region_of, pools)):
            own = _client("sts", region).meta.region_name
            parameters["TrainingRegions"] = ",".join(sorted({_region_of(p) or own for p in pools}))
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):  # an emulator: its functions need it too
        sagemaker = os.environ.get("AWS_ENDPOINT_URL_SAGEMAKER", endpoint)
        parameters |= {"EndpointUrl": endpoint, "SageMakerEndpointUrl": sagemaker}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals or not key.isalnum():
            msg = f"--set: expected NAME=VALUE, got {word!r}"
            raise CliError(msg)
        parameters[key] = value
    return parameters


def _region_of(pool: str) -> str:
    """Read the region out of a pool's name, region/instance type/market; "" if it has none."""
    first, _, rest = pool.partition("/")
    return first if rest and not first.startswith("ml.") else ""


def _bucket_name(region: str | None) -> str:
    sts = _client("sts", region)
    account = sts.get_caller_identity()["Account"]
    return f"jobcore-code-{account}-{sts.meta.region_name}"


def _upload(
    session: Session, s3: Any, bucket: str, uploads: Mapping[str, bytes], region: str | None
) -> None:
    from botocore.exceptions import ClientError

    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
            msg = f"bucket {bucket} may not be used; choose another one (--bucket)"
            raise CliError(msg, CONFLICT) from None
        place = s3.meta.region_name
        # us-east-1 is the one region that may not be named.
        where = (
            {}
            if place == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": place}}
        )
        s3.create_bucket(Bucket=bucket, **where)
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration=dict.fromkeys(
                (
                    "BlockPublicAcls",
                    "IgnorePublicAcls",
                    "BlockPublicPolicy",
                    "RestrictPublicBuckets",
                ),
                True,
            ),
        )
        _say(session, f"bucket    {bucket} made")
    account = (
        None
        if os.environ.get("AWS_ENDPOINT_URL")
        else _client("sts", region).get_caller_identity()["Account"]
    )
    owner = {"ExpectedBucketOwner": account} if account else {}
    for key, data in uploads.items():
        s3.put_object(Bucket=bucket, Key=key, Body=data, **owner)
        _say(session, f"upload    s3://{bucket}/{key}")


def _poll_seconds() -> float:
    return 0.2 if os.environ.get("AWS_ENDPOINT_URL") else 2.0


# --- destroy ----------------------------------------------------------------------------


@click.command("destroy")
@_place
@click.option("--delete-data", is_flag=True, help="Delete the jobs too; there is no way back.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common
@click.pass_obj
@_explained
def destroy_command(
    session: Session,
    /,
    name: str,
    region: str | None,
    timeout: float,
    delete_data: bool,
    yes: bool,
) -> int:
    """
    Take the functions off AWS again. The table and the bucket of specs stay, unless told otherwise.

    Trainings that run go on and end by themselves; nobody watches them any more.
    """
    stack = Stack(_client("cloudformation", region), name, poll_seconds=_poll_seconds())
    if stack.describe() is None:
        msg = f"there is no stack {name}"
        raise CliError(msg, NOT_FOUND)
    kept = stack.outputs()
    table, bucket = kept.get("TableName"), kept.get("SpecBucketName")
    if not yes:
        what = f"stack {name}" + (f" AND ALL JOBS in table {table}" if delete_data else "")
        click.confirm(f"Delete {what}?", abort=True, err=True)
    stack.delete(_Progress(session, set(stack.resources())), timeout=timeout)
    if delete_data:
        _delete_table(_client("dynamodb", region), table)
        _delete_bucket(_client("s3", region), bucket)
    if session.as_json:
        print_json({"deleted": name, "data_deleted": delete_data, "table": table, "bucket": bucket})
    elif delete_data or table is None:
        print(f"stack {name} is deleted")
    else:
        print(f"stack {name} is deleted; table {table} and bucket {bucket} were kept")
    return 0


def _delete_table(dynamodb: Any, table: str | None) -> None:
    from botocore.exceptions import ClientError

    from jobcore_aws._errors import error_code

    if table is None:
        return
    try:
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=table)
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise


def _delete_bucket(s3: Any, bucket: str | None) -> None:
    from botocore.exceptions import ClientError

    from jobcore_aws._errors import error_code

    if bucket is None:
        return
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            keys = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) not in ("NoSuchBucket", "404"):
            raise


# --- status -----------------------------------------------------------------------------


@click.command("status")
@_place
@common
@click.pass_obj
@_explained
def status_command(session: Session, /, name: str, region: str | None, timeout: float) -> int:
    """Show a deployment: its stack, functions, lost hints, and how late the oldest work is."""
    stack = Stack(_client("cloudformation", region), name)
    found = stack.describe()
    if found is None:
        msg = f"there is no stack {name}; jobcore deploy makes it"
        raise CliError(msg, NOT_FOUND)
    outputs = stack.outputs()
    resources = stack.resources()
    functions = _functions(_client("lambda", region), resources)
    lost = _queue_depth(_client("sqs", region), outputs.get("DeadLettersUrl"))
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
    healthy = found["StackStatus"].endswith("_COMPLETE") and not found["StackStatus"].startswith(
        "ROLLBACK"
    )
    healthy = healthy and all(f["state"] in ("Active", "Inactive") for f in functions.values())
    if session.as_json:
        print_json(document)
        return 0 if healthy else FAILED
    print(f"{name}  {found['StackStatus']}" + ("  PAUSED" if document["paused"] else ""))
    for label, function in functions.items():
        print(
            f"  {label.lower():<8} {function['state']:<8} {function['package']}  {function['code']}"
        )
    print(f"  lost hints: {lost}" + ("  (look into the queue of dead letters)" if lost else ""))
    for tick, seconds in work["oldest_due_seconds"].items():
        print(
            f"  {tick}: "
            + ("nothing due" if seconds is None else f"oldest due for {ago(_span(seconds))}")
        )
    print("  jobs: " + (", ".join(f"{n} {s}" for s, n in work["jobs"].items()) or "none"))
    for key, value in outputs.items():
        print(f"  {key:<20} {value}")
    return 0 if healthy else FAILED


def _span(seconds: float) -> Any:
    from datetime import timedelta

    return timedelta(seconds=seconds)


def _functions(
    client: Any, resources: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    functions = {}
    for label in FUNCTIONS:
        resource = resources.get(f"{label}Function")
        if resource is None:
            continue
        found = client.get_function_configuration(FunctionName=resource["PhysicalResourceId"])
        functions[label] = {
            "name": found["FunctionName"],
            "state": found.get("State", "Active"),
            "package": found.get("Runtime") or found.get("PackageType", "Image"),
            "code": found.get("CodeSha256", "")[:12],
        }
    return functions


def _queue_depth(client: Any, url: str | None) -> int | None:
    if url is None:
        return None
    found = client.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def _work(outputs: Mapping[str, str], region: str | None) -> dict[str, Any]:
    """Ask the store how late the oldest due work is, and how many jobs there are by status."""
    import jobcore
    from jobcore_aws import DynamoStore

    store = DynamoStore(outputs["TableName"], client=_client("dynamodb", region))
    now = datetime.now(UTC)
    late: dict[str, float | None] = {}
    for tick in (jobcore.lifecycle.Tick.LAUNCH, jobcore.lifecycle.Tick.NOTIFY):
        due = store.due(tick, before=now, limit=1)
        late[str(tick)] = (now - due[0].at).total_seconds() if due else None
    counts = {str(status): count for status, count in store.counts().items() if count}
    return {"oldest_due_seconds": late, "jobs": counts}


# --- what is printed --------------------------------------------------------------------


def _say(session: Session, line: str) -> None:
    if not session.as_json:
        print(plain(line))
        sys.stdout.flush()


class _Progress:
    """Prints a line for each resource that is done, with how far it all is."""

    def __init__(self, session: Session, resources: set[str]) -> None:
        self.session = session
        self.resources = resources
        self.done: set[str] = set()

    def __call__(self, event: StackEvent) -> None:
        status, resource = event["ResourceStatus"], event["LogicalResourceId"]
        failed = status.endswith("_FAILED")
        if not failed and not status.endswith(("_COMPLETE", "_SKIPPED")):
            return
        if resource not in self.resources:  # looked at, and left as it is
            return
        self.done.add(resource)
        reason = event.get("ResourceStatusReason", "")
        reason = f"  {reason}" if failed else ""
        at = event["Timestamp"].astimezone().strftime("%H:%M:%S")
        count = f"{len(self.done):>3}/{len(self.resources)}"
        _say(self.session, f"{at} {count}  {status:<16} {resource}{reason}")


def _change_line(change: Mapping[str, Any]) -> str:
    again = "  (replaced)" if change.get("Replacement") == "True" else ""
    return f"{change['Action'].lower():<9} {change['LogicalResourceId']}  {change['ResourceType']}{again}"


def _change_document(change: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "action": change["Action"],
        "resource": change["LogicalResourceId"],
        "type": change["ResourceType"],
        "replaced": change.get("Replacement") == "True",
    }


def _say_new(session: Session, name: str, template: str, parameters: Mapping[str, str]) -> int:
    """Show what a first deployment would make; nothing is asked of AWS."""
    import re

    found = re.findall(r"^  (\w+):.*\n    Type: (AWS::\S+)", template, re.MULTILINE)
    if session.as_json:
        changes = [{"action": "Add", "resource": r, "type": t, "replaced": False} for r, t in found]
        print_json({"dry_run": True, "changes": changes, "parameters": dict(parameters)})
        return 0
    for resource, kind in found:
        print(f"add       {resource}  {kind}")
    for key, value in sorted(parameters.items()):
        print(f"set       {key}={plain(value)}")
    print(f"{len(found)} resources in a new stack {name}; nothing was changed (--dry-run)")
    return 0


def _say_outputs(session: Session, stack: Stack, *, changed: int, note: str) -> int:
    outputs = stack.outputs()
    if session.as_json:
        print_json({"stack": stack.name, "changes": changed, "outputs": outputs})
        return 0
    print(note)
    for key, value in outputs.items():
        print(f"  {key:<20} {value}")
    return 0
