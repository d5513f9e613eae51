"""`GET /v1/streams/{id}`, running and ended, and the stop of an admin, whoever's the stream is."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from streamgauge.cli.control_listener import ControlListener, GatewayPlane
from streamgauge.core.keys import Caller
from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.ledger.base import Done, Ledger
from streamgauge.ledger.passing import PassingLedger

from .session_clients import CHAT, MESSAGES, begin, finish, talk
from .stand import Client, Stand, stand, until
from .test_control import controlled
from .test_keys import bearer
from .test_keys_inside import knowing

UNKNOWN = "0" * 32

pytestmark = pytest.mark.asyncio


async def state_of(it: Stand, stream_id: str, **headers: str) -> dict[str, Any]:
    """Return the page of a stream."""
    answer = await it.get(f"/v1/streams/{stream_id}", **headers)
    assert answer.status == 200, answer.body
    page: dict[str, Any] = answer.json()
    return page


async def asked(it: Stand, client: Client, body: dict[str, Any]) -> str:
    """Send a request, and return the id of its stream before anything of it has come."""
    await client.post(CHAT, body)
    await until(lambda: bool(it.gateway.relays) and bool(it.simulator.begun))
    return next(iter(it.gateway.relays))


async def test_the_state_goes_with_the_stream_from_its_prefill_to_its_end(tmp_path: Path) -> None:
    body = talk("w", 40, 10)
    body["sim"]["first_ms"] = 400
    async with stand(tmp_path) as it, it.client() as client:
        stream_id = await asked(it, client, body)
        early = await state_of(it, stream_id)
        status, _ = await client.head()
        while b'"w' not in (await client.chunk() or b""):
            pass
        later = await state_of(it, stream_id)
        while await client.chunk():
            pass
        row = await it.row(stream_id)
        done = await state_of(it, stream_id)
    assert status == 200
    assert (early["state"], early["status"]) == ("prefill", "in_flight")
    assert (early["ttft_ms"], early["output_tokens"], early["finished_at"]) == (None, None, None)
    assert (later["state"], later["usage_source"]) == ("streaming", "counted")
    assert later["ttft_ms"] == row["ttft_ms"]
    assert 0 < later["output_tokens"] <= later["frames_out"] < row["frames_out"]
    assert done["state"] == "done"
    assert done == {"state": "done"} | {name: row[name] for name in done if name != "state"}
    assert early.keys() == later.keys() == done.keys()


class HeldBegins(PassingLedger):
    """A ledger whose open rows are committed when the test says so."""

    __slots__ = ("held",)

    def __init__(self, inner: Ledger) -> None:
        super().__init__(inner)
        self.held: list[tuple[ExchangeRecord, AttemptRecord, Done]] = []

    def begin(self, record: ExchangeRecord, attempt: AttemptRecord, done: Done) -> None:
        """Keep it."""
        self.held.append((record, attempt, done))

    def release(self) -> None:
        """Commit what was kept."""
        for each in self.held:
            super().begin(*each)


async def test_before_an_upstream_has_the_request_it_is_connecting(tmp_path: Path) -> None:
    ledgers: list[HeldBegins] = []

    def around(ledger: Ledger) -> HeldBegins:
        ledgers.append(HeldBegins(ledger))
        return ledgers[0]

    async with stand(tmp_path, around=around) as it, it.client() as client:
        await client.post(CHAT, talk("w", 3))
        await until(lambda: bool(it.gateway.relays))
        page = await state_of(it, next(iter(it.gateway.relays)))
        ledgers[0].release()
        assert (await client.answer()).clean
    assert (page["state"], page["upstream"]) == ("connecting", "sim")
    assert (page["bytes_in"], page["latency_ms"], page["usage_source"]) == (None, None, "none")


async def test_a_stream_that_is_read_on_without_its_client_is_draining(tmp_path: Path) -> None:
    async with stand(tmp_path, on_disconnect="drain") as it, it.client() as client:
        stream = await begin(client, MESSAGES, talk("w"))
        client.abort()
        await until(lambda: it.gateway.relays[stream.id].exchange.draining)
        page = await state_of(it, stream.id)
        stopped = await it.ask(f"/v1/streams/{stream.id}/stop", {})
        row = await it.row(stream.id)
    assert page["state"] == "draining"
    assert stopped.status == 200
    assert row["status"] == "client_disconnected", "how it ended was settled before"


async def test_who_asks_changes_nothing_of_the_row(tmp_path: Path) -> None:
    rows = []
    async with stand(tmp_path) as it:
        for looks in (0, 40):
            async with it.client() as client:
                stream = await begin(client, CHAT, talk("w", 60))
                for _ in range(looks):
                    await state_of(it, stream.id)
                await finish(stream)
            rows.append(await it.row(stream.id))
    told = ("status", "output_tokens", "usage_source", "frames_in", "frames_out", "anomalies")
    assert [rows[0][name] for name in told] == [rows[1][name] for name in told]


async def test_an_ended_stream_is_told_to_its_own_key_alone(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        ann, bob = await knowing(it, Caller("", "ann"), Caller("", "bob"))
        done = await it.ask(CHAT, talk("w", 3), **bearer(ann.text))
        await it.row(done.id)
        own = await state_of(it, done.id, **bearer(ann.text))
        foreign = await it.get(f"/v1/streams/{done.id}", **bearer(bob.text))
        unknown = await it.get(f"/v1/streams/{UNKNOWN}", **bearer(ann.text))
    assert (own["state"], own["status"], own["success"]) == ("done", "completed", True)
    assert (foreign.status, unknown.status) == (404, 404)


async def test_a_ledger_that_cannot_be_read_is_no_unknown_stream(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        (tmp_path / "ledger.db").rename(tmp_path / "away.db")
        answer = await it.get(f"/v1/streams/{UNKNOWN}")
        (tmp_path / "away.db").rename(tmp_path / "ledger.db")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "ledger_unavailable")


# --- an admin -------------------------------------------------------------------------------------


def post(listener: ControlListener, path: str) -> tuple[int, Any]:
    """Ask the control listener."""
    connection = http.client.HTTPConnection(listener.url.removeprefix("http://"), timeout=30)
    connection.request("POST", path, b"{}", {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_an_admin_stops_any_keys_stream(path: str, tmp_path: Path) -> None:
    async with stand(tmp_path) as it, controlled(it, GatewayPlane) as (_, listener):
        (ann,) = await knowing(it, Caller("", "ann"))
        async with it.client() as client:
            stream = await begin(client, path, talk("w"), **bearer(ann.text))
            answers = [
                await asyncio.to_thread(post, listener, f"/admin/streams/{each}/stop")
                for each in (stream.id, stream.id, UNKNOWN)
            ]
            told = await finish(stream)
        row = await it.row(stream.id)
    assert [status for status, _ in answers] == [200, 404, 404]
    assert answers[0][1] == {"id": stream.id, "stopped": True}
    assert told.error == "stream_cancelled"
    assert (row["status"], row["key_id"]) == ("cancelled", ann.key_id)
