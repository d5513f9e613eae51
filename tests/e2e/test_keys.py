"""Client keys on the real process and by the real command line (SPEC §15.1, FAULTS S1, S2, S3, S5, S23)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.keys import key_text
from streamgauge.ledger.key_watch import POLL_SECONDS
from streamgauge.tools.simulator import Simulator

from .process import READY_WITHIN, SOURCES, GatewayProcess, closed_rows, serving
from .stand import Answer

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HELLO = [{"role": "user", "content": "hi"}]
ASKED = {
    CHAT: {"model": "sim", "stream": True, "messages": HELLO, "sim": {"tokens": 3}},
    MESSAGES: {"model": "sim", "stream": True, "max_tokens": 9, "messages": HELLO},
}
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
    async with asyncio.timeout(READY_WITHIN):
        answer = await gateway.ask(CHAT, ASKED[CHAT], **({} if key is None else bearer(key)))
    return answer.status


async def becomes(gateway: GatewayProcess, key: str | None, wanted: int) -> float:
    """Ask until the answer is `wanted`; return the seconds that it took.

    Who asks so often has no tries left, so that a refusal may be a 429.
    """
    began = time.monotonic()
    alike = (401, 429) if wanted == 401 else (wanted,)
    while await status(gateway, key) not in alike:
        assert time.monotonic() - began < 10, f"it never became {wanted}"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def administer(gateway: GatewayProcess, method: str, path: str, body: Any) -> Any:
    """Change keys as the dashboard does; return the answer."""

    def ask() -> Any:
        connection = HTTPConnection("127.0.0.1", gateway.control_port, timeout=READY_WITHIN)
        with contextlib.closing(connection):
            headers = {"content-type": "application/json"}
            connection.request(method, f"/admin/api/v1/keys{path}", json.dumps(body), headers)
            return json.loads(connection.getresponse().read())

    return await asyncio.to_thread(ask)


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
async def test_what_an_admin_changes_of_keys_holds_with_the_answer(tmp_path: Path) -> None:
    simulator = Simulator()
    await simulator.start()
    try:
        async with serving(tmp_path, simulator, control=0) as gateway:
            made = await administer(gateway, "POST", "", {"label": "ann"})
            assert [await status(gateway, key) for key in (None, made["key"])] == [401, 200]
            one = f"/{made['id']}"
            await administer(gateway, "PATCH", one, {"models": ["other"]})
            assert await status(gateway, made["key"]) == 403
            await administer(gateway, "PATCH", one, {"models": None})
            rotated = await administer(gateway, "POST", f"{one}/rotate", {})
            told = [await status(gateway, key["key"]) for key in (made, rotated)]
            assert told == [401, 200]
            await administer(gateway, "POST", f"{one}/revoke", {})
            assert await status(gateway, rotated["key"]) == 401
    finally:
        await simulator.aclose()


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
                    assert answer.headers["x-should-retry"] == "false"
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
            for name, key in shown.items():
                # Wrong ones must not run out of tries: a 429 says less than a 401.
                faults = (None, "http_401", "error_first", "cut") if name == "right" else (None,)
                for path, body in ASKED.items():
                    for fault in faults:
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
