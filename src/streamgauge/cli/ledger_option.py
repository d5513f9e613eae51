"""Where the verbs that read find the ledger, and what they say when they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamgauge.cli.config_option import config_option
from streamgauge.ledger.location import sqlite_path

if TYPE_CHECKING:
    from streamgauge.ledger.reader import LedgerReader

__all__ = [
    "ledger_here",
    "ledger_option",
    "named_ledger_option",
    "reading",
    "served_ledger_option",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SPOOLED = (
    "the newest rows are not all here: some wait in the spool of {} until it can be written "
    "again, or until the next start of its gateway"
)


def _read_path(ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    return _path(ctx, value, ledger_here)


def _named_path(ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    return None if value is None else _path(ctx, value, ledger_here)


def _served_path(ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    """What is written for a gateway to come never goes to what a demo has left."""
    from streamgauge.cli.settings import served_ledger

    return _path(ctx, value, served_ledger)


def _path(ctx: click.Context, value: str | None, default: Callable[[], Path]) -> Path | None:
    if ctx.resilient_parsing:
        return None
    if value is None:
        return default()
    try:
        return sqlite_path(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def ledger_here() -> Path:
    """Return the ledger that verbs that read take here, and say so where it is a demo's."""
    from streamgauge.cli.settings import default_ledger

    path, remark = default_ledger()
    if remark is not None:
        click.echo(remark, err=True)
    return path


def _option(callback: Callable[..., Path | None]) -> Callable[[_Command], _Command]:
    ledger = click.option(
        "--ledger",
        metavar="URL|FILE",
        callback=callback,
        help="The ledger, as its URL or as a file.  [default: the configuration's, streamgauge.db]",
    )
    return lambda command: ledger(config_option(command))


ledger_option = _option(_read_path)
"""The option that these verbs share, and the one for the configuration that names its default."""
named_ledger_option = _option(_named_path)
"""The same, where the verb may need none: it is given None for its default, `ledger_here`."""
served_ledger_option = _option(_served_path)
"""The same, where the ledger is the one that `serve` uses here, there or not."""


@contextmanager
def reading(path: Path) -> Iterator[LedgerReader]:
    """Yield a reader of the ledger at `path`; its errors end the verb with exit code 1."""
    from streamgauge.ledger.base import LedgerMissing, LedgerOpenError
    from streamgauge.ledger.reader import LedgerReader
    from streamgauge.ledger.spool import holds_rows

    try:
        with LedgerReader(path) as reader:
            if holds_rows(path):
                click.echo(_SPOOLED.format(path), err=True)
            yield reader
    except LedgerMissing as error:
        raise click.ClickException(
            f"{error}: `streamgauge serve` makes one at its first start in this directory, "
            f"`streamgauge demo` makes one to look at; --ledger names another"
        ) from error
    except LedgerOpenError as error:
        raise click.ClickException(str(error)) from error
