"""`jobcore simulate`: see what a policy does in a shortage, before the shortage comes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import click

from jobcore_cli._app import common
from jobcore_cli._errors import OK, CliError
from jobcore_cli._session import Session

from ._compare import Row, compare, summary
from ._policies import POLICIES, policy
from ._report import page, table
from ._run import simulate
from ._scenario import Scenario, builtin, load
from ._traces import scenario_from

__all__ = ["simulate_command"]


@click.command("simulate")
@common
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--list", "listing", is_flag=True, help="List the scenarios and the policies.")
@click.option("--compare", "comparing", is_flag=True, help="All policies side by side.")
@click.option("--policy", "policies", multiple=True, help="Only this policy; may be repeated.")
@click.option("--seed", "seeds", multiple=True, help="May be repeated.  [1]")
@click.option(
    "--capacity",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Capacity traces: run-length CSV or SkyPilot's JSON, gzipped or not.",
)
@click.option("--trace", default="", help="Of that file, the traces whose name contains this.")
@click.option(
    "--workload",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Jobs: CSV with submit_s, duration_s, and gpus and user where known.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=500, help="At most, of the workload.  [500]"
)
@click.option(
    "--scale", type=click.IntRange(1), default=1, help="Instances for each of the trace's.  [1]"
)
@click.option(
    "--max-pending", type=click.FloatRange(min=1), help="Seconds that a launch waits Pending."
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an HTML page with charts.",
)
@click.pass_obj
def simulate_command(
    session: Session,
    /,
    *,
    scenarios: tuple[str, ...],
    listing: bool,
    comparing: bool,
    policies: tuple[str, ...],
    seeds: tuple[str, ...],
    capacity: Path | None,
    trace: str,
    workload: Path | None,
    jobs: int,
    scale: int,
    max_pending: float | None,
    report: Path | None,
) -> int:
    """
    Simulate jobs in a shortage: the production ticks on a virtual clock.

    SCENARIO is the name of one that comes along (see --list) or a .toml file; with
    --compare and none, all that come along. Ratios are to a clairvoyant.
    """
    if listing:
        return _list(session)
    try:
        for name in policies:
            policy(name)
        worlds = [load(name) for name in scenarios]
        if capacity is not None:
            worlds.append(
                scenario_from(capacity, workload, pattern=trace, jobs_max=jobs, scale=scale)
            )
        elif workload is not None:
            msg = "--workload needs --capacity"
            raise CliError(msg)
    except ValueError as error:
        raise CliError(str(error)) from None
    if not worlds:
        if not comparing:
            msg = "name a scenario (jobcore simulate --list), or give --compare or --capacity"
            raise CliError(msg)
        worlds = [load(name) for name in builtin()]
    if max_pending is not None:
        worlds = [replace(w, provider=replace(w.provider, max_pending=max_pending)) for w in worlds]
    chosen = policies or (tuple(POLICIES) if comparing else ("jobcore",))
    rows = _run(worlds, chosen, seeds or ("1",))
    if session.as_json:
        document = {"runs": [asdict(row) for row in rows], "means": summary(rows)}
        click.echo(json.dumps(document))
    else:
        click.echo(table(rows))
    if report is not None:
        _write(report, rows, worlds, chosen[0], (seeds or ("1",))[0])
    return OK


def _run(worlds: list[Scenario], policies: tuple[str, ...], seeds: tuple[str, ...]) -> list[Row]:
    show = sys.stderr.isatty()

    def done(over: int, of: int) -> None:
        if show:
            filled = 30 * over // of
            bar = "#" * filled + "." * (30 - filled)
            click.echo(f"\r[{bar}] {over} of {of} runs", err=True, nl=over == of)

    processes = min(os.cpu_count() or 1, len(worlds) * len(policies) * len(seeds))
    try:
        return compare(worlds, policies=policies, seeds=seeds, processes=processes, done=done)
    except ValueError as error:
        raise CliError(str(error)) from None


def _write(report: Path, rows: list[Row], worlds: list[Scenario], chosen: str, seed: str) -> None:
    outcomes = [
        simulate(world, seed, scheduler=policy(chosen)(world, seed), policy=chosen)
        for world in worlds[:4]
    ]
    try:
        report.write_text(page(rows, outcomes), encoding="utf-8")
    except OSError as error:
        msg = f"--report {report}: {error.strerror}"
        raise CliError(msg) from None
    click.echo(f"wrote {report}", err=True)


def _list(session: Session) -> int:
    if session.as_json:
        found = {
            "scenarios": builtin(),
            "policies": {n: title for n, (title, _) in POLICIES.items()},
        }
        click.echo(json.dumps(found))
        return OK
    click.echo("Scenarios:")
    for name, title in builtin().items():
        click.echo(f"  {name:16s} {title}")
    click.echo("\nPolicies:")
    for name, (title, _) in POLICIES.items():
        click.echo(f"  {name:16s} {title}")
    return OK
