"""`jobcore destroy`: removes the functions from AWS."""

from __future__ import annotations

from typing import Any

import click

from ._app import common
from ._deployment import Progress, client, poll_seconds, stack_options, with_aws_errors
from ._errors import NOT_FOUND, CliError
from ._render import print_json
from ._session import Session
from ._stack import Stack


@click.command("destroy")
@stack_options
@click.option("--delete-data", is_flag=True, help="Delete the jobs, too; this cannot be undone.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@common
@click.pass_obj
@with_aws_errors
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
    Remove the functions from AWS. The table and the bucket of specs stay, unless --delete-data is given.

    Running trainings go on until they end, without a manager.
    """
    stack = Stack(client("cloudformation", region), name, poll_seconds=poll_seconds())
    if stack.describe() is None:
        msg = f"there is no stack {name}"
        raise CliError(msg, NOT_FOUND)
    kept = stack.outputs()
    table, bucket = kept.get("TableName"), kept.get("SpecBucketName")
    if not yes:
        subject = f"stack {name}" + (f" AND ALL JOBS in table {table}" if delete_data else "")
        click.confirm(f"Delete {subject}?", abort=True, err=True)
    stack.delete(Progress(session, set(stack.resources())), timeout=timeout)
    if delete_data:
        delete_table(client("dynamodb", region), table)
        delete_bucket(client("s3", region), bucket)
    if session.as_json:
        print_json({"deleted": name, "data_deleted": delete_data, "table": table, "bucket": bucket})
    elif delete_data or table is None:
        print(f"stack {name} is deleted")
    else:
        print(f"stack {name} is deleted; table {table} and bucket {bucket} were kept")
    return 0


def delete_table(dynamodb: Any, table: str | None) -> None:
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


def delete_bucket(s3: Any, bucket: str | None) -> None:
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
