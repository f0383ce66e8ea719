"""A trace: what was done by whom, in words; played again, and printed as a test.

A step is an actor and the calls that it has answered, each as "method: outcome": ("launch 1",
"due: row", "get: ok"). An actor that dies has ("launch 1", "dies"); what happens by itself has
("world", "training 1 starts").

Played again on other code (mended, say), a trace may not fit any more. What does not fit is left
out: an actor that makes another call than the step says does not take the step. After each step
everything must be as it must, and in the end the world must heal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from ._actors import IDLE, Actors
from ._heal import Healer
from ._scope import Scope
from ._world import ASKS, Reply, Worlds

__all__ = ["PROGRAMS_OF", "Broken", "Step", "as_test", "paths", "programs_of", "replay"]

#: One step of a trace, as words for `replay`.
Step: TypeAlias = tuple[str, ...]

PROGRAMS_OF = {"launch": "launch", "monitor": "monitor", "reap": "reap", "notify": "notify"}


class Broken(AssertionError):  # noqa: N818  (says what it is, as a test's failure does)
    """Something is as it must not be."""


def programs_of(scope: Scope, kind: str) -> list[str]:
    """Name what an actor of *kind* may run."""
    if kind == "user":
        return [f"ask {what}" for what in dict.fromkeys(scope.people)]
    return [PROGRAMS_OF[kind]]


def paths(
    actors: Actors, number: int, world: int, calls: Step = (), cost: int = 0, *, asked: bool = False
) -> Iterator[tuple[int, int, int, Step]]:
    """
    Follow a node until its first call that depends on the world is answered, in every way.

    Yields:
        The node come to (after the calls that do not depend on it), the world, the faults, the calls.
    """
    node = actors.nodes[number]
    if number == IDLE or node.raised or node.call is None:
        if asked:
            yield number, world, cost, calls
        return
    method = node.call[0]
    if actors.is_cut(number):
        if asked:
            yield IDLE, world, cost, (*calls, "waiting: no row")
        return
    choices = actors.choices(node)
    if choices is not None:
        for what, more, reply in choices:
            after = actors.child(number, reply)
            yield from paths(
                actors, after, world, (*calls, f"{method}: {what}"), cost + more, asked=asked
            )
        return
    if asked:
        yield number, world, cost, calls
        return
    for what, more, reply, then in actors.worlds.outcomes(node.call, world):
        after = actors.child(number, reply)
        yield from paths(
            actors, after, then, (*calls, f"{method}: {what}"), cost + more, asked=True
        )


class _Player:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.worlds = Worlds(scope)
        self.world = self.worlds.start
        self.actors = {
            kind: Actors(self.worlds, programs_of(scope, kind))
            for kind in dict.fromkeys(scope.slot_kinds)
        }
        self.at: dict[str, int] = {}

    def step(self, who: str, calls: Sequence[str]) -> None:
        if who == "world":
            for what, _, after in self.worlds.happenings(self.world):
                if what == calls[0]:
                    self.world = after
                    break
        elif calls[0] == "dies":
            self.at.pop(who, None)
        else:
            for call in calls:
                if not self._answer(who, call):
                    break
        self.look()

    def _answer(self, who: str, said: str) -> bool:
        kind, _, _ = who.partition(" ")
        actors = self.actors[kind]
        number = self.at.get(who, IDLE)
        if number == IDLE:
            number = self._begin(actors, kind, said)
            if number == IDLE:
                return said.startswith("ask ")
            self.at[who] = number
            if said.startswith("ask "):
                return True
        node = actors.nodes[number]
        assert node.call is not None
        method, _, what = said.partition(": ")
        if node.call[0] != method:
            return False
        reply: Reply | None = None
        for choice in actors.choices(node) or ():
            if choice[0] == what:
                reply = choice[2]
        if actors.choices(node) is None:
            for name, _, answer, after in self.worlds.outcomes(node.call, self.world):
                if name == what:
                    reply, self.world = answer, after
                    break
        if reply is None:
            return False
        after = actors.child(number, reply)
        if actors.nodes[after].raised:
            raise Broken(actors.nodes[after].raised)
        if after == IDLE or actors.nodes[after].call is None:
            self.at.pop(who)
        else:
            self.at[who] = after
        return True

    def _begin(self, actors: Actors, kind: str, said: str) -> int:
        if kind != "user":
            return actors.roots[kind]
        if not said.startswith("ask ") or said[4:] not in ASKS:
            return IDLE
        begun = self.worlds.asked(self.world, said[4:])
        if begun is None:
            return IDLE
        self.world = begun
        return actors.roots[said]

    def look(self) -> None:
        if self.worlds.bad[self.world]:
            raise Broken(self.worlds.worlds[self.world].bad)


def replay(scope: Scope, steps: Sequence[Step]) -> None:
    """
    Play a trace, as far as it fits, and let the world heal after it.

    Raises:
        Broken: something is as it must not be.
    """
    player = _Player(scope)
    for who, *calls in steps:
        player.step(who, calls)
    _, wrong, environment = Healer(player.worlds).heal(player.world)
    if wrong:
        msg = f"{wrong} (when trainings {environment})"
        raise Broken(msg)


def as_test(scope: Scope, wrong: str, steps: Sequence[Step], *, name: str = "found") -> str:
    """Print a trace as a pytest that fails where the code breaks as it did."""
    # A scope's repr is Python but for the enum keys of its budgets, which are strings as well.
    budgets = {str(kind): count for kind, count in scope.budgets.items()}
    given = {
        field: getattr(scope, field)
        for field in Scope.__dataclass_fields__
        if field != "budgets" and getattr(scope, field) != getattr(Scope(name=""), field)
    }
    arguments = ", ".join(f"{field}={value!r}" for field, value in given.items())
    lines = [
        f'"""Found by the exhaustive checker: {wrong}."""',
        "",
        "from jobcore import FailureClass",
        "from jobcore_simulation.checker import Scope, replay",
        "",
        f"BUDGETS = {{FailureClass(name): count for name, count in {budgets!r}.items()}}",
        f"SCOPE = Scope({arguments}, budgets=BUDGETS)",
        "STEPS = [",
        *(f"    {step!r}," for step in steps),
        "]",
        "",
        "",
        f"def test_{name}():",
        "    replay(SCOPE, STEPS)",
        "",
    ]
    return "\n".join(lines)
