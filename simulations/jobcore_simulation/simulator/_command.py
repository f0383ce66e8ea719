"""`jobcore simulate`: run policies through shortages on a virtual clock."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic

import attrs
import click

from jobcore_cli._app import common
from jobcore_cli._errors import OK, CliError
from jobcore_cli._session import Session

from ._charts import Part, report_parts
from ._compare import Run, runs, summary
from ._png import MissingLibrary, check_library, write_pngs
from ._policies import TITLES, known
from ._report import page, table
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
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Capacity traces: run-length CSV or SkyPilot's JSON, gzipped or not, or a folder of them; may be repeated.",
)
@click.option("--trace", default="", help="Of these, the traces whose name contains this.")
@click.option(
    "--pools",
    type=click.IntRange(1),
    help="Of these, the first so many by name; each is a pool.  [all]",
)
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
    "--gpus-per-instance",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    help="GPUs of an instance: a job of the workload asks for as many as it needs.  [8]",
)
@click.option(
    "--max-pending", type=click.FloatRange(min=1), help="Seconds that a launch waits Pending."
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an HTML page with charts.",
)
@click.option(
    "--png",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the same charts as PNGs into this folder (needs matplotlib).",
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
    capacity: tuple[Path, ...],
    trace: str,
    pools: int | None,
    workload: Path | None,
    jobs: int,
    scale: int,
    gpus_per_instance: float,
    max_pending: float | None,
    report: Path | None,
    png: Path | None,
) -> int:
    """
    Simulate jobs in a shortage: the production ticks on a virtual clock.

    SCENARIO is the name of a built-in one (see --list) or a .toml file; with --compare
    and none, all built-in ones but the longest. Ratios are to the clairvoyant policy.
    """
    if listing:
        return _list(session)
    charts = report is not None or png is not None
    with _errors_of_options():
        if png is not None:
            check_library()
        for name in policies:
            known(name)
        worlds = [load(name) for name in scenarios]
        if capacity:
            made = scenario_from(
                capacity,
                workload,
                pattern=trace,
                pools_max=pools,
                jobs_max=jobs,
                scale=scale,
                gpus_per_instance=gpus_per_instance,
            )
            _tell_capacity(made)
            worlds.append(made)
        elif workload is not None:
            msg = "--workload needs --capacity"
            raise CliError(msg)
    worlds = worlds or _builtin_worlds(comparing=comparing)
    if max_pending is not None:
        worlds = [_with_max_pending(world, max_pending) for world in worlds]
    chosen = policies or (tuple(TITLES) if comparing else ("jobcore",))
    results = _run(worlds, chosen, seeds or ("1",), charts=charts)
    _print(session, results)
    if charts:
        _write(report, png, results)
    return OK


@contextmanager
def _errors_of_options() -> Iterator[None]:
    """Report unreadable scenarios and traces, unknown policies, and a missing library."""
    try:
        yield
    except ValueError as error:
        raise CliError(str(error)) from None
    except MissingLibrary as error:
        msg = f"--png: {error}"
        raise CliError(msg) from None


def _tell_capacity(world: Scenario) -> None:
    number = len(world.pools)
    pools = f"{number} pools" if number > 1 else "1 pool"
    click.echo(f"capacity: {pools}: {world.title}", err=True)


def _with_max_pending(world: Scenario, seconds: float) -> Scenario:
    return attrs.evolve(world, provider=attrs.evolve(world.provider, max_pending=seconds))


def _builtin_worlds(*, comparing: bool) -> list[Scenario]:
    if not comparing:
        msg = "name a scenario (jobcore simulate --list), or give --compare or --capacity"
        raise CliError(msg)
    return [world for world in map(load, builtin()) if not world.apart]


def _print(session: Session, results: list[Run]) -> None:
    rows = [run.row for run in results]
    if session.as_json:
        document = {"runs": [asdict(row) for row in rows], "means": summary(rows)}
        click.echo(json.dumps(document))
    else:
        click.echo(table(rows))


def _run(
    worlds: list[Scenario], policies: tuple[str, ...], seeds: tuple[str, ...], *, charts: bool
) -> list[Run]:
    processes = min(os.cpu_count() or 1, len(worlds) * len(policies) * len(seeds))
    with _progress(len(worlds) * len(policies) * len(seeds)) as progress:
        try:
            return runs(
                worlds,
                policies=policies,
                seeds=seeds,
                processes=processes,
                charts=charts,
                progress=progress,
            )
        except ValueError as error:
            raise CliError(str(error)) from None


@contextmanager
def _progress(count: int) -> Iterator[Callable[[float], None]]:
    """Show the progress of the runs on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,  # no thread: processes are forked below
    )
    drawn = float("-inf")

    def show(share: float) -> None:
        nonlocal drawn
        if monotonic() - drawn >= 0.1:
            drawn = monotonic()
            bar.update(task, completed=share, refresh=True)

    with bar:
        task = bar.add_task(f"{count} run{'s' if count > 1 else ''}", total=1.0)
        yield show


def _write(report: Path | None, png: Path | None, results: list[Run]) -> None:
    parts: list[Part] = report_parts(results)
    if report is not None:
        try:
            report.write_text(page([run.row for run in results], parts), encoding="utf-8")
        except OSError as error:
            msg = f"--report {report}: {error.strerror}"
            raise CliError(msg) from None
        click.echo(f"wrote {report}", err=True)
    if png is not None:
        charts = [chart for part in parts for chart in (*part.charts, *part.details)]
        try:
            written = write_pngs(charts, png)
        except OSError as error:
            msg = f"--png {png}: {error.strerror}"
            raise CliError(msg) from None
        click.echo(f"wrote {len(written)} charts into {png}", err=True)


def _list(session: Session) -> int:
    if session.as_json:
        found = {
            "scenarios": builtin(),
            "policies": dict(TITLES),
        }
        click.echo(json.dumps(found))
        return OK
    click.echo("Scenarios:")
    for name, title in builtin().items():
        click.echo(f"  {name:16s} {title}")
    click.echo("\nPolicies:")
    for name, title in TITLES.items():
        click.echo(f"  {name:16s} {title}")
    return OK
