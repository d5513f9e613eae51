"""`streamgauge tail`: the ledger's rows as they close, as lines of the log (SPEC §12.5, §18)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.ledger_option import ledger_here, named_ledger_option
from streamgauge.cli.log_formats import FORMATS, Entry, Look, look_of
from streamgauge.core.record import Status

if TYPE_CHECKING:
    from streamgauge.ledger.following import FollowedFile

__all__ = ["line_of", "tail"]

_INTERVAL = 0.25
"""Seconds between two looks, which cost one pragma each while nothing changes."""

Row = Mapping[str, Any]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True,
              metavar="N", help="Begin with the last N rows.")  # fmt: skip
@click.option("-f", "--follow/--no-follow", default=True,
              help="Go on until Ctrl-C, as it does by itself, or end after the last rows.")  # fmt: skip
@click.option("--begun", is_flag=True, help="Also a line when an exchange begins.")
@click.option("--format", "style", type=click.Choice(FORMATS), default="logfmt",
              show_default=True, help="As log.format.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Whole rows, one JSON object a line.")
@click.option("--log", type=click.Path(exists=True, dir_okay=False, allow_dash=True),
              metavar="FILE|-",
              help="Judge the streams of a debug log instead: was each frame made also written?")  # fmt: skip
@named_ledger_option
def tail(
    count: int,
    follow: bool,
    begun: bool,
    style: str,
    as_json: bool,
    log: str | None,
    ledger: Path | None,
) -> None:
    """Follow the ledger: a line for each exchange when it has ended.

    It reads the ledger and asks no gateway, so it works while one runs and waits for one that
    does not yet. The lines are those of the gateway's log. Ctrl-C ends it with exit code 0.

    With --log it reads a log of level debug (logfmt or JSON) and gives each stream a verdict when it
    ends: every frame made was written, in order, once, and its end was seen. Exit code 1: one's not.
    """
    if log is not None:
        from streamgauge.cli.tail_log import judge_log

        with click.open_file(log, "rb") as lines:
            raise SystemExit(judge_log(lines, follow=follow and log != "-", as_json=as_json))
    from streamgauge.ledger.following import FollowedFile

    line = _as_json if as_json else line_of(look_of(style, sys.stdout, os.environ))
    path = ledger_here() if ledger is None else ledger
    followed = FollowedFile(path)
    try:
        _print_rows(followed, path, count, follow, _printer(line, begun))
    except KeyboardInterrupt:
        return
    finally:
        followed.close()


def _print_rows(
    followed: FollowedFile, path: Path, count: int, follow: bool, show: Callable[[Row], None]
) -> None:
    from streamgauge.ledger.base import LedgerOpenError

    waiting = False
    while True:
        try:
            rows = followed.look(count)
        except LedgerOpenError as error:
            raise click.ClickException(str(error)) from error
        for row in rows:
            show(row)
        if not follow:
            if not followed.there:
                raise click.ClickException(f"there is no ledger at {path}")
            return
        waiting = _say_waiting(followed, path, waiting)
        time.sleep(_INTERVAL)  # the looks are the purpose: a file has no event to wait for


def _say_waiting(followed: FollowedFile, path: Path, said: bool) -> bool:
    """Say once that there is no ledger, so that silence is not taken for idleness."""
    if not followed.there and not said:
        click.echo(f"waiting for a ledger at {path}; Ctrl-C ends", err=True)
    return not followed.there


def _printer(line: Callable[[Row], str], begun: bool) -> Callable[[Row], None]:
    def show(row: Row) -> None:
        if begun or row["status"] != Status.IN_FLIGHT:
            click.echo(line(row))

    return show


def _as_json(row: Row) -> str:
    return json.dumps(row)


def line_of(look: Look) -> Callable[[Row], str]:
    """Return what makes a row the line that the gateway's log has of it."""
    from streamgauge.core.record import ExchangeRecord
    from streamgauge.sinks.logline import exchange_fields, start_fields

    def line(row: Row) -> str:
        record = ExchangeRecord(**row)
        if record.status == Status.IN_FLIGHT:
            return look.line(Entry("debug", "stream_start", start_fields(record), _at(row)))
        return look.line(Entry("info", "exchange", exchange_fields(record), _at(row)))

    return line


def _at(row: Row) -> datetime:
    """Return when the row closed, else when it began, as local time."""
    moment = row["started_at"] if row["finished_at"] is None else row["finished_at"]
    return datetime.fromtimestamp(moment / 1e6).astimezone()
