"""`jobcore completion`: the completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ._app import cli, common


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
def completion_command(shell: str) -> int:
    """
    Print the completion script for a shell.

    Add to your shell's start file:  eval "$(jobcore completion bash)"
    """
    kind = get_completion_class(shell)
    if kind is None:  # not for the shells of the choice above
        raise AssertionError(shell)
    print(kind(cli, {}, "jobcore", "_JOBCORE_COMPLETE").source())
    return 0
