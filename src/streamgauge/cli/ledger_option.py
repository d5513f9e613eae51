"""Where `ls` and `show` find the ledger, and what they say when they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamgauge.ledger.location import DEFAULT_URL, sqlite_path

if TYPE_CHECKING:
    from streamgauge.ledger.reader import LedgerReader

__all__ = ["ledger_option", "reading"]


def _path(_ctx: click.Context, _param: click.Parameter, value: str) -> Path:
    try:
        return sqlite_path(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


ledger_option = click.option(
    "--ledger",
    metavar="URL|FILE",
    callback=_path,
    default=DEFAULT_URL,
    show_default=True,
    help="The ledger, as its URL or as a file.",
)
"""The option that both verbs share."""


@contextmanager
def reading(path: Path) -> Iterator[LedgerReader]:
    """Yield a reader of the ledger at `path`; its errors end the verb with exit code 1."""
    from streamgauge.ledger.base import LedgerMissing, LedgerOpenError
    from streamgauge.ledger.reader import LedgerReader

    try:
        with LedgerReader(path) as reader:
            yield reader
    except LedgerMissing as error:
        raise click.ClickException(
            f"{error}: `streamgauge serve` makes one at its first start in this directory, "
            f"`streamgauge demo` makes one to look at; --ledger names another"
        ) from error
    except LedgerOpenError as error:
        raise click.ClickException(str(error)) from error
