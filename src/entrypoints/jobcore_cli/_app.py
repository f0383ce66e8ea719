"""The frame of the command: common options, lazy subcommands, errors in one line.

The module of a subcommand is imported when it is used, so that `jobcore list` does not import the
libraries of `jobcore run`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from jobcore_client.errors import RequestError
from jobcore_client.variables import DEBUG

from ._errors import (
    CONFLICT,
    FAILED,
    INTERRUPTED,
    UNAVAILABLE,
    USAGE,
    CliError,
    exit_code,
    os_error_words,
)
from ._session import Session

_COMMANDS = {
    "submit": ("_submit", "Submit a job."),
    "sweep": ("_submit", "Submit one job for each combination of hyperparameters."),
    "list": ("_look", "List jobs, newest first."),
    "show": ("_look", "Show a job in full: attempts, timeline, retries used."),
    "why": ("_look", "Explain why a job is not running, and what would help."),
    "logs": ("_logs", "Print the output of a job's script."),
    "results": ("_results", "Compare the jobs of a sweep: hyperparameters, metrics, the best."),
    "path": ("_places", "Print where a job's model, output, log or checkpoints are."),
    "open": ("_places", "Open the folder of a job's model, output, log or checkpoints."),
    "download": ("_places", "Copy a job's model, output, log or checkpoints into a folder."),
    "stop": ("_change", "Stop jobs."),
    "hold": ("_change", "Hold jobs: no further attempt until they are released."),
    "release": ("_change", "Release held jobs, or end a back-off."),
    "retry": ("_change", "Try again: a finished job is submitted as a new one."),
    "wait": ("_change", "Wait until jobs are over; the exit code is their result."),
    "run": ("_run", "Run the manager: launch, monitor, retry, notify."),
    "tick": ("_run", "Do one pass of launch, monitor, notify or reap."),
    "pools": ("_look", "Show the pools of this machine, or set their sizes."),
    "deploy": ("_deploy", "Deploy the functions to AWS, or update them."),
    "destroy": ("_destroy", "Remove the functions from AWS; the jobs stay."),
    "status": ("_status", "Show the deployment on AWS."),
    "classify": ("_classify", "Classify failure messages (JSON lines)."),
    "doctor": ("_doctor", "Check the set-up."),
    "prune": ("_prune", "Remove snapshots of code that no job needs."),
    "migrate": ("_migrate", "Move the jobs of this machine to AWS."),
    "sandbox": ("jobcore_simulation._command", "Start an emulated AWS on this machine."),
    "simulate": (
        "jobcore_simulation.simulator._command",
        "Compare policies in a simulated shortage of capacity.",
    ),
    "completion": ("_completion", "Print the completion script for a shell."),
}


def _set_on_session(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and value is not False:
        setattr(ctx.ensure_object(Session), str(param.name), value)


_OWNER = click.option(
    "--owner",
    expose_value=False,
    callback=_set_on_session,
    help="Your name as an owner of jobs  [env: JOBCORE_OWNER].",
)
_OTHERS = (
    click.option(
        "--backend",
        type=click.Choice(["local", "aws"]),
        expose_value=False,
        callback=_set_on_session,
        help="Where jobs are kept and run  [env: JOBCORE_BACKEND].",
    ),
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        callback=_set_on_session,
        help="Answer in JSON.",
    ),
    click.option(
        "--no-color",
        "no_color",
        is_flag=True,
        expose_value=False,
        callback=_set_on_session,
        help="No colours.",
    ),
)
_HOME = click.option(
    "--home",
    type=click.Path(file_okay=False),
    expose_value=False,
    callback=_set_on_session,
    help="Where jobs are kept  [env: JOBCORE_HOME].",
)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of all commands; they may stand before or after the command's name."""
    return _with_options(command, _HOME, _OWNER, *_OTHERS)


