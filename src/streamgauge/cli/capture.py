"""`streamgauge capture`: has a running gateway capture what it serves (SPEC §12.4). It writes no file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from streamgauge.cli.config_option import config_option
from streamgauge.cli.glob_option import glob_option
from streamgauge.cli.number_option import Number

__all__ = ["capture"]

_INTERVAL = 0.25
"""Seconds between two looks at what the gateway has captured."""
_TIMEOUT = 10.0
_STOP = {"count": 0}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--duration", type=Number(0, 86_400, min_open=True), metavar="SECONDS",
              help="Capture what begins within so long.  [default: 60, without --count]")  # fmt: skip
@click.option("--count", type=click.IntRange(1, 100_000), metavar="N", help="Capture the next N.")
@glob_option("--route", "Only requests of this route.")
@click.option("--control", metavar="URL", help="The control listener.  [default: as configured]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a capture.")
@config_option
def capture(
    duration: float | None, count: int | None, route: str | None, control: str | None, as_json: bool
) -> None:
    """Capture what a running gateway serves, and print each file when it is whole.

    Ends when enough was captured, or at Ctrl-C, which stops it there too. The gateway needs
    capture.dir; the admin token is control.token, else $STREAMGAUGE_ADMIN_TOKEN. Exit code 1: one
    could not be written whole.
    """
    listener = _Listener(control)
    if count is None and duration is None:
        duration = 60.0
    wish = {"count": count, "seconds": duration, "route": route}
    before = listener.ask()
    state = listener.ask({name: value for name, value in wish.items() if value is not None})
    told = set(before["last"])
    try:
        while True:
            _tell(state, told, as_json)
            if not state["active"] and not state["open"]:
                break
            time.sleep(_INTERVAL)  # the looks are the purpose: the listener tells nothing by itself
            state = listener.ask()
    except KeyboardInterrupt:
        _tell(listener.ask(_STOP), told, as_json)
        return
    lost = [state[name] - before[name] for name in ("incomplete", "failed")]
    if any(lost):
        reason = f": {state['error']}" if lost[1] else ""
        click.echo(f"{lost[0]} incomplete, {lost[1]} not written{reason}", err=True)
        raise SystemExit(1)


def _tell(state: dict[str, Any], told: set[str], as_json: bool) -> None:
    for name in state["last"]:
        if name not in told:
            told.add(name)
            file = str(Path(state["dir"]) / f"{name}.jsonl")
            click.echo(json.dumps({"id": name, "file": file}) if as_json else file)


class _Listener:
    """What the control listener at `url` knows of captures."""

    def __init__(self, url: str | None) -> None:
        from streamgauge.cli.admin_client import AdminClient
        from streamgauge.cli.settings import control_token, control_url

        try:
            self._client = AdminClient(
                control_url() if url is None else url, control_token(), _TIMEOUT
            )
        except ValueError as error:
            raise click.UsageError(f"--control: {error}") from None

    def ask(self, order: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the state of captures, after giving `order`."""
        from streamgauge.cli.admin_client import AdminError

        try:
            return self._client.ask("/admin/captures", order)
        except AdminError as error:
            raise click.ClickException(str(error)) from error
