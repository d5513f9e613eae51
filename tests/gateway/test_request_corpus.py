"""Every raw request of the corpus over a real socket: refused, or read in exactly one way."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamgauge.gateway.client_application import OpenConnection
from streamgauge.gateway.client_connection import ClientConnection, ClientSettings, EarlyAnswer
from streamgauge.gateway.http import Header, Request, RequestHead, Responder

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
CASES: list[dict[str, Any]] = json.loads((CORPUS / "requests.json").read_text())["cases"]
SETTINGS = ClientSettings(
    allowed_hosts=("x", "127.0.0.1"),
    max_body=32 << 20,
    header_seconds=10,
    body_seconds=60,
    write_seconds=60,
    half_close=False,
)
BYTEWISE = 20_000
"""Longer cases are cut at seeded places instead."""


class Echo:
    """Answers every request at once with its path."""

    def __init__(self) -> None:
        self.served: list[tuple[str, bytes]] = []
        self.closed = asyncio.Event()
        self.connection: OpenConnection | None = None

    def accept_head(self, head: RequestHead) -> EarlyAnswer | None:
        return None

    def handle(self, request: Request, responder: Responder) -> None:
        self.served.append((request.head.path, request.body))
        body = json.dumps({"path": request.head.path}).encode()
        responder.send_head(200, [], len(body))
        responder.send(body)
        responder.end()

    def bad_request(
        self,
        path: str | None,
        status: int,
        code: str,
        message: str,
        head: RequestHead | None,
    ) -> tuple[Sequence[Header], bytes]:
        return [], json.dumps({"error": {"code": code}}).encode()

    def request_lost(self, head: RequestHead) -> None:
        self.lost = head.path

    def connection_opened(self, connection: OpenConnection) -> None:
        self.connection = connection

    def connection_closed(self, connection: OpenConnection) -> None:
        self.closed.set()


class Cut(ClientConnection):
    """Receives what the socket gives in the pieces whose ends are listed."""

    def __init__(self, settings: ClientSettings, application: Echo, ends: list[int]) -> None:
        super().__init__(settings, application, clock=lambda: 0.0)
        self.ends = iter(ends)
        self.at = 0
        self.end = next(self.ends, None)

    def data_received(self, data: bytes) -> None:
        while self.end is not None and self.end < self.at + len(data):
            size = self.end - self.at
            if size:
                super().data_received(data[:size])
            data, self.at = data[size:], self.end
            self.end = next(self.ends, None)
        self.at += len(data)
        super().data_received(data)


def cuts_of(case: dict[str, Any], size: int, way: str) -> list[int]:
    match way:
        case "whole":
            return []
        case "bytes" if size <= BYTEWISE:
            return list(range(1, size))
        case _:
            return sorted(random.Random(case["id"]).sample(range(1, size), 200))


def answers_in(wire: bytes) -> list[tuple[int, str | None]]:
    """Return (status, our error code) of each answer; every one states its length."""
    answers: list[tuple[int, str | None]] = []
    while wire:
        head, _, rest = wire.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status == 100:
            wire = rest
            continue
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        body = json.loads(rest[:size])
        answers.append((status, body.get("error", {}).get("code")))
        wire = rest[size:]
    return answers


async def exchange(
    raw: bytes, cuts: list[int], *, fin: bool
) -> tuple[Echo, list[tuple[int, str | None]]]:
    """Send `raw`; with `fin`, also our end. Return what was served and what was answered."""
    app = Echo()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Cut(SETTINGS, app, cuts), "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(raw)
        if fin:
            writer.write_eof()
        wire = await reader.read()
        writer.close()
        await app.closed.wait()
    return app, answers_in(wire)


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()
    yield counted
    print("\nrequest corpus:", ", ".join(f"{n} {what}" for what, n in sorted(counted.items())))


def verdict(case: dict[str, Any], app: Echo, answers: list[tuple[int, str | None]]) -> str:
    """Return `accepted` or `refused`; fail when it is neither, or another path was served."""
    assert case["never_path"] not in [path for path, _ in app.served]
    codes = [code for _, code in answers]
    if "bad_http" in codes or not answers:
        assert not app.served
        assert len(answers) <= 1
        assert all(400 <= status < 600 for status, _ in answers)
        return "refused"
    assert len(answers) == (case["app_requests"] or 1)
    if app.served and case["body"] is not None:
        assert b"".join(body for _, body in app.served) == case["body"].encode("latin-1")
    return "accepted"


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["whole", "bytes"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_each_raw_request_has_one_reading_or_none(
    case: dict[str, Any], way: str, tally: Counter[str]
) -> None:
    raw = (CORPUS / case["file"]).read_bytes()
    app, answers = await exchange(raw, cuts_of(case, len(raw), way), fin=True)
    found = verdict(case, app, answers)
    tally[f"{found} ({way})"] += 1
    wanted = {"accept": ["accepted"], "reject": ["refused"], "either": ["accepted", "refused"]}
    assert found in wanted[case["expect"]]


REJECTED = [case for case in CASES if case["expect"] == "reject"]


@pytest.mark.asyncio
@pytest.mark.parametrize("case", REJECTED, ids=[case["id"] for case in REJECTED])
async def test_a_refused_client_that_keeps_its_side_open_is_told_and_closed(
    case: dict[str, Any], tally: Counter[str]
) -> None:
    """No case of the corpus is refused for want of more bytes: the answer comes at once."""
    app, answers = await exchange((CORPUS / case["file"]).read_bytes(), [], fin=False)
    assert verdict(case, app, answers) == "refused"
    tally["told at once (held open)"] += len(answers)
    assert len(answers) == 1
