"""Asks a gateway process' control listener, and reads its metrics as plain names."""

from __future__ import annotations

import asyncio
from typing import Any

from .process import GatewayProcess
from .stand import Answer, Client

__all__ = ["admin", "metrics", "runtime"]


async def admin(gateway: GatewayProcess, method: str, path: str, **headers: str) -> Answer:
    """Send one request to the control listener and read the answer."""
    lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{gateway.control_port}"]
    if method == "POST":
        lines += ["content-type: application/json", "content-length: 2"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    where = await asyncio.open_connection("127.0.0.1", gateway.control_port)
    client = Client(*where)
    try:
        client.writer.write("\r\n".join([*lines, "", "{}" if method == "POST" else ""]).encode())
        return await client.answer()
    finally:
        client.abort()


async def runtime(gateway: GatewayProcess) -> dict[str, Any]:
    """Return the numbers of this moment."""
    answer = await admin(gateway, "GET", "/admin/runtime")
    assert answer.status == 200, answer.body
    numbers: dict[str, Any] = answer.json()
    return numbers


async def metrics(gateway: GatewayProcess) -> dict[str, float]:
    """Return each sample by its name and labels as the page writes them."""
    page = (await admin(gateway, "GET", "/metrics")).body.decode()
    pairs = (line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
