"""The events of the admin API: what is told, when, to how many, and what it costs when nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.control_listener import GatewayPlane
from streamgauge.control.events import MOST_READERS
from streamgauge.gateway.live import Live

from .admin import API, Admin, admin_stand, chat
from .stand import until

CHAT = "/v1/chat/completions"
SOON = 5.0
"""Five times the second within which a change is told."""


class Reader:
    """Reads events from a socket, as EventSource does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def head(self) -> int:
        """Return the status."""
        raw = await self._reader.readuntil(b"\r\n\r\n")
        return int(raw.split()[1])

    async def next(self, name: str, seconds: float = SOON) -> Any:
        """Return the data of the next event of this name."""
        async with asyncio.timeout(seconds):
            while True:
                line = (await self._reader.readline()).decode()
                assert line not in ("", "0\r\n"), "the stream of events has ended"
                if line == f"event: {name}\n":
                    data = (await self._reader.readline()).decode()
                    return json.loads(data.removeprefix("data: "))


@contextlib.asynccontextmanager
async def reading(admin: Admin) -> AsyncIterator[Reader]:
    """Connect a reader of events."""
    streams = await asyncio.open_connection("127.0.0.1", admin.port, limit=1 << 24)
    reader = Reader(*streams)
    reader.writer.write(f"GET {API}/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    try:
        yield reader
    finally:
        reader.writer.transport.abort()


@pytest.mark.asyncio
async def test_a_stream_is_told_while_it_runs_and_its_row_when_it_has_closed(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path) as admin, reading(admin) as reader:
        assert await reader.head() == 200
        assert (await reader.next("health"))["upstreams"]["sim"]["health"] == "ok"
        assert (await reader.next("config"))["state"] == "ok"
        assert (await reader.next("summary"))["streams"] == 0
        stream = asyncio.create_task(admin.on.ask(CHAT, chat(tokens=150, gap_ms=10)))
        while not (live := await reader.next("live"))["rows"]:
            pass
        answer = await stream
        closed = await reader.next("closed")
        while (await reader.next("live"))["rows"]:
            pass
    assert live["rows"][0]["id"] == answer.id
    assert [row["id"] for row in closed["rows"]] == [answer.id]
    assert closed["rows"][0]["status"] == "completed"


@pytest.mark.asyncio
async def test_a_change_of_health_and_of_the_configuration_is_told(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin, reading(admin) as reader:
        version = (await reader.next("config"))["version"]
        await admin.on.simulator.aclose()
        await admin.on.ask(CHAT, chat(tokens=1))
        changed = await reader.next("health")
        file = tmp_path / "streamgauge.yaml"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"metadata": "off"}))
        assert (await admin.post("/admin/reload")).status == 200
        config = await reader.next("config")
    assert changed["upstreams"]["sim"]["health"] == "degraded"
    assert config["version"] != version


@pytest.mark.asyncio
async def test_more_rows_than_one_event_holds_are_not_told_but_said(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin, reading(admin) as reader:
        await reader.next("summary")
        for _ in range(6):
            await asyncio.gather(*(admin.on.ask(CHAT, {"model": 7}) for _ in range(50)))
        told, more = 0, False
        while told < 300 and not more:
            event = await reader.next("closed")
            told, more = told + len(event["rows"]), event["more"]
    assert more or told == 300


@pytest.mark.asyncio
async def test_readers_are_bounded_and_a_place_is_free_again_when_one_leaves(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path) as admin, contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(admin)) for _ in range(MOST_READERS)]
        assert [await reader.head() for reader in readers] == [200] * MOST_READERS
        for reader in readers:
            await reader.next("summary")
        async with reading(admin) as beyond:
            assert await beyond.head() == 503
        readers[0].writer.transport.abort()

        async def again() -> int:
            async with reading(admin) as late:
                return await late.head()

        async with asyncio.timeout(SOON):
            while await again() != 200:
                pass
        assert (await admin.get("/metrics")).status == 200


class _Counting(GatewayPlane):
    """Notes when it was asked for its streams."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.asked: list[float] = []

    async def live(self) -> Live:
        self.asked.append(time.monotonic())
        return await super().live()


@pytest.mark.asyncio
async def test_the_gateway_is_asked_once_a_second_for_all_and_not_at_all_for_nobody(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path, kind=_Counting) as admin, contextlib.AsyncExitStack() as stack:
        plane = admin.plane
        assert isinstance(plane, _Counting)
        readers = [await stack.enter_async_context(reading(admin)) for _ in range(10)]
        stream = asyncio.create_task(admin.on.ask(CHAT, chat(tokens=2000, gap_ms=10), odd=True))
        began = time.monotonic()
        for _ in range(3):
            for reader in readers:
                await reader.next("live")
        asked, lasted = len(plane.asked), time.monotonic() - began
        admin.on.gateway.end_all()
        await stream
        await stack.aclose()
        left = time.monotonic()
        await until(lambda: time.monotonic() - left > 2.2, 10)
        late = [at for at in plane.asked if at > left + 1.2]
    assert 2 <= asked <= 2 + lasted / 0.9
    assert late == []


@pytest.mark.asyncio
async def test_who_asks_for_the_head_of_the_events_gets_it_and_the_next_page(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path) as admin:
        streams = await asyncio.open_connection("127.0.0.1", admin.port)
        asked = Reader(*streams)
        for method, path in (("HEAD", "events"), ("GET", "doctor")):
            head = f"{method} {API}/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
            asked.writer.write(head.encode())
            async with asyncio.timeout(SOON):
                assert await asked.head() == 200
        asked.writer.transport.abort()


class _Faulty(GatewayPlane):
    """A plane whose answer is a fault of ours while `broken`."""

    broken = False

    async def live(self) -> Live:
        if self.broken:
            raise KeyError("canary-3f")
        return await super().live()


@pytest.mark.asyncio
async def test_a_fault_of_ours_ends_what_is_read_and_who_comes_again_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with admin_stand(tmp_path, kind=_Faulty) as admin:
        plane = admin.plane
        assert isinstance(plane, _Faulty)
        async with reading(admin) as first, reading(admin) as second:
            await first.next("live")
            await second.next("live")
            plane.broken = True
            for reader in (first, second):
                with pytest.raises(AssertionError, match="has ended"):
                    await reader.next("gone")
        plane.broken = False
        async with reading(admin) as again:
            await again.next("live")
            await again.next("summary")
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "the events have ended by a fault"
    ]
