"""The proxy snippets of deploy/, run by the real programs: frames at once, leavers noticed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from .proxies import check_delays, client_of, free_port, nginx, proxy, slow_gateway
from .stand import Answer, Stand, frames_of, stand, until

DEPLOY = Path(__file__).parents[2] / "deploy"
PROXIES = pytest.mark.parametrize("name", ["nginx", "caddy"])
BODY = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
FRAMES = 5
SILENT = {**BODY, "sim": {"tokens": 400, "gap_ms": 5000}}

pytestmark = pytest.mark.asyncio


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return `text` with each first of a pair, which must be there once, as the second."""
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextlib.asynccontextmanager
async def in_front(it: Stand, program: Path, folder: Path) -> AsyncIterator[int]:
    """Run the snippet of `program` before the gateway; only addresses and places are changed."""
    port = await free_port()
    gateway = ("127.0.0.1:8066", f"127.0.0.1:{it.port}")
    if program.name == "nginx":
        text = (DEPLOY / "nginx.conf").read_text()
        site = replaced(text, gateway, ("127.0.0.1:8080", f"127.0.0.1:{port}"))
        async with nginx(program, folder / "nginx", site, port):
            yield port
        return
    here = ("llm.example.com", f"http://127.0.0.1:{port}")
    site = replaced((DEPLOY / "Caddyfile").read_text(), gateway, here)
    config = folder / "Caddyfile"
    config.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}")
    options = ("run", "--config", str(config), "--adapter", "caddyfile")
    home = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    async with proxy(program, *options, port=port, **home):
        yield port


async def ask(port: int, path: str, body: object) -> Answer:
    async with client_of(port) as client:
        await client.post(path, body, content_type="application/json")
        return await client.answer()


@PROXIES
async def test_no_frame_is_held_back(
    tmp_path: Path, real_program: Callable[[str], Path], name: str
) -> None:
    program = real_program(name)
    async with slow_gateway(tmp_path, FRAMES) as it, in_front(it, program, tmp_path) as port:
        # Held back, all but the last would be late: a busy machine's few say nothing.
        await check_delays(port, FRAMES, 0.75)


@PROXIES
async def test_answers_and_refusals_pass_unchanged(
    tmp_path: Path, real_program: Callable[[str], Path], name: str
) -> None:
    program = real_program(name)
    async with stand(tmp_path) as it, in_front(it, program, tmp_path) as port:
        stream = await ask(port, "/v1/chat/completions", BODY)
        whole = await ask(port, "/v1/chat/completions", {**BODY, "stream": False})
        refused = await ask(port, "/v1/chat/completions", {"model": ""})
        unknown = await ask(port, "/v1/nowhere", {})
        rows = {row["id"]: row for row in await it.rows()}
    assert stream.clean
    assert frames_of(stream.body)[-1] == b"[DONE]"
    assert len(stream.body) == rows[stream.id]["bytes_out"]
    assert stream.headers["x-accel-buffering" if name == "caddy" else "cache-control"]
    assert len(whole.body) == rows[whole.id]["bytes_out"]
    assert (refused.status, unknown.status) == (400, 404)
    assert {row["status"] for row in rows.values()} == {"completed", "rejected"}


@PROXIES
async def test_a_client_that_leaves_is_seen_to_leave_while_the_upstream_is_silent(
    tmp_path: Path, real_program: Callable[[str], Path], name: str
) -> None:
    program = real_program(name)
    async with stand(tmp_path) as it, in_front(it, program, tmp_path) as port:
        async with client_of(port) as client:
            await client.post("/v1/chat/completions", SILENT, content_type="application/json")
            _, headers = await client.head()
            await client.chunk()
        await until(lambda: headers["x-request-id"] in it.notes.records, 1.0)
        row = it.notes.records[headers["x-request-id"]]
    assert (row.status, row.disposition) == ("client_disconnected", "cancelled")
