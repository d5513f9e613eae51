"""Serves the upstream's side of a capture as an upstream, at its pace or with a planted fault.

It plays what was captured and knows no dialect. Pace and sockets are the simulator's.
"""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import msgspec

from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.once import Once
from streamgauge.core.sse import FrameKind, FrameSplitter
from streamgauge.gateway.capture.format import Line, Opening, Side, Way
from streamgauge.tools.capture.reading import CaptureError, CaptureReader, Message, message_of
from streamgauge.tools.simulator.connection import Connection, SeenRequest
from streamgauge.tools.simulator.faults import FRAME_FAULTS, PLAIN_ENDS, Setting, faulty
from streamgauge.tools.simulator.flavours import head as head_of
from streamgauge.tools.simulator.journal import Entry
from streamgauge.tools.simulator.script import (
    End,
    Frame,
    Kind,
    Step,
    Wait,
    Write,
    chunked,
    plain_steps,
)

__all__ = ["FAULTS", "Recorded", "Replay", "recorded_of"]

FAULTS = ("cut", "reset", "stall", "duplicate", "garbage", "first_token_stall", "double_done")
"""Faults that can be planted in what others sent, by their names in `sim`."""
assert set(FAULTS) <= FRAME_FAULTS.keys()

_AT_ONCE = 0.05
"""Seconds: a close so soon behind the last bytes comes with them. What was captured is when we saw it."""
_LAST_CHUNK = b"0\r\n\r\n"
_BACKLOG = 128
_REQUESTS_KEPT = 200
_FRAMED = frozenset({"transfer-encoding", "content-length", "connection", "keep-alive"})
"""Headers of the connection that the answer came on, not of the answer."""
_MARKS = (b"[DONE]", b'{"type":"message_stop"', b'{"type": "message_stop"')
_MARK_EVENTS = frozenset(
    {b"message_stop", b"response.completed", b"response.incomplete", b"response.failed"}
)
_ENDS: Mapping[str | None, End] = MappingProxyType(
    {"complete": End.KEEP, "reset": End.RESET, "cut": End.CLOSE, "protocol": End.CLOSE}
)
_PING = Frame(b": ping\n\n", Kind.PING)
_DATA = frozenset({Kind.CONTENT, Kind.MARK})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One upstream's answer, its times in seconds after its request had been sent.

    `pieces` are as they were read. `whole`: the body ended by its framing.
    """

    model: str | None
    head: bytes
    head_at: float
    lines: bool
    pieces: tuple[tuple[float, bytes], ...]
    whole: bool
    end: End
    end_at: float

    @property
    def body(self) -> bytes:
        """All bytes of the body."""
        return b"".join(data for _, data in self.pieces)


def recorded_of(path: Path, attempt: int | None = None) -> Recorded:
    """Read a capture's upstream side: `attempt`, from 1, else the last that was answered.

    Raises CaptureError where there is no answer, or no capture.
    """
    with path.open("rb") as file:
        reader = CaptureReader(file)
        lines = [line for line in reader.lines() if line.side is Side.UPSTREAM]
    tried = sorted({line.n for line in lines if line.n is not None})
    wanted = tried if attempt is None else [n for n in tried if n == attempt]
    for n in reversed(wanted):
        answer = message_of(lines, Side.UPSTREAM, Way.IN, n)
        if answer.status is not None:
            return _recorded(reader.opening, lines, n, answer)
    which = "attempts" if attempt is None else f"attempt {attempt}"
    raise CaptureError(f"no upstream answered in {which} of this capture")


def _recorded(opening: Opening, lines: list[Line], n: int, answer: Message) -> Recorded:
    asked = message_of(lines, Side.UPSTREAM, Way.OUT, n)
    began = asked.ended if asked.ended is not None else answer.began
    assert began is not None
    times = [(max(0.0, (t - began) / 1e6), data) for t, data in answer.pieces]
    fields = [line.partition(": ")[::2] for line in (answer.head or "").split("\r\n")[1:]]
    kept = [(name, value) for name, value in fields if name.lower() not in _FRAMED]
    content_type = answer.header("content-type") or ""
    head_at = times[0][0] if answer.began is None and times else 0.0
    if answer.began is not None:
        head_at = max(0.0, (answer.began - began) / 1e6)
    last = times[-1][0] if times else head_at
    ended = last if answer.ended is None else max(last, (answer.ended - began) / 1e6)
    models = [attempt.get("model") for attempt in opening.attempts]
    found = Recorded(
        model=next((model for model in models if isinstance(model, str)), opening.requested_model),
        head=head_of(answer.status or 200, (*kept, ("Transfer-Encoding", "chunked"))),
        head_at=head_at,
        lines=content_type.startswith("application/x-ndjson"),
        pieces=tuple(times),
        whole=answer.end == "complete",
        end=_ENDS.get(answer.end, End.CLOSE),
        end_at=ended,
    )
    if answer.end != "closed_by_us":
        return found
    # Behind its marker nothing mattered. Before it, nobody knows what would have followed.
    marked = any(frame.kind is Kind.MARK for _, frame in _frames(found))
    return replace(found, whole=marked, end=End.KEEP if marked else End.HOLD)


def steps_of(
    recorded: Recorded, speed: float, fault: str | None = None, after: int = 3
) -> Iterator[Step]:
    """Yield what is written when: `speed` 2 is twice as fast; `fault` stands behind `after` frames.

    An answer that is no stream has none: what ends or holds it stands in the middle of its body.
    """
    yield Write(recorded.head, recorded.head_at / speed)
    for step in _body_steps(recorded, speed, fault, after):
        yield step
        if isinstance(step, End):
            return
    if recorded.whole:
        yield Write(_LAST_CHUNK, recorded.end_at / speed, whole=True, last=True)
    else:
        last = recorded.pieces[-1][0] if recorded.pieces else recorded.head_at
        if recorded.end_at - last > _AT_ONCE:
            yield Wait((recorded.end_at - last) / speed)
    yield recorded.end


def _body_steps(recorded: Recorded, speed: float, fault: str | None, after: int) -> Iterator[Step]:
    """Yield the body, with the end that a fault gives it, if it does."""
    frames = () if fault is None else tuple(_frames(recorded))
    if fault is not None and any(frame.kind in _DATA for _, frame in frames):
        yield from _faulty_steps(recorded, frames, speed, fault, after)
        return
    end = None if fault is None else PLAIN_ENDS.get(fault)
    left = len(recorded.body)
    if end is not None:
        left = 0 if fault == "first_token_stall" else left // 2
    for at, data in recorded.pieces:
        part = data[:left]
        left -= len(part)
        if part:
            yield Write(chunked(part), at / speed, len(part))
    if end is not None:
        yield end


def _faulty_steps(
    recorded: Recorded,
    frames: Sequence[tuple[float, Frame]],
    speed: float,
    fault: str,
    after: int,
) -> Iterator[Step]:
    at = recorded.head_at

    def timed() -> Iterator[Frame]:
        nonlocal at
        for moment, frame in frames:
            at = moment
            yield frame

    for step in faulty(fault, timed(), Setting(after, b"", _PING, 1.0)):
        if isinstance(step, Frame):
            yield Write(chunked(step.data), at / speed, len(step.data), 1)
        else:
            yield step


def _frames(recorded: Recorded) -> Iterator[tuple[float, Frame]]:
    """Yield the frames of the body, each when its last byte came; last what ended within one."""
    splitter = NdjsonSplitter() if recorded.lines else FrameSplitter()
    at, left = recorded.head_at, len(recorded.body.removeprefix(BOM_UTF8))
    for at, data in recorded.pieces:
        for frame in splitter.feed(data):
            kind = Kind.CONTENT if frame.kind is FrameKind.DATA else Kind.PING
            payload = frame.payload or b""
            if frame.event in _MARK_EVENTS or payload.startswith(_MARKS):
                kind = Kind.MARK
            if recorded.lines and b'"done":true' in payload:
                kind = Kind.MARK
            left -= len(frame.raw)
            yield at, Frame(frame.raw, kind)
    if left:
        yield at, Frame(recorded.body[-left:], Kind.OTHER)


class Replay:
    """An upstream that gives every POST the recorded answer. It answers until `aclose`."""

    def __init__(
        self, recorded: Recorded, speed: float = 1.0, fault: str | None = None, after: int = 3
    ) -> None:
        self.keep_alive = 5.0
        self.url = ""
        self.requests: deque[SeenRequest] = deque(maxlen=_REQUESTS_KEPT)
        self._recorded = recorded
        self._speed = speed
        self._fault = fault
        self._after = after
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, host, port, backlog=_BACKLOG)
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def aclose(self) -> None:
        """Drop every connection. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for connection in tuple(self._connections):
                connection.shut()
            await server.wait_closed()

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

    def answer(self, request: SeenRequest) -> tuple[Once[Step], Entry, bool]:
        """Return an answer's steps."""
        entry = Entry("", request.bare_path, None, False, None)
        return Once(self._steps(request), "an answer"), entry, False

    def _steps(self, request: SeenRequest) -> Iterator[Step]:
        if request.method == "POST" and not request.bare_path.endswith("/count_tokens"):
            self.requests.append(request)
            steps = steps_of(self._recorded, self._speed, self._fault, self._after)
            return steps
        if request.bare_path.rstrip("/").endswith("/models"):
            names: Sequence[str] = [self._recorded.model] if self._recorded.model else []
            listed = [{"id": name, "object": "model"} for name in names]
            return _page(200, {"object": "list", "data": listed})
        message = "a replay serves POST and the list of models"
        return _page(404, {"error": {"message": message}})

    def ended(self, entry: Entry) -> None:
        """Nothing is journaled."""

    def _connect(self) -> Connection:
        connection = Connection(asyncio.get_running_loop(), self, self._connections.discard)
        self._connections.add(connection)
        return connection


def _page(status: int, page: object) -> Iterator[Step]:
    body = msgspec.json.encode(page)
    fields = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return plain_steps(head_of(status, fields), body, 0.0, End.KEEP)
