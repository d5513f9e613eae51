"""The simulator itself: listens, routes, keeps the journal (SPEC §18.1). It knows no dialect."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from streamgauge.core.once import Once
from streamgauge.tools.simulator.calls import CallError, read_call
from streamgauge.tools.simulator.captures import load_cases
from streamgauge.tools.simulator.composer import Composer, endpoints_of
from streamgauge.tools.simulator.connection import Connection, SeenRequest
from streamgauge.tools.simulator.control import Target, parse_target
from streamgauge.tools.simulator.flavours import Flavour, head, json_head, keep_alive
from streamgauge.tools.simulator.journal import Entry, Journal
from streamgauge.tools.simulator.pages import page, shown_model
from streamgauge.tools.simulator.script import End, Step, plain_steps

__all__ = ["SeenRequest", "Simulator"]

_REQUESTS_KEPT = 2000
"""Requests kept in memory with their bodies: enough for any test; most are under 85 KB."""
_BACKLOG = 2048
_RUNNING = b"Ollama is running"


class Simulator:
    """An upstream on a socket of its own. It answers from `start` to `aclose`; then it is dead."""

    def __init__(self) -> None:
        self.keep_alive = 5.0
        self._flavour = Flavour.LLAMACPP
        self._composer = Composer(self._flavour, None, {})
        self._journal = Journal(None)
        self._seen: deque[SeenRequest] = deque(maxlen=_REQUESTS_KEPT)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._calls = 0
        self._url = ""

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        flavour: str = "llamacpp",
        journal: Path | None = None,
        captures: Path | None = None,
        cases: Path | None = None,
    ) -> None:
        """Listen. Raise ValueError for a flavour not playable, OSError for port or files."""
        self._flavour = Flavour.parse(flavour)
        self.keep_alive = keep_alive(self._flavour)
        scripted = {} if cases is None else load_cases(cases)
        self._composer = Composer(self._flavour, captures, scripted)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, host, port, backlog=_BACKLOG)
        self._journal = Journal(journal)
        bound = self._server.sockets[0].getsockname()[1]
        self._url = f"http://{host}:{bound}"

    async def aclose(self) -> None:
        """Drop every connection; open calls end as `cut`. Idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for connection in tuple(self._connections):
            connection.shut()
        await server.wait_closed()
        self._journal.close()

    async def __aenter__(self) -> Self:
        if self._server is None:
            await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Simulator {self._flavour} {self._url or 'not started'} calls={self._calls}>"

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return self._url

    @property
    def journal(self) -> list[Entry]:
        """The calls that have ended, in that order."""
        return self._journal.entries

    @property
    def begun(self) -> list[Entry]:
        """Every call that was read, in that order; `ending` is None while it is open."""
        return self._journal.begun

    @property
    def requests(self) -> list[SeenRequest]:
        """The last requests of any kind, oldest first."""
        return list(self._seen)

    def answer(self, request: SeenRequest) -> tuple[Once[Step], Entry, bool]:
        """Return an answer's steps, its journal entry, and whether the entry is to be journaled."""
        self._seen.append(request)
        steps, entry, journaled = self._answer(request)
        return Once(steps, "an answer"), entry, journaled

    def _answer(self, request: SeenRequest) -> tuple[Iterator[Step], Entry, bool]:
        target = parse_target(request.bare_path)
        if request.method == "POST" and target.endpoint in endpoints_of(self._flavour):
            return self._call(request, target)
        if request.method == "POST" and target.endpoint == "api/show":
            return self._show(request), Entry("", request.bare_path, None, False, None), False
        entry = Entry("", request.bare_path, None, False, None)
        counts = target.endpoint == "messages/count_tokens" and self._flavour is not Flavour.OLLAMA
        if request.method == "POST" and counts:
            return self._count_tokens(request, target), entry, False
        return self._page(request, target), entry, False

    def ended(self, entry: Entry) -> None:
        """Take note that the answer of a journaled entry is over."""
        self._journal.end(entry)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until_ended(self, count: int) -> Entry:
        """Wait until at least `count` calls (> 0) have ended; return the last of them so far."""
        while len(self.journal) < count:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return self.journal[-1]

    def _connect(self) -> Connection:
        connection = Connection(asyncio.get_running_loop(), self, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _call(self, request: SeenRequest, target: Target) -> tuple[Iterator[Step], Entry, bool]:
        self._calls += 1
        try:
            call = read_call(request, target, self._calls, time.time())
        except CallError as error:
            self._journal.begin(error.entry)
            steps = self._composer.error(target.endpoint, "bad", 400, str(error))
            return steps, error.entry, True
        self._journal.begin(call.entry)
        return self._composer.steps(call), call.entry, True

    def _count_tokens(self, request: SeenRequest, target: Target) -> Iterator[Step]:
        try:
            call = read_call(request, target, 0, time.time())
        except CallError as error:
            return self._composer.error(target.endpoint, "bad", 400, str(error))
        return self._json(msgspec.json.encode({"input_tokens": call.prompt.tokens}))

    def _show(self, request: SeenRequest) -> Iterator[Step]:
        """Describe a model, as only Ollama does."""
        try:
            name = msgspec.json.decode(request.body, type=dict[str, object]).get("model")
        except (msgspec.DecodeError, UnicodeDecodeError):
            name = None
        shown = shown_model(name) if self._flavour is Flavour.OLLAMA else None
        if shown is None:
            return self._composer.error("api/show", "page", 404, f"model '{name}' not found")
        return self._json(shown)

    def _page(self, request: SeenRequest, target: Target) -> Iterator[Step]:
        path = request.bare_path
        if path in ("/sim/journal", "/sim/calls"):
            lines = self._journal.lines(begun=path == "/sim/calls")
            fields = (("Content-Type", "application/jsonl"), ("Content-Length", str(len(lines))))
            return plain_steps(head(200, fields), lines, 0.0, End.KEEP)
        if path == "/sim/canary":
            return self._json(b'{"canary":true}')
        if path == "/" and self._flavour is Flavour.OLLAMA:
            return _text(_RUNNING, sent=request.method != "HEAD")
        busy = len(self._journal.begun) - len(self._journal.entries)
        found = None
        if request.method == "GET":
            used = bool(self._journal.begun)
            found = page(self._flavour, target.endpoint, busy=busy, used=used)
        if found is not None:
            return self._json(found)
        if request.method == "HEAD":
            return plain_steps(json_head(self._flavour, 404, 74, "head"), b"", 0.0, End.CLOSE)
        return self._composer.error(target.endpoint, "page", 404, "File Not Found")

    def _json(self, body: bytes) -> Iterator[Step]:
        return plain_steps(json_head(self._flavour, 200, len(body), "page"), body, 0.0, End.KEEP)


def _text(text: bytes, *, sent: bool) -> Iterator[Step]:
    fields = (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text))))
    return plain_steps(head(200, fields), text if sent else b"", 0.0, End.KEEP)
