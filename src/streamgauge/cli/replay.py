"""`streamgauge replay`: a capture as an upstream, until a signal (SPEC §12.4). It calls nobody."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from streamgauge.cli.listening import cannot_listen
from streamgauge.cli.number_option import Number

__all__ = ["replay"]

_FAULTS = ("cut", "reset", "stall", "duplicate", "garbage", "first_token_stall", "double_done")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True,
              help="Port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--speed", type=Number(0.001, 1e6), default=1.0, show_default=True,
              metavar="X", help="2 is twice as fast as it was, 0.5 half as fast.")  # fmt: skip
@click.option("--fault", type=click.Choice(_FAULTS), help="What goes wrong in the answer.")
@click.option("--after", type=click.IntRange(min=0), default=3, show_default=True,
              metavar="N", help="Frames with data before the fault.")  # fmt: skip
@click.option("--attempt", type=click.IntRange(min=1), metavar="N",
              help="Whose answer.  [default: the last that was answered]")  # fmt: skip
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def replay(
    port: int,
    host: str,
    speed: float,
    fault: str | None,
    after: int,
    attempt: int | None,
    file: Path,
) -> None:
    """Serve the upstream's side of a capture as an upstream.

    Every POST gets the captured answer: its head, its bytes cut as they came, at their times. Name
    its URL as an upstream's base_url (kind: that of the captured one). Prints `ready replay=URL`.
    """
    from streamgauge.tools.capture.reading import CaptureError
    from streamgauge.tools.replay import Replay, recorded_of

    try:
        recorded = recorded_of(file, attempt)
    except CaptureError as error:
        raise click.ClickException(f"{file}: {error}") from error
    try:
        asyncio.run(_serve(Replay(recorded, speed, fault, after), host, port))
    except OSError as error:
        click.echo(cannot_listen(host, port, error), err=True)
        raise SystemExit(4) from error


async def _serve(replay: object, host: str, port: int) -> None:
    from streamgauge.tools.replay import Replay

    assert isinstance(replay, Replay)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    await replay.start(host, port)
    async with replay:
        click.echo(f"ready replay={replay.url}")
        await stopped.wait()
