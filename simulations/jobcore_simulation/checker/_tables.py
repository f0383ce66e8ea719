"""Growing arrays, and the transitions of one kind of actor in such arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Table", "Transition", "grown"]

#: The node and the world after a step, the faults that it costs, its label.
Transition: TypeAlias = tuple[int, int, int, int]


def grown(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Copy a one-dimensional array into one of *size* elements; the new ones are 0."""
    larger = np.zeros(size, array.dtype)
    larger[: len(array)] = array
    return larger


class Column:
    """A growing array; its first *size* elements are in use."""

    def __init__(self, kind: type[np.generic], first: list[int]) -> None:
        self.array: npt.NDArray[Any] = np.array(first, kind)
        self.size = len(first)

    def extend(self, values: list[int]) -> None:
        """Append values."""
        size = self.size + len(values)
        if size > len(self.array):
            self.array = grown(self.array[: self.size], max(1024, 2 * size))
        self.array[self.size : size] = values
        self.size = size


class Table:
    """
    The transitions of one kind of actor by (world, node), worked out at their first use.

    Args:
        expand: lists the transitions of a (node, world).
    """

    def __init__(self, expand: Callable[[int, int], Iterator[Transition]]) -> None:
        self.expand = expand
        #: The row of each (world, node); 0: not expanded yet.
        self.rows: npt.NDArray[np.int32] = np.zeros((1024, 64), np.int32)
        #: The transitions of row r are those from starts[r] to starts[r + 1] in the columns below.
        self.starts = Column(np.int64, [0, 0])
        self.node, self.world = Column(np.int32, []), Column(np.int32, [])
        self.cost, self.label = Column(np.int8, []), Column(np.int32, [])
        #: By row, whether it was ever reached with a fault left.
        self.faulty: npt.NDArray[np.bool_] = np.zeros(1024, np.bool_)

    def look_up(self, worlds: npt.NDArray[Any], nodes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Return the rows of these pairs; expand those that are new."""
        self._make_room(int(worlds.max()) + 1, int(nodes.max()) + 1)
        rows = self.rows[worlds, nodes]
        missing = np.flatnonzero(rows == 0)
        if missing.size:
            self._expand(worlds[missing], nodes[missing])
            rows = self.rows[worlds, nodes]
        found: npt.NDArray[np.int32] = rows
        return found

    def _make_room(self, worlds: int, nodes: int) -> None:
        have = self.rows.shape
        if worlds > have[0] or nodes > have[1]:
            shape = (
                max(have[0], 1 << (worlds - 1).bit_length()),
                max(have[1], 1 << (nodes - 1).bit_length()),
            )
            larger = np.zeros(shape, np.int32)
            larger[: have[0], : have[1]] = self.rows
            self.rows = larger

    def mark_faulty(self, rows: npt.NDArray[np.int32]) -> None:
        """Note that these rows were reached with a fault left."""
        if self.starts.size > len(self.faulty):
            self.faulty = grown(self.faulty, 2 * self.starts.size)
        self.faulty[rows] = True

    def transitions(
        self, rows: npt.NDArray[np.int32], faults: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """
        List the transitions of all *rows* that cost no more than the *faults* left in each.

        Returns:
            Of each transition the index of its row in *rows*, its index in the columns, its cost.
        """
        starts = self.starts.array
        first = starts[rows]
        counts = starts[rows + 1] - first
        total = int(counts.sum())
        source = np.repeat(np.arange(len(rows)), counts)
        ends = np.cumsum(counts)
        at = np.arange(total) + np.repeat(first - (ends - counts), counts)
        cost = self.cost.array[at]
        may = cost <= faults[source]
        return source[may], at[may], cost[may]

    def _expand(self, worlds: npt.NDArray[Any], nodes: npt.NDArray[Any]) -> None:
        width = self.rows.shape[1]
        keys = worlds.astype(np.int64) * width + nodes.astype(np.int64)
        keys.sort()
        keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
        row, end = self.starts.size - 1, self.node.size
        rows: list[int] = []
        starts: list[int] = []
        found: list[Transition] = []
        for key in keys.tolist():
            world, node = divmod(key, width)
            found += self.expand(node, world)
            rows.append(row + len(rows))
            starts.append(end + len(found))
        self.rows.reshape(-1)[keys] = rows
        self.starts.extend(starts)
        if found:
            for column, values in zip(
                (self.node, self.world, self.cost, self.label),
                zip(*found, strict=True),
                strict=True,
            ):
                column.extend(list(values))
