"""One raw connection to the simulator, so that nothing of its answer is hidden."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from typing import Any

from streamgauge.tools.simulator import Entry, Simulator

__all__ = ["DEADLINE", "HELLO", "Client", "Reply", "eventually_ended", "fetch", "unframed"]

HELLO = [{"role": "user", "content": "hello there"}]
DEADLINE = 10.0

Reply = tuple[bytes, bytes, bool]
"""Head, body without chunk framing, and whether the framing was whole."""


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def ask(
        cls,
        simulator: Simulator,
        path: str,
        sim: dict[str, Any],
        *,
        close: bool = False,
        **body: object,
    ) -> Client:
        port = int(simulator.url.rpartition(":")[2])
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        asked = {"model": "m", "stream": True, "messages": HELLO, "sim": sim}
        client.send(path, asked | body, close=close)
        return client

    def send(self, path: str, body: dict[str, Any], *, close: bool = False) -> None:
        data = json.dumps(body).encode()
        last = "Connection: close\r\n" if close else ""
        lines = f"POST {path} HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer sk-1\r\n"
        self.writer.write(f"{lines}{last}Content-Length: {len(data)}\r\n\r\n".encode() + data)

    async def until(self, mark: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(mark), DEADLINE)

    async def rest(self) -> Reply:
        raw = await asyncio.wait_for(self.reader.read(), DEADLINE)
        head, _, wire = raw.partition(b"\r\n\r\n")
        return (head, *unframed(head, wire))

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            peer: socket.socket = self.writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def unframed(head: bytes, wire: bytes) -> tuple[bytes, bool]:
    length = re.search(rb"Content-Length: (\d+)", head)
    if length is not None:
        return wire, len(wire) == int(length[1])
    pieces: list[bytes] = []
    at = 0
    while (end := wire.find(b"\r\n", at)) >= 0:
        size = int(wire[at:end], 16)
        if size == 0:
            return b"".join(pieces), wire[end:] == b"\r\n\r\n"
        pieces.append(wire[end + 2 : end + 2 + size])
        at = end + 4 + size
    return b"".join(pieces), False


async def eventually_ended(simulator: Simulator, count: int = 1) -> Entry:
    return await asyncio.wait_for(simulator.until_ended(count), DEADLINE)


async def fetch(simulator: Simulator, path: str, sim: dict[str, Any], **body: object) -> Reply:
    client = await Client.ask(simulator, path, sim, close=True, **body)
    reply = await client.rest()
    client.leave()
    return reply
