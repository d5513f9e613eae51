"""`streamgauge config init`: writes a configuration to start from (SPEC §18)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streamgauge.config.template import Starter

__all__ = ["init"]

_CONFIGURATION = 3
_STDOUT = "-"


@click.command(short_help="Write a commented file to start from.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="[KIND=]URL",
    help="An upstream of the file.  [default: those whose keys are set, else an example]",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.option(
    "-o",
    "--output",
    default="streamgauge.yaml",
    show_default=True,
    metavar="FILE|-",
    help="Where to; a name that ends in .toml makes it TOML, - is stdout.",
)
def init(upstreams: tuple[str, ...], force: bool, output: str) -> None:
    """Write a commented configuration, with the schema's place for editors in its first line.

    Keys are never written: the file names the variables that hold them.
    """
    from streamgauge.config.problems import ConfigError
    from streamgauge.config.template import starter_upstreams, toml_template, yaml_template

    try:
        starters = starter_upstreams(upstreams, os.environ)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(_CONFIGURATION) from None
    text = (toml_template if output.endswith(".toml") else yaml_template)(starters)
    if output == _STDOUT:
        click.echo(text, nl=False)
        return
    _write(Path(output), text, force)
    _tell(output, starters)


def _write(file: Path, text: str, force: bool) -> None:
    """Write whole or not at all: a gateway that runs may be watching the file."""
    target = Path(os.path.realpath(file))
    if os.path.exists(target) and not force:
        raise click.UsageError(f"{file} is there already; --force overwrites it, -o names another")
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with fresh.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise click.UsageError(f"cannot write {file}: {error.strerror}") from None


def _tell(output: str, starters: list[Starter]) -> None:
    from streamgauge.config.load import LoadOptions, find_file

    found, _ = find_file(LoadOptions())
    there = found is not None and os.path.realpath(found) == os.path.realpath(output)
    # Another name, or one that stands behind another file here, has to be named to both.
    check, serve = ("", "") if there else (f" {quote(output)}", f" --config {quote(output)}")
    steps = f"streamgauge config check{check}, streamgauge serve{serve}"
    click.echo(f"{output} written; next: {steps}", err=True)
    missing = {s.key_variable for s in starters if s.key_variable and not s.key_is_set}
    for variable in sorted(missing):
        click.echo(f"{variable} is not set: set it before serve", err=True)
