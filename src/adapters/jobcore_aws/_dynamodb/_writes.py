"""Conditional writes of single items, each with an id by which it is recognised after a lost reply."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ._calls import Calls, error_code
from ._items import Item

__all__ = ["Writes", "write_id"]

# The attributes that differ between any two states of an item.
_STATE_OF_ITEM = ("_version", "_write")


class Writes:
    """Compare-and-set on the items of one table."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def put_new(self, item: Item) -> Item | None:
        """Write an item unless its key exists; return the existing item, or None."""
        return self._put(item, "attribute_not_exists(pk)")

    def put_first(self, item: Item) -> Item | None:
        """Write the first version of an item, as `put_new` does."""
        return self.put_new(item | {"_version": {"N": "1"}, "_write": {"S": write_id()}})

    def put_over(self, item: Item, existing: Item) -> bool:
        """Replace the item *existing* by a first version; False if it has been written since it was read."""
        known = {name: existing[name] for name in _STATE_OF_ITEM if name in existing}
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
            existing = self._conflicting_item(error, {"pk": item["pk"], "sk": item["sk"]})
            # This call wrote it, and the reply to its first try was lost.
            is_own = "_write" in item and existing.get("_write") == item["_write"]
            return None if is_own else existing
        return None

    def compare_and_set(
        self, key: Item, version: int, attributes: Mapping[str, Item], gone: Sequence[str] = ()
    ) -> bool:
        """Write and remove (*gone*) attributes of one version of an item; False if it has another version now."""
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
            # True if this call wrote it, and the reply to its first try was lost.
            return self._conflicting_item(error, key).get("_write") == write
        return True

    def _conflicting_item(self, error: Exception, key: Item) -> Item:
        """Return the item that made a condition fail; raise any other error."""
        if error_code(error) != "ConditionalCheckFailedException":
            raise error
        existing: Item | None = getattr(error, "response", {}).get("Item")
        if existing is None:  # no such item, or an endpoint that does not return it
            existing = self._calls.call("get_item", Key=key, ConsistentRead=True).get("Item", {})
        return existing or {}


def write_id() -> str:
    """Draw the id of one write, to recognise it after a lost reply."""
    return os.urandom(6).hex()
