"""A trace: the steps of a run in words; played again, and printed as a test.

A step is an actor and the calls that it had answered, each as "method: outcome": ("launch 1",
"due: row", "get: ok"). An actor that dies has ("launch 1", "dies"); an event of the environment has
("world", "training 1 starts").

On changed code a trace may not fit any more. Steps that do not fit are left out: an actor that
makes another call than the step names does not take the step. After each step every invariant must
hold, and in the end the world must heal.
"""

from __future__ import annotations

from collections.abc import Sequence

from ._calls import Calls
from ._environment import Environment
from ._heal import Healer
from ._nodes import IDLE, Actors
from ._paths import Step, programs_of
from ._scope import Scope
from ._values import REQUESTS, Reply
from ._world import Worlds

__all__ = ["Broken", "as_test", "replay"]

_ASK = "ask "


class Broken(AssertionError):  # noqa: N818  (the name that a test reads)
    """An invariant does not hold."""


class _Player:
    def __init__(self, scope: Scope) -> None:
        self.worlds = Worlds(scope)
        self.calls = Calls(self.worlds)
        self.environment = Environment(self.worlds)
        self.world = self.worlds.start
        self.actors = {
            kind: Actors(self.calls, programs_of(scope, kind))
            for kind in dict.fromkeys(scope.slot_kinds)
        }
        self.at: dict[str, int] = {}  # the node of each actor that is not idle

    def step(self, who: str, calls: Sequence[str]) -> None:
        if who == "world":
            for what, _, after in self.environment.happenings(self.world):
                if what == calls[0]:
                    self.world = after
                    break
        elif calls[0] == "dies":
            self.at.pop(who, None)
        else:
            for call in calls:
                if not self._take(who, call):
                    break
        if self.worlds.bad[self.world]:
            raise Broken(self.worlds.worlds[self.world].bad)

    def _take(self, who: str, call: str) -> bool:
        """Answer one call of an actor as in the trace; False: it does not fit."""
        kind, _, _ = who.partition(" ")
        actors = self.actors[kind]
        if self.at.get(who, IDLE) == IDLE:
            number = self._begin(actors, kind, call)
            if number == IDLE:
                return call.startswith(_ASK)
            self.at[who] = number
            if call.startswith(_ASK):
                return True
        number = self.at[who]
        reply = self._reply(actors, number, call)
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

    def _begin(self, actors: Actors, kind: str, call: str) -> int:
        if kind != "user":
            return actors.roots[kind]
        request = call.removeprefix(_ASK)
        if not call.startswith(_ASK) or request not in REQUESTS:
            return IDLE
        begun = self.environment.requested(self.world, request)
        if begun is None:
            return IDLE
        self.world = begun
        return actors.roots[call]

    def _reply(self, actors: Actors, number: int, call: str) -> Reply | None:
        """Return the reply of a node's call by its name, and go to the world after it."""
        node = actors.nodes[number]
        assert node.call is not None
        method, _, what = call.partition(": ")
        if node.call[0] != method:
            return None
        choices = actors.choices(node)
        if choices is not None:
            return next((reply for name, _, reply in reversed(choices) if name == what), None)
        for name, _, reply, after in self.calls.outcomes(node.call, self.world):
            if name == what:
                self.world = after
                return reply
        return None


def replay(scope: Scope, steps: Sequence[Step]) -> None:
    """
    Play a trace, as far as it fits, and let the world heal after it.

    Raises:
        Broken: an invariant does not hold.
    """
    player = _Player(scope)
    for who, *calls in steps:
        player.step(who, calls)
    _, wrong, environment = Healer(player.calls).heal(player.world)
    if wrong:
        msg = f"{wrong} (when trainings {environment})"
        raise Broken(msg)


def as_test(scope: Scope, wrong: str, steps: Sequence[Step], *, name: str = "found") -> str:
    """Print a trace as a pytest that fails while the code has the fault that was found."""
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
