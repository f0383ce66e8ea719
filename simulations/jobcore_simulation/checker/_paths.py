"""The steps of an actor from one call that depends on the world to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ._nodes import IDLE, Actors
from ._scope import Scope

__all__ = ["Step", "paths", "programs_of"]

#: An actor and the calls that it had answered, each as "method: outcome".
Step: TypeAlias = tuple[str, ...]


def programs_of(scope: Scope, kind: str) -> list[str]:
    """Name the programs that an actor of *kind* may run."""
    if kind == "user":
        return [f"ask {request}" for request in dict.fromkeys(scope.people)]
    return [kind]


def paths(
    actors: Actors,
    number: int,
    world: int,
    done: Step = (),
    cost: int = 0,
    *,
    is_answered: bool = False,
) -> Iterator[tuple[int, int, int, Step]]:
    """
    Follow a node until its first call that depends on the world is answered, in every way.

    Args:
        done: the calls on the way to *number*, and *cost* the faults.
        is_answered: whether the way to *number* has such a call already.

    Yields:
        The next node that waits for such a call, the world, the faults, the calls.
    """
    node = actors.nodes[number]
    if number == IDLE or node.raised or node.call is None:
        if is_answered:
            yield number, world, cost, done
        return
    method = node.call[0]
    if actors.is_cut(number):
        if is_answered:
            yield IDLE, world, cost, (*done, "waiting: no row")
        return
    choices = actors.choices(node)
    if choices is not None:
        for what, more, reply in choices:
            after = actors.child(number, reply)
            yield from paths(
                actors,
                after,
                world,
                (*done, f"{method}: {what}"),
                cost + more,
                is_answered=is_answered,
            )
        return
    if is_answered:
        yield number, world, cost, done
        return
    for what, more, reply, then in actors.calls.outcomes(node.call, world):
        after = actors.child(number, reply)
        yield from paths(
            actors, after, then, (*done, f"{method}: {what}"), cost + more, is_answered=True
        )
