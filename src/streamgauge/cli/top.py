"""`streamgauge top`: the live screen in the terminal (SPEC §17.2). It only chooses where to look."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamgauge.cli.config_option import config_option
from streamgauge.cli.number_option import Number
from streamgauge.ledger.location import sqlite_path

if TYPE_CHECKING:
    from rich.console import Console

    from streamgauge.cli.top_sources import Source, View

__all__ = ["top"]


def _ledger_path(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    try:
        return None if value is None else sqlite_path(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--once", is_flag=True, help="One look, and end. So it is off a terminal.")
@click.option("--json", "as_json", is_flag=True,
              help="One JSON object a look: each second, or --once.")  # fmt: skip
@click.option("--interval", type=Number(0.2, 3600), default=1.0, show_default=True,
              metavar="SECONDS", help="Between two looks.")  # fmt: skip
@click.option("--control", metavar="URL",
              help="The gateway's control listener.  [default: as configured]")  # fmt: skip
@click.option("--ledger", metavar="URL|FILE", callback=_ledger_path,
              help="Ask no gateway and read this ledger.")  # fmt: skip
@config_option
def top(
    once: bool, as_json: bool, interval: float, control: str | None, ledger: Path | None
) -> None:
    """Show the streams of this moment, today's sums and what ended last; q quits, j and k move.

    It asks the control listener of the gateway that is configured here, with control.token or
    $STREAMGAUGE_ADMIN_TOKEN. While none answers it reads the ledger, which knows less of a stream.
    """
    if control is not None and ledger is not None:
        raise click.UsageError("--control and --ledger: only one of them can be asked")
    with _errors():
        source = _source(control, ledger)
        first = source.look()
        if as_json:
            _print_json(source, first, once, interval)
        else:
            _show(source, first, once, interval)


@contextmanager
def _errors() -> Iterator[None]:
    """End the verb with exit code 1 when nobody can tell anything."""
    from streamgauge.cli.admin_client import AdminError
    from streamgauge.ledger.base import LedgerOpenError

    try:
        yield
    except (AdminError, LedgerOpenError) as error:
        raise click.ClickException(
            f"{error}; --control URL names another gateway, --ledger FILE a ledger"
        ) from error
    except KeyboardInterrupt:
        return


def _source(control: str | None, ledger: Path | None) -> Source:
    from streamgauge.cli.admin_client import AdminClient
    from streamgauge.cli.settings import control_token, control_url
    from streamgauge.cli.top_sources import EitherSource, GatewaySource, LedgerSource

    if ledger is not None:
        return LedgerSource(ledger)
    try:
        client = AdminClient(control_url() if control is None else control, control_token())
    except ValueError as error:
        raise click.UsageError(f"--control: {error}") from None
    gateway = GatewaySource(client)
    return gateway if control is not None else EitherSource(gateway, _configured_ledger)


def _configured_ledger(no_gateway: str) -> Source:
    from streamgauge.cli.admin_client import NotThere
    from streamgauge.cli.settings import default_ledger
    from streamgauge.cli.top_sources import LedgerSource

    path, _ = default_ledger()
    if not os.path.exists(path):
        raise NotThere(f"{no_gateway}, and there is no ledger at {path}")
    return LedgerSource(path, f"{no_gateway}: this is what the ledger knows")


def _print_json(source: Source, view: View, once: bool, interval: float) -> None:
    click.echo(json.dumps(view.as_json()))
    while not once:
        time.sleep(interval)  # the looks are the purpose
        click.echo(json.dumps(source.look().as_json()))


def _show(source: Source, first: View, once: bool, interval: float) -> None:
    from streamgauge.cli.ledger_table import stdout_console

    console = stdout_console()
    if once or not sys.stdout.isatty() or console.is_dumb_terminal:
        _print_once(first, console)
        return
    from streamgauge.cli.top_terminal import watch

    watch(source, first, console, interval)


def _print_once(view: View, console: Console) -> None:
    from streamgauge.cli.ledger_table import signs_of
    from streamgauge.cli.top_screen import Frame, Speeds, page

    frame = Frame(signs_of(console), console.width, for_eyes=console.is_terminal)
    console.print(page(view, frame, Speeds()))
