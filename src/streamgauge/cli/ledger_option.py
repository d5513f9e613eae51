"""Where the verbs that read find the ledger, and what they say when they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamgauge.ledger.location import sqlite_path

if TYPE_CHECKING:
    from streamgauge.ledger.reader import LedgerReader

__all__ = ["ledger_option", "reading"]

_SPOOLED = (
    "the newest rows are not all here: some wait in the spool of {} until it can be written "
    "again, or until the next start of its gateway"
)


def _path(ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    if ctx.resilient_parsing:
        return None
    if value is None:
        return _default()
    try:
        return sqlite_path(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _default() -> Path:
    from streamgauge.cli.settings import default_ledger

    path, remark = default_ledger()
    if remark is not None:
        click.echo(remark, err=True)
    return path


ledger_option = click.option(
    "--ledger",
    metavar="URL|FILE",
    callback=_path,
    help="The ledger, as its URL or as a file.  [default: the configuration's, streamgauge.db]",
)
"""The option that these verbs share."""


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
