"""`streamgauge show ID`: one exchange with its attempts, for people or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.ledger_option import ledger_option, reading

if TYPE_CHECKING:
    from streamgauge.ledger.reader import LedgerReader

__all__ = ["show"]

_CANDIDATES = 8


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help='{"request": {}, "attempts": []}')
@ledger_option
def show(id: str, as_json: bool, ledger: Path) -> None:
    """Show the exchange whose id is, or begins with, ID; or whose client called it ID.

    Why it ended as it did, its times, its usage with where each number came from, its cost term by
    term, its attempts and what was odd. Exit code 1: there is none, or more than one.
    """
    with reading(ledger) as reader:
        request, attempts = _find(reader, id, ledger)
    if as_json:
        import json

        click.echo(json.dumps({"request": request, "attempts": attempts}))
        return
    from streamgauge.cli.exchange_page import print_exchange
    from streamgauge.cli.ledger_table import stdout_console

    print_exchange(request, attempts, stdout_console())


def _find(
    reader: LedgerReader, wanted: str, ledger: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = reader.exchange(_id_of(reader, wanted)) if wanted else None
    if found is None:
        raise click.ClickException(
            f"no exchange {wanted!r} in {ledger}: `streamgauge ls` lists what is there, "
            f"--ledger names another ledger"
        )
    return found


def _id_of(reader: LedgerReader, wanted: str) -> str:
    """Return the one id that is meant. Our own ids come first: a client may send any text as its."""
    ids = reader.ids_like(wanted, _CANDIDATES)
    if len(ids) > 1:
        raise click.ClickException(
            f"several ids begin with {wanted!r}: {_listed(ids)}: give more of it"
        )
    if not ids:
        ids = reader.ids_of_client_request(wanted, _CANDIDATES)
    if len(ids) > 1:
        raise click.ClickException(
            f"a client used {wanted!r} for several exchanges, newest first: {_listed(ids)}: "
            f"name one of these"
        )
    return ids[0] if ids else wanted


def _listed(ids: list[str]) -> str:
    return ", ".join(ids) + (", …" if len(ids) == _CANDIDATES else "")
