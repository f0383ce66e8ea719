"""``/_sandbox/...``: time, scripts, pools, faults and a look inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from jobcore.errors import InvalidSetting
from jobcore_config.checks import between, report_all
from jobcore_config.reading import read
from jobcore_simulation._checks import SECONDS

from ._config import full_name, pool_from, rates_from, script_from
from ._limits import fault_from

if TYPE_CHECKING:
    from ._server import Server

__all__ = ["Control", "NotFound"]


_SECONDS_MAX = 10 * 366 * 86400  # ten years at once; a clock beyond the year 9999 has no dates


class NotFound(LookupError):  # noqa: N818  (an answer)
    """There is no such control."""


@attrs.frozen(kw_only=True, field_transformer=report_all)
class _Advance:
    """The body of ``POST /_sandbox/advance``: one of the two."""

    seconds: float | None = attrs.field(default=None, validator=between(0, _SECONDS_MAX))
    to_next_event: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse a body that says neither."""
        if self.seconds is None and not self.to_next_event:
            raise InvalidSetting([("seconds", "missing; or give to_next_event = true")])


@attrs.frozen(kw_only=True, field_transformer=report_all)
class _Settings:
    """The body of ``POST /_sandbox/settings``; None leaves a setting as it is."""

    latency: float | None = attrs.field(default=None, validator=SECONDS)
    rates: Mapping[str, tuple[float, float]] | None = attrs.field(
        default=None, metadata={"override": {"struct_hook": lambda rates, _: rates_from(rates)}}
    )


class Control:
    """Handles the requests to ``/_sandbox/``."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._handlers: Mapping[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "state"): self._state,
            ("GET", "trainings"): self._trainings,
            ("GET", "calls"): lambda _: list(server.log),
            ("GET", "events"): lambda _: server.events,
            ("GET", "faults"): lambda _: [attrs.asdict(fault) for fault in server.faults],
            ("POST", "advance"): self._advance,
            ("POST", "script"): self._script,
            ("DELETE", "script"): self._clear_scripts,
            ("POST", "pools"): self._pools,
            ("POST", "faults"): self._faults,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "settings"): self._settings,
        }

    def handle(self, method: str, path: str, document: Any) -> Any:
        """
        Do what is asked.

        Raises:
            NotFound: there is no such control.
            ValueError, TypeError, KeyError: the document makes no sense.
        """
        handler = self._handlers.get((method, path))
        if handler is None:
            known = ", ".join(f"{m} /_sandbox/{p}" for m, p in self._handlers)
            msg = f"no {method} /_sandbox/{path}; there are: {known}"
            raise NotFound(msg)
        try:
            return handler(document)
        except (ArithmeticError, AttributeError, IndexError) as error:
            msg = f"a value of the wrong kind: {type(error).__name__}: {error}"
            raise ValueError(msg) from error

    def _state(self, _: Any) -> dict[str, Any]:
        server = self._server
        server.service.advance() if not server.clock.manual else None
        with server.service.lock:
            regions = server.service.regions.values()
            pools = [pool for region in regions for pool in region.world.pools.values()]
            counts = Counter(t.status for region in regions for t in region.world)
            return {
                "now": server.clock.now(),
                "next_event_at": server.service.next_event_at(),
                "speed": server.clock.speed,
                "manual": server.clock.manual,
                "trainings": dict(counts),
                "pools": {
                    p.name: {
                        "capacity": p.capacity,
                        "used": p.used,
                        "quota": p.config.quota,
                        "quota_used": p.quota_used,
                        "waiting": len(p.queue),
                    }
                    for p in pools
                },
                "calls": dict(server.calls),
                "events": len(server.events),
                "events_undelivered": server.events_undelivered,
            }

    def _trainings(self, _: Any) -> list[dict[str, Any]]:
        with self._server.service.lock:
            return [
                {
                    "name": t.name,
                    "region": region.name,
                    "status": t.status,
                    "secondary_status": t.secondary,
                    "pool": t.pool,
                    "tags": region.tags[t.name],
                }
                for region in self._server.service.regions.values()
                for t in region.world
            ]

    def _advance(self, document: Any) -> dict[str, Any]:
        asked = read(_Advance, document)
        if asked.to_next_event:
            at = self._server.service.next_event_at()
            self._server.advance(max(0.0, (at or 0.0) - self._server.clock.now()))
        else:
            self._server.advance(asked.seconds or 0.0)
        return self._state(None)

    def _script(self, document: Any) -> dict[str, Any]:
        scripts = [script_from(_table(d)) for d in _several(document)]
        for script in reversed(scripts):
            self._server.script(script)
        return {"scripts": len(scripts)}

    def _clear_scripts(self, _: Any) -> dict[str, Any]:
        with self._server.service.lock:
            for region in self._server.service.regions.values():
                region.world.clear_scripts()
        return {}

    def _pools(self, document: Any) -> dict[str, Any]:
        region = self._server.config.region
        pools = {full_name(n, region): pool_from(p) for n, p in _table(document).items()}
        with self._server.service.lock:
            self._server.service.advance()
            for name, config in pools.items():
                self._server.service.region(name.split("/")[0]).world.set_pool(name, config)
        return self._state(None)

    def _faults(self, document: Any) -> dict[str, Any]:
        faults = [fault_from(_table(d)) for d in _several(document)]
        self._server.faults.extend(faults)
        return {"faults": len(self._server.faults)}

    def _clear_faults(self, _: Any) -> dict[str, Any]:
        self._server.faults.clear()
        return {}

    def _settings(self, document: Any) -> dict[str, Any]:
        asked = read(_Settings, document)
        if asked.latency is not None:
            self._server.latency = asked.latency
        if asked.rates is not None:
            self._server.set_rates(asked.rates)
        return {"latency": self._server.latency, "rates": sorted(self._server.buckets)}


def _table(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        msg = "expected a JSON object"
        raise TypeError(msg)
    return document


def _several(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]
