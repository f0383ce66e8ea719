"""Reachability: each outcome of a call must have been reached at each site that makes the call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["NEVER", "OUTCOMES", "missing_cells", "sites", "wrong_exceptions"]

#: The outcomes of a call, by method; "dies" is the death of the caller before the call.
OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "get": ("ok", "unavailable", "dies"),
    "save": (
        "ok", "conflict", "not applied", "reply lost", "conflict with itself", "late", "dies",
    ),
    "launch": ("accepted", "exists", "reply lost", "exists already", "unclear", "late", "dies"),
    "describe": ("ok", "unavailable", "not read", "not seen yet", "dies"),
    "stop": ("ok", "over already", "not applied", "reply lost", "late", "dies"),
    "running": ("ok", "unavailable", "lags: empty", "lags: over"),
    "publish": ("ok", "not taken", "reply lost", "dies"),
    "due": ("row", "no row", "unavailable"),
    "waiting": ("no row", "unavailable"),
    "now": ("later", "just now"),
    "usage": ("ok", "unavailable"),
    "capacity": ("ok", "unavailable"),
    "pools": ("ok", "unavailable"),
    "save_pool": ("ok", "unavailable"),
    "next_wake": ("ok", "unavailable"),
    "shares": ("ok", "unavailable"),
    "save_shares": ("ok", "unavailable"),
    "tallies": ("ok", "unavailable"),
    "tallies_to_pause": ("ok", "unavailable"),
    "save_tally": ("ok", "unavailable"),
}  # fmt: skip

_NOT_BEGUN = "the tick's first call that depends on the world: a death before it has no effect"
#: Cells that cannot be reached, with the reason.
NEVER: Mapping[str, str] = {
    "launch: launch_tick>_decide>read: get: dies": _NOT_BEGUN,
    "launch: launch_tick>read: get: dies": _NOT_BEGUN,
    "monitor: monitor_tick>read: get: dies": _NOT_BEGUN,
    "notify: notify_tick>read: get: dies": _NOT_BEGUN,
}


def sites(cells: Iterable[str]) -> set[str]:
    """Return the sites of *cells*: program, place in the code and method."""
    return {": ".join(cell.split(": ")[:3]) for cell in cells if not cell.startswith("happens")}


def missing_cells(cells: set[str]) -> list[str]:
    """List the outcomes that were not reached at a site that was."""
    wanted = {f"{site}: {what}" for site in sites(cells) for what in OUTCOMES[site.split(": ")[2]]}
    return sorted(wanted - cells - set(NEVER))


def wrong_exceptions(cells: set[str]) -> list[str]:
    """List the cells of `NEVER` that were reached, or whose site was not."""
    reached = sites(cells)
    return sorted(cell for cell in NEVER if cell in cells or not sites([cell]) <= reached)
