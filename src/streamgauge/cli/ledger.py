"""`streamgauge ledger`: copy, migrate, shrink, export and check the books (SPEC §8.4, §18)."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamgauge.cli.ledger_export import export
from streamgauge.cli.ledger_option import ledger_option, reading
from streamgauge.cli.ledger_rollup import rollup
from streamgauge.cli.ledger_writing import written
from streamgauge.cli.progress import portion

__all__ = ["ledger"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def ledger() -> None:
    """Look after the ledger's file.

    backup, export and rollup --check work while a gateway runs; migrate, vacuum and
    rollup --rebuild refuse then, with exit code 4.
    """


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@ledger_option
def backup(file: Path, force: bool, ledger: Path) -> None:
    """Copy the ledger to FILE, as it is at this instant.

    FILE appears whole or not at all, synced, and readable by you alone. Rows that wait in the spool
    are not in it; a remark tells so. To restore it, stop the gateway and put it in the ledger's
    place, without the old -wal and -shm files.
    """
    if str(file) == "-":
        raise click.UsageError("a backup is a file and cannot go to stdout: name one")
    from streamgauge.ledger.maintenance import back_up

    with reading(ledger), written(), portion("copied") as progress:
        size = back_up(ledger, file, replace=force, progress=progress)
    click.echo(f"{file}: {_mib(size)}", err=True)


@ledger.command(short_help="Bring the ledger to this release's schema.")
@click.option("--json", "as_json", is_flag=True, help='{"from": 1, "to": 2, "backup": FILE}')
@ledger_option
def migrate(as_json: bool, ledger: Path) -> None:
    """Bring the ledger to this release's schema, after a backup beside it.

    The gateway does the same at its start, without the backup. There is no way back but the
    backup.
    """
    from streamgauge.ledger.maintenance import migrate as migrate_file

    with written(), portion("done") as progress:
        result = migrate_file(ledger, progress=progress)
    backup = None if result.backup is None else str(result.backup)
    if as_json:
        told = {"from": result.before, "to": result.after, "backup": backup}
        click.echo(json.dumps(told))
    elif backup is None:
        click.echo(f"{ledger}: schema {result.after}, nothing to do")
    else:
        click.echo(f"{ledger}: schema {result.before} -> {result.after}, backup {backup}")


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help='{"before": BYTES, "after": BYTES}')
@ledger_option
def vacuum(as_json: bool, ledger: Path) -> None:
    """Give back the space that deleted rows left.

    Needs as much free space as the ledger is large, while it runs.
    """
    from streamgauge.ledger.maintenance import vacuum as vacuum_file

    with written():
        result = vacuum_file(ledger)
    if as_json:
        click.echo(json.dumps({"before": result.before, "after": result.after}))
    else:
        click.echo(f"{ledger}: {_mib(result.before)} -> {_mib(result.after)}")


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


ledger.add_command(export)
ledger.add_command(rollup)
