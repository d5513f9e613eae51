"""Client keys on the real process and by the real command line (SPEC §15.1, FAULTS S1, S2, S3, S5, S23)."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.keys import Caller, key_text
from streamgauge.ledger.key_watch import POLL_SECONDS
from streamgauge.ledger.keys import KeyStore, NewKey, RingReader
from streamgauge.tools.simulator import Simulator

from .process import SOURCES, GatewayProcess, closed_rows, serving
from .stand import Answer, Stand, stand, until

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HELLO = [{"role": "user", "content": "hi"}]
ASKED = {
    CHAT: {"model": "sim", "stream": True, "messages": HELLO, "sim": {"tokens": 3}},
    MESSAGES: {"model": "sim", "stream": True, "max_tokens": 9, "messages": HELLO},
}
SLOW = {**ASKED[CHAT], "sim": {"tokens": 400, "gap_ms": 50}}
STRANGER = key_text(b"\x01" * 32)


async def command(folder: Path, *arguments: str) -> str:
    """Run `streamgauge keys` on the ledger in `folder`; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamgauge", "keys", *arguments),
        *("--ledger", str(folder / "ledger.db")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES), "HOME": str(folder)},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def a_key(folder: Path, label: str, *arguments: str) -> dict[str, str]:
    made: dict[str, str] = json.loads(
        await command(folder, "create", "--label", label, "--json", *arguments)
    )
    return made


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def status(gateway: GatewayProcess, key: str | None) -> int:
    answer = await gateway.ask(CHAT, ASKED[CHAT], **({} if key is None else bearer(key)))
    return answer.status


async def becomes(gateway: GatewayProcess, key: str | None, wanted: int) -> float:
    """Ask until the answer is `wanted`; return the seconds that it took."""
    began = time.monotonic()
    while await status(gateway, key) != wanted:
        assert time.monotonic() - began < 10, f"it never became {wanted}"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def code_of(path: str, answer: Answer) -> tuple[str, str]:
    error = answer.json()["error"]
    return error["type"], error["code"]


@pytest.mark.asyncio
async def test_the_first_key_shuts_the_door_and_each_change_is_seen_within_a_second(
    tmp_path: Path,
) -> None:
    simulator = Simulator()
    await simulator.start()
    try:
        async with serving(tmp_path, simulator) as gateway:
            assert await status(gateway, None) == 200
            ann = await a_key(tmp_path, "ann")
            took = {"shut": await becomes(gateway, None, 401)}
            assert await status(gateway, ann["key"]) == 200
            rotated = json.loads(await command(tmp_path, "rotate", ann["id"], "--json"))
            took["rotated"] = await becomes(gateway, ann["key"], 401)
            assert await status(gateway, rotated["key"]) == 200
            brief = await a_key(tmp_path, "brief", "--expires", "2s")
            await becomes(gateway, brief["key"], 200)
            await becomes(gateway, brief["key"], 401)
            await command(tmp_path, "revoke", ann["id"])
            took["revoked"] = await becomes(gateway, rotated["key"], 401)
            assert await status(gateway, None) == 401, "without the last key it stays shut"
            (row, *_) = [
                json.loads(x) for x in (await command(tmp_path, "ls", "--json")).split("\n") if x
            ]
    finally:
        await simulator.aclose()
    # From the command's end on; a look takes up to POLL_SECONDS.
    assert max(took.values()) < 5 * POLL_SECONDS, took
    assert row["state"] == "revoked"
    assert row["last_used_at"] is not None


@pytest.mark.asyncio
async def test_only_a_right_key_is_served_in_both_dialects_and_both_headers(tmp_path: Path) -> None:
    simulator = Simulator()
    await simulator.start()
    try:
        ann = await a_key(tmp_path, "ann")
        async with serving(tmp_path, simulator) as gateway:
            for path, body in ASKED.items():
                for right in (bearer(ann["key"]), {"x_api_key": ann["key"]}):
                    assert (await gateway.ask(path, body, **right)).status == 200
                for wrong in ({}, bearer(STRANGER), {"x_api_key": ann["key"][:-1]}):
                    answer = await gateway.ask(path, body, **wrong)
                    assert answer.status == 401
                    assert code_of(path, answer) == ("authentication_error", "unauthorized")
                    assert answer.headers["www-authenticate"] == "Bearer"
                both = await gateway.ask(path, body, **bearer(ann["key"]), x_api_key=STRANGER)
                assert (both.status, code_of(path, both)[1]) == (400, "bad_request")
            pages = {path: (await gateway.get(path)).status for path in ("/healthz", "/readyz")}
            models = (await gateway.get("/v1/models")).status
            rows = await closed_rows(tmp_path, 4)
    finally:
        await simulator.aclose()
    assert pages == {"/healthz": 200, "/readyz": 200}
    assert models == 401
    assert [row["key_id"] for row in rows] == [ann["id"]] * 4, "nobody's request leaves no row"


