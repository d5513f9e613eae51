"""Brings up simulator and gateway, plays the scenes, audits (SPEC §18.2). Opens no ledger itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streamgauge import __version__
from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.gateway.server import Gateway, Wiring
from streamgauge.ledger.base import Ledger
from streamgauge.sinks.base import Sink
from streamgauge.tools.demo.audit import Audit, Row, audit, call_id_of
from streamgauge.tools.demo.books import ToldLedger
from streamgauge.tools.demo.client import Address, Seen, visit
from streamgauge.tools.demo.lines import exchange_line
from streamgauge.tools.demo.scenes import CANCELLING, DRAINING, SCENES, Scene
from streamgauge.tools.simulator import Entry, Simulator

__all__ = ["Rows", "Setting", "Stage"]

_SCENE_SECONDS = 20.0
"""Far more than a scene takes; one that hangs ends here, and the audit shows it."""
_CONFIG_VERSION = "demo"


class Rows(Protocol):
    """Reads what the ledger holds on disk."""

    def row(self, id: str) -> Row | None:
        """Return the row with this id."""

    def of_this_run(self) -> Sequence[Row]:
        """Return the rows that this run's gateway wrote, in any order."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the stage is given. `ports` are tried in turn; 0 is any free one. `say` prints a line.

    `boot_id` is the rows' owner, `now_us` the wall clock in µs since the epoch. `sinks` are told of
    each exchange. `dashboard` opens one for the gateway and returns its URL, or raises OSError.
    `opened` is given the gateway when the scenes are over and whoever wants may call.
    """

    ledger: Ledger
    rows: Rows
    ledger_name: str
    ports: tuple[int, ...]
    boot_id: str
    now_us: Callable[[], int]
    say: Callable[[str], None]
    sinks: tuple[Sink, ...] = ()
    dashboard: Callable[[Gateway], Awaitable[str]] | None = None
    opened: Callable[[Gateway], None] = lambda gateway: None


class Stage:
    """Gateway, simulator and clients in the running loop, from `start` to `stop`."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._ledger = ToldLedger(setting.ledger, self._row_closed)
        self._simulator = Simulator()
        self._gateway: Gateway | None = None
        self._address: Address = ("", 0)
        self._run = f"{setting.boot_id[:16]}-"
        self._closed: set[str] = set()
        self._news = asyncio.Event()
        self._serving = False

    async def start(self) -> None:
        """Listen, and say where. Raises OSError when the last of the ports is taken, too."""
        await self._simulator.start()
        gateway = self._gateway = await self._listening()
        await gateway.discovery.settle()
        say = self._setting.say
        say(await self._header(gateway))
        for name, upstream in gateway.upstreams.items():
            answers = "ok" if gateway.discovery.models_of(upstream) else "does not answer"
            say(f"upstream {name} (built-in simulator)  {answers}")

    async def _header(self, gateway: Gateway) -> str:
        setting, (host, port) = self._setting, self._address
        parts = [f"streamgauge {__version__}  http://{host}:{port}"]
        if setting.dashboard is not None:
            parts.append(f"dashboard {await setting.dashboard(gateway)}")
        return "   ".join([*parts, f"ledger {setting.ledger_name}"])

    async def play(self) -> Audit:
        """Play every scene, say each exchange and the audit, and return it."""
        sent = [await self._play(scene, n) for n, scene in enumerate(SCENES, 1)]
        rows = [r for r in self._setting.rows.of_this_run() if call_id_of(r).startswith(self._run)]
        journal = [e for e in self._simulator.journal if e.call_id.startswith(self._run)]
        result = audit(sent, rows, journal)
        self._setting.say(result.line)
        return result

    def serve(self) -> None:
        """From now on say each exchange of whoever calls."""
        self._serving = True
        self._closed.clear()
        if self._gateway is not None:
            self._setting.opened(self._gateway)
        self._setting.say("running; Ctrl-C stops")

    async def stop(self) -> None:
        """End what runs and close every socket. The ledger stays for its owner to stop."""
        if self._gateway is not None:
            await self._gateway.stop(0.0)
        await self._simulator.aclose()

    async def _listening(self) -> Gateway:
        *likely, last = self._setting.ports
        for port in likely:
            try:
                return await self._listen(port)
            except OSError:
                continue
        return await self._listen(last)

    async def _listen(self, port: int) -> Gateway:
        setting = self._setting
        config = _config(self._simulator.url, port)
        prices = PriceBook(config.prices)
        wiring = Wiring(
            config,
            _CONFIG_VERSION,
            self._ledger,
            setting.sinks,
            prices,
            setting.boot_id,
            setting.now_us,
            closed_row=setting.rows.row,
        )
        gateway = Gateway(wiring, asyncio.get_running_loop())
        self._address = await gateway.start()
        return gateway

    async def _play(self, scene: Scene, n: int) -> str:
        """Play one scene and say how it went; return its call id."""
        seen = Seen(f"{self._run}{n}")
        try:
            async with asyncio.timeout(_SCENE_SECONDS):
                seen = await visit(scene, seen.call_id, self._address)
                await self._until(lambda: seen.request_id in self._closed)
                entry = await self._ended(seen.call_id)
        except TimeoutError:
            entry = None
        row = None if seen.request_id is None else self._setting.rows.row(seen.request_id)
        if row is None:
            self._setting.say(f"  {scene.dialect:<10} -> {scene.upstream:<16} has no row")
        else:
            self._setting.say(exchange_line(row, entry, seen))
        return seen.call_id

    async def _ended(self, call_id: str) -> Entry:
        """Wait until the simulator's call is over, and return its entry."""
        while True:
            journal = self._simulator.journal
            for entry in journal:
                if entry.call_id == call_id:
                    return entry
            await self._simulator.until_ended(len(journal) + 1)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    def _row_closed(self, id: str) -> None:
        if not self._serving:
            self._closed.add(id)
            self._news.set()
        elif (row := self._setting.rows.row(id)) is not None:
            self._setting.say(exchange_line(row))


def _config(simulator: str, port: int) -> Config:
    shared: dict[str, Any] = {"kind": "sim", "base_url": simulator}
    return Config.model_validate(
        {
            "server": {"port": port},
            "upstreams": [
                {"name": CANCELLING, "on_disconnect": "cancel", **shared},
                {"name": DRAINING, "on_disconnect": "drain", **shared},
            ],
            "routing": {"default": {"to": [CANCELLING]}},
            # Invented rates, so that `show` has a price to spell out.
            "prices": [{"upstream": "sim*", "input": "0.20", "output": "0.80", "currency": "USD"}],
        }
    )
