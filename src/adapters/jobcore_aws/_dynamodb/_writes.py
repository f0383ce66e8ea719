"""Conditional writes of single items, each recognised as our own if its reply is lost."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ._calls import Calls, error_code
from ._items import Item

__all__ = ["Writes", "write_id"]

# What tells one state of an item from the next.
_STATE_OF_ITEM = ("_version", "_write")


class Writes:
    """Compare-and-set on the items of one table."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def put_new(self, item: Item) -> Item | None:
        """Write an item unless there is one of its key; give back the one that is there."""
        return self._put(item, "attribute_not_exists(pk)")

    def put_first(self, item: Item) -> Item | None:
        """Write the first version of an item, as `put_new` does."""
        return self.put_new(item | {"_version": {"N": "1"}, "_write": {"S": write_id()}})

    def put_over(self, item: Item, there: Item) -> bool:
        """Write the first version of an item over *there*, unless that has been written since."""
        known = {name: there[name] for name in _STATE_OF_ITEM if name in there}
        conditions = [
            f"#{name} = :{name}" if name in known else f"attribute_not_exists(#{name})"
            for name in _STATE_OF_ITEM
        ]
        arguments: dict[str, Any] = {
            "ExpressionAttributeNames": {f"#{name}": name for name in _STATE_OF_ITEM}
        }
        if known:
            arguments["ExpressionAttributeValues"] = {f":{n}": value for n, value in known.items()}
        first = item | {"_version": {"N": "1"}, "_write": {"S": write_id()}}
        return self._put(first, " AND ".join(conditions), **arguments) is None

    def _put(self, item: Item, condition: str, **arguments: Any) -> Item | None:
        try:
            self._calls.call(
                "put_item",
                Item=item,
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **arguments,
            )
        except Exception as error:
            there = self._lost_to(error, {"pk": item["pk"], "sk": item["sk"]})
            # Written by this very call, whose first reply was lost: it is ours.
            return None if "_write" in item and there.get("_write") == item["_write"] else there
        return None

    def compare_and_set(
        self, key: Item, version: int, attributes: Mapping[str, Item], gone: Sequence[str] = ()
    ) -> bool:
        """Write attributes over one version of an item; False if it has another one by now."""
        write = {"S": write_id()}
        attributes = {**attributes, "_version": {"N": str(version + 1)}, "_write": write}
        names = {f"#{n}": name for n, name in enumerate((*attributes, *gone))}
        values = {f":{n}": value for n, value in enumerate(attributes.values())}
        sets = ",".join(f"#{n}=:{n}" for n in range(len(attributes)))
        removes = ",".join(f"#{n}" for n in range(len(attributes), len(names)))
        version_name = f"#{len(attributes) - 2}"
        try:
            self._calls.call(
                "update_item",
                Key=key,
                UpdateExpression=f"SET {sets}" + (f" REMOVE {removes}" if removes else ""),
                ConditionExpression=f"{version_name} = :version",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={**values, ":version": {"N": str(version)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            # Our own write, if the reply to it was lost and it was sent again.
            return self._lost_to(error, key).get("_write") == write
        return True

    def _lost_to(self, error: Exception, key: Item) -> Item:
        """Give the item that made a condition fail; any other error goes on."""
        if error_code(error) != "ConditionalCheckFailedException":
            raise error
        there: Item | None = getattr(error, "response", {}).get("Item")
        if there is None:  # no such item, or an endpoint that does not say
            there = self._calls.call("get_item", Key=key, ConsistentRead=True).get("Item", {})
        return there or {}


def write_id() -> str:
    """Draw a name for one write, to recognise it after a lost reply."""
    return os.urandom(6).hex()
