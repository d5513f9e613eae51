"""The demo's clients: one raw connection each, to see exactly what came. Knows no ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

import msgspec

from streamgauge.tools.demo.scenes import Conduct, Scene

__all__ = ["Address", "Seen", "visit"]

Address = tuple[str, int]
"""Host and port of the gateway."""

_OK = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of its exchange.

    `request_id`: `x-request-id` of the answer. `frames`: data frames read. `error_end`: the last
    of them is an error. `left_at`: when the client hung up, in seconds since the epoch.
    `stopped`: the stop endpoint said yes.
    """

    call_id: str
    request_id: str | None = None
    http_status: int | None = None
    frames: int = 0
    error_end: bool = False
    left_at: float | None = None
    stopped: bool = False


class _Connection:
    """One HTTP/1.1 request and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, body: bytes, call_id: str) -> tuple[int, dict[str, str]]:
        """Send a request; return the status and the headers of its answer."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: streamgauge-demo\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"anthropic-version: 2023-06-01\r\nx-request-id: {call_id}\r\n\r\n"
        )
        self._writer.write(head.encode("latin-1") + body)
        await self._writer.drain()
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        fields = (line.partition(":") for line in lines if line)
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def data_frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the payload of each SSE frame with data in a chunked body, as it comes."""
        rest = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            rest += (await self._reader.readexactly(size + 2))[:-2]
            *frames, rest = rest.split(b"\n\n")
            for frame in frames:
                lines = [line[5:].strip() for line in frame.split(b"\n") if line[:5] == b"data:"]
                if lines:
                    yield b"\n".join(lines)

    def hang_up(self) -> None:
        """Close the connection at once."""
        self._writer.close()


@asynccontextmanager
async def _connected(address: Address) -> AsyncIterator[_Connection]:
    connection = _Connection(*await asyncio.open_connection(*address))
    try:
        yield connection
    finally:
        connection.hang_up()


async def visit(scene: Scene, call_id: str, address: Address) -> Seen:
    """Play `scene` as one client; return what it saw, also when the connection broke."""
    seen = Seen(call_id)
    try:
        async with _connected(address) as connection:
            status, headers = await connection.post(scene.path, scene.body(call_id), call_id)
            seen = replace(seen, request_id=headers.get("x-request-id"), http_status=status)
            if status != _OK or "transfer-encoding" not in headers:
                return seen
            async with aclosing(connection.data_frames()) as frames:
                async for payload in frames:
                    seen = replace(seen, frames=seen.frames + 1, error_end=_is_error(payload))
                    if seen.frames != scene.after:
                        continue
                    if scene.conduct is Conduct.LEAVES:
                        return replace(seen, left_at=time.time())
                    if scene.conduct is Conduct.STOPS:
                        seen = replace(seen, stopped=await _stop(seen, address))
    except (OSError, EOFError, ValueError):
        return seen  # What was seen until then stands; the audit shows what is missing.
    return seen


async def _stop(seen: Seen, address: Address) -> bool:
    async with _connected(address) as connection:
        path = f"/v1/streams/{seen.request_id}/stop"
        status, _ = await connection.post(path, b"", seen.call_id)
        return status == _OK


def _is_error(payload: bytes) -> bool:
    try:
        frame = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return False  # such as the end marker
    return isinstance(frame, dict) and "error" in frame
