"""What `serve` runs: builds the house, says when it listens, obeys signals (SPEC §18.0, §18.4)."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from streamgauge.cli.client_keys import ClientKeys, KeysRefused
from streamgauge.cli.control_listener import ControlPortTaken, GatewayPlane, open_control, url_of
from streamgauge.cli.exporters import Exporters
from streamgauge.cli.listening import cannot_listen, key_at_fault
from streamgauge.cli.log import LogWriter, route_logging
from streamgauge.cli.ratio_seed import seed_ratios
from streamgauge.cli.reloading import Reloader
from streamgauge.cli.stop_signals import StopSignals
from streamgauge.config.load import Loaded, LoadOptions
from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.gateway.descriptors import raise_limit
from streamgauge.gateway.ratio_sink import RatioSink
from streamgauge.gateway.server import Gateway, Wiring
from streamgauge.gateway.stream_log import StreamLog
from streamgauge.gateway.upstream_tls import TlsSettingsError
from streamgauge.ledger.base import LedgerOpenError, Post
from streamgauge.ledger.reader import newest_start, row_of
from streamgauge.ledger.spent import spent_this_month
from streamgauge.ledger.sqlite import SqliteLedger
from streamgauge.ledger.upkeep import Upkeep
from streamgauge.sinks.logline import LogLine

__all__ = ["run"]

_CANNOT_START = 4
_LEDGER_STOP_SECONDS = 10.0
_CONTROL_STOP_SECONDS = 3.0


def run(loaded: Loaded, options: LoadOptions) -> int:
    """Serve until a signal; return the exit code. `options` are read again at each reload."""
    raise_limit()
    log = loaded.config.log
    writer = LogWriter(log.format.value, log.level.value)
    route_logging(writer, log.level.value)
    for warning in loaded.warnings:
        writer("warning", "configuration", [("message", warning)])
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        writer.gather(runner.get_loop().call_soon)
        try:
            return runner.run(_serve(loaded, options, writer))
        finally:
            writer.gather(None)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.Loop


def now_us() -> int:
    """Return the wall clock in µs since the epoch."""
    return time.time_ns() // 1000


async def _serve(loaded: Loaded, options: LoadOptions, writer: LogWriter) -> int:
    """Open the books, serve with them, and close them last."""
    loop = asyncio.get_running_loop()
    config = loaded.config
    boot_id = secrets.token_hex(16)
    try:
        ledger = SqliteLedger(
            config.ledger.path,
            owner=boot_id,
            now_us=now_us,
            post=_poster(loop),
            notice=writer,
            spool_bytes=config.ledger.spool_mb << 20,
        )
    except LedgerOpenError as error:
        return _cannot_start(str(error))
    path, host = Path(config.ledger.path), None if options.insecure_no_auth else config.server.host
    try:
        with ClientKeys(path, host, post=_poster(loop), notice=writer) as keys:
            return await _serve_ledger(loaded, options, writer, ledger, keys, boot_id)
    except KeysRefused as error:
        return _cannot_start(str(error), error.exit_code)
    finally:
        await asyncio.to_thread(ledger.stop, _LEDGER_STOP_SECONDS)


async def _serve_ledger(
    loaded: Loaded,
    options: LoadOptions,
    writer: LogWriter,
    ledger: SqliteLedger,
    keys: ClientKeys,
    boot_id: str,
) -> int:
    """Build a gateway on the books, let it listen, and keep the books while it does."""
    loop, config = asyncio.get_running_loop(), loaded.config
    exporters = Exporters(config, ledger.maintain, writer)
    learner = RatioSink(lambda: gateway.generation.ratios)
    sinks = (LogLine(writer, writer.shows), exporters.counts, learner)
    try:
        wiring = Wiring(
            config, loaded.version, ledger, sinks, PriceBook(config.prices), boot_id, now_us,
            options.insecure_no_auth, partial(row_of, config.ledger.path), StreamLog(writer, writer.shows),
        )  # fmt: skip
        gateway = Gateway(wiring, loop)
        keys.attach(gateway.callers, ledger.maintain, loop.call_later)
        gateway.limiting.remember(spent_this_month(config.ledger.path, now_us()))
        upkeep = _upkeep(ledger, gateway)
        signals = StopSignals()
        url = url_of(*await gateway.start())
    except LedgerOpenError as error:
        return _cannot_start(str(error))
    except TlsSettingsError as error:
        return _cannot_start(f"an upstream's TLS settings cannot be used: {error}")
    except OSError as error:
        return _cannot_start(_cannot_listen(config, error))
    upkeep.start()
    exporters.start()
    seeding = seed_ratios(config.ledger.path, boot_id, learner)
    learning = asyncio.create_task(seeding, name="ratios of the ledger")
    try:
        return await _run_house(loaded, options, writer, gateway, keys, exporters, signals, url)
    except ControlPortTaken as error:
        await gateway.stop(0.0)
        return _cannot_start(str(error))
    finally:
        await asyncio.to_thread(exporters.stop)
        upkeep.stop()
        learning.cancel()
        await asyncio.gather(learning, return_exceptions=True)


async def _run_house(
    loaded: Loaded,
    options: LoadOptions,
    writer: LogWriter,
    gateway: Gateway,
    keys: ClientKeys,
    exporters: Exporters,
    signals: StopSignals,
    url: str,
) -> int:
    """Add what stands round a gateway that listens, serve, and take it down again in order."""

    def follow(config: Config) -> None:
        exporters.serve(config)
        writer.set_level(config.log.level.value)
        route_logging(writer, config.log.level.value)

    config = loaded.config
    reloader = Reloader(options, gateway, writer, (follow,))
    loop = asyncio.get_running_loop()
    counts, told, path = exporters.counts.counts, exporters.families, config.ledger.path
    plane = GatewayPlane(gateway, reloader, counts, loop, families=told, exporters=exporters.states)
    # Both in threads: each imports for a fifth of a second, and frames may pass already.
    opening = partial(open_control, config.control, plane, path, keys.changed)
    control = await asyncio.to_thread(opening) if config.control.enabled else None
    if control is not None:
        signals.tell_too(control.tasks)
    kinds = {upstream.kind.value for upstream in config.upstreams}
    await asyncio.to_thread(gateway.generation.prices.warm, kinds)
    reloader.watch(loaded)
    signals.reload_with(partial(reloader.wish, "SIGHUP"))
    _settle_down()
    shown = "-" if control is None else control.url
    _say(f"ready data={url} control={shown} pid={os.getpid()} ledger={config.ledger.path}")
    try:
        return await signals.obeyed(gateway)
    finally:
        await reloader.aclose()
        if control is not None:
            # Last: whoever watches the drain is answered until it is over.
            await asyncio.to_thread(control.stop, _CONTROL_STOP_SECONDS)


def _upkeep(ledger: SqliteLedger, gateway: Gateway) -> Upkeep:
    """Return what keeps the books; it is made before this start writes a row."""
    return Upkeep(
        ledger.maintain,
        asyncio.get_running_loop().call_later,
        now_us=now_us,
        retention_days=lambda: gateway.generation.config.ledger.retention_days,
        last_us=newest_start(ledger.path),
    )


def _poster(loop: asyncio.AbstractEventLoop) -> Post:
    def post(call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            loop.call_soon_threadsafe(call)

    return post


def _cannot_listen(config: Config, error: OSError) -> str:
    reason = cannot_listen(config.server.host, config.server.port, error)
    key = key_at_fault(error)
    free = " (0: a free one)" if key == "port" else ""
    return f"{reason}; set server.{key}, or give --{key}{free}"


def _cannot_start(reason: str, exit_code: int = _CANNOT_START) -> int:
    click.echo(f"streamgauge cannot start: {reason}", err=True)
    return exit_code


def _settle_down() -> None:
    """Spare the collector what lives as long as the process, some 60 000 objects.

    Else each of its full rounds walks them all, for some 30 ms in which no frame passes.
    """
    gc.collect()
    gc.freeze()


def _say(line: str) -> None:
    with suppress(OSError):  # as with the log: nobody may read it, and its disk may be full
        print(line, file=sys.stderr, flush=True)
