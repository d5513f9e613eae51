"""The control listener beside a gateway that works: storms, drains, blocked pages, a taken port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.control_listener import ControlListener, GatewayPlane, open_control
from streamgauge.cli.reloading import Reloader
from streamgauge.config.listeners import Control
from streamgauge.config.load import LoadOptions
from streamgauge.control.plane import Vitals
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.prometheus import ExchangeCounts
from streamgauge.tools.simulator import Simulator

from ..timed import in_time
from .control_client import admin, metrics, runtime
from .process import GatewayProcess, closed_rows, serving
from .stand import Stand, frames_of, stand, until

CHAT = "/v1/chat/completions"
CANNOT_START = 4
AT_REST_WITHIN = 5.0
STOPPED_WITHIN = 2.0
LENIENCY = 5
TOKEN = "adm-canary-token-71c2"


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


async def leave_early(gateway: GatewayProcess, tokens: int) -> None:
    """Begin a stream and reset the connection after its head."""
    async with gateway.client() as client:
        await client.post(CHAT, chat(tokens=tokens, gap_ms=5))
        await client.head()


async def at_rest(gateway: GatewayProcess, wanted: dict[str, Any]) -> dict[str, Any]:
    """Ask until the gateway holds no more than `wanted`; return the last numbers."""
    deadline = time.monotonic() + AT_REST_WITHIN * LENIENCY
    while True:
        now = await runtime(gateway)
        if all(now[name] <= value for name, value in wanted.items()):
            return now
        assert time.monotonic() < deadline, f"{now} is more than {wanted}"


@pytest.mark.asyncio
async def test_after_a_storm_every_number_is_back_at_its_baseline(tmp_path: Path) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0) as gateway,
    ):
        await gateway.ask(CHAT, chat(tokens=1))
        held = ("streams", "tasks", "sockets_client", "sockets_upstream", "pool_idle", "registry")
        nothing = dict.fromkeys((*held, "drains", "ledger_queue"), 0) | {"tasks": 1}
        before = await at_rest(gateway, nothing)
        streams = asyncio.create_task(gateway.ask(CHAT, chat(tokens=300, gap_ms=10)))
        await until(lambda: any(entry.frames > 2 for entry in simulator.begun[1:]))
        busy = await runtime(gateway)
        for _ in range(4):
            whole = [gateway.ask(CHAT, chat(tokens=5)) for _ in range(20)]
            await asyncio.gather(*whole, *(leave_early(gateway, 200) for _ in range(20)))
        await streams
        limits = {name: before[name] for name in (*nothing, "descriptors")}
        after = await at_rest(gateway, limits)
        rows = await closed_rows(tmp_path, 162)
        counted = await metrics(gateway)
    assert (busy["streams"], busy["registry"], busy["sockets_client"]) == (1, 1, 1)
    assert after["holds"] == after["spool"] == 0
    assert after["parsed_frames"] >= 300 + 80 * 5
    by_status: dict[str, int] = {}
    for name, value in counted.items():
        if name.startswith("streamgauge_requests_total"):
            status = name.split('status="')[1].split('"')[0]
            by_status[status] = by_status.get(status, 0) + int(value)
    ledger = {status: [r["status"] for r in rows].count(status) for status in by_status}
    assert by_status == ledger
    assert sum(by_status.values()) == len(rows) == 162


@pytest.mark.asyncio
async def test_while_it_drains_the_control_listener_answers_and_reloads_nothing(
    tmp_path: Path,
) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0) as gateway,
    ):
        stream = asyncio.create_task(gateway.ask(CHAT, chat(tokens=150, gap_ms=10)))
        await until(lambda: any(entry.frames > 2 for entry in simulator.begun))
        gateway.signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not (found := await metrics(gateway))["streamgauge_stopping"]:
            assert time.monotonic() < deadline
        refused = await admin(gateway, "POST", "/admin/reload")
        now = await runtime(gateway)
        answer = await stream
        assert await gateway.exit() == 0
    assert found["streamgauge_streams"] == now["streams"] == 1
    assert (refused.status, "shutting down" in refused.body.decode()) == (409, True)
    assert frames_of(answer.body)[-1] == b"[DONE]"


@pytest.mark.asyncio
async def test_scrapers_that_read_nothing_hold_up_no_stop(tmp_path: Path) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0) as gateway,
    ):
        where = ("127.0.0.1", gateway.control_port)
        stuck = [socket.create_connection(where) for _ in range(30)]
        for scraper in stuck:
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 100)
        await runtime(gateway)
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert await gateway.exit() == 0
        took = time.monotonic() - began
        for scraper in stuck:
            scraper.close()
    in_time(took, STOPPED_WITHIN * LENIENCY)
    assert "Traceback" not in "\n".join(gateway.lines), "an answer cut off at the end is no error"


@pytest.mark.asyncio
async def test_a_taken_control_port_is_exit_4_and_says_whose_it_is(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = {
            "upstreams": [{"name": "a", "kind": "sim", "base_url": "http://127.0.0.1:9"}],
            "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
        }
        (tmp_path / "streamgauge.yaml").write_text(json.dumps(config))
        gateway = await GatewayProcess.launch("--port", "0", cwd=tmp_path, control=port)
        try:
            code = await gateway.exit()
        finally:
            await gateway.kill()
    said = "\n".join(gateway.lines)
    assert code == CANNOT_START, said
    assert f"127.0.0.1:{port} for control" in said
    assert "control.port" in said
    assert "--no-control" in said
    assert "Traceback" not in said
    assert not [line for line in gateway.lines if line.startswith("ready ")]


@pytest.mark.asyncio
async def test_no_control_leaves_the_listener_out(tmp_path: Path) -> None:
    where = ("--upstream", "sim=http://127.0.0.1:9", "--port", "0", "--no-control")
    gateway = await GatewayProcess.launch(*where, cwd=tmp_path, control=0)
    try:
        await gateway.ready(time.monotonic())
        assert gateway.control_port == 0
        assert (await gateway.get("/admin/runtime")).status == 404, "not on the data listener"
        assert (await gateway.get("/metrics")).status == 404
    finally:
        await gateway.kill()


@pytest.mark.asyncio
async def test_the_token_of_the_configuration_guards_the_listener_and_is_never_shown(
    tmp_path: Path,
) -> None:
    config = {"control": {"token": TOKEN}}
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, config=config, control=0) as gateway,
    ):
        without = await admin(gateway, "GET", "/metrics")
        shown = {"authorization": f"Bearer {TOKEN}"}
        pages = [
            await admin(gateway, "GET", "/admin/runtime", **shown),
            await admin(gateway, "GET", "/metrics", **shown),
            await admin(gateway, "POST", "/admin/reload", **shown),
        ]
        gateway.signal(signal.SIGTERM)
        await gateway.exit()
    assert without.status == 401
    assert [page.status for page in pages] == [200, 200, 200]
    assert TOKEN not in "".join(page.body.decode() for page in pages) + "".join(gateway.lines)


# -- two loops


class _Slow(GatewayPlane):
    """A plane whose metrics take until the test lets them go."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.entered, self.go = threading.Event(), threading.Event()

    def vitals(self) -> Vitals:
        self.entered.set()
        assert self.go.wait(30)
        return super().vitals()


