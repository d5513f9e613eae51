"""`streamgauge sim`: runs the simulator until a signal (SPEC §18.1). It answers nothing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from streamgauge.cli.listening import cannot_listen

__all__ = ["sim"]

_FLAVOURS = ("llamacpp", "vllm", "openai", "openrouter", "anthropic", "ollama")


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    required=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--flavour",
    type=click.Choice(_FLAVOURS),
    default="llamacpp",
    show_default=True,
    help="Whose words it uses.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What was sent: a JSON line a call.",
)
@click.option(
    "--captures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Recorded answers to play: NAME.headers, NAME.body.",
)
@click.option(
    "--cases",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Scripted answers, as JSON, plain or gzipped.",
)
def sim(
    port: int,
    host: str,
    flavour: str,
    journal: Path | None,
    captures: Path | None,
    cases: Path | None,
) -> None:
    """Run a simulated upstream, which misbehaves where it is asked to; docs/simulator.md.

    Prints `ready sim=URL`. Name that URL as the base_url of an upstream of kind sim.
    """
    try:
        asyncio.run(_serve(host, port, flavour, journal, captures, cases))
    except OSError as error:
        of_a_file = f"cannot open {error.filename}: {error.strerror}"
        click.echo(
            cannot_listen(host, port, error) if error.filename is None else of_a_file, err=True
        )
        raise SystemExit(4) from error


async def _serve(
    host: str,
    port: int,
    flavour: str,
    journal: Path | None,
    captures: Path | None,
    cases: Path | None,
) -> None:
    # Imported here so that `--help` stays quick.
    from streamgauge.tools.simulator import Simulator

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    simulator = Simulator()
    await simulator.start(
        host, port, flavour=flavour, journal=journal, captures=captures, cases=cases
    )
    async with simulator:
        click.echo(f"ready sim={simulator.url}")
        await stopped.wait()
