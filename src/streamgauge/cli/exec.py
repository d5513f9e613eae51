"""`streamgauge exec -- CMD`: one child whose clients ask the gateway. Becomes that child (SPEC §18)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NoReturn

import click

from streamgauge.cli.client_settings import CLIENTS, variables
from streamgauge.cli.config_option import config_option
from streamgauge.cli.env import (
    models_option,
    models_or_asked,
    url_option,
    url_or_default,
)
from streamgauge.cli.key_option import key_option

__all__ = ["exec_"]

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
"""What a shell answers in these cases."""


@click.command(
    "exec",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "allow_interspersed_args": False,
    },
)
@url_option
@config_option
@key_option("The client key, where keys are needed.")
@models_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]…")
def exec_(
    url: str | None, key: str | None, models: tuple[str, ...], command: tuple[str, ...]
) -> None:
    """Run CMD with the variables of all clients set.

    \b
    streamgauge exec -- claude
    streamgauge exec -- opencode run "count to 5"

    CMD takes this process' place: its exit code, its signals and its terminal are its own. Exit
    code 127: there is no such command, 126: it cannot be run.
    """
    from streamgauge.cli.served_models import KeyRefused

    where = url_or_default(url)
    try:
        told = models_or_asked(models, where, key)
    except KeyRefused:
        told = []  # its own key may be in the environment, where only OpenCode does not look
    wanted = dict(os.environ)
    for client in CLIENTS:
        if client != "opencode" or told:
            wanted |= variables(client, where, key, os.environ, told)
    _become(command, wanted)


def _become(command: tuple[str, ...], environ: dict[str, str]) -> NoReturn:
    name = command[0]
    try:
        if sys.platform == "win32":  # there exec would end before its child does
            raise SystemExit(subprocess.run(command, env=environ, check=False).returncode)
        os.execvpe(name, command, environ)
    except (FileNotFoundError, NotADirectoryError):
        _cannot(f"there is no command {name!r}", _NOT_FOUND)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _cannot(f"cannot run {name!r}: {reason}", _NOT_EXECUTABLE)


def _cannot(message: str, code: int) -> NoReturn:
    click.echo(f"streamgauge exec: {message}", err=True)
    raise SystemExit(code)
