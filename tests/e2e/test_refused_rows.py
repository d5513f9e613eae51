"""The row of a refusal says who asked for what, as far as it was read: its client looks it up by that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.keys import KeyLimits
from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.base import Done, Ledger
from streamgauge.ledger.passing import PassingLedger

from .stand import stand, until
from .test_limits import keyed

CHAT = "/v1/chat/completions"
PATH = "/v1/embeddings"
HEADERS = {
    "x_request_id": "the-clients-own",
    "x_session_id": "a-session",
    "user_agent": "an-app/1.0",
}
BODY = {"model": "nobody-has-it", "input": "hi"}
KNOWN = {"client_request_id": "the-clients-own", "client_app": "an-app/1.0"}
ASKED = {"session_id": "a-session", "requested_model": "nobody-has-it", "streaming": False}


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (BODY, HEADERS, 404, KNOWN | ASKED),
        (b"{", HEADERS, 400, KNOWN | dict.fromkeys(ASKED)),
        (BODY, {**HEADERS, "content_type": "text/csv"}, 415, KNOWN | dict.fromkeys(ASKED)),
        (BODY, {"x_client_request_id": "b"}, 404, {"client_request_id": "b", "client_app": None}),
    ],
    ids=["routed", "unreadable", "by its head", "other name"],
)
@pytest.mark.asyncio
async def test_a_refused_request_is_found_by_what_its_client_called_it(
    tmp_path: Path, body: Any, headers: dict[str, str], status: int, told: dict[str, Any]
) -> None:
    async with stand(tmp_path, kind="anthropic") as it:  # which has no embeddings
        answer = await it.ask(PATH, body, **headers)
        row = await it.row(answer.id)
    assert (answer.status, row["status"]) == (status, "rejected")
    assert {name: row[name] for name in told} == told
    sources = ("usage_source", "input_source", "tps_source", "cost_reason")
    assert [row[name] for name in sources] == ["none", "none", "none", "usage_unknown"]


@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
@pytest.mark.asyncio
async def test_a_known_key_is_told_whether_or_not_its_body_was_read(
    tmp_path: Path, kind: str
) -> None:
    async with keyed(tmp_path, KeyLimits()) as it:
        headers = {"authorization": "Bearer sk-sg-one", "content_type": kind}
        answer = await it.it.ask("/v1/chat/completions", b"{", **headers)
        row = await it.it.row(answer.id)
    assert (row["status"], row["key_id"]) == ("rejected", "id-of-sk-sg-one")


@pytest.mark.parametrize("half_close", [False, True])
@pytest.mark.parametrize("ending", ["fin", "reset"])
@pytest.mark.asyncio
async def test_a_client_that_leaves_before_its_body_has_come_has_a_row(
    tmp_path: Path, ending: str, half_close: bool
) -> None:
    config = {"server": {"half_close": half_close}}
    async with keyed(tmp_path, KeyLimits(), config=config) as made:
        it = made.it
        for path in (CHAT, "/v1/messages/count_tokens", CHAT):
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(
                b"POST %b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-sg-one\r\n"
                b"x-request-id: cut\r\ncontent-length: 100\r\n\r\n{" % path.encode()
            )
            await writer.drain()
            if ending == "fin":
                writer.write_eof()
                assert await reader.read() == b""
            else:
                await until(lambda: it.gateway.client_sockets == 1)
                writer.transport.abort()
            await until(lambda: it.gateway.client_sockets == 0)
            writer.close()
        rows = await it.rows()
        assert [seen for seen in it.simulator.requests if seen.method == "POST"] == []
    assert [(row["status"], row["http_status"], row["error_code"]) for row in rows] == [
        ("client_disconnected", None, None)
    ] * 2
    assert {(row["key_id"], row["client_request_id"], row["attempts"]) for row in rows} == {
        ("id-of-sk-sg-one", "cut", 0)
    }


@pytest.mark.parametrize(
    ("rest", "status", "row"),
    [
        (b'2\r\n{"\r\n0\r\n\r\n', b"400", "rejected"),
        (b"no size\r\n", b"400", None),
        (b"ffffffff\r\n", b"413", "rejected"),
    ],
    ids=["read", "broken", "too large"],
)
@pytest.mark.asyncio
async def test_a_body_that_came_later_leaves_one_row_at_most(
    tmp_path: Path, rest: bytes, status: bytes, row: str | None
) -> None:
    async with stand(tmp_path) as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n" % CHAT.encode()
        )
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")  # the head is read
        writer.write(rest)
        assert (await reader.readuntil(b"\r\n")).split()[1] == status
        writer.close()
        await until(lambda: it.gateway.client_sockets == 0)
        rows = await it.rows()
    assert [each["status"] for each in rows] == ([] if row is None else [row])


class BreaksOnce(PassingLedger):
    """A ledger that takes the first begin, and then fails as only a fault of ours would."""

    __slots__ = ("begun",)

    def __init__(self, inner: Ledger) -> None:
        super().__init__(inner)
        self.begun = 0

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """Begin; the first one breaks."""
        super().begin(record, attempt, done)
        self.begun += 1
        if self.begun == 1:
            raise RuntimeError("a fault of our own")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_fault_of_our_own_at_the_start_leaves_one_row(tmp_path: Path, stream: bool) -> None:
    body = {"model": "sim", "messages": [], "stream": stream}
    async with stand(tmp_path, around=BreaksOnce) as it, it.client() as client:
        await client.post(CHAT, body)
        failed = await client.answer()
        row = await it.row(failed.id)
        await client.post(CHAT, body)  # the connection, and the gateway, go on
        assert (await client.answer()).status == 200
        await until(lambda: not it.gateway.relays)
        rows = await it.rows()
        assert len(it.simulator.begun) == 1
    assert (failed.status, failed.json()["error"]["code"]) == (500, "overloaded")
    assert (row["status"], row["http_status"], row["attempts"]) == ("rejected", 500, 1)
    assert sorted(each["status"] for each in rows) == ["completed", "rejected"]


@pytest.mark.parametrize("key", ["sk-sg-one", "sk-sg-nobodys"])
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"content-length: 1048577\r\n\r\n", 413),
        (b"transfer-encoding: chunked\r\n\r\n100001\r\n", 413),
        (b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", 415),
        (b"content-length: 2\r\n\r\n{", 408),
    ],
    ids=["long", "long in chunks", "encoded", "late"],
)
@pytest.mark.asyncio
async def test_what_the_connection_itself_refuses_is_found_by_its_clients_name_and_key(
    tmp_path: Path, fields: bytes, status: int, key: str
) -> None:
    config = {"server": {"max_body_mb": 1, "body_seconds": 0.01}}
    async with keyed(tmp_path, KeyLimits(), config=config) as made:
        async with made.it.client() as client:
            client.writer.write(
                b"POST %b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\n"
                b"x-request-id: the-clients-own\r\nuser-agent: an-app/1.0\r\n%b"
                % (CHAT.encode(), key.encode(), fields)
            )
            answer = await client.answer()
        rows = await made.it.rows()
    if key == "sk-sg-nobodys":
        assert (answer.status in (status, 401), rows) == (True, [])
        return
    [row] = rows
    assert (answer.status, row["http_status"], row["id"]) == (status, status, answer.id)
    assert {name: row[name] for name in KNOWN} == KNOWN
    assert row["key_id"] == "id-of-sk-sg-one"
