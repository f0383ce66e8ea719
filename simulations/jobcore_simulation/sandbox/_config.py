"""The sandbox's set-up: from code, a TOML file, or the command's ``--pool`` option."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from jobcore_simulation._kinds import check_kinds
from jobcore_simulation._pools import MARKETS, PoolConfig, Shortage
from jobcore_simulation._training import Refusal, Script

__all__ = ["SandboxConfig", "load_config", "parse_pool", "pool_from", "script_from"]

#: The rates of SageMaker's API as far as they are known, in (calls per second, burst) of one account
#: and region. The other operations' rates are not published; see docs/reference/sandbox.md.
AWS_RATES: Mapping[str, tuple[float, float]] = {
    "CreateTrainingJob": (1.0, 1.0),
    "ListTrainingJobs": (2.0, 2.0),
}

_POOL = re.compile(r"[a-z]{2}(-[a-z]+)+-\d/ml\.[a-z0-9-]+\.[a-z0-9]+/(on-demand|spot|plan)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """
    How the sandbox behaves.

    Args:
        pools: pool name (``region/instance type/market``) → its set-up.
        default_pool: the set-up of every other pool; None: not available in the region.
        scripts: what becomes of trainings; the first that matches counts.
        seed: of every draw.
        account: the account id in ARNs; MiniStack's own by default.
        region: where `Server.world` is; other regions come into being when they are called.
        speed: seconds that pass here in a second of real time.
        manual: time stands still but for ``POST /_sandbox/advance``.
        start: the time at which the world begins, in seconds since the epoch; None: now.
        latency: seconds before each answer.
        rates: operation → (calls per second, burst); in the sandbox's seconds.
        quota_total: instances the account may use in all pools together.
        instances_per_job_max: the service's limit for one training.
        search_lag: Search sees the state of so many seconds ago.
        on_event: is given every event, in a thread of its own.
        events_endpoint: where events are put with PutEvents, e.g. MiniStack.
        events_lost, events_twice: the share of events that are never, or twice, delivered.
        run_scripts: run scripts that are below this folder, as the user that started the sandbox.
        aws_endpoint: whose S3 such scripts read from and write to; their code may be there too.
    """

    pools: Mapping[str, PoolConfig] = field(default_factory=dict)
    default_pool: PoolConfig | None = PoolConfig()
    scripts: tuple[Script, ...] = ()
    seed: str | int = 0
    account: str = "000000000000"
    region: str = "us-east-1"
    speed: float = 1.0
    manual: bool = False
    start: float | None = None
    latency: float = 0.0
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    quota_total: int | None = None
    instances_per_job_max: int = 20
    search_lag: float = 0.0
    on_event: Callable[[Mapping[str, Any]], None] | None = None
    events_endpoint: str | None = None
    events_lost: float = 0.0
    events_twice: float = 0.0
    run_scripts: Path | None = None
    aws_endpoint: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in self.pools:
            _check_pool_name(name)
        if self.speed <= 0:
            msg = "speed: must be more than 0"
            raise ValueError(msg)
        if not re.fullmatch(r"\d{12}", self.account):
            msg = "account: must have 12 digits"
            raise ValueError(msg)


def load_config(path: Path) -> dict[str, Any]:
    """
    Read a TOML file as arguments for `SandboxConfig`.

    Raises:
        ValueError: it is not TOML, or something in it has no meaning; the text says what.
    """
    try:
        return _settings_from(tomllib.loads(path.read_text(encoding="utf-8")))
    except (AttributeError, TypeError, ValueError) as error:  # a value is of the wrong type, say
        msg = f"{path}: {error}"
        raise ValueError(msg) from None


def _settings_from(document: Mapping[str, Any]) -> dict[str, Any]:
    region = str(document.get("region", "us-east-1"))
    allowed = {f.name for f in fields(SandboxConfig)} - {"on_event"}
    _refuse_unknown(document, allowed, "settings")
    settings = dict(document)
    if "pools" in document:
        pools = document["pools"]
        settings["pools"] = {full_name(n, region): pool_from(p) for n, p in pools.items()}
    if "default_pool" in document:
        default = document["default_pool"]
        settings["default_pool"] = None if default == "none" else pool_from(default)
    if "scripts" in document:
        settings["scripts"] = tuple(script_from(s) for s in document["scripts"])
    if "rates" in document:
        settings["rates"] = rates_from(document["rates"])
    if "run_scripts" in document:
        settings["run_scripts"] = Path(document["run_scripts"])
    return settings


def parse_pool(text: str, region: str) -> tuple[str, PoolConfig]:
    """
    Read ``POOL=QUOTA`` or ``POOL=quota:4,capacity:2,shortage:fail``.

    Raises:
        ValueError: the text is none of these.
    """
    name, equals, value = text.partition("=")
    if not equals:
        msg = f"{text!r}: expected POOL=NUMBER, or POOL=quota:NUMBER,capacity:NUMBER,shortage:wait"
        raise ValueError(msg)
    if value.strip().isdigit():
        return full_name(name, region), PoolConfig(quota=int(value))
    parts = dict(part.strip().partition(":")[::2] for part in value.split(","))
    numbers = {k: int(v) if v.isdigit() else v for k, v in parts.items()}
    return full_name(name, region), pool_from(numbers)


def full_name(name: str, region: str) -> str:
    """Complete a pool's name: the region and the market (on-demand) may be left out."""
    parts = name.strip().split("/")
    if parts[-1] not in MARKETS:
        parts.append("on-demand")
    if len(parts) == 2:
        parts.insert(0, region)
    full = "/".join(parts)
    _check_pool_name(full)
    return full


