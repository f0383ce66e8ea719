"""States as 64-bit numbers, and sorted arrays of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ._scope import Scope

__all__ = ["Layout", "States", "fresh", "merge", "most_faults", "unique"]

States: TypeAlias = npt.NDArray[np.uint64]

_USUAL_BITS = {"launch": 12, "monitor": 11, "reap": 4, "notify": 10, "user": 8}


class Layout:
    """
    The places of a state's parts in 64 bits. From the low end: faults left, the actors, the world.

    An actor's part is the place of its node (`Actors.place`).
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.kinds = scope.slot_kinds
        self.fault_bits = max(1, scope.faults.bit_length())
        bits = {**_USUAL_BITS, **scope.bits}
        self.bits = [bits[kind] for kind in self.kinds]
        self.shifts: list[int] = []
        at = self.fault_bits
        for width in self.bits:
            self.shifts.append(at)
            at += width
        self.world_shift = at
        self.worlds_max = 1 << (64 - at)

    def pack(self, world: int, places: Sequence[int], faults: int = 0) -> States:
        """Make an array of one state."""
        state = world << self.world_shift | faults
        for place, shift in zip(places, self.shifts, strict=True):
            state |= place << shift
        return np.array([state], np.uint64)

    def world(self, states: States) -> npt.NDArray[np.int64]:
        """Return the worlds of states."""
        return (states >> np.uint64(self.world_shift)).astype(np.int64)

    def place(self, states: States, slot: int) -> npt.NDArray[np.int64]:
        """Return the places of one actor."""
        mask = np.uint64((1 << self.bits[slot]) - 1)
        return ((states >> np.uint64(self.shifts[slot])) & mask).astype(np.int64)

    def faults(self, states: States) -> npt.NDArray[np.int8]:
        """Return the faults left."""
        return (states & np.uint64((1 << self.fault_bits) - 1)).astype(np.int8)

    def with_world(self, states: States, worlds: npt.NDArray[Any]) -> States:
        """Return the states in other worlds."""
        keep = np.uint64((1 << self.world_shift) - 1)
        return (states & keep) | (worlds.astype(np.uint64) << np.uint64(self.world_shift))

    def with_place(self, states: States, slot: int, places: npt.NDArray[Any]) -> States:
        """Return the states with one actor at other places."""
        shift = self.shifts[slot]
        keep = ~np.uint64(((1 << self.bits[slot]) - 1) << shift)
        return (states & keep) | (places.astype(np.uint64) << np.uint64(shift))

    def check_room(self, worlds: int, slot: int, places: int) -> None:
        """
        Check that the numbers in use fit.

        Raises:
            OverflowError: there are more worlds, or more places of an actor, than bits for them.
        """
        if worlds > self.worlds_max:
            msg = f"{self.scope.name}: more worlds than {self.worlds_max}"
            raise OverflowError(msg)
        if slot >= 0 and places > 1 << self.bits[slot]:
            msg = f"{self.scope.name}: more than {1 << self.bits[slot]} nodes of {self.kinds[slot]}"
            raise OverflowError(msg)

    def sorted_alike(self, states: States) -> States:
        """Order actors of one kind by their places: they are interchangeable."""
        for kind in ("launch", "monitor", "reap", "notify"):
            slots = [slot for slot, of in enumerate(self.kinds) if of == kind]
            if len(slots) == 2:
                a, b = slots
                x, y = self.place(states, a), self.place(states, b)
                swap = ((x ^ y) * (x > y)).astype(np.uint64)
                states = (
                    states
                    ^ (swap << np.uint64(self.shifts[a]))
                    ^ (swap << np.uint64(self.shifts[b]))
                )
            elif len(slots) > 2:
                msg = f"{len(slots)} actors of kind {kind}; at most two are ordered"
                raise ValueError(msg)
        return states


def unique(states: States) -> States:
    """Sort states in place, and drop duplicates."""
    states.sort()
    if not states.size:
        return states
    return states[np.concatenate(([True], states[1:] != states[:-1]))]


def most_faults(states: States, bits: int) -> States:
    """Keep, of states that differ in the faults left only, the one with most: it covers the others."""
    if not states.size:
        return states
    rest = states >> np.uint64(bits)
    return states[np.concatenate((rest[1:] != rest[:-1], [True]))]


def fresh(states: States, seen: list[States], bits: int) -> States:
    """Drop states that were seen with as many faults left or more; all arrays are sorted."""
    for known in seen:
        at = np.searchsorted(known, states)
        at[at == len(known)] = 0  # the smallest; of the same rest only if it is itself as large
        same = (known[at] >> np.uint64(bits) == states >> np.uint64(bits)) & (known[at] >= states)
        states = states[~same]
    return states


def merge(seen: list[States], new: States) -> None:
    """Add states to the sorted runs of *seen*, each of which stays twice as long as the next."""
    while seen and len(seen[-1]) < 2 * len(new):
        new = np.concatenate([seen.pop(), new])
        new.sort(kind="stable")
    seen.append(new)
