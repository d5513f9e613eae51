"""`streamgauge ls`: the ledger's newest rows, for people as a table, for programs as JSON lines."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from streamgauge.cli.glob_option import glob_option
from streamgauge.cli.ledger_option import ledger_option, reading
from streamgauge.cli.progress import counted
from streamgauge.core.record import Status

__all__ = ["ls", "since_us"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([smhdw])")


def since_us(text: str, now: datetime) -> int:
    """Return `10m`, `2h`, `3d` before `now`, or an ISO 8601 time (local without zone), in µs.

    Raises ValueError on anything else.
    """
    if ago := _AGO.fullmatch(text):
        moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        moment = datetime.fromisoformat(text).astimezone()
    return round(moment.timestamp() * 1_000_000)


def _since(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else since_us(value, datetime.now().astimezone())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is neither an age (10m, 2h, 3d) nor an ISO time"
        ) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "limit", type=click.IntRange(min=0), default=20, show_default=True,
              metavar="N", help="How many rows; 0 for all.")  # fmt: skip
@click.option(
    "--since",
    callback=_since,
    metavar="AGO|TIME",
    help="Begun after: 10m, 2h, 3d, or 2026-01-31T12:00.",
)
@click.option("--status", "statuses", multiple=True, type=click.Choice([s.value for s in Status]),
              metavar="STATUS", help="Only rows that ended so; may be repeated.")  # fmt: skip
@glob_option("--model", "Only this model, asked for or served.")
@glob_option("--session", "Only this session.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@ledger_option
def ls(
    limit: int,
    since: int | None,
    statuses: tuple[str, ...],
    model: str | None,
    session: str | None,
    as_json: bool,
    ledger: Path,
) -> None:
    """List the ledger's rows, the newest first.

    A count with ~ is not the upstream's final one; a dash is unknown, never zero.
    """
    from streamgauge.ledger.reader import Filter

    wanted = Filter(since=since, statuses=statuses, model=model, session=session)
    with reading(ledger) as reader:
        rows = reader.newest(wanted, limit or None)
        if as_json:
            _print_json(rows)
        else:
            from streamgauge.cli.ledger_table import print_rows, stdout_console

            none = "no rows" if wanted == Filter() else "no rows that fit"
            print_rows(list(counted(rows, "rows read")), stdout_console(), none)


def _print_json(rows: Any) -> None:
    import json

    for row in rows:
        click.echo(json.dumps(row))
