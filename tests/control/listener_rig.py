"""A control listener in its own thread, in front of a plane that tells what the test wants."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any

from streamgauge.control.app import control_app
from streamgauge.control.guard import Access
from streamgauge.control.plane import Applied, Configuration, NotNow, Probed, Vitals
from streamgauge.control.server import ControlServer
from streamgauge.core.routing.breaker import Circuit, Condition
from streamgauge.gateway.live import Live, UpstreamDetail
from streamgauge.gateway.runtime import ConfigState, Runtime, UpstreamState
from streamgauge.ledger.base import LedgerStats

__all__ = ["RUNTIME", "Answer", "FakePlane", "Listener", "listening", "stats", "vitals"]

HOSTS = ("127.0.0.1", "localhost", "[::1]")
RUNTIME = Runtime(
    streams=3,
    tasks=5,
    sockets_client=7,
    sockets_upstream=4,
    pool_idle=1,
    descriptors=40,
    registry=3,
    drains=2,
    ledger_queue=6,
    spool=0,
    loop_lag_ms=1.5,
    parsed_frames=900,
    holds=0,
    resume_buffers=0,
    resume_bytes=0,
    upstreams={
        "local": UpstreamState(Circuit.CLOSED, Condition.OK, None),
        "far": UpstreamState(Circuit.OPEN, Condition.UNHEALTHY, "3 failures in a row"),
        "slow": UpstreamState(
            Circuit.HALF_OPEN, Condition.DEGRADED, "2 of the last 9 calls failed"
        ),
    },
)


def stats(**named: int) -> LedgerStats:
    """Return counts of a ledger, 0 but for those that are named."""
    return LedgerStats(**{name: named.get(name, 0) for name in LedgerStats.__dataclass_fields__})


def vitals(**named: Any) -> Vitals:
    """Return what an idle gateway tells, but for what is named."""
    idle: dict[str, Any] = {
        "exchanges": {},
        "unrecorded": {},
        "ledger": stats(),
        "ledger_healthy": True,
        "upstreams": {"local": True},
        "config": ConfigState("c0ffee"),
        "reloads": {"applied": 0, "unchanged": 0, "refused": 0},
        "stopping": False,
    }
    return Vitals(**{**idle, **named})


@dataclass
class FakePlane:
    """Implements Plane. `outcome`: what a reload gives, or raises. `busy`: the data loop is."""

    told: Vitals = field(default_factory=vitals)
    outcome: Applied | Exception = field(default_factory=lambda: Applied("beef", True, ()))
    busy: bool = False
    before: Callable[[], None] = lambda: None
    reloads: int = 0
    streams: set[str] = field(default_factory=set)

    async def runtime(self) -> Runtime:
        """The numbers above, unless busy."""
        if self.busy:
            raise NotNow("the gateway did not answer within 2 s")
        return RUNTIME

    async def stop_stream(self, stream_id: str) -> bool:
        """Stop it where it is the one that is there, unless busy."""
        if self.busy:
            raise NotNow("the gateway did not answer within 2 s")
        found = stream_id in self.streams
        self.streams.discard(stream_id)
        return found

    async def live(self) -> Live:
        """No stream, unless busy."""
        self._look()
        return Live(1, 0, ())

    async def upstreams(self) -> tuple[UpstreamDetail, ...]:
        """None, unless busy."""
        self._look()
        return ()

    async def probe(self, name: str) -> Probed | None:
        """There is none to ask."""
        return None

    async def drain(self, name: str, *, drained: bool) -> bool:
        """There is none to drain."""
        return False

    async def configuration(self) -> Configuration:
        """No setting at all."""
        return Configuration(None, "c0ffee", (), ())

    def _look(self) -> None:
        if self.busy:
            raise NotNow("the gateway did not answer within 2 s")

    async def reload(self) -> Applied:
        """The outcome."""
        self.reloads += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def vitals(self) -> Vitals:
        """What was set; `before` may block, as a page that takes its time."""
        self.before()
        return self.told


@dataclass
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Listener:
    """Where the control listener is. `ask` writes exactly the headers it is given."""

    port: int

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(
        self, method: str, path: str, *headers: str, body: bytes = b"", host: bool = True
    ) -> Answer:
        """Send one request on a connection of its own and read the answer."""
        lines = [f"{method} {path} HTTP/1.1", *headers, "connection: close"]
        if host:
            lines.insert(1, f"host: 127.0.0.1:{self.port}")
        if body:
            lines.append(f"content-length: {len(body)}")
        with self.connect() as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            response = HTTPResponse(connection, method=method)
            response.begin()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def get(self, path: str, *headers: str) -> Answer:
        """Ask for a page."""
        return self.ask("GET", path, *headers)

    def reload(self, *headers: str, body: bytes = b"{}") -> Answer:
        """Ask for a reload as JSON."""
        kind = "content-type: application/json"
        return self.ask("POST", "/admin/reload", kind, *headers, body=body)


@contextlib.contextmanager
def listening(
    plane: FakePlane, *, token: str | None = None, silent_seconds: float = 20.0
) -> Iterator[Listener]:
    """Run the control plane in front of `plane` on a free port."""
    server = ControlServer(control_app(plane, Access(HOSTS, token)), silent_seconds)
    _, port = server.listen("127.0.0.1", 0)
    server.start()
    try:
        yield Listener(port)
    finally:
        server.stop(5.0)
