"""`streamgauge config show|schema`: the settings in force, and what may be set (SPEC §18)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from streamgauge.config.effective import Setting
    from streamgauge.config.load import Loaded, LoadOptions
    from streamgauge.config.problems import ConfigError

__all__ = ["file_argument", "loaded_or_exit", "one_file", "reference", "schema", "show"]

Command = TypeVar("Command", bound=Callable[..., Any])

_CONFIGURATION = 3
_WIDEST = 48
"""A longer value takes its room, and does not push the origins of all others to the right."""


def loaded_or_exit(
    options: LoadOptions,
    *,
    files: bool = False,
    also: Callable[[ConfigError], None] = lambda _: None,
) -> Loaded:
    """Return the configuration; its mistakes go to stderr and end with exit code 3.

    `files`: read the certificates that it names, too. `also`: told of the mistakes.
    """
    from streamgauge.cli.tls_files import check_tls_files
    from streamgauge.config.load import load
    from streamgauge.config.problems import ConfigError

    try:
        loaded = load(options)
        if files:
            check_tls_files(loaded)
    except ConfigError as error:
        click.echo(str(error), err=True)
        also(error)
        raise SystemExit(_CONFIGURATION) from None
    return loaded


def file_argument(command: Command) -> Command:
    """Add FILE, and --config as the other verbs have it: what `one_file` makes one of."""
    option = click.option("--config", type=click.Path(path_type=Path), help="The same as FILE.")
    return click.argument("file", required=False, type=click.Path(path_type=Path))(option(command))


def one_file(file: Path | None, config: Path | None) -> Path | None:
    """Return which file is meant. Raises UsageError for two."""
    if file is not None and config is not None and file != config:
        raise click.UsageError(f"FILE and --config name two files: {file} and {config}")
    return config if file is None else file


@click.command(short_help="Every setting, and where it comes from.")
@file_argument
@click.option("--upstream", "upstreams", multiple=True, metavar="[KIND=]URL", help="As in serve.")
@click.option("--host", help="As in serve.")
@click.option("--port", type=click.IntRange(0, 65535), help="As in serve.")
@click.option("--ledger", metavar="URL|FILE", help="As in serve.")
@click.option("--insecure-no-auth", is_flag=True, help="Accept a bind outside loopback.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(
    file: Path | None,
    config: Path | None,
    upstreams: tuple[str, ...],
    host: str | None,
    port: int | None,
    ledger: str | None,
    insecure_no_auth: bool,
    as_json: bool,
) -> None:
    """Show every setting that `serve` would use, and where it comes from.

    FILE: instead of the one that `serve` would find. Secrets are shown as ********.
    """
    from streamgauge.config.effective import settings_of
    from streamgauge.config.environment import Flag
    from streamgauge.config.load import LoadOptions
    from streamgauge.ledger.location import ledger_url

    wanted: tuple[tuple[str, tuple[str, str], str | int | None], ...] = (
        ("--host", ("server", "host"), host),
        ("--port", ("server", "port"), port),
        ("--ledger", ("ledger", "url"), None if ledger is None else ledger_url(ledger)),
    )
    flags = tuple(Flag(name, path, value) for name, path, value in wanted if value is not None)
    loaded = loaded_or_exit(LoadOptions(one_file(file, config), upstreams, flags, insecure_no_auth))
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    settings = settings_of(loaded)
    click.echo(_json(loaded, settings) if as_json else _table(loaded, settings))


def _table(loaded: Loaded, settings: list[Setting]) -> str:
    rows = [(setting.path, _text(setting.value), setting.origin) for setting in settings]
    widths = [min(max(len(row[n]) for row in rows), _WIDEST) for n in range(2)]
    lines = [f"{path:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for path, value, origin in rows]
    return "\n".join([f"# {loaded.origin or 'no file'}, version {loaded.version}", *lines])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(loaded: Loaded, settings: list[Setting]) -> str:
    file = None if loaded.origin is None else str(loaded.origin)
    rows = [
        {"path": row.path, "value": row.value, "origin": row.origin, "reload": row.reload}
        for row in settings
    ]
    return json.dumps({"file": file, "version": loaded.version, "settings": rows})


@click.command(short_help="Print the JSON schema, for editors.")
@click.option("--generate", is_flag=True, hidden=True, help="From the model, for the package.")
def schema(generate: bool) -> None:
    """Print the JSON schema of the configuration, for editors and other checkers."""
    if generate:
        from streamgauge.config.json_schema import json_schema

        click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return
    from streamgauge.config.template import SCHEMA_FILE

    click.echo(SCHEMA_FILE.read_text(encoding="utf-8"), nl=False)


@click.command(hidden=True)
def reference() -> None:
    """Print the tables of docs/config.md."""
    from streamgauge.config.reference import reference as tables

    click.echo(tables(), nl=False)