@contextlib.asynccontextmanager
async def controlled(on: Stand, kind: type[GatewayPlane], *more: Any) -> AsyncIterator[Any]:
    """Open a control listener of a plane of this `kind` beside a stand; yield both."""
    options = LoadOptions(config=on.folder / "streamgauge.yaml", environ={})
    reloader = Reloader(options, on.gateway, on._note)
    loop = asyncio.get_running_loop()
    plane = kind(on.gateway, reloader, ExchangeCounts(Labels()).counts, loop, *more)
    listener = open_control(Control(port=0), plane)
    try:
        yield plane, listener
    finally:
        await asyncio.to_thread(listener.stop, 5.0)


def _get(listener: ControlListener, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(listener.url.removeprefix("http://"), timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.asyncio
async def test_a_blocked_page_delays_no_frame(tmp_path: Path) -> None:
    async with stand(tmp_path) as on, controlled(on, _Slow) as (plane, listener):
        scrape = asyncio.create_task(asyncio.to_thread(_get, listener, "/metrics"))
        await asyncio.to_thread(plane.entered.wait, 10)
        answer = await on.ask(CHAT, chat(tokens=50, gap_ms=5))
        was_blocked = not scrape.done()
        plane.go.set()
        status, _ = await scrape
    assert was_blocked, "the whole stream ran while the page hung"
    assert frames_of(answer.body)[-1] == b"[DONE]"
    assert status == 200


@pytest.mark.asyncio
async def test_scrapers_that_read_nothing_delay_no_frame(tmp_path: Path) -> None:
    async with stand(tmp_path) as on, controlled(on, GatewayPlane) as (_, listener):
        host, _, port = listener.url.removeprefix("http://").rpartition(":")
        stuck = [socket.create_connection((host, int(port))) for _ in range(20)]
        request = b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        for scraper in stuck:
            scraper.sendall(request * 50)
        answer = await on.ask(CHAT, chat(tokens=50, gap_ms=5))
        status, _ = await asyncio.to_thread(_get, listener, "/metrics")
        for scraper in stuck:
            scraper.close()
    assert frames_of(answer.body)[-1] == b"[DONE]"
    assert status == 200


@pytest.mark.asyncio
async def test_while_the_data_loop_is_blocked_metrics_are_answered_and_say_so(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as on, controlled(on, GatewayPlane, 0.1) as (_, listener):
        pages: list[tuple[int, bytes]] = []

        def ask_both() -> None:
            pages.extend(_get(listener, path) for path in ("/metrics", "/admin/runtime"))

        asking = threading.Thread(target=ask_both)
        asking.start()
        asking.join(30)  # on the loop: nothing else runs on it meanwhile
        await asyncio.sleep(0)
    assert [status for status, _ in pages] == [200, 503]
    assert b"streamgauge_data_loop_up 0.0" in pages[0][1]
