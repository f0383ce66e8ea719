"""All fields of config.toml; a command that needs only its texts does not import this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

from jobcore import Limits
from jobcore_config.checks import at_least, duration, expect, one_of, report_all

# The size of a local pool is known, so a refusal is due to a race: try again soon.
_LOCAL = {"pool_backoff": "1s", "pool_backoff_max": "30s"}


def _local_limits() -> Limits:
    values: dict[str, Any] = {name: duration(text) for name, text in _LOCAL.items()}
    return Limits(**values)


def _read_limits(table: object, _: Any) -> Limits:
    from jobcore_config.reading import read

    return read(Limits, {**_LOCAL, **expect(Mapping, table)})


@attrs.frozen(kw_only=True, field_transformer=report_all)
class CliConfig:
    """
    The fields of ``config.toml``.

    Attributes:
        home: the home: the folder in which jobs, logs and models are kept; in the user's own file
            only. Without it ``jobcore`` in the user's data folder (``~/.local/share`` on Linux).
        owner: the name under which jobs are submitted. Without it the user's login name.
        backend: where jobs are kept and run. Without it ``local``.
        rules: a TOML file of failure rules that are tried before the default ones.
        desktop: the manager shows messages on the desktop too.
        launch_lease: the time for which a launch that another tick has begun is not repeated; a
            local launch takes milliseconds.
        limits: the limits of the scheduler on this machine.
        aws: the deployment on AWS.
    """

    home: str | None = None
    owner: str | None = None
    backend: str | None = attrs.field(default=None, validator=one_of("local", "aws"))
    rules: str | None = None
    desktop: bool = False
    launch_lease: timedelta = attrs.field(
        default=timedelta(seconds=1), validator=at_least(timedelta(0))
    )
    limits: Limits = attrs.field(
        factory=_local_limits, metadata={"override": {"struct_hook": _read_limits}}
    )
    aws: Mapping[str, Any] = attrs.field(factory=dict)


def read_files(files: Sequence[tuple[Path, Mapping[str, Any]]]) -> CliConfig:
    """
    Read decoded files; the fields of a later file override those of earlier ones.

    Raises:
        InvalidSetting: with every problem of the first file that has some.
    """
    values: dict[str, Any] = {}
    for number, (path, document) in enumerate(files):
        later = {name for _, other in files[number + 1 :] for name in other}
        own = {name: value for name, value in document.items() if name not in later}
        if own:
            from jobcore_config.reading import read

            made = read(CliConfig, own, where=str(path))
            values |= {name: getattr(made, name) for name in own}
    return CliConfig(**values)