def common_but_owner(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the common options except --owner, which has another meaning in the command."""
    return _with_options(command, _HOME, *_OTHERS)


def _with_options(command: Callable[..., Any], *options: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def complete_job(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete a job's id from the newest jobs whose id or name begins so; show name and status."""
    from click.shell_completion import CompletionItem

    import jobcore

    session = ctx.find_object(Session) or Session()
    home = ctx.find_root().params.get("home")
    session.home = session.home or home
    try:
        jobs = session.store.find(jobcore.ports.JobQuery(limit=1000)).jobs
    except Exception:  # a shell shows no errors of a completion
        return []
    finally:
        session.close()
    return [
        CompletionItem(job.job_id, help=f"{job.spec.name} {job.status}")
        for job in jobs
        if job.job_id.startswith(incomplete.lower()) or job.spec.name.startswith(incomplete)
    ][:50]


class _LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        home = _COMMANDS[cmd_name][0]
        try:
            module = import_module(f".{home}" if home.startswith("_") else home, __package__)
        except ModuleNotFoundError as error:
            if home.startswith("_") or (error.name or "").startswith("jobcore_cli"):
                raise
            msg = f"{cmd_name} needs {error.name}: pip install 'jobcore-scheduler[{cmd_name}]'"
            raise CliError(msg) from None
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; jobcore --help lists the commands"
            ctx.fail(f"there is no command {args[0]!r}{hint}")


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"jobcore {version('jobcore-scheduler')}")
        ctx.exit()


@click.command(
    "jobcore",
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done; 1 a job failed; 2 bad input; 3 no such job; 4 refused; "
    "5 unavailable, try again; 6 waited too long.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
@common
@click.pass_context
def cli(ctx: click.Context, /) -> None:
    """
    Submit training jobs and forget them.

    A job is launched when there is capacity, and retried after failures that may pass. Its owner gets
    one message when it is over.
    """
    ctx.call_on_close(ctx.ensure_object(Session).close)


def main(arguments: list[str] | None = None) -> int:
    """
    Run the command; an error is one line on standard error, with instructions.

    Returns:
        The exit code (see `jobcore --help`).
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        result = cli.main(words, prog_name="jobcore", standalone_mode=False, obj=Session())
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return USAGE
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "jobcore"
        return _fail(words, f"{error.format_message()}  ({name} --help)", USAGE)
    except click.ClickException as error:
        return _fail(words, error.format_message(), USAGE)
    except RequestError as error:
        return _fail(words, str(error), exit_code(error))
    except (click.Abort, KeyboardInterrupt):
        return _fail(words, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of the pipe has closed it (`jobcore list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _unexpected(words, error)


def _unexpected(words: list[str], error: Exception) -> int:
    import jobcore
    from jobcore.errors import InvalidSetting
    from jobcore_code import CodeError
    from jobcore_sqlite import StoreUnusable

    if DEBUG.value():
        raise error
    if isinstance(error, jobcore.InvalidJob | InvalidSetting | CodeError):
        return _fail(words, str(error), USAGE)
    if isinstance(error, StoreUnusable):
        return _fail(words, str(error), CONFLICT)
    if isinstance(error, jobcore.Unavailable):
        return _fail(words, str(error), UNAVAILABLE)
    if isinstance(error, jobcore.CorruptRecord):
        return _fail(words, f"{error}; restore the store from a backup", FAILED)
    if isinstance(error, OSError):
        return _fail(words, os_error_words(error), UNAVAILABLE)
    text = f"{type(error).__name__}: {error}"
    return _fail(words, f"unexpected: {text} (JOBCORE_DEBUG=1 shows where)", FAILED)


def _fail(words: list[str], message: str, code: int) -> int:
    line = " ".join(message.split())
    if "--json" in words:
        print(json.dumps({"error": {"message": line, "code": code}}), file=sys.stderr)
    else:
        print(f"jobcore: {line}", file=sys.stderr)
    return code
