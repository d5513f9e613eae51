"""`streamgauge ledger rollup`: what the roll-ups say, whether it is true, and making them anew."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.ledger_export import check_span, moment_option
from streamgauge.cli.ledger_option import ledger_option, reading
from streamgauge.cli.ledger_writing import written
from streamgauge.cli.progress import portion

if TYPE_CHECKING:
    from streamgauge.ledger.reader import LedgerReader
    from streamgauge.ledger.rollup_check import Difference
    from streamgauge.ledger.rollup_sums import Tokens, UsageSum

__all__ = ["rollup"]

_BY = ("hour", "day", "upstream", "model", "dialect", "status", "key_id", "client_app",
       "usage_source", "input_source", "currency")  # fmt: skip
_SHOWN = 20
"""Differences told one by one; the first ones tell where to look."""

_WITH_ROLLUPS = 2


@click.command(
    short_help="Show, check or remake the sums.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--by", multiple=True, type=click.Choice(_BY), metavar="COLUMN",
              help=f"Sums for each of: {', '.join(_BY)}; may be repeated.")  # fmt: skip
@moment_option("--since", "Finished in this hour or later: 2h, 7d, or 2026-01-31T12:00.")
@moment_option("--until", "Finished before, to the whole hour.")
@click.option(
    "--check", is_flag=True, help="Compare them with the rows; exit code 1 if they differ."
)
@click.option("--rebuild", is_flag=True, help="Make them anew from the rows.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@ledger_option
def rollup(
    by: tuple[Any, ...],
    since: int | None,
    until: int | None,
    check: bool,
    rebuild: bool,
    as_json: bool,
    ledger: Path,
) -> None:
    """Show the sums by hour, day, model …, check them, or make them anew.

    Exact tokens are the upstreams' own final numbers; estimates stand beside them, never among
    them. --check and --rebuild take only days whose rows are all kept.
    """
    check_span(since, until)
    if rebuild:
        _rebuild(ledger)
    if check or rebuild:
        _check(ledger, as_json=as_json)
        return
    from streamgauge.ledger.rollup import Hours, usage

    with reading(ledger) as reader:
        _require_rollups(reader)
        with reader.snapshot() as connection:
            sums = usage(connection, Hours.covering(since, until), by)
    if not sums and not as_json:
        click.echo("no rows")
    for each in sums:
        click.echo(json.dumps(asdict(each)) if as_json else _line(each))


def _rebuild(ledger: Path) -> None:
    from streamgauge.ledger.maintenance import rebuild_rollups

    with written(), portion("rolled up") as progress:
        rebuild_rollups(ledger, progress=progress)


def _check(ledger: Path, *, as_json: bool) -> None:
    from streamgauge.ledger.rollup_check import differences

    with reading(ledger) as reader:
        _require_rollups(reader)
        with reader.snapshot() as connection:
            found = _tell(differences(connection), as_json=as_json)
    if found:
        raise click.ClickException(f"{found} sums differ from their rows: see --rebuild")
    if not as_json:
        click.echo("roll-ups equal the rows")


def _tell(found: Iterable[Difference], *, as_json: bool) -> int:
    """Print the first differences, or with `as_json` all; return how many there are."""
    rest = iter(found)
    count = 0
    for each in rest if as_json else islice(rest, _SHOWN):
        count += 1
        group = " ".join(f"{name}={value}" for name, value in each.group.items())
        line = f"{each.table} {group}: {each.column} rows={each.rows} rollups={each.rollups}"
        click.echo(json.dumps(asdict(each)) if as_json else line)
    return count + sum(1 for _ in rest)


def _require_rollups(reader: LedgerReader) -> None:
    if reader.schema < _WITH_ROLLUPS:
        raise click.ClickException(
            "this ledger is an older release's and has no roll-ups yet: "
            "`streamgauge ledger migrate` makes them"
        )


def _line(each: UsageSum) -> str:
    from streamgauge.core.nano import nano_text

    group = [f"{name}={_shown(name, value)}" for name, value in each.group.items()]
    costs = [
        f"{label}={nano_text(nano)}{currency}"
        for currency, cost in each.costs.items()
        for label, nano in (("cost", cost.exact), ("cost~", cost.estimated))
        if nano is not None
    ]
    parts = [f"exchanges={each.exchanges}", f"failures={each.failures}",
             *_tokens("in", each.input), *_tokens("out", each.output), *costs]  # fmt: skip
    return " ".join([*group, *parts, f"unpriced={each.unpriced}"])


def _tokens(name: str, tokens: Tokens) -> list[str]:
    exact = "-" if tokens.exact is None else str(tokens.exact)
    estimated = [] if tokens.estimated is None else [f"{name}~={tokens.estimated}"]
    return [f"{name}={exact}", *estimated]


def _shown(name: str, value: str | int | None) -> str:
    if value is None:
        return "-"
    if name in ("hour", "day") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1_000_000, UTC).strftime(
            "%Y-%m-%dT%HZ" if name == "hour" else "%Y-%m-%d"
        )
    return json.dumps(value) if " " in str(value) else str(value)
