"""`streamgauge config`: look at a configuration without serving it (SPEC §18)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streamgauge.config.load import Loaded

__all__ = ["config"]

EXIT_CONFIGURATION = 3


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--insecure-no-auth", is_flag=True, help="Accept a bind outside loopback.")
def check(file: Path | None, insecure_no_auth: bool) -> None:
    """Check FILE, or the configuration that `serve` would find, and sum it up.

    Mistakes go to stderr, all at once, and end with exit code 3.
    """
    from streamgauge.config.load import LoadOptions, load
    from streamgauge.config.problems import ConfigError

    try:
        loaded = load(LoadOptions(config=file, insecure_no_auth=insecure_no_auth))
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(EXIT_CONFIGURATION) from None
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(_summary(loaded))


def _summary(loaded: Loaded) -> str:
    settings = loaded.config
    lines = [
        f"{loaded.origin or 'no file'}: ok, version {loaded.version}",
        f"data      http://{_authority(settings.server.host)}:{settings.server.port}",
        f"ledger    {settings.ledger.path}",
    ]
    for upstream in settings.upstreams:
        default = "  (default)" if upstream is settings.default_upstream else ""
        lines.append(f"upstream  {upstream.name}  {upstream.kind}  {upstream.base_url}{default}")
    if not settings.upstreams:
        lines.append("upstream  none: add one to the file, or serve with --upstream URL")
    return "\n".join(lines)


def _authority(host: str) -> str:
    return f"[{host}]" if ":" in host else host
