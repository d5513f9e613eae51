"""Client keys at a gateway in this process: bodies, streams, models and memory (FAULTS S2, S3, S8, S23)."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.keys import Caller
from streamgauge.ledger.keys import KeyStore, NewKey, RingReader

from .stand import Stand, stand, until
from .test_keys import ASKED, CHAT, HELLO, MESSAGES, STRANGER, bearer, code_of

SLOW = {**ASKED[CHAT], "sim": {"tokens": 400, "gap_ms": 50}}


async def knowing(it: Stand, *callers: Caller) -> list[NewKey]:
    """Make a key for each caller in the running ledger, and let the gateway know them."""
    path = it.folder / "ledger.db"
    with KeyStore(path, lambda: time.time_ns() // 1000) as store:
        made = [store.create(caller) for caller in callers]
    with closing(RingReader(path)) as reader:
        it.gateway.callers.apply(reader.read()[1])
    return made


@pytest.mark.asyncio
async def test_a_wrong_key_is_refused_before_the_body_has_come(tmp_path: Path) -> None:
    heads = {
        401: ["content-length: 1000000", f"x-api-key: {STRANGER}"],
        413: ["content-length: 99999999999"],
        415: ["content-length: 9", "content-encoding: gzip"],
    }
    async with stand(tmp_path) as it:
        await knowing(it, Caller("", "ann"))
        for wanted, fields in heads.items():
            async with it.client() as client:
                lines = [f"POST {CHAT} HTTP/1.1", "host: 127.0.0.1", *fields, "", ""]
                client.writer.write("\r\n".join(lines).encode())
                answer = await asyncio.wait_for(client.answer(), 5)
            assert answer.status == wanted
        rows = await it.rows()
        counted = dict(it.gateway.refusals.unrecorded)
        sent = it.simulator.requests
    assert rows == [], "who showed no key leaves no row, whatever was wrong"
    assert counted == {"unauthorized": 1, "bad_request": 2}
    assert [request for request in sent if request.method == "POST"] == []


@pytest.mark.asyncio
async def test_wrong_keys_run_out_of_tries_and_right_ones_do_not(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        (ann,) = await knowing(it, Caller("", "ann"))
        answers = [await it.ask(CHAT, ASKED[CHAT], **bearer(STRANGER)) for _ in range(14)]
        right = await it.ask(CHAT, ASKED[CHAT], **bearer(ann.text))
    assert [answer.status for answer in answers[:10]] == [401] * 10
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert code_of(CHAT, answers[-1]) == ("rate_limit_error", "unauthorized")
    assert right.status == 200


@pytest.mark.asyncio
async def test_another_keys_stream_is_not_there(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        ann, bob = await knowing(it, Caller("", "ann"), Caller("", "bob"))
        async with it.client() as client:
            await client.post(CHAT, SLOW, **bearer(ann.text))
            _, headers = await client.head()
            stream = headers["x-request-id"]
            page, body = f"/v1/streams/{stream}", {"stream_id": stream}
            foreign = [
                await it.get(page, **bearer(bob.text)),
                await it.ask(page + "/stop", {}, **bearer(bob.text)),
                await it.ask("/v1/chat/stop", body, **bearer(bob.text)),
            ]
            nobody = [await it.get(page), await it.ask(page + "/stop", {})]
            own = await it.get(page, **bearer(ann.text))
            stopped = await it.ask("/v1/chat/stop", body, **bearer(ann.text))
        row = await it.row(stream)
    assert [answer.status for answer in foreign] == [404] * 3
    assert [answer.status for answer in nobody] == [401] * 2
    assert (own.status, stopped.status) == (200, 200)
    assert (row["status"], row["key_id"]) == ("cancelled", ann.key_id)


@pytest.mark.asyncio
async def test_a_model_outside_the_keys_globs_is_a_403_with_its_row(tmp_path: Path) -> None:
    async with stand(tmp_path, models=["qwen3-8b", "gpt-5"]) as it:
        ann, bob = await knowing(it, Caller("", "ann", ("qwen3-*",)), Caller("", "bob"))
        answers = {}
        for path, body in ASKED.items():
            answers[path] = await it.ask(path, {**body, "model": "gpt-5"}, **bearer(ann.text))
            allowed = await it.ask(path, {**body, "model": "qwen3-8b"}, **bearer(ann.text))
            assert allowed.status == 200
        spare = {**ASKED[CHAT], "model": "qwen3-8b", "models": ["qwen3-8b", "gpt-5"]}
        hidden = await it.ask(CHAT, spare, **bearer(ann.text))
        assert (await it.ask(CHAT, spare, **bearer(bob.text))).status == 200
        count = {"model": "gpt-5", "messages": HELLO}
        counted = await it.ask(MESSAGES + "/count_tokens", count, **bearer(ann.text))
        listed = (await it.get("/v1/models", **bearer(ann.text))).json()["data"]
        other = (await it.get("/v1/models", **bearer(bob.text))).json()["data"]
        refused = [row for row in await it.rows() if row["status"] == "rejected"]
    for path, answer in answers.items():
        assert (answer.status, code_of(path, answer)) == (403, ("permission_error", "unauthorized"))
    assert (hidden.status, "'gpt-5'" in hidden.json()["error"]["message"]) == (403, True)
    assert counted.status == 403
    assert [row["http_status"] for row in refused] == [403, 403, 403]
    assert [model["id"] for model in listed] == ["qwen3-8b"]
    assert {"qwen3-8b", "gpt-5"} <= {model["id"] for model in other}


@pytest.mark.asyncio
async def test_a_key_that_dies_while_the_body_comes_is_refused_behind_it(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        (ann,) = await knowing(it, Caller("", "ann"))
        raw = json.dumps(ASKED[CHAT]).encode()
        async with it.client() as client:
            lines = [f"POST {CHAT} HTTP/1.1", "host: 127.0.0.1", f"x-api-key: {ann.text}",
                     f"content-length: {len(raw)}", "expect: 100-continue"]  # fmt: skip
            client.writer.write("\r\n".join([*lines, "", ""]).encode())
            assert (await client.head())[0] == 100
            with KeyStore(it.folder / "ledger.db", lambda: 0) as store:
                store.revoke(ann.key_id)
            with closing(RingReader(it.folder / "ledger.db")) as reader:
                it.gateway.callers.apply(reader.read()[1])
            client.writer.write(raw)
            answer = await client.answer()
        assert await it.rows() == []
    assert answer.status == 401


@pytest.mark.asyncio
async def test_nothing_that_the_gateway_keeps_in_memory_holds_a_key(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        (ann,) = await knowing(it, Caller("", "ann"))
        for key in (ann.text, STRANGER):
            await it.ask(CHAT, ASKED[CHAT], **bearer(key))
        await until(lambda: not it.gateway.relays)
        gateway = it.gateway
        config = repr(gateway.generation.config) + gateway.generation.config.model_dump_json()
        kept = list(texts_below(gateway.generation, gateway.callers, gateway.refusals))
    assert len(kept) > 100
    for text in (ann.text, STRANGER):
        assert text not in config
        assert not [one for one in kept if text in one]


def texts_below(*roots: object) -> Any:
    """Yield each text that `roots` lead to, code and modules left out."""
    seen: set[int] = set()
    left = list(roots)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, (type, type(os), type(texts_below))):
            continue
        seen.add(id(one))
        if isinstance(one, bytes):
            yield one.decode("latin-1")
        elif isinstance(one, str):
            yield one
        else:
            left += gc.get_referents(one)
