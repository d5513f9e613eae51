"""Real reverse proxies in front of a gateway, and how late small frames come through them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import chain
from pathlib import Path

from .stand import Client, Stand, stand

__all__ = ["check_delays", "client_of", "free_port", "nginx", "proxy", "slow_gateway"]

FRAMES, GAP = 25, 0.2
STREAMS = 5
LIMIT = 0.1
"""Five times the figure of 20 ms, p99."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = {"model": "m", "stream": True, "messages": []}


def _frame(now: float) -> bytes:
    frame = b'data: {"choices":[],"t":%.6f}\n\n' % now
    return frame.replace(b',"t"', b"," + b" " * (40 - len(frame)) + b'"t"')


async def _serve(frames: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for _ in range(frames):
            await asyncio.sleep(GAP)
            frame = _frame(time.monotonic())
            writer.write(b"%x\r\n%b\r\n" % (len(frame), frame))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def slow_gateway(folder: Path, frames: int = FRAMES) -> AsyncIterator[Stand]:
    """Run a gateway whose upstream sends small frames with gaps, each with its time in it."""
    server = await asyncio.start_server(partial(_serve, frames), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with stand(folder, kind="openai", base_url=url, odd=True) as it:
            yield it
    finally:
        server.close()


class ProxyClient(Client):
    """A raw client that reads header names in any case: proxies write them in their own."""

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read a response head."""
        status, headers = await super().head()
        return status, {name.lower(): value for name, value in headers.items()}


@contextlib.asynccontextmanager
async def client_of(port: int) -> AsyncIterator[ProxyClient]:
    """Connect a raw client to the proxy on `port`."""
    client = ProxyClient(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 26))
    try:
        yield client
    finally:
        client.abort()


async def _delays(port: int, frames: int) -> list[float]:
    """Return how late each frame was, in seconds, as one client read them."""
    async with client_of(port) as client:
        await client.post("/v1/chat/completions", BODY, content_type="application/json")
        client.odd = True  # the upstream sends the time, and no choice
        answer = await client.answer()
    assert answer.status == 200
    late = []
    for at, piece in answer.chunks:
        for frame in piece.split(b"\n\n"):
            if b'"t":' in frame:
                late.append(at - float(frame.rpartition(b":")[2].rstrip(b"}")))
    assert len(late) == frames
    return late


async def check_delays(port: int, frames: int = FRAMES, share: float = 0.99) -> None:
    """Read several streams at once from `port`; of all frames `share` must not be late."""
    late = sorted(chain(*await asyncio.gather(*(_delays(port, frames) for _ in range(STREAMS)))))
    assert late[int(share * len(late))] < LIMIT


async def free_port() -> int:
    """Return a port that nobody listens on."""
    socket = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = socket.sockets[0].getsockname()[1]
    socket.close()
    return port


@contextlib.asynccontextmanager
async def proxy(program: Path, *options: str, port: int, **environment: str) -> AsyncIterator[int]:
    """Run a proxy that stays in the foreground until it listens on `port`, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(
        str(program), *options, env={**os.environ, **environment}
    )
    try:
        await _listening(port, process)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + 10
    while True:
        assert process.returncode is None, "the proxy has ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline, "the proxy does not listen"
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@contextlib.asynccontextmanager
async def nginx(program: Path, folder: Path, site: str, port: int) -> AsyncIterator[int]:
    """Run nginx with `site` as the inside of its `http { }`."""
    folder.mkdir()
    config = folder / "nginx.conf"
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}} http {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    async with proxy(program, "-c", str(config), "-p", str(folder), port=port):
        yield port
