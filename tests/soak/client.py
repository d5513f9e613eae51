"""One raw client connection of a soak: sends a request, reads the answer, or behaves badly as told."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from .calls import Call, Way
from .journals import Told
from .proof import Proved
from .wire import Delivered, dechunked

__all__ = ["Connection", "play"]

ANSWER_SECONDS = 60.0
"""No answer takes longer than the deadlines of the soak's gateway, many times over."""
_NUMBERED = re.compile(rb"^id: [\w-]+:(\d+)$", re.MULTILINE)
_NO_CONTENT = 204
_SIP_FRAMES = 200
_SIP_SECONDS = 0.02


@dataclass(slots=True)
class Raw:
    """What came of one answer so far: bytes, the head's fields, whether it is over.

    `before`: what an earlier connection brought of the body.
    """

    data: bytearray = field(default_factory=bytearray)
    head: int = 0
    status: int | None = None
    fields: dict[str, str] = field(default_factory=dict)
    over: bool = False
    eof: bool = False
    before: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take bytes; notice the head and the end."""
        self.data += data
        if not self.head and (end := self.data.find(b"\r\n\r\n")) >= 0:
            self.head = end + 4
            first, *lines = self.data[:end].decode("latin-1").split("\r\n")
            self.status = int(first.split()[1])
            self.fields = dict(line.split(": ", 1) for line in lines)
        if self.head:
            self.over = self._is_over()

    def _is_over(self) -> bool:
        if self.status == _NO_CONTENT:
            return True
        if "content-length" in self.fields:
            return len(self.data) >= self.head + int(self.fields["content-length"])
        return self.data.endswith(b"0\r\n\r\n") and dechunked(bytes(self.data[self.head :]))[1]

    def body(self) -> tuple[bytes, bool]:
        """Return the body without framing, and whether it ends by it."""
        body, over = bytes(self.data[self.head :]), self.over
        if "transfer-encoding" in self.fields:
            body, over = dechunked(body)
        return self.before + body, over

    @property
    def contents(self) -> int:
        """Data frames so far, roughly: what a client counts that leaves after so many."""
        return self.data.count(b"data: ")


class Connection(asyncio.Protocol):
    """Serves one call after the other; `lost` once the socket is gone."""

    def __init__(self) -> None:
        self.raw = Raw()
        self.lost = False
        self.wanted = 0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of a connected socket."""
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.raw.feed(data)
        if self.raw.over or (self.wanted and self.raw.contents >= self.wanted):
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.raw.eof = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def until(self, frames: int = 0) -> None:
        """Wait for the answer's end, or for so many data frames, or for the connection's end."""
        self.wanted = frames
        done = self.raw.over or self.lost or (frames and self.raw.contents >= frames)
        if not done:
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._waiter
        self.wanted = 0

    def leave(self, reset: bool) -> float:
        """Close by FIN or by reset; return when, in seconds since the epoch."""
        if reset and not self.lost:
            peer: socket.socket = self.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        at = time.time()
        self.transport.abort() if reset else self.transport.close()
        return at


