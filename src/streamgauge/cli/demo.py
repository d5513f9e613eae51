"""`streamgauge demo`: opens the ledger, runs the stage, obeys signals (SPEC §18.2)."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.listening import cannot_listen
from streamgauge.cli.settings import DEMO_LEDGER
from streamgauge.ledger.location import sqlite_path

if TYPE_CHECKING:
    from streamgauge.tools.demo import Stage

__all__ = ["demo", "run"]

_UNBALANCED, _CANNOT_START = 1, 4
_LEDGER_STOP_SECONDS = 10.0
_PORTS = (8066, 0)
"""The gateway's own default, then any free one: a demo should not fail for a port."""
_CONTROL_PORTS = (8067, 0)
_OWNER = "demo-"
"""How the boot ids of demos begin: a ledger with other rows is never made anew."""


def _ledger_path(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    try:
        return None if value is None else sqlite_path(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the gateway. [default: 8066]")
@click.option("--once", is_flag=True, help="End after the audit: 0 if the books balance, else 1.")
@click.option(
    "--ledger",
    metavar="URL|FILE",
    callback=_ledger_path,
    help=f"Where the rows go. [default: {DEMO_LEDGER}, made anew]",
)
def demo(port: int | None, once: bool, ledger: Path | None) -> None:
    """Run gateway, simulated upstream and scripted clients, and balance the books."""
    ports = _PORTS if port is None else (port,)
    # Who asks for any free port gets any free ports.
    control_ports = (0,) if port == 0 else _CONTROL_PORTS
    raise SystemExit(asyncio.run(_demo(ports, control_ports, once, ledger)))


async def _demo(
    ports: tuple[int, ...], control_ports: tuple[int, ...], once: bool, named: Path | None
) -> int:
    # Imported here so that `demo --help` stays quick.
    from streamgauge.cli.client_keys import KeysRefused
    from streamgauge.cli.demo_control import DemoControl
    from streamgauge.cli.demo_keys import DemoKeys
    from streamgauge.ledger.base import LedgerOpenError
    from streamgauge.ledger.sqlite import SqliteLedger
    from streamgauge.tools.demo import Setting, Stage

    path = DEMO_LEDGER if named is None else named
    boot_id = _OWNER + secrets.token_hex(16)
    started = _now_us()
    post = _poster(asyncio.get_running_loop())
    try:
        if named is None:
            _remove_former(path, boot_id)
        ledger = SqliteLedger(path, owner=boot_id, now_us=_now_us, post=post)
    except LedgerOpenError as error:
        return _cannot_start(str(error))
    rows = _RunRows(path, boot_id, started)
    keys = DemoKeys(path, ledger.maintain, post)
    control = DemoControl(control_ports, path, keys.changed)
    setting = Setting(
        ledger, rows, _shown(path), ports, boot_id, _now_us, click.echo, (control.counts,),
        None if once else control.open, keys.ask,
    )  # fmt: skip
    stage = Stage(setting)
    try:
        try:
            await stage.start()
        except OSError as error:
            return _cannot_start(cannot_listen("127.0.0.1", ports[-1], error))
        return await run(stage, once)
    except KeysRefused as error:
        return _cannot_start(str(error))
    finally:
        await stage.stop()
        await control.close()
        keys.stop()
        await asyncio.to_thread(ledger.stop, _LEDGER_STOP_SECONDS)


async def run(stage: Stage, once: bool) -> int:
    """Play, and unless `once` serve until a signal; return 0 for books that balance, else 1.

    A signal before the audit ends it with 1, too.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    waiting = asyncio.create_task(stopped.wait(), name="signal")
    playing = asyncio.create_task(stage.play(), name="scenes")
    await asyncio.wait({waiting, playing}, return_when=asyncio.FIRST_COMPLETED)
    if not playing.done():
        playing.cancel()
        await asyncio.wait({playing})
        return _UNBALANCED
    result = playing.result()
    for fault in result.faults:
        click.echo(f"audit: {fault}", err=True)
    if not once:
        stage.serve()
        await waiting
    waiting.cancel()
    return 0 if result.balanced else _UNBALANCED


@dataclass(frozen=True, slots=True)
class _RunRows:
    """The rows on disk that one gateway wrote since `started`, in µs since the epoch."""

    path: Path
    owner: str
    started: int

    def row(self, id: str) -> dict[str, Any] | None:
        """Return the row with this id."""
        from streamgauge.ledger.reader import LedgerReader

        with LedgerReader(self.path) as reader:
            found = reader.exchange(id)
        return None if found is None else found[0]

    def of_this_run(self) -> Sequence[dict[str, Any]]:
        """Return the gateway's rows; of a ledger that was there before, no others."""
        from streamgauge.ledger.reader import Filter, LedgerReader

        with LedgerReader(self.path) as reader:
            newest = reader.newest(Filter(since=self.started))
            return [row for row in newest if row["owner"] == self.owner]


def _remove_former(path: Path, owner: str) -> None:
    """Remove the ledger of a former demo. One that is in use or holds other rows raises or stays."""
    from streamgauge.ledger.lock import LedgerLock
    from streamgauge.ledger.reader import Filter, LedgerReader

    if not path.is_file() or path.stat().st_size == 0:
        return
    lock = LedgerLock(path, owner=owner)
    try:
        with LedgerReader(path) as reader:
            ours = all(row["owner"].startswith(_OWNER) for row in reader.newest(Filter()))
        for suffix in ("", "-wal", "-shm") if ours else ():
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    finally:
        lock.release()


def _now_us() -> int:
    return time.time_ns() // 1000


def _poster(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], None]:
    def post(call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            loop.call_soon_threadsafe(call)

    return post


def _shown(path: Path) -> str:
    return str(path) if path.is_absolute() else os.path.join(".", path)


def _cannot_start(reason: str) -> int:
    click.echo(f"streamgauge cannot start: {reason}", err=True)
    return _CANNOT_START
