"""`streamgauge serve`: its options and its first words. Imports what serves only when it is to serve."""

from __future__ import annotations

import faulthandler
import signal
from contextlib import suppress
from pathlib import Path

import click

__all__ = ["serve"]

_CONFIGURATION = 3
_NOTHING_CONFIGURED = """\
No upstream is configured. Pick one:

  streamgauge serve --upstream llamacpp=http://127.0.0.1:8080
  OPENAI_API_KEY=... streamgauge serve          (also ANTHROPIC_API_KEY, OPENROUTER_API_KEY)
  streamgauge config init                       (writes a streamgauge.yaml, which serve finds here)
  streamgauge serve --config FILE

To see it work without any model: streamgauge demo
"""


@click.command()
@click.option("--config", "config", type=click.Path(path_type=Path), help="Configuration file.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="[KIND=]URL",
    help="An upstream, added to the file's; may be repeated.",
)
@click.option("--host", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one."
)
@click.option("--ledger", "ledger", metavar="URL|FILE", help="Where the rows go.")
@click.option("--no-control", is_flag=True, help="Open no control listener.")
@click.option("--debug", is_flag=True, help="Log at level debug.")
@click.option("--insecure-no-auth", is_flag=True, help="Listen beyond loopback without keys.")
def serve(
    config: Path | None,
    upstreams: tuple[str, ...],
    host: str | None,
    port: int | None,
    ledger: str | None,
    no_control: bool,
    debug: bool,
    insecure_no_auth: bool,
) -> None:
    """Run the gateway.

    Its configuration is FILE of --config, $STREAMGAUGE_CONFIG, or streamgauge.yaml in this directory
    or in ~/.config/streamgauge; without one --upstream will do, or a key such as $OPENAI_API_KEY.
    When it listens it says `ready data=URL control=URL` on stderr; the dashboard is at the second.
    Ctrl-C lets running streams end, a second one ends them.
    """
    _outlive_early_signals()
    from streamgauge.cli.tls_files import check_tls_files
    from streamgauge.config.environment import Flag
    from streamgauge.config.load import LoadOptions, load
    from streamgauge.config.problems import ConfigError
    from streamgauge.ledger.location import ledger_url

    wanted = (
        ("--host", ("server", "host"), host),
        ("--port", ("server", "port"), port),
        ("--ledger", ("ledger", "url"), None if ledger is None else ledger_url(ledger)),
        ("--no-control", ("control", "enabled"), False if no_control else None),
        ("--debug", ("log", "level"), "debug" if debug else None),
    )
    options = LoadOptions(
        config=config,
        upstreams=upstreams,
        flags=tuple(Flag(name, path, value) for name, path, value in wanted if value is not None),
        insecure_no_auth=insecure_no_auth,
    )
    try:
        loaded = load(options)
        check_tls_files(loaded)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(_CONFIGURATION) from None
    if not loaded.config.upstreams:
        click.echo(_NOTHING_CONFIGURED, err=True, nl=False)
        raise SystemExit(_CONFIGURATION)
    # Not before: what serves takes most of a second to import, and neither help nor mistakes need it.
    from streamgauge.cli.serve import run

    raise SystemExit(run(loaded, options))


def _outlive_early_signals() -> None:
    """Let nobody who wants a reload or the stacks end a gateway that is still being imported."""
    if not hasattr(signal, "SIGHUP"):  # Windows has neither
        return
    # What is about to be read is the newest anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with suppress(OSError, ValueError):  # stderr has no descriptor
        faulthandler.register(signal.SIGUSR1)