@pytest.mark.asyncio
async def test_a_listener_beyond_loopback_starts_only_with_a_key_or_the_flag(
    tmp_path: Path,
) -> None:
    # Not written as loopback is, and yet nothing outside this machine is bound.
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    upstream = "sim=http://127.0.0.1:9"
    where = ("--host", "127.1", "--port", "0", "--ledger", ledger, "--upstream", upstream)
    without = await GatewayProcess.launch(*where, cwd=tmp_path)
    assert await without.exit() == 3
    assert "streamgauge keys create" in without.lines[-1]
    await a_key(tmp_path, "ann")
    answers = []
    for more in ((), ("--insecure-no-auth",)):
        gateway = await GatewayProcess.launch(*where, *more, cwd=tmp_path)
        try:
            await gateway.ready(time.monotonic())
            answers.append(await status(gateway, None))
        finally:
            await gateway.kill()
    assert answers == [401, 401], "where a key exists it is asked for"
    bare = (*where[:4], "--ledger", f"sqlite:///{tmp_path / 'bare.db'}", *where[6:])
    gateway = await GatewayProcess.launch(*bare, "--insecure-no-auth", cwd=tmp_path)
    try:
        await gateway.ready(time.monotonic())
        assert await status(gateway, None) == 502
    finally:
        await gateway.kill()


@pytest.mark.asyncio
async def test_a_lost_secret_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    await a_key(tmp_path, "ann")
    (tmp_path / "ledger.db.keys-secret").unlink()
    where = ("--ledger", f"sqlite:///{tmp_path / 'ledger.db'}", "--port", "0")
    gateway = await GatewayProcess.launch(
        *where, "--upstream", "sim=http://127.0.0.1:9", cwd=tmp_path
    )
    assert await gateway.exit() == 4
    assert "keys-secret is missing" in gateway.lines[-1]


@pytest.mark.asyncio
async def test_a_key_is_in_no_file_no_log_line_no_answer_and_never_reaches_the_upstream(
    tmp_path: Path,
) -> None:
    simulator = Simulator()
    await simulator.start()
    told: list[bytes] = []
    try:
        ann = await a_key(tmp_path, "ann", "--models", "sim")
        secret = (tmp_path / "ledger.db.keys-secret").read_text().strip()
        shown = {"right": ann["key"], "stranger": STRANGER, "typo": ann["key"][:-2]}
        upstream = {"pass_through_auth": True, "forward_headers": ["x-trace"]}
        config = {"log": {"level": "debug"}}
        async with serving(tmp_path, simulator, config=config, **upstream) as gateway:
            for key in shown.values():
                for path, body in ASKED.items():
                    for fault in (None, "http_401", "error_first", "cut"):
                        asked = {**body, "sim": {"fault": fault}} if fault else body
                        answer = await gateway.ask(path, asked, **bearer(key), x_trace="t")
                        told += [answer.body, repr(answer.headers).encode()]
                denied = {**ASKED[CHAT], "model": "other"}
                told.append((await gateway.ask(CHAT, denied, **bearer(key))).body)
                told.append((await gateway.ask(f"{CHAT}?key={key}", b"{", **bearer(key))).body)
            await closed_rows(tmp_path, 9)
            gateway.process.send_signal(10)  # SIGUSR1: all stacks to stderr
            await asyncio.sleep(0)
            told += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
            listing = await command(tmp_path, "ls")
        told += ["\n".join(gateway.lines).encode(), listing.encode()]
        seen = repr([(request.path, request.headers) for request in simulator.requests])
    finally:
        await simulator.aclose()
    for name, text in shown.items():
        assert not [t for t in told if text.encode() in t], f"{name} was told"
        assert text not in seen, f"{name} reached the upstream"
    log = "\n".join(gateway.lines)
    assert secret not in log + seen
    assert "x-trace" in seen, "what is to be forwarded was"


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
        count = {"model": "gpt-5", "messages": HELLO}
        counted = await it.ask(MESSAGES + "/count_tokens", count, **bearer(ann.text))
        listed = (await it.get("/v1/models", **bearer(ann.text))).json()["data"]
        other = (await it.get("/v1/models", **bearer(bob.text))).json()["data"]
        refused = [row for row in await it.rows() if row["status"] == "rejected"]
    for path, answer in answers.items():
        assert (answer.status, code_of(path, answer)) == (403, ("permission_error", "unauthorized"))
    assert counted.status == 403
    assert [row["http_status"] for row in refused] == [403, 403]
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