def pool_from(document: Mapping[str, Any]) -> PoolConfig:
    """
    Make a pool's set-up of a table.

    Raises:
        ValueError: it has an unknown key, or a value that makes no sense.
    """
    if not isinstance(document, Mapping):
        msg = f"pool: expected a table, got {document!r:.60}"
        raise ValueError(msg)
    _refuse_unknown(document, {f.name for f in fields(PoolConfig)}, "pool")
    settings = dict(document)
    capacity = settings.get("capacity")
    if isinstance(capacity, list):
        settings["capacity"] = tuple((float(at), int(n)) for at, n in capacity)
    elif capacity is not None and not isinstance(capacity, int):
        msg = f"capacity: {capacity!r} is neither a number nor a list of [seconds, instances]"
        raise ValueError(msg)
    if settings.get("shortage") is not None:
        settings["shortage"] = Shortage(settings["shortage"])
    made = PoolConfig(**settings)
    check_kinds(made)
    return made


def script_from(document: Mapping[str, Any]) -> Script:
    """
    Make a script of a table; durations are numbers or ``[low, high]``.

    Raises:
        ValueError: it has an unknown key, or a value that makes no sense.
    """
    _refuse_unknown(document, {f.name for f in fields(Script)}, "script")
    settings: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in document.items()
    }
    if isinstance(settings.get("refusal"), Mapping):
        settings["refusal"] = Refusal(**settings["refusal"])
        check_kinds(settings["refusal"])
    try:
        made = Script(**settings)
        check_kinds(made)
        return made
    except TypeError as error:
        msg = f"script: {error}"
        raise ValueError(msg) from None


def rates_from(document: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Read rates: calls per second, or ``[calls per second, burst]``."""
    rates = {}
    if not isinstance(document, Mapping):
        msg = f"rates: expected a table, got {document!r:.60}"
        raise TypeError(msg)
    for operation, rate in document.items():
        per_second, burst = rate if isinstance(rate, list | tuple) else (rate, max(1.0, rate))
        if not per_second > 0 or not burst >= 1:
            msg = f"rates.{operation}: the rate must be more than 0, the burst at least 1"
            raise ValueError(msg)
        rates[operation] = (float(per_second), float(burst))
    return rates


def _check_pool_name(name: str) -> None:
    if not _POOL.fullmatch(name):
        msg = f"{name!r} is not a pool: expected REGION/INSTANCE TYPE/MARKET, e.g. us-east-1/ml.m5.large/spot"
        raise ValueError(msg)


def _refuse_unknown(document: Mapping[str, Any], allowed: set[str], where: str) -> None:
    if unknown := sorted(set(document) - allowed):
        msg = f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(allowed))}"
        raise ValueError(msg)
