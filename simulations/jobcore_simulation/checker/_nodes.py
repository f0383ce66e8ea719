"""The nodes of actors: everything that a tick may have read and may do next.

A *node* is a tick with the replies that it has had so far; the tick is run once for each node.
`IDLE` is the node of an actor between two ticks.

The replies of some calls do not depend on the world: the clock, the due list (an index that may
lag by any time), pool states (which may be lost). These calls are answered at once, in every
possible way; they commute with the calls of other actors. For the same reason a tick begins with
its first call that depends on the world.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobcore import Unavailable

from ._actors import PROGRAMS, Ports, Suspend
from ._calls import Calls
from ._values import UNAVAILABLE, Call, Reply

__all__ = ["CALLS_MAX", "IDLE", "Actors", "Node"]

IDLE = 0
#: A tick over one job that makes more port calls than this counts as endless (L2).
CALLS_MAX = 60


class Node:
    """A tick with the replies that it has had, and its next call; the call is None at its end."""

    __slots__ = ("call", "known", "program", "raised", "replies", "site")

    def __init__(self, program: str, replies: tuple[Reply, ...]) -> None:
        self.program = program
        self.replies = replies
        self.call: Call | None = None
        self.site = ""
        self.raised = ""
        self.known: Any = None  # see `Ports._known`


class Actors:
    """
    The nodes of one kind of actor, made when they are first reached.

    Attributes:
        nodes: the nodes by number; number 0 is `IDLE`.
        places: the numbers of the nodes at which an actor may wait, so that they need fewer bits.
        roots: the first node of each program.
        spare: more expensive ways to settled nodes, as (faults, cells): they count as reached cells.
        probed: (program, site, method) of calls answered at once that were let fail.
        runs: the number of runs of production code.
    """

    def __init__(self, calls: Calls, programs: Iterable[str]) -> None:
        self.calls = calls
        self.worlds = calls.worlds
        self.nodes: list[Node] = [Node("", ())]  # IDLE
        self.places: list[int] = [IDLE]
        self._place_of: dict[int, int] = {IDLE: IDLE}
        self._children: dict[tuple[int, Reply], int] = {}
        self._settled: dict[int, list[tuple[int, int, tuple[str, ...]]]] = {}
        self._alike: dict[tuple[Any, ...], int] = {}
        self.merge = self.worlds.scope.merge and self.worlds.scope.jobs == 1
        self.spare: list[tuple[int, tuple[str, ...]]] = []
        self.probed: set[tuple[str, str, str]] = set()
        self.runs = 0
        self.programs = tuple(programs)
        self.roots = {program: self._made(Node(program, ())) for program in self.programs}

    def _run(self, node: Node, failing: tuple[str, str] | None = None) -> Ports:
        self.runs += 1
        ports = Ports(self.worlds, node.replies, failing)
        try:
            if len(node.replies) > CALLS_MAX:
                node.raised = f"L2: a {node.program} tick makes more than {CALLS_MAX} port calls"
            else:
                PROGRAMS[node.program](ports)
        except Suspend as suspended:
            node.call, node.site, node.known = suspended.call, suspended.site, suspended.known
        except Unavailable:
            pass  # ticks may end early when a port is unavailable
        except Exception as error:
            node.raised = f"a {node.program} tick raises {type(error).__name__}: {error}"
        return ports

    def _made(self, node: Node) -> int:
        ports = self._run(node)
        for aside in ports.asides:
            self._probe(node, aside)
        if node.call is None and not node.raised and ports.at == len(node.replies):
            return IDLE
        if node.known is None or not self.merge:
            self.nodes.append(node)
            return len(self.nodes) - 1
        key = (node.program, node.site, node.call, node.known)
        found = self._alike.get(key)
        if found is None:
            self.nodes.append(node)
            found = self._alike[key] = len(self.nodes) - 1
        return found

    def _probe(self, node: Node, aside: tuple[str, str]) -> None:
        """
        Let a call that is answered at once fail, once for each site.

        The tick must end there. That adds no state: actors may die at every call.
        """
        if (node.program, *aside) in self.probed:
            return
        self.probed.add((node.program, *aside))
        probe = Node(node.program, node.replies)
        self._run(probe, aside)
        if probe.raised or probe.call is not None:
            node.raised = probe.raised or f"a {node.program} tick goes on without {aside[1]}"

    def place(self, number: int) -> int:
        """Return the place of a node: its number among those at which an actor may wait."""
        found = self._place_of.get(number)
        if found is None:
            found = self._place_of[number] = len(self.places)
            self.places.append(number)
        return found

    def child(self, number: int, reply: Reply) -> int:
        """Return the node after *reply*."""
        found = self._children.get((number, reply))
        if found is None:
            node = self.nodes[number]
            made = self._made(Node(node.program, (*node.replies, reply)))
            found = self._children[number, reply] = made
        return found

    def settled(self, number: int) -> list[tuple[int, int, tuple[str, ...]]]:
        """
        Answer the calls that do not depend on the world, in every way.

        Returns:
            The nodes reached (waiting for a call that does depend on it, or idle), with the faults
            that this costs and the cells on the way.
        """
        found = self._settled.get(number)
        if found is None:
            found = self._settled[number] = self._settle(number)
        return found

    def _settle(self, number: int) -> list[tuple[int, int, tuple[str, ...]]]:
        node = self.nodes[number]
        if number == IDLE or node.raised or node.call is None:
            return [(number, 0, ())]
        if self.is_cut(number):
            return [(IDLE, 0, ())]
        choices = self.choices(node)
        if choices is None:
            return [(number, 0, ())]
        best: dict[int, tuple[int, set[str]]] = {}
        for what, cost, reply in choices:
            cell = f"{node.program}: {node.site}: {node.call[0]}: {what}"
            for after, more, cells in self.settled(self.child(number, reply)):
                known = best.get(after)
                if known is None or cost + more < known[0]:
                    best[after] = (cost + more, {cell, *cells})
                elif cost + more == known[0]:
                    known[1].update((cell, *cells))
                else:  # no cheaper way; its cells count as reached
                    self.spare.append((cost + more, (cell, *cells)))
        return [(after, cost, tuple(sorted(cells))) for after, (cost, cells) in best.items()]

    def is_cut(self, number: int) -> bool:
        """
        Check whether a tick may end here, because a new tick would do the same from here on.

        A launch tick that has finished old launches and now plans uses nothing of what it read
        before: a new tick that finds no old launch does the same. (With several jobs no tick is
        cut.)
        """
        node = self.nodes[number]
        return (
            self.merge
            and node.call is not None
            and node.call[0] == "waiting"
            and any(reply[0] == "jobs" for reply in node.replies)
        )

    def choices(self, node: Node) -> list[tuple[str, int, Reply]] | None:
        """List the answers to a call that does not depend on the world; None for other calls."""
        assert node.call is not None
        method, single = node.call[0], self.worlds.scope.jobs == 1
        if method == "now":
            times = ("later", "just now") if self.worlds.scope.time else ("later",)
            return [(time, 0, ("now", time)) for time in times]
        lost = ("unavailable", 1, UNAVAILABLE)
        if not single:
            return None
        if method == "due":
            return [("row", 0, ("rows", (0,))), ("no row", 0, ("rows", ())), lost]
        if method == "waiting":
            numbers = range(1, self.worlds.scope.attempts_max + 1 + self.worlds.scope.stranger)
            rows = [(f"attempt {n}", 0, ("rows", ((0, n),))) for n in numbers]
            return [*rows, ("no row", 0, ("rows", ())), lost]
        return None
