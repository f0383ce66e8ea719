"""`jobcore deploy`: deploys the functions to AWS, or updates them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from jobcore_client.words import plain

from ._app import common
from ._deployment import (
    Progress,
    client,
    poll_seconds,
    print_line,
    stack_options,
    with_aws_errors,
)
from ._errors import CONFLICT, CliError
from ._render import print_json
from ._session import Session
from ._stack import Stack


@click.command("deploy")
@stack_options
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Pools, roles, output path and failure rules: a TOML, YAML or JSON file.",
)
@click.option("--image", metavar="URI", help="Run a container image from ECR, not the zip file.")
@click.option("--bucket", help="The S3 bucket of the code; created if not given.")
@click.option(
    "--runtime",
    help="The functions' Python; this command's version if Lambda has it, or python3.14.",
)
@click.option("--pin-boto3", is_flag=True, help="Include this environment's boto3 in the zip file.")
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
@with_aws_errors
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
    Deploy the table, the topic and the functions to AWS, or update them.

    Repeat it after each upgrade. Settings that are not given keep their values.
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
    stack = Stack(client("cloudformation", region), name, poll_seconds=poll_seconds())
    s3 = client("s3", region)
    if image:
        refuse_rules(config)
        parameters |= {"ImageUri": image}
    else:
        code = build_zip(runtime, pin_sdk=pin_boto3, rules=rules_to_deploy(config, stack, s3))
        key = f"jobcore/{name}/{content_key(code)}.zip"
        uploads[key] = code
        parameters |= {"CodeBucket": bucket, "CodeKey": key, "ImageUri": "", "Runtime": runtime}
        print_line(
            session, f"code      {len(code):,} bytes for {runtime}  {content_key(code)[:12]}"
        )
    if dry_run and stack.describe() is None:
        return _print_new(session, name, template, parameters)
    _upload(session, s3, bucket, uploads, region)
    url = f"{s3.meta.endpoint_url.rstrip('/')}/{bucket}/{template_key}"
    return _change_stack(session, stack, url, parameters, dry_run=dry_run, timeout=timeout)


def _change_stack(
    session: Session,
    stack: Stack,
    url: str,
    parameters: Mapping[str, str],
    *,
    dry_run: bool,
    timeout: float,
) -> int:
    """Update the stack to the template at *url*, or only print the changes of that."""
    label = f"jobcore-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    changes = stack.change_set(url, parameters, label=label)
    if changes is None:
        return _print_outputs(session, stack, changed=0, note="nothing to change")
    for change in changes:
        print_line(session, _change_line(change))
    if dry_run:
        stack.drop_change_set(label)
        if session.as_json:
            print_json({"dry_run": True, "changes": [_change_document(c) for c in changes]})
        else:
            print(f"{len(changes)} changes; nothing was changed (--dry-run)")
        return 0
    stack.execute(
        label, Progress(session, {c["LogicalResourceId"] for c in changes}), timeout=timeout
    )
    return _print_outputs(
        session, stack, changed=len(changes), note=f"stack {stack.name} is deployed"
    )


def _check(config: Path) -> None:
    """
    Refuse a configuration that the functions would refuse at their start.

    Raises:
        InvalidSetting: with every problem.
    """
    from jobcore.errors import InvalidSetting
    from jobcore_aws import settings_from
    from jobcore_client.jobfiles import read_document

    try:
        document = read_document(config)
        document.pop("rules", None)  # read when the zip file is made
        settings_from({}, config=document)
    except InvalidSetting as error:
        raise InvalidSetting(error.problems, str(config)) from None


# --- parameters and uploads -------------------------------------------------------------


def _parameters(config: Path | None, settings: Sequence[str], region: str | None) -> dict[str, str]:
    """Make the template's parameters from the options."""
    parameters: dict[str, str] = {}
    if config is not None:
        from jobcore_client.jobfiles import read_document

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
            own = client("sts", region).meta.region_name
            parameters["TrainingRegions"] = ",".join(sorted({_region_of(p) or own for p in pools}))
    if endpoint := os.environ.get(
        "AWS_ENDPOINT_URL"
    ):  # an emulator; its functions need the endpoint, too
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
    """Read the region from a pool's name, region/instance type/market; "" if it has none."""
    first, _, rest = pool.partition("/")
    return first if rest and not first.startswith("ml.") else ""


def _bucket_name(region: str | None) -> str:
    sts = client("sts", region)
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
        # S3 refuses us-east-1 as a location constraint.
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
        print_line(session, f"bucket    {bucket} created")
    account = (
        None
        if os.environ.get("AWS_ENDPOINT_URL")
        else client("sts", region).get_caller_identity()["Account"]
    )
    owner = {"ExpectedBucketOwner": account} if account else {}
    for key, data in uploads.items():
        s3.put_object(Bucket=bucket, Key=key, Body=data, **owner)
        print_line(session, f"upload    s3://{bucket}/{key}")


# --- output -----------------------------------------------------------------------------


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


def _print_new(session: Session, name: str, template: str, parameters: Mapping[str, str]) -> int:
    """Print the resources of a first deployment, without a call to AWS."""
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


def _print_outputs(session: Session, stack: Stack, *, changed: int, note: str) -> int:
    outputs = stack.outputs()
    if session.as_json:
        print_json({"stack": stack.name, "changes": changed, "outputs": outputs})
        return 0
    print(note)
    for key, value in outputs.items():
        print(f"  {key:<20} {value}")
    return 0
