"""Clients that lose their connection and read on: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.keys import Caller, KeyLimits
from streamgauge.core.verdict import State

from ..timed import in_time
from .resuming import CHAT, Reading, chat, config
from .sdk_calls import chat_chunks, message_events
from .stand import stand, until
from .test_keys import bearer
from .test_keys_inside import knowing
from .test_leaving import CLOSED_WITHIN, leave

TEXT = "Grüße – 你好, 👋 said the gateway."


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("by_header", [False, True])
@pytest.mark.asyncio
async def test_a_stream_that_was_cut_goes_on_where_it_was(
    how: str, by_header: bool, tmp_path: Path
) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it:
        async with it.client() as client:
            await reading.begin(client, chat(tokens=60, gap_ms=8))
            await reading.read(client, 5)
            leave(client, how)
        async with it.client() as client:
            assert await reading.take_up(it, client, by_header=by_header) == 200
            await reading.read(client)
        row = await it.row(reading.stream_id)
        whole = await it.ask(CHAT, chat(tokens=60))
        assert len(it.simulator.begun) == 2
    assert reading.ended
    assert reading.numbers == list(range(1, row["frames_out"] + 1))
    assert reading.events[-1][1] == b"[DONE]"
    plain = Reading()
    plain.feed(whole.body)
    assert not plain.events
    assert (row["status"], row["success"], row["delivered"]) == ("completed", True, "all")
    assert (row["output_tokens"], row["disposition"]) == (60, "read_to_end")


@pytest.mark.asyncio
async def test_an_end_that_nobody_saw_is_fetched_later(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it:
        async with it.client() as client:
            await reading.begin(client, chat(tokens=30, gap_ms=15))
            await reading.read(client, 3)
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 5)
        assert entry.ending == "complete"
        assert it.gateway.relays  # its row waits for the client
        async with it.client() as client:
            assert await reading.take_up(it, client) == 200
            await reading.read(client)
        row = await it.row(reading.stream_id)
        assert not it.gateway.relays
        async with it.client() as client:  # and once more: an EventSource is told to stop
            assert await reading.take_up(it, client) == 204
        again = Reading(reading.stream_id)
        async with it.client() as client:
            assert await again.take_up(it, client) == 200
            await again.read(client)
    assert it.gateway.ledger.stats().double_closes == 0
    assert reading.ended
    assert reading.numbers == list(range(1, row["frames_out"] + 1))
    assert again.events == reading.events
    assert (row["status"], row["delivered"]) == ("completed", "all")


@pytest.mark.asyncio
async def test_an_end_that_waits_gives_its_place_to_the_keys_next_call(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it:
        (ann,) = await knowing(it, Caller("", "ann", limits=KeyLimits(max_streams=1)))
        async with it.client() as client:
            await reading.begin(client, chat(tokens=30, gap_ms=15), **bearer(ann.text))
            await reading.read(client, 3)
        beside = await it.ask(CHAT, chat(tokens=1), **bearer(ann.text))
        await asyncio.wait_for(it.simulator.until_ended(1), 5)
        await until(lambda: it.gateway.relays[reading.stream_id].exchange.state is State.DRAINING)
        behind = await it.ask(CHAT, chat(tokens=1), **bearer(ann.text))
        assert reading.stream_id in it.gateway.relays, "it still waits for its client"
        async with it.client() as client:
            assert await reading.take_up(it, client, **bearer(ann.text)) == 200
            await reading.read(client)
        row = await it.row(reading.stream_id)
    assert (beside.status, behind.status) == (429, 200)
    assert (row["status"], reading.ended, it.gateway.limiting.holds) == ("completed", True, 0)


@pytest.mark.parametrize("mode", ["cancel", "drain"])
@pytest.mark.asyncio
async def test_who_does_not_come_back_has_left(mode: str, tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(0.3), on_disconnect=mode) as it:
        async with it.client() as client:
            await reading.begin(client, chat(tokens=150, gap_ms=10))
            await reading.read(client, 3)
            left_at = leave(client, "fin")
        entry = await asyncio.wait_for(it.simulator.until_ended(1), 10)
        row = await it.row(reading.stream_id)
        async with it.client() as client:
            assert await reading.take_up(it, client) == 404
        assert (len(it.gateway.resuming), it.gateway.resuming.bytes) == (0, 0)
    assert (row["status"], row["delivered"]) == ("client_disconnected", "part")
    if mode == "cancel":
        assert entry.ending == "client_closed"
        assert entry.closed_at is not None
        assert entry.closed_at - left_at >= 0.3
        in_time(entry.closed_at - left_at, 0.3 + 5 * CLOSED_WITHIN)
        assert (row["disposition"], row["success"]) == ("cancelled", False)
    else:
        assert (entry.ending, row["disposition"]) == ("complete", "drained")
        assert row["success"]


@pytest.mark.asyncio
async def test_an_answer_that_nobody_fetched_was_not_delivered(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(0.6)) as it:
        async with it.client() as client:
            await reading.begin(client, chat(tokens=10, gap_ms=30))
            await reading.read(client, 2)
        row = await it.row(reading.stream_id)
    assert (row["status"], row["success"]) == ("client_disconnected", True)
    assert (row["delivered"], row["disposition"]) == ("part", "read_to_end")
    assert (row["output_tokens"], row["usage_source"]) == (10, "provider")


@pytest.mark.asyncio
async def test_a_second_reader_takes_the_place_of_the_first(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it, it.client() as first:
        await reading.begin(first, chat(tokens=80, gap_ms=5))
        await reading.read(first, 4)
        before = len(reading.events)
        async with it.client() as second:
            assert await reading.take_up(it, second) == 200
            await reading.read(second)
        cut = Reading(reading.stream_id)
        await cut.read(first)
        row = await it.row(reading.stream_id)
    assert not cut.ended  # its body did not end by its framing
    assert reading.ended
    assert before < len(reading.events)
    assert reading.numbers == list(range(1, row["frames_out"] + 1))


@pytest.mark.asyncio
async def test_what_was_never_asked_to_wait_waits_for_nobody(tmp_path: Path) -> None:
    async with stand(tmp_path, config=config(20)) as it, it.client() as client:
        await client.post(CHAT, chat(tokens=500, gap_ms=5))
        _, head = await client.head()
        assert b"id: " not in (await client.chunk() or b"")
        leave(client, "fin")
        row = await it.row(head["x-streamgauge-stream-id"])
    assert row["status"] == "client_disconnected"


@pytest.mark.asyncio
async def test_wrong_places_are_refused(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it, it.client() as client:
        await reading.begin(client, chat(tokens=200, gap_ms=5))
        await reading.read(client, 3)
        path = f"/v1/streams/{reading.stream_id}/events"
        assert (await it.get("/v1/streams/0123456789abcdef0123/events")).status == 404
        assert (await it.get(f"{path}?after=100000")).status == 400
        assert (await it.get(f"{path}?after=x")).status == 400
        assert (await it.get(path, last_event_id="another:3")).status == 400
        assert (await it.get(path, last_event_id=f"{reading.stream_id}:-1")).status == 400
        assert (await it.ask(path, {})).status == 405
        await reading.read(client)  # none of them has disturbed it
    assert reading.ended


@pytest.mark.asyncio
async def test_a_failure_while_the_client_was_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it:
        async with it.client() as client:
            await reading.begin(client, chat(fault="cut", after=30, gap_ms=15))
            await reading.read(client, 3)
        row = await it.row(reading.stream_id)
        async with it.client() as client:
            assert await reading.take_up(it, client) == 200
            await reading.read(client)
    assert row["status"] == "stream_incomplete"
    assert reading.ended
    assert reading.numbers == list(range(1, row["frames_out"] + 1))
    assert b"stream_incomplete" in reading.events[-1][1]


@pytest.mark.asyncio
async def test_a_stop_reaches_a_stream_whose_client_is_away(tmp_path: Path) -> None:
    reading = Reading()
    async with stand(tmp_path, config=config(20)) as it:
        async with it.client() as client:
            await reading.begin(client, chat(tokens=5000, gap_ms=5))
            await reading.read(client, 3)
        assert (await it.ask(f"/v1/streams/{reading.stream_id}/stop", {})).status == 200
        row = await it.row(reading.stream_id)
        async with it.client() as client:
            assert await reading.take_up(it, client) == 200
            await reading.read(client)
    assert row["status"] == "cancelled"
    assert b"stream_cancelled" in reading.events[-1][1]


@pytest.mark.asyncio
async def test_a_stop_of_the_gateway_closes_the_rows_of_the_absent(tmp_path: Path) -> None:
    ended, running = Reading(), Reading()
    async with stand(tmp_path, config=config(20)) as it:
        for reading, tokens in ((ended, 4), (running, 5000)):
            async with it.client() as client:
                await reading.begin(client, chat(tokens=tokens, gap_ms=50))
                await reading.read(client, 2)
        await asyncio.wait_for(it.simulator.until_ended(1), 5)
        await until(lambda: it.gateway.relays[ended.stream_id].exchange.state.name == "DRAINING")
        await it.gateway.stop(0.0)
        statuses = {key: record.status.value for key, record in it.notes.records.items()}
        assert (len(it.gateway.resuming), it.gateway.resuming.bytes) == (0, 0)
    assert statuses == {
        ended.stream_id: "client_disconnected",
        running.stream_id: "shutdown",
    }


@pytest.mark.parametrize("mode", ["off", "comment", "chunk"])
@pytest.mark.asyncio
async def test_the_sdks_read_streams_with_ids_as_ever(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sim: Any = {"sim": {"text": TEXT, "reasoning": 2}}
    asked = {"extra_headers": {"x-streamgauge-resume": "1"}, "extra_body": sim}
    async with stand(tmp_path, config=config(20, metadata=mode)) as it:
        chunks = await chat_chunks(it, **asked)
        events, message = await message_events(it, **asked)
        rows = await it.rows()
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == TEXT
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert [block.text for block in message.content if block.type == "text"] == [TEXT]
    assert events[-1].type == "message_stop"
    assert [row["status"] for row in rows] == ["completed", "completed"]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.asyncio
async def test_keep_alives_are_no_events_between_ids(dialect: str, tmp_path: Path) -> None:
    """A comment with a blank line behind it would be an empty event once an id was read."""
    quiet = {"server": {"keepalive_seconds": 1}, "metadata": "comment"}
    reading = Reading()
    sim = {"tokens": 4, "first_ms": 1300}
    path = "/v1/messages" if dialect == "anthropic" else CHAT
    async with stand(tmp_path, config=config(20, **quiet)) as it, it.client() as client:
        await reading.begin(client, {**chat(**sim), "max_tokens": 9}, path)
        await reading.read(client)
        row = await it.row(reading.stream_id)
    assert reading.numbers == list(range(1, row["frames_out"] + 1))
    assert all(b"ping" in payload for payload in reading.unnumbered)
    assert reading.blank == 0


@pytest.mark.parametrize("kind", ["sim", "anthropic"])
@pytest.mark.asyncio
async def test_a_message_goes_on_too_passed_on_or_translated(kind: str, tmp_path: Path) -> None:
    reading = Reading()
    flavour = "anthropic" if kind == "anthropic" else "llamacpp"
    config_ = config(20, metadata="comment")
    async with stand(tmp_path, kind=kind, flavour=flavour, config=config_) as it:
        async with it.client() as client:
            body = {**chat(tokens=40, gap_ms=10), "max_tokens": 99}
            await reading.begin(client, body, "/v1/messages")
            await reading.read(client, 6)
            leave(client, "reset")
        async with it.client() as client:
            assert await reading.take_up(it, client, by_header=True) == 200
            await reading.read(client)
        row = await it.row(reading.stream_id)
    assert reading.ended
    assert reading.numbers == list(range(1, row["frames_out"] + 1))
    assert b"message_start" in reading.events[0][1]
    assert b"message_stop" in reading.events[-1][1]
    assert (row["status"], row["output_tokens"]) == ("completed", 40)
