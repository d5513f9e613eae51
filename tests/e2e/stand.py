"""A whole gateway in this process, with a simulator behind it and raw clients in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from streamgauge.config.environment import Flag
from streamgauge.config.load import LoadOptions, load
from streamgauge.config.prices import PriceBook
from streamgauge.core.record import ExchangeRecord
from streamgauge.gateway.ratio_sink import RatioSink
from streamgauge.gateway.server import Gateway, Wiring
from streamgauge.gateway.stream_log import StreamLog
from streamgauge.ledger.base import Ledger
from streamgauge.ledger.reader import Filter, LedgerReader, row_of
from streamgauge.ledger.sqlite import SqliteLedger
from streamgauge.sinks.logline import LogLine
from streamgauge.tools.simulator import Simulator

from ..grammar_check import legal

__all__ = [
    "DATA",
    "PATIENT",
    "Answer",
    "Client",
    "Stand",
    "corpus_cases",
    "frames_of",
    "stand",
    "upstream",
]

DATA = Path(__file__).parent.parent / "data"
SETTLE_SECONDS = 5.0


def corpus_cases() -> list[dict[str, Any]]:
    """Return the scripted upstream answers."""
    packed = (DATA / "corpus" / "responses.json.gz").read_bytes()
    cases: list[dict[str, Any]] = json.loads(gzip.decompress(packed))["cases"]
    return cases


@dataclass
class Answer:
    """What a raw client read. `clean`: the body ended by its framing. `arrivals`: seconds each."""

    status: int
    headers: dict[str, str]
    body: bytes
    clean: bool
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The exchange's id, as the client sees it."""
        return self.headers["x-request-id"]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One raw connection: HTTP/1.1 by hand, so that nothing is hidden.

    Every stream that ends by its framing must be legal, unless the client is told that it is `odd`.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, odd: bool = False
    ) -> None:
        self.reader, self.writer = reader, writer
        self.odd = odd
        self.path = ""

    async def post(self, path: str, body: Any, **headers: str) -> None:
        """Send a request."""
        self.path = path
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(raw)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read a response head."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in raw[1:] if line)
        return int(raw[0].split()[1]), dict(pairs)

    async def chunk(self) -> bytes | None:
        """Read one chunk; b"" is the last one, None a connection that ended without it."""
        try:
            size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def answer(self) -> Answer:
        """Read a whole answer."""
        status, headers = await self.head()
        if "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
            return Answer(status, headers, body, clean=True)
        chunks: list[tuple[float, bytes]] = []
        while (piece := await self.chunk()) not in (b"", None):
            assert piece is not None
            chunks.append((time.monotonic(), piece))
        body = b"".join(data for _, data in chunks)
        protocol = protocol_of(self.path, headers.get("content-type", ""))
        if protocol and status == 200 and piece == b"" and not self.odd:
            legal(protocol, body)
        return Answer(status, headers, body, piece == b"", chunks)

    def abort(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Send FIN."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def protocol_of(path: str, content_type: str) -> str | None:
    """Return the protocol of a stream that was asked for at `path`; None: one without a checker."""
    if content_type.startswith("application/x-ndjson"):
        return "simple"
    if not content_type.startswith("text/event-stream"):
        return None
    endpoint, _, query = path.partition("?")
    if endpoint.endswith("/chat/completions"):
        return "frames" if "protocol=frames" in query else "openai"
    return "anthropic" if endpoint.endswith("/messages") else None


class Notes:
    """A sink that keeps every record, and wakes those who wait for one."""

    def __init__(self) -> None:
        self.records: dict[str, ExchangeRecord] = {}

    def started(self, record: ExchangeRecord) -> None:
        """Not needed."""

    def write(self, record: ExchangeRecord) -> None:
        """Keep it."""
        self.records[record.id] = record


class Stand:
    """Gateway, simulator and ledger. `url` of neither is known before `start`."""

    def __init__(
        self,
        folder: Path,
        simulator: Simulator,
        max_page_count: int | None = None,
        spool_bytes: int = 1 << 18,
        odd: bool = False,
        around: Callable[[Ledger], Ledger] = lambda ledger: ledger,
    ) -> None:
        self._odd = odd
        self._around = around
        self._max_page_count = max_page_count
        self._spool_bytes = spool_bytes
        self.folder = folder
        self.simulator = simulator
        self.notes = Notes()
        self.lines: list[tuple[str, str, dict[str, str]]] = []
        self.debug = False  # whether a line is kept for each frame
        self.wall: Callable[[], int] = lambda: time.time_ns() // 1000
        self.gateway: Gateway
        self.ledger: SqliteLedger
        self.port = 0

    async def start(self, config: dict[str, Any]) -> Self:
        """Start with `config`, a whole configuration as JSON."""
        file = self.folder / "streamgauge.yaml"
        file.write_text(json.dumps(config))
        flags = (Flag("--port", ("server", "port"), 0),)
        options = LoadOptions(config=file, flags=flags, environ={"EXAMPLE": "1"})
        loaded = load(options)
        loop = asyncio.get_running_loop()
        self.ledger = SqliteLedger(
            self.folder / "ledger.db",
            owner="boot-of-the-test",
            now_us=lambda: time.time_ns() // 1000,
            post=loop.call_soon_threadsafe,
            max_page_count=self._max_page_count,
            spool_bytes=self._spool_bytes,
            notice=self._note,
        )
        learner = RatioSink(lambda: self.gateway.generation.ratios)
        sinks = (LogLine(self._note), learner, self.notes)
        prices = PriceBook(loaded.config.prices)
        wiring = Wiring(
            loaded.config,
            loaded.version,
            self._around(self.ledger),
            sinks,
            prices,
            "boot-of-the-test",
            self._now_us,
            closed_row=partial(row_of, self.folder / "ledger.db"),
            stream_log=StreamLog(self._note, lambda level: level != "debug" or self.debug),
        )
        self.gateway = Gateway(wiring, loop)
        _, self.port = await self.gateway.start()
        await self.gateway.discovery.settle()
        return self

    def _now_us(self) -> int:
        return self.wall()

    def _note(self, level: str, event: str, fields: list[tuple[str, str]]) -> None:
        self.lines.append((level, event, dict(fields)))

    async def stop(self) -> None:
        """Stop without grace."""
        await self.gateway.stop(0.0)
        await asyncio.to_thread(self.ledger.stop, 5.0)

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect a raw client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        client = Client(reader, writer, self._odd)
        try:
            yield client
        finally:
            client.abort()

    async def ask(self, path: str, body: Any, odd: bool = False, **headers: str) -> Answer:
        """Send one request on a connection of its own and read the answer.

        `odd`: the answer may be an illegal stream, as its upstream's is.
        """
        async with self.client() as client:
            client.odd = client.odd or odd
            await client.post(path, body, **headers)
            return await client.answer()

    async def get(self, path: str, **headers: str) -> Answer:
        """Send a GET on a connection of its own and read the answer."""
        async with self.client() as client:
            lines = [f"GET {path} HTTP/1.1", "host: 127.0.0.1"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            client.writer.write("\r\n".join([*lines, "", ""]).encode())
            return await client.answer()

    async def attempts(self, request_id: str) -> list[dict[str, Any]]:
        """Return the attempts of a closed row."""
        await self.row(request_id)
        with LedgerReader(self.folder / "ledger.db") as reader:
            found = reader.exchange(request_id)
        assert found is not None
        return found[1]

    async def row(self, request_id: str) -> dict[str, Any]:
        """Wait until the row is closed, and return it as the ledger holds it."""
        await until(lambda: request_id in self.notes.records)
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            with LedgerReader(self.folder / "ledger.db") as reader:
                found = reader.exchange(request_id)
            if found is not None and found[0]["status"] != "in_flight":
                return found[0]
            assert time.monotonic() < deadline, f"row {request_id} is not closed: {found}"
            await asyncio.sleep(0.005)

    async def rows(self) -> list[dict[str, Any]]:
        """Return every row, newest first, once no relay is left."""
        await until(lambda: not self.gateway.relays and not self.ledger.stats().queued)
        with LedgerReader(self.folder / "ledger.db") as reader:
            return list(reader.newest(Filter()))


async def until(condition: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> None:
    """Wait until `condition` holds; an assertion fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        await asyncio.sleep(0.002)


PATIENT: dict[str, Any] = {"breaker": {"failures": 1000}, "retries": {"max_retry_after": 0}}
"""Tests ask one upstream for failure after failure: neither its circuit nor a wait must step in."""


def upstream(simulator: Simulator, prefix: str = "", **more: Any) -> dict[str, Any]:
    """Return one upstream's configuration, at the simulator."""
    return {"name": "sim", "kind": "sim", "base_url": simulator.url + prefix, **more}


@contextlib.asynccontextmanager
async def stand(
    folder: Path,
    *,
    flavour: str = "llamacpp",
    prefix: str = "",
    kind: str = "sim",
    config: dict[str, Any] | None = None,
    also: Sequence[dict[str, Any]] = (),
    max_page_count: int | None = None,
    spool_bytes: int = 1 << 18,
    odd: bool = False,
    around: Callable[[Ledger], Ledger] = lambda ledger: ledger,
    **upstream_keys: Any,
) -> AsyncIterator[Stand]:
    """Run a gateway in front of a simulator with the captures and cases of the tests.

    `also`: further upstreams. `odd`: what the upstream sends may be illegal streams, which pass as
    they came. `around`: what the gateway gets for its ledger, made of that.
    """
    simulator = Simulator()
    cases = folder / "cases.json"
    cases.write_bytes(gzip.decompress((DATA / "corpus" / "responses.json.gz").read_bytes()))
    await simulator.start(flavour=flavour, captures=DATA / "captures", cases=cases)
    built = Stand(folder, simulator, max_page_count, spool_bytes, odd, around)
    try:
        first = upstream(simulator, prefix, **{"kind": kind, **upstream_keys})
        await built.start({"upstreams": [first, *also], "routing": PATIENT, **(config or {})})
        try:
            yield built
        finally:
            await built.stop()
    finally:
        await simulator.aclose()


def frames_of(body: bytes) -> list[bytes]:
    """Return the payloads of a stream's data frames."""
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