def request_of(call: Call, keys: Mapping[str, str] | None = None) -> bytes:
    """Return the request's bytes, garbled where the call says so. `keys`: the clients' by name."""
    body = json.dumps(call.body()).encode()
    if call.way is Way.BAD_JSON:
        body = body[: len(body) // 2]
    elif call.way is Way.DOUBLED_KEY:
        body = b'{"model": "other", ' + body[1:]
    lines = [
        f"POST {call.path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"x-request-id: {call.id}",
        f"x-streamgauge-meta: {call.metadata}",
        f"content-length: {len(body)}",
    ]
    lines += _extra_lines(call, keys)
    if call.way is Way.BAD_HTTP:
        lines.append("transfer-encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _extra_lines(call: Call, keys: Mapping[str, str] | None) -> list[str]:
    if call.extra is None or keys is None:
        return []
    lines = [f"authorization: Bearer {keys[call.extra.key]}"]
    if call.extra.session is not None:
        lines.append(f"x-session-id: {call.extra.session}")
    if call.extra.resumes:
        lines.append("x-streamgauge-resume: 1")
    return lines


async def play(
    call: Call, connection: Connection, port: int, keys: Mapping[str, str] | None = None
) -> Told:
    """Run one call on a connection that is idle, and return the client's line on it."""
    told = Told(call.number)
    connection.raw = Raw()
    await _act(call, connection, port, told, keys)
    raw = connection.raw
    told.status, told.id = raw.status, raw.fields.get("x-request-id")
    if raw.head:
        body, told.clean = raw.body()
        _note_body(told, body, "text/event-stream" in raw.fields.get("content-type", ""))
        if call.extra is not None and told.ending != "answer":
            proved = Proved(body)
            told.stream_sha1, told.fault = proved.sha1, proved.fault if told.clean else None
    return told


def _note_body(told: Told, body: bytes, stream: bool) -> None:
    delivered = Delivered(body, stream)
    told.ending = delivered.ending
    if delivered.metadata is not None:
        told.metadata = delivered.metadata.decode()
    told.frames, told.code = delivered.frames, delivered.code
    told.size, told.sha256 = len(delivered.bare), sha256(delivered.bare).hexdigest()
    if told.status != 200 and told.code is None and told.clean:
        error = json.loads(body)["error"]
        told.code = None if error.get("code") is None else str(error["code"])


async def _act(
    call: Call, connection: Connection, port: int, told: Told, keys: Mapping[str, str] | None
) -> None:
    request = request_of(call, keys)
    if call.way is Way.CUT_BODY:
        told.whole_body = False
        connection.transport.write(request[: -1 - int(call.chance * 40)])
        await asyncio.sleep(0)
        told.left_at = connection.leave(call.chance < 0.5)
        return
    connection.transport.write(request)
    match call.way:
        case Way.LEAVE_BEFORE:
            # The instant is the fault: nothing is waited for.
            await asyncio.sleep(call.chance * 0.004)
            told.left_at = connection.leave(call.chance < 0.5)
        case Way.LEAVE_MIDWAY:
            await connection.until(1 + call.after)
            told.left_at = connection.leave(call.chance < 0.5)
        case Way.HALF_CLOSE:
            connection.transport.write_eof()
            told.left_at = time.time()
            await connection.until()
        case Way.STOP:
            await connection.until(1 + call.after)
            told.stopped_at = await _stop(call, connection.raw, port, keys)
            await connection.until()
        case Way.SLOW:
            await _sip(connection)
        case _ if call.extra is not None and call.extra.resumes:
            await connection.until(1 + call.after)
            if not connection.raw.over and connection.raw.status == 200:
                told.cuts += 1
                await _read_on(call, connection, port, keys)
        case _:
            await connection.until()


async def _ask(
    call: Call, start: str, port: int, keys: Mapping[str, str] | None
) -> tuple[float, Raw]:
    """Send a request without a body on a connection of its own; return when, and the answer."""
    loop = asyncio.get_running_loop()
    _, other = await loop.create_connection(Connection, "127.0.0.1", port)
    lines = [f"{start} HTTP/1.1", "host: 127.0.0.1", "content-length: 0"]
    if call.extra is not None and keys is not None:
        lines.append(f"authorization: Bearer {keys[call.extra.key]}")
    at = time.time()
    other.transport.write("\r\n".join([*lines, "", ""]).encode())
    await other.until()
    other.transport.abort()
    return at, other.raw


async def _stop(call: Call, raw: Raw, port: int, keys: Mapping[str, str] | None) -> float:
    stream = raw.fields.get("x-request-id")
    at, answer = await _ask(call, f"POST /v1/streams/{stream}/stop", port, keys)
    assert answer.status in (200, 404, None), answer.data
    return at


async def _read_on(
    call: Call, connection: Connection, port: int, keys: Mapping[str, str] | None
) -> None:
    """Lose the connection, and read the stream on behind its last whole frame."""
    raw = connection.raw
    connection.leave(call.chance < 0.5)
    whole, gap, _ = raw.body()[0].rpartition(b"\n\n")
    before = whole + gap
    numbers = _NUMBERED.findall(before)
    after = int(numbers[-1]) if numbers else 0
    stream = raw.fields["x-request-id"]
    _, answer = await _ask(call, f"GET /v1/streams/{stream}/events?after={after}", port, keys)
    answer.before = before
    answer.fields["x-request-id"] = stream
    if answer.status in (200, 204):
        answer.status, answer.fields["content-type"] = 200, "text/event-stream"
    connection.raw = answer


async def _sip(connection: Connection) -> None:
    """Read some, look away, read on."""
    while not (connection.raw.over or connection.lost):
        await connection.until(connection.raw.contents + _SIP_FRAMES)
        if connection.lost:
            return
        connection.transport.pause_reading()
        await asyncio.sleep(_SIP_SECONDS)  # the slowness itself: nothing is waited for
        connection.transport.resume_reading()
