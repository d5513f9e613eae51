"""`streamgauge config`: look at a configuration without serving it (SPEC §18)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.config_init import init
from streamgauge.cli.config_show import (
    file_argument,
    loaded_or_exit,
    one_file,
    reference,
    schema,
    show,
)

if TYPE_CHECKING:
    from streamgauge.config.load import Loaded
    from streamgauge.config.problems import ConfigError

__all__ = ["config"]


@click.group()
def config() -> None:
    """Write, check, show and explain the configuration."""


for verb in (init, show, schema, reference):
    config.add_command(verb)


@config.command(short_help="Find every mistake at once, and sum it up.")
@file_argument
@click.option("--insecure-no-auth", is_flag=True, help="Accept a bind outside loopback.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, also of mistakes.")
def check(file: Path | None, config: Path | None, insecure_no_auth: bool, as_json: bool) -> None:
    """Check FILE, or the configuration that `serve` would find, and sum it up.

    Mistakes go to stderr, all at once, and end with exit code 3.
    """
    from streamgauge.config.load import LoadOptions

    options = LoadOptions(config=one_file(file, config), insecure_no_auth=insecure_no_auth)
    loaded = loaded_or_exit(options, files=True, also=_tell_json if as_json else _tell_no_more)
    warnings = [*loaded.warnings, *_about_ledger(loaded)]
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(json.dumps(_plain(loaded, warnings)) if as_json else _summary(loaded))


def _tell_no_more(_: ConfigError) -> None:
    """What stderr has is enough for people."""


def _tell_json(error: ConfigError) -> None:
    problems = [
        {"place": str(problem.place), "path": problem.path, "message": problem.message}
        for problem in error.problems
    ]
    click.echo(json.dumps({"ok": False, "problems": problems}))


def _about_ledger(loaded: Loaded) -> list[str]:
    """Return a line where a gateway could not begin here; elsewhere its directory may be there."""
    folder, place = Path(loaded.config.ledger.path).parent, loaded.origins.get(("ledger", "url"))
    try:
        if folder.is_dir():
            return []
    except PermissionError:
        return []  # Whoever checks may be another user than the gateway's.
    said = f"ledger.url: there is no directory {folder}: make it before the gateway starts"
    return [said if place is None else f"{place}: {said}"]


def _plain(loaded: Loaded, warnings: Sequence[str]) -> dict[str, Any]:
    settings = loaded.config
    control = settings.control
    return {
        "ok": True,
        "problems": [],
        "warnings": warnings,
        "file": None if loaded.origin is None else str(loaded.origin),
        "version": loaded.version,
        "data": _url(settings.server.host, settings.server.port),
        "control": _url(control.host, control.port) if control.enabled else None,
        "ledger": settings.ledger.path,
        "upstreams": [
            {
                "name": upstream.name,
                "kind": upstream.kind.value,
                "base_url": upstream.base_url,
                "default": upstream is settings.default_upstream,
            }
            for upstream in settings.upstreams
        ],
    }


def _summary(loaded: Loaded) -> str:
    settings = loaded.config
    control = _url(settings.control.host, settings.control.port)
    lines = [
        f"{loaded.origin or 'no file'}: ok, version {loaded.version}",
        f"data      {_url(settings.server.host, settings.server.port)}",
        f"control   {control if settings.control.enabled else 'off'}",
        f"ledger    {settings.ledger.path}",
    ]
    for upstream in settings.upstreams:
        default = "  (default)" if upstream is settings.default_upstream else ""
        lines.append(f"upstream  {upstream.name}  {upstream.kind}  {upstream.base_url}{default}")
    if not settings.upstreams:
        lines.append("upstream  none: add one to the file, or serve with --upstream URL")
    return "\n".join(lines)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
