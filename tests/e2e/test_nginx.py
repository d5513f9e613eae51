"""Small slow frames, straight and behind a real nginx with its default `proxy_pass`: none waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from itertools import chain
from pathlib import Path

import pytest

from .stand import Client, Stand, stand

FRAMES, GAP = 25, 0.2
STREAMS = 5
LIMIT = 0.1
"""Five times the figure of 20 ms, p99."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = {"model": "m", "stream": True, "messages": []}


def _frame(now: float) -> bytes:
    frame = b'data: {"choices":[],"t":%.6f}\n\n' % now
    return frame.replace(b',"t"', b"," + b" " * (40 - len(frame)) + b'"t"')


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for _ in range(FRAMES):
            await asyncio.sleep(GAP)
            frame = _frame(time.monotonic())
            writer.write(b"%x\r\n%b\r\n" % (len(frame), frame))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def _slow_upstream() -> AsyncIterator[str]:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _delays(port: int) -> list[float]:
    """Return how late each frame was, in seconds, as one client read them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(reader, writer)
    await client.post("/v1/chat/completions", BODY, content_type="application/json")
    answer = await client.answer()
    assert answer.status == 200
    client.abort()
    late = []
    for at, piece in answer.chunks:
        for frame in piece.split(b"\n\n"):
            if b'"t":' in frame:
                late.append(at - float(frame.rpartition(b":")[2].rstrip(b"}")))
    assert len(late) == FRAMES
    return late


async def _check(port: int) -> None:
    late = sorted(chain(*await asyncio.gather(*(_delays(port) for _ in range(STREAMS)))))
    assert late[int(0.99 * len(late))] < LIMIT


@contextlib.asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[Stand]:
    async with _slow_upstream() as url, stand(folder, kind="openai", base_url=url) as it:
        yield it


@pytest.mark.asyncio
async def test_small_frames_are_not_held_back(tmp_path: Path) -> None:
    async with _gateway(tmp_path) as it:
        await _check(it.port)


@contextlib.asynccontextmanager
async def _nginx(program: Path, folder: Path, behind: int) -> AsyncIterator[int]:
    socket = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = socket.sockets[0].getsockname()[1]
    socket.close()
    config = folder / "nginx.conf"
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}} http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port};\n"
        f"location / {{ proxy_pass http://127.0.0.1:{behind}; }} }} }}\n"
    )
    options = ("-c", str(config), "-p", str(folder))
    process = await asyncio.create_subprocess_exec(str(program), *options, env=dict(os.environ))
    try:
        await _listening(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline, "nginx does not listen"
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@pytest.mark.asyncio
async def test_small_frames_are_not_held_back_by_an_nginx_in_front(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program = real_program("nginx")
    folder = tmp_path / "nginx"
    folder.mkdir()
    async with _gateway(tmp_path) as it, _nginx(program, folder, it.port) as port:
        await _check(port)
