"""An upstream behind TLS: verified, or refused and told so (F22)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from .stand import stand

CHAT = {"model": "m", "stream": True, "messages": []}
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def _tls_upstream(authority: trustme.CA) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.asyncio
async def test_a_verified_upstream_is_relayed_and_metered(tmp_path: Path) -> None:
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    async with (
        _tls_upstream(authority) as url,
        stand(tmp_path, kind="openai", base_url=url, tls={"ca_file": str(trusted)}, odd=True) as it,
    ):
        answer = await it.ask("/v1/chat/completions", CHAT)
        row = await it.row(answer.id)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 2, 1)


@pytest.mark.fault("F22")
@pytest.mark.asyncio
async def test_a_bad_certificate_is_a_502_and_is_never_ignored(tmp_path: Path) -> None:
    async with (
        _tls_upstream(trustme.CA()) as url,
        stand(tmp_path, kind="openai", base_url=url) as it,
    ):
        answer = await it.ask("/v1/chat/completions", CHAT)
        row = await it.row(answer.id)
    assert (answer.status, row["status"]) == (502, "upstream_error")
    assert "TLS" in answer.json()["error"]["message"]
