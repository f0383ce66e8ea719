"""Operations on a CloudFormation stack: change sets, progress, outputs, deletion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._errors import CONFLICT, FAILED, TIMED_OUT, CliError

__all__ = ["Stack", "StackEvent"]

StackEvent = Mapping[str, Any]

_NO_CHANGES = ("didn't contain changes", "No updates are to be performed", "no changes")


class Stack:
    """
    One stack, by name.

    Args:
        client: boto3's CloudFormation client.
        poll_seconds: between two looks while an operation is in progress.
    """

    def __init__(self, client: Any, name: str, *, poll_seconds: float = 2.0) -> None:
        self.client = client
        self.name = name
        self.poll_seconds = poll_seconds

    def describe(self) -> dict[str, Any] | None:
        """Describe the stack; None if there is none."""
        from botocore.exceptions import ClientError

        try:
            (found,) = self.client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else dict(found)

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        found = self.describe() or {}
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}

    def resources(self) -> dict[str, dict[str, Any]]:
        """List the stack's resources by their name in the template."""
        pages = self.client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {r["LogicalResourceId"]: r for p in pages for r in p["StackResourceSummaries"]}

    def change_set(
        self, template_url: str, parameters: Mapping[str, str], *, label: str
    ) -> list[dict[str, Any]] | None:
        """
        Create the change set *label*, and wait until it is computed.

        Parameters that are not given keep their values in a stack that exists.

        Returns:
            The changes; None if there are none (the change set is deleted then).

        Raises:
            CliError: the stack's state allows no changes, or CloudFormation refuses the template.
        """
        found = self.describe()
        status = found["StackStatus"] if found else "REVIEW_IN_PROGRESS"
        if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
            msg = f"stack {self.name} is {status}: jobcore destroy --stack {self.name}, then deploy"
            raise CliError(msg, CONFLICT)
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            msg = f"stack {self.name} is {status}; wait until that is over"
            raise CliError(msg, CONFLICT)
        old = {p["ParameterKey"] for p in (found or {}).get("Parameters", [])} - set(parameters)
        self.client.create_change_set(
            StackName=self.name,
            ChangeSetName=label,
            ChangeSetType="CREATE" if status == "REVIEW_IN_PROGRESS" else "UPDATE",
            TemplateURL=template_url,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
            + [{"ParameterKey": k, "UsePreviousValue": True} for k in sorted(old)],
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": "jobcore:managed", "Value": "true"}],
        )
        while True:
            made = self.client.describe_change_set(StackName=self.name, ChangeSetName=label)
            if made["Status"] == "CREATE_COMPLETE":
                break
            if made["Status"] == "FAILED":
                self.client.delete_change_set(StackName=self.name, ChangeSetName=label)
                reason = made.get("StatusReason", "")
                if any(word in reason for word in _NO_CHANGES):
                    return None
                msg = f"CloudFormation refuses the change: {reason}"
                raise CliError(msg, FAILED)
            time.sleep(self.poll_seconds)
        changes = list(made.get("Changes", []))
        while token := made.get("NextToken"):
            made = self.client.describe_change_set(
                StackName=self.name, ChangeSetName=label, NextToken=token
            )
            changes += made.get("Changes", [])
        return [change["ResourceChange"] for change in changes if "ResourceChange" in change]

    def drop_change_set(self, label: str) -> None:
        """Delete a change set, and the empty stack that its creation may have created."""
        self.client.delete_change_set(StackName=self.name, ChangeSetName=label)
        found = self.describe()
        if found is not None and found["StackStatus"] == "REVIEW_IN_PROGRESS":
            self.client.delete_stack(StackName=self.name)

    def execute(
        self, label: str, on_event: Callable[[StackEvent], None], *, timeout: float
    ) -> None:
        """
        Execute a change set; *on_event* is called with each event of a resource.

        Raises:
            CliError: it failed (and CloudFormation has rolled it back), or timed out.
        """
        seen = set(self._event_ids())
        self.client.execute_change_set(StackName=self.name, ChangeSetName=label)
        status, why = self._follow(seen, on_event, timeout)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            first = f": {why}" if why else ""
            msg = f"stack {self.name} ended as {status}{first}"
            raise CliError(msg, FAILED)

    def delete(self, on_event: Callable[[StackEvent], None], *, timeout: float) -> None:
        """
        Delete the stack, except for the resources that its template retains.

        Raises:
            CliError: a resource could not be deleted, or it timed out.
        """
        found = self.describe()
        if found is None:
            return
        stack_id = found["StackId"]  # a deleted stack is found by its id only
        seen = set(self._event_ids())
        self.client.delete_stack(StackName=self.name)
        status, why = self._follow(seen, on_event, timeout, stack_id=stack_id)
        if status != "DELETE_COMPLETE":
            msg = f"stack {self.name} ended as {status}: {why}"
            raise CliError(msg, FAILED)

    def _events(self, name: str | None = None) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=name or self.name):
            yield from page["StackEvents"]

    def _event_ids(self) -> list[str]:
        return [event["EventId"] for event in self._events()]

    def _follow(
        self,
        seen: set[str],
        on_event: Callable[[StackEvent], None],
        timeout: float,
        *,
        stack_id: str | None = None,
    ) -> tuple[str, str]:
        """Pass new events on until the operation ends; return the stack's status and the first failure."""
        from botocore.exceptions import ClientError

        deadline = time.monotonic() + timeout
        why = ""
        while True:
            try:
                (found,) = self.client.describe_stacks(StackName=stack_id or self.name)["Stacks"]
                status = found["StackStatus"]
                # AWS returns the newest first. Reversed, events of equal times keep their order.
                fresh = [e for e in self._events(stack_id) if e["EventId"] not in seen][::-1]
            except ClientError as error:
                if "does not exist" not in str(error):
                    raise
                status, fresh = "DELETE_COMPLETE", []
            for event in sorted(fresh, key=lambda e: e["Timestamp"]):
                seen.add(event["EventId"])
                on_event(event)
                reason = event.get("ResourceStatusReason", "")
                if event["ResourceStatus"].endswith("FAILED") and "cancelled" not in reason:
                    why = why or f"{event['LogicalResourceId']}: {reason}"
            if status.endswith(("_COMPLETE", "_FAILED")) and not status.endswith(
                "CLEANUP_IN_PROGRESS"
            ):
                return status, why
            if time.monotonic() > deadline:
                msg = f"stack {self.name} is still {status}; it goes on by itself (jobcore status)"
                raise CliError(msg, TIMED_OUT)
            time.sleep(self.poll_seconds)
