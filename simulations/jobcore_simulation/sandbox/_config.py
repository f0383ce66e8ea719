"""The sandbox's set-up: from code, a TOML file, or the command's ``--pool`` option."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from jobcore.errors import InvalidSetting
from jobcore_config.checks import (
    Wrong,
    above,
    at_least,
    collect,
    expect,
    matching,
    parse_toml,
    report_all,
)
from jobcore_config.reading import read
from jobcore_simulation._checks import COUNT, FRACTION, SECONDS
from jobcore_simulation._pools import MARKETS, PoolConfig
from jobcore_simulation._training import Script

__all__ = ["SandboxConfig", "load_config", "parse_pool", "pool_from", "script_from"]

#: The rates of SageMaker's API as far as they are known, in (calls per second, burst) of one account
#: and region. The other operations' rates are not published; see docs/reference/sandbox.md.
AWS_RATES: Mapping[str, tuple[float, float]] = {
    "CreateTrainingJob": (1.0, 1.0),
    "ListTrainingJobs": (2.0, 2.0),
}

_NUMBER = re.compile(r"[0-9]{1,12}")
_POOL = matching(
    r"[a-z]{2}(-[a-z]+)+-\d/ml\.[a-z0-9-]+\.[a-z0-9]+/(on-demand|spot|plan)",
    "REGION/INSTANCE TYPE/MARKET, e.g. us-east-1/ml.m5.large/spot",
)


def _check_names(instance: object, attribute: object, pools: Iterable[str]) -> None:
    collect(((name, name) for name in pools), lambda _, name: _POOL(None, None, name))


def _read_default_pool(value: object, _: Any) -> PoolConfig | None:
    return None if value == "none" else read(PoolConfig, value)


@attrs.frozen(kw_only=True, field_transformer=report_all)
class SandboxConfig:
    """
    The configuration of the sandbox.

    Attributes:
        pools: the set-up of each pool, by its name (``region/instance type/market``).
        default_pool: the set-up of every other pool; in files ``"none"`` if there is no other pool.
        scripts: the course of trainings; the first that matches counts.
        seed: the seed of every draw.
        account: the account id in ARNs; MiniStack's own by default.
        region: the region of pools that name none; other regions are created at their first call.
        speed: seconds that pass here in a second of real time.
        manual: time stands still, but for ``POST /_sandbox/advance``.
        start: the time at which the world begins, in seconds since 1970. Without it, now.
        latency: seconds before each answer.
        rates: calls per second of each operation, or ``[calls per second, burst]``; in the
            sandbox's seconds.
        quota_total: the instances that the account may use in all pools together.
        instances_per_job_max: the service's limit for one training.
        search_lag: Search returns the state of this many seconds ago.
        on_event: called with every event, in a thread of its own.
        events_endpoint: the endpoint for PutEvents, e.g. MiniStack's.
        events_lost, events_twice: the share of events that are never, or twice, delivered.
        run_scripts: run scripts that are below this folder, as the user that started the sandbox.
        aws_endpoint: the endpoint of the S3 for such scripts: channels, results, perhaps their code.
    """

    pools: Mapping[str, PoolConfig] = attrs.field(factory=dict, validator=_check_names)
    default_pool: PoolConfig | None = attrs.field(
        factory=PoolConfig, metadata={"override": {"struct_hook": _read_default_pool}}
    )
    scripts: tuple[Script, ...] = ()
    seed: str | int = 0
    account: str = attrs.field(default="000000000000", validator=matching(r"\d{12}", "12 digits"))
    region: str = "us-east-1"
    speed: float = attrs.field(default=1.0, validator=[above(0), SECONDS])
    manual: bool = False
    start: float | None = attrs.field(default=None, validator=SECONDS)
    latency: float = attrs.field(default=0.0, validator=SECONDS)
    rates: Mapping[str, tuple[float, float]] = attrs.field(
        factory=dict, metadata={"override": {"struct_hook": lambda rates, _: rates_from(rates)}}
    )
    quota_total: int | None = attrs.field(default=None, validator=COUNT)
    instances_per_job_max: int = attrs.field(default=20, validator=at_least(1))
    search_lag: float = attrs.field(default=0.0, validator=SECONDS)
    on_event: Callable[[Mapping[str, Any]], None] | None = attrs.field(
        default=None, metadata={"override": {"omit": True}}
    )
    events_endpoint: str | None = None
    events_lost: float = attrs.field(default=0.0, validator=FRACTION)
    events_twice: float = attrs.field(default=0.0, validator=FRACTION)
    run_scripts: Path | None = None
    aws_endpoint: str | None = None


def load_config(path: Path) -> dict[str, Any]:
    """
    Read a TOML file as arguments for `SandboxConfig`.

    Raises:
        InvalidSetting: it is not TOML, or has an unknown or invalid field; with every problem.
    """
    document = parse_toml(path.read_bytes(), where=str(path))
    region = document.get("region", "us-east-1")
    if isinstance(document.get("pools"), dict) and isinstance(region, str):
        document["pools"] = {_completed(n, region): p for n, p in document["pools"].items()}
    config = read(SandboxConfig, document, where=str(path))
    return {name: getattr(config, name) for name in document}


def parse_pool(text: str, region: str) -> tuple[str, PoolConfig]:
    """
    Read ``POOL=QUOTA`` or ``POOL=quota:4,capacity:2,shortage:fail``.

    Raises:
        InvalidSetting: the text is none of these.
    """
    name, equals, value = text.partition("=")
    if not equals:
        expected = "POOL=NUMBER, or POOL=quota:NUMBER,capacity:NUMBER,shortage:wait"
        raise InvalidSetting([("", str(Wrong(expected, text)))])
    name, value = full_name(name, region), value.strip()
    parts = dict(part.strip().partition(":")[::2] for part in value.split(","))
    given = {"quota": value} if _NUMBER.fullmatch(value) else parts
    numbers = {k: int(v) if _NUMBER.fullmatch(v) else v for k, v in given.items()}
    return name, read(PoolConfig, numbers, where=text)


def full_name(name: str, region: str) -> str:
    """
    Complete a pool's name: the region and the market (on-demand) may be left out.

    Raises:
        InvalidSetting: it cannot be one.
    """
    full = _completed(name, region)
    _check_names(None, None, [full])
    return full


def _completed(name: str, region: str) -> str:
    parts = name.strip().split("/")
    if parts[-1] not in MARKETS:
        parts.append("on-demand")
    if len(parts) == 2:
        parts.insert(0, region)
    return "/".join(parts)


def pool_from(document: Mapping[str, Any]) -> PoolConfig:
    """
    Make a pool's set-up of a table.

    Raises:
        ValueError: it has an unknown key, or a value that makes no sense.
    """
    return read(PoolConfig, document, where="pool")


def script_from(document: Mapping[str, Any]) -> Script:
    """
    Make a script of a table; durations are numbers or ``[low, high]``.

    Raises:
        ValueError: it has an unknown key, or a value that makes no sense.
    """
    return read(Script, document, where="script")


def rates_from(document: object) -> dict[str, tuple[float, float]]:
    """
    Read rates: calls per second, or ``[calls per second, burst]``.

    Raises:
        ValueError: some are neither.
    """
    expected = "calls per second, more than 0, or [calls per second, burst of 1 or more]"

    def rate_of(_: str, given: object) -> tuple[float, float]:
        pair: list[Any] = given if isinstance(given, list) else [given, 1]
        if len(pair) != 2 or not all(map(SECONDS.allows, pair)):
            raise Wrong(expected, given)
        rate = float(pair[0])
        burst = float(pair[1]) if isinstance(given, list) else max(1.0, rate)
        if not rate > 0 or not burst >= 1:
            raise Wrong(expected, given)
        return rate, burst

    return collect(expect(Mapping, document).items(), rate_of)
