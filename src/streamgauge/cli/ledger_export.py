"""`streamgauge ledger export`: rows for spreadsheets and programs, in constant memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import click

from streamgauge.cli.glob_option import glob_option
from streamgauge.cli.ledger_option import ledger_option, reading
from streamgauge.cli.ls import since_us
from streamgauge.cli.progress import counted
from streamgauge.core.record import Status

__all__ = ["check_span", "export", "moment_option"]


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else since_us(value, datetime.now().astimezone())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is neither an age (10m, 2h, 3d) nor an ISO time"
        ) from None


_Verb = Callable[..., None]


def moment_option(name: str, help: str) -> Callable[[_Verb], _Verb]:
    """Return an option that takes `10m`, `2h`, `3d` or an ISO time, and gives µs since the epoch."""
    return click.option(name, callback=_moment, metavar="AGO|TIME", help=help)


def check_span(since: int | None, until: int | None) -> None:
    """Refuse a span that holds no instant: it would look as if the ledger held no rows."""
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must be before --until")


@click.command(
    short_help="Write the rows as CSV or JSON lines.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("format", type=click.Choice(["csv", "jsonl"]))
@click.option("-o", "--output", type=click.Path(path_type=Path, allow_dash=True), default="-",
              metavar="FILE|-", help="Where to; - is stdout.  [default: -]")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@moment_option("--since", "Begun then or later: 10m, 2h, 3d, or 2026-01-31T12:00.")
@moment_option("--until", "Begun before.")
@click.option("--status", "statuses", multiple=True, type=click.Choice([s.value for s in Status]),
              metavar="STATUS", help="Only rows that ended so; may be repeated.")  # fmt: skip
@glob_option("--model", "Only this model, asked for or served.")
@glob_option("--session", "Only this session.")
@glob_option("--upstream", "Only this upstream.")
@ledger_option
def export(
    format: str,
    output: Path,
    force: bool,
    since: int | None,
    until: int | None,
    statuses: tuple[str, ...],
    model: str | None,
    session: str | None,
    upstream: str | None,
    ledger: Path,
) -> None:
    """Write the rows, the oldest first, all columns, as they are at this instant.

    csv: unknown is an empty cell; text that a spreadsheet would take for a formula gets an
    apostrophe in front. jsonl: one object a line, nothing altered.
    """
    check_span(since, until)
    from streamgauge.ledger.export import write_csv, write_jsonl
    from streamgauge.ledger.reader import Filter

    wanted = Filter(since, statuses, model, session, until, upstream)
    with reading(ledger) as reader, _opened(output, ledger, force=force) as out:
        rows = counted(reader.oldest(wanted), "rows", total=lambda: reader.count(wanted))
        if format == "csv":
            write_csv(rows, out)
        else:
            write_jsonl(rows, out)


@contextmanager
def _opened(output: Path, ledger: Path, *, force: bool) -> Iterator[TextIO]:
    """Yield stdout, or a file that appears when it is whole; UTF-8 and LF in any case."""
    if str(output) == "-":
        stdout = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        yield stdout
        stdout.flush()
        stdout.detach()
        return
    from streamgauge.ledger.new_file import FileRefused, new_file
    from streamgauge.ledger.own_files import apart_from

    try:
        with (
            new_file(apart_from(ledger, output), replace=force) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            yield file
            file.flush()
    except FileRefused as error:
        raise click.ClickException(str(error)) from error
