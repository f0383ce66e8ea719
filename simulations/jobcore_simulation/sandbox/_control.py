"""The controls below ``/_sandbox/``: time, scripts, pools, faults, and the state of the sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from jobcore.errors import InvalidSetting
from jobcore_config.checks import between, report_all
from jobcore_config.reading import read
from jobcore_simulation._checks import SECONDS

from ._config import full_name, pool_from, rates_from, script_from
from ._limits import fault_from
from ._sandbox import Sandbox

__all__ = ["Control", "NotFound"]


_SECONDS_MAX = 10 * 366 * 86400  # ten years a call; datetime ends with the year 9999


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

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._handlers: Mapping[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "state"): self._state,
            ("GET", "trainings"): self._trainings,
            ("GET", "calls"): lambda _: list(sandbox.log),
            ("GET", "events"): lambda _: sandbox.events,
            ("GET", "faults"): lambda _: [attrs.asdict(fault) for fault in sandbox.faults],
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
        Carry out a request.

        Raises:
            NotFound: there is no such control.
            ValueError, TypeError, KeyError: the document has a wrong value, type or key.
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
        sandbox = self._sandbox
        if not sandbox.clock.manual:
            sandbox.service.advance()
        with sandbox.service.lock:
            regions = sandbox.service.regions.values()
            pools = [pool for region in regions for pool in region.world.pools.values()]
            counts = Counter(t.status for region in regions for t in region.world)
            return {
                "now": sandbox.clock.now(),
                "next_event_at": sandbox.service.next_event_at(),
                "speed": sandbox.clock.speed,
                "manual": sandbox.clock.manual,
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
                "calls": dict(sandbox.calls),
                "events": len(sandbox.events),
                "events_undelivered": sandbox.events_undelivered,
            }

    def _trainings(self, _: Any) -> list[dict[str, Any]]:
        with self._sandbox.service.lock:
            return [
                {
                    "name": t.name,
                    "region": region.name,
                    "status": t.status,
                    "secondary_status": t.secondary,
                    "pool": t.pool,
                    "tags": region.tags[t.name],
                }
                for region in self._sandbox.service.regions.values()
                for t in region.world
            ]

    def _advance(self, document: Any) -> dict[str, Any]:
        body = read(_Advance, document)
        if body.to_next_event:
            at = self._sandbox.service.next_event_at()
            self._sandbox.advance(max(0.0, (at or 0.0) - self._sandbox.clock.now()))
        else:
            self._sandbox.advance(body.seconds or 0.0)
        return self._state(None)

    def _script(self, document: Any) -> dict[str, Any]:
        scripts = [script_from(_table(d)) for d in _several(document)]
        for script in reversed(scripts):
            self._sandbox.script(script)
        return {"scripts": len(scripts)}

    def _clear_scripts(self, _: Any) -> dict[str, Any]:
        with self._sandbox.service.lock:
            for region in self._sandbox.service.regions.values():
                region.world.clear_scripts()
        return {}

    def _pools(self, document: Any) -> dict[str, Any]:
        region = self._sandbox.config.region
        pools = {full_name(n, region): pool_from(p) for n, p in _table(document).items()}
        with self._sandbox.service.lock:
            self._sandbox.service.advance()
            for name, config in pools.items():
                self._sandbox.service.region(name.split("/")[0]).world.set_pool(name, config)
        return self._state(None)

    def _faults(self, document: Any) -> dict[str, Any]:
        faults = [fault_from(_table(d)) for d in _several(document)]
        self._sandbox.faults.extend(faults)
        return {"faults": len(self._sandbox.faults)}

    def _clear_faults(self, _: Any) -> dict[str, Any]:
        self._sandbox.faults.clear()
        return {}

    def _settings(self, document: Any) -> dict[str, Any]:
        body = read(_Settings, document)
        if body.latency is not None:
            self._sandbox.latency = body.latency
        if body.rates is not None:
            self._sandbox.set_rates(body.rates)
        return {"latency": self._sandbox.latency, "rates": sorted(self._sandbox.buckets)}


def _table(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        msg = "expected a JSON object"
        raise TypeError(msg)
    return document


def _several(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]
