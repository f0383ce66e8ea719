"""Shared by the commands on a deployment: options, clients, errors of AWS, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from jobcore_client.words import plain

from ._errors import CONFLICT, UNAVAILABLE, CliError
from ._session import Session
from ._stack import StackEvent

__all__ = ["Progress", "client", "poll_seconds", "print_line", "stack_options", "with_aws_errors"]


def stack_options(command: Any) -> Any:
    """Add the options that name a stack."""
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


def client(service: str, region: str | None) -> Any:
    """Make a client of a service in the region that was chosen."""
    from jobcore_aws import client as make_client

    return make_client(service, region=region)


def with_aws_errors(command: Callable[..., int]) -> Callable[..., int]:
    """Convert the errors of AWS to one line with instructions."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> int:
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

    return guarded


def poll_seconds() -> float:
    """Return the time between two looks at a stack; an emulator is fast."""
    return 0.2 if os.environ.get("AWS_ENDPOINT_URL") else 2.0


def print_line(session: Session, line: str) -> None:
    """Print a line of progress at once; nothing where the answer is JSON."""
    if not session.as_json:
        print(plain(line))
        sys.stdout.flush()


class Progress:
    """Prints a line for each resource that is done, with the number of those that are."""

    def __init__(self, session: Session, resources: set[str]) -> None:
        self.session = session
        self.resources = resources
        self.done: set[str] = set()

    def __call__(self, event: StackEvent) -> None:
        """Print an event that ends a resource's change."""
        status, resource = event["ResourceStatus"], event["LogicalResourceId"]
        failed = status.endswith("_FAILED")
        if not failed and not status.endswith(("_COMPLETE", "_SKIPPED")):
            return
        if resource not in self.resources:  # CloudFormation checked it and left it as it is
            return
        self.done.add(resource)
        reason = event.get("ResourceStatusReason", "")
        reason = f"  {reason}" if failed else ""
        at = event["Timestamp"].astimezone().strftime("%H:%M:%S")
        count = f"{len(self.done):>3}/{len(self.resources)}"
        print_line(self.session, f"{at} {count}  {status:<16} {resource}{reason}")
