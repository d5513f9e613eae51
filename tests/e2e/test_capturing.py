"""Captures of a gateway that serves: whose, by whom, without secrets; and their replay."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamgauge.cli.verify import verify
from streamgauge.gateway.capture.format import Line, Side, Way
from streamgauge.gateway.capture.taps import TappedResponder
from streamgauge.gateway.capturing import Order
from streamgauge.tools.capture.reading import CaptureReader, Message, message_of
from streamgauge.tools.simulator import Simulator

from .captured import CHAT, WAYS, asking, capturing, file_of
from .process import SOURCES, GatewayProcess, serving
from .stand import stand, until

TOKEN = "adm-canary-token-9f21c2"


def read(path: Path) -> tuple[CaptureReader, list[Line]]:
    """Return a capture's reader, read, and its lines."""
    with path.open("rb") as file:
        reader = CaptureReader(file)
        return reader, list(reader.lines())


def answer_of(path: Path) -> Message:
    """Return what the client was sent."""
    return message_of(read(path)[1], Side.CLIENT, Way.OUT)


@pytest.mark.parametrize("protocol", sorted(WAYS))
@pytest.mark.asyncio
async def test_both_sides_are_kept_byte_for_byte_with_their_times(
    protocol: str, tmp_path: Path
) -> None:
    async with capturing(tmp_path) as it:
        body = json.dumps(asking(tokens=5, gap_ms=20)).encode()
        answer = await it.ask(WAYS[protocol], body)
        path = await file_of(it, answer.id)
        row = await it.row(answer.id)
        sent = [request for request in it.simulator.requests if request.method == "POST"][-1]
        entry = it.simulator.journal[-1]
    reader, lines = read(path)
    assert reader.closing is not None
    for name in ("id", "status", "frames_out", "bytes_in", "stream_sha1", "output_tokens"):
        assert reader.closing.row[name] == row[name]
    asked, told = (message_of(lines, Side.CLIENT, way) for way in (Way.IN, Way.OUT))
    assert (asked.body, told.body, told.status) == (body, answer.body, 200)
    upward, back = (message_of(lines, Side.UPSTREAM, way, 1) for way in (Way.OUT, Way.IN))
    assert (upward.body, back.status, back.end) == (sent.body, 200, "complete")
    assert len(back.body) == entry.bytes == row["bytes_in"]
    times = [line.t for line in lines]
    assert all(t >= 0 for t in times)
    if protocol in ("openai", "anthropic"):  # what is translated asks for no gaps
        assert back.pieces[-1][0] - back.pieces[0][0] >= 4 * 20_000 / 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.asyncio
async def test_a_stream_that_fell_back_has_both_attempts(tmp_path: Path) -> None:
    dead = {"name": "dead", "kind": "sim", "base_url": "http://127.0.0.1:1"}
    route = {"default": {"to": ["dead", "sim"]}}
    async with capturing(tmp_path, also=[dead], config={"routing": route}) as it:
        answer = await it.ask(CHAT, asking(tokens=2))
        _, lines = read(await file_of(it, answer.id))
    assert message_of(lines, Side.UPSTREAM, Way.IN, 1).end == "failed_refused"
    assert message_of(lines, Side.UPSTREAM, Way.IN, 2).status == 200
    assert message_of(lines, Side.CLIENT, Way.OUT).body == answer.body


@pytest.mark.asyncio
async def test_a_client_that_leaves_is_seen_leaving(tmp_path: Path) -> None:
    async with capturing(tmp_path) as it:
        async with it.client() as client:
            await client.post(CHAT, asking(tokens=400, gap_ms=5))
            _, headers = await client.head()
            await client.chunk()
        path = await file_of(it, headers["x-request-id"])
    reader, lines = read(path)
    assert reader.closing is not None
    assert reader.closing.row["status"] == "client_disconnected"
    assert message_of(lines, Side.CLIENT, Way.IN).end == "gone"
    assert message_of(lines, Side.UPSTREAM, Way.IN, 1).end == "closed_by_us"
    assert CliRunner().invoke(verify, [str(path)]).exit_code == 0


# --- whose -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_off_by_default_and_then_nothing_is_put_in_the_way(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"control": {"token": TOKEN}}) as it:
        async with it.client() as client:
            await client.post(CHAT, asking(tokens=50, gap_ms=5), x_streamgauge_capture=TOKEN)
            await client.head()
            (relay,) = it.gateway.relays.values()
            assert not isinstance(relay._responder, TappedResponder)
            assert relay._owner is it.gateway
        await until(lambda: not it.gateway.relays)
        assert it.gateway.capturing._writer._thread is None
    assert not list(tmp_path.glob("**/*.jsonl"))


@pytest.mark.asyncio
async def test_routes_and_orders_choose_what_is_captured(tmp_path: Path) -> None:
    routing = {"models": [{"match": "big", "to": ["sim/sim"]}]}
    async with capturing(tmp_path, {"routes": ["model*"]}, config={"routing": routing}) as it:
        chosen = await it.ask(CHAT, {**asking(tokens=1), "model": "big"})
        other = await it.ask(CHAT, asking(tokens=1))
        await file_of(it, chosen.id)
        route = (await it.row(chosen.id))["route"]
        capturing_ = it.gateway.capturing
        assert capturing_.order(Order(count=1, route="nothing*")).active
        missed = await it.ask(CHAT, asking(tokens=1))
        capturing_.order(Order(count=2))
        ordered = [await it.ask(CHAT, asking(tokens=1)) for _ in range(3)]
        await file_of(it, ordered[1].id)
        assert capturing_.state().left == 0
        assert capturing_.order(Order(seconds=60)).active
        assert not capturing_.order(Order(count=0)).active
        await it.ask(CHAT, asking(tokens=1))
        found = set(capturing_.state().last)
    assert route.startswith("model")
    assert found == {chosen.id, ordered[0].id, ordered[1].id}
    assert not found & {other.id, missed.id}


@pytest.mark.asyncio
async def test_an_order_ends_with_its_time(tmp_path: Path) -> None:
    async with capturing(tmp_path, {"routes": []}) as it:
        now = [100.0]
        it.gateway.capturing._clock = lambda: now[0]
        assert it.gateway.capturing.order(Order(seconds=5)).seconds_left == 5
        now[0] = 104.9
        assert it.gateway.capturing.state().active
        now[0] = 105.0
        assert not it.gateway.capturing.state().active
        await it.ask(CHAT, asking(tokens=1))
        assert it.gateway.capturing.state().last == ()


@pytest.mark.asyncio
async def test_the_header_works_for_the_admin_alone_and_goes_to_nobody(tmp_path: Path) -> None:
    config = {"control": {"token": TOKEN}}
    keys = {"forward_headers": ["x-streamgauge-capture", "x-team"]}
    async with capturing(tmp_path, {"routes": []}, config=config, **keys) as it:
        for shown in ("wrong", TOKEN[:-1], TOKEN + "x", "", "\xe9"):
            answer = await it.ask(CHAT, asking(tokens=1), x_streamgauge_capture=shown)
            assert answer.status == 200
        await it.rows()
        assert it.gateway.capturing.state().last == ()
        answer = await it.ask(CHAT, asking(tokens=1), x_streamgauge_capture=TOKEN, x_team="a")
        path = await file_of(it, answer.id)
        seen = [dict(request.headers) for request in it.simulator.requests]
    assert seen[-1]["x-team"] == "a"
    assert not any("x-streamgauge-capture" in headers for headers in seen)
    assert TOKEN.encode() not in path.read_bytes()


# --- S11 -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_secret_is_in_any_capture(tmp_path: Path) -> None:
    canaries = {
        "api_key": "canary-upstream-key-0001",
        "header": "canary-header-value-0002",
        "client": "canary-client-key-0003",
        "query": "canary-query-0004",
        "admin": TOKEN,
        "cookie": "canary-cookie-0005",
    }
    keys = {"api_key": canaries["api_key"], "headers": {"x-team": canaries["header"]}}
    config = {"control": {"token": TOKEN}}
    echo = " ".join(canaries.values())  # also where a model is told them, and says them again
    async with capturing(tmp_path, config=config, odd=True, **keys) as it:
        for fault in (None, "http_401", "http_500", "error_mid", "cut", "garbage", "split_bytes"):
            for path in WAYS.values():
                body = {**asking(fault=fault), "messages": [{"role": "user", "content": echo}]}
                body["sim"]["text"] = echo
                answer = await it.ask(
                    f"{path}{'&' if '?' in path else '?'}key={canaries['query']}",
                    body,
                    authorization=f"Bearer {canaries['client']}",
                    cookie=canaries["cookie"],
                    x_streamgauge_capture=TOKEN,
                )
                await file_of(it, answer.id)
        seen = repr([request.headers for request in it.simulator.requests])
    captures = [file.read_bytes() for file in (tmp_path / "captures").iterdir()]
    assert len(captures) == 28
    # The query is no secret of ours: where a model is told it, it is part of what was said.
    asked = [json.loads(line).get("head", "") for data in captures for line in data.splitlines()]
    assert not [head for head in asked if canaries.pop("query", "\0") in head]
    hits = {name for name, value in canaries.items() if any(value.encode() in c for c in captures)}
    assert hits == set()
    assert canaries["api_key"] in seen, "the upstream itself is shown its key"
    told = [answer_of(file).body for file in (tmp_path / "captures").iterdir()]
    assert any(b"***" in body for body in told), "the model did say them"
    for file in (tmp_path / "captures").iterdir():
        done = CliRunner().invoke(verify, [str(file)])
        assert done.exit_code == 0, done.output


# --- by a verb -------------------------------------------------------------------------------------


async def verb(
    gateway: GatewayProcess, folder: Path, *arguments: str
) -> asyncio.subprocess.Process:
    """Start `streamgauge capture`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamgauge", "capture"),
        *("--control", f"http://127.0.0.1:{gateway.control_port}", *arguments),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES), "STREAMGAUGE_ADMIN_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def settings(folder: Path) -> dict[str, Any]:
    """Return a configuration with a folder for captures."""
    return {"capture": {"dir": str(folder / "captures")}, "control": {"token": TOKEN}}


@pytest.mark.asyncio
async def test_the_verb_captures_the_next_ones_and_prints_their_files(tmp_path: Path) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0, config=settings(tmp_path)) as gateway,
    ):
        before = await gateway.ask(CHAT, asking(tokens=1))
        process = await verb(gateway, tmp_path, "--count", "2", "--json")
        answers = [await gateway.ask(CHAT, asking(tokens=1))]
        assert process.stdout is not None
        first = asyncio.create_task(process.stdout.readline())
        while not first.done():  # until its order has come
            answers.append(await gateway.ask(CHAT, asking(tokens=1)))
        rest, errors = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, errors) == (0, b"")
    found = [json.loads(line) for line in (first.result() + rest).splitlines()]
    ids = [answer.id for answer in answers]
    assert [one["id"] for one in found] == [
        name for name in ids if name in {f["id"] for f in found}
    ]
    assert len(found) == 2
    assert before.id not in {one["id"] for one in found}
    assert all(Path(one["file"]).is_file() for one in found)


@pytest.mark.asyncio
async def test_ctrl_c_stops_the_capture_in_the_gateway_too(tmp_path: Path) -> None:
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0, config=settings(tmp_path)) as gateway,
    ):
        process = await verb(gateway, tmp_path, "--duration", "600")
        assert process.stdout is not None
        line = asyncio.create_task(process.stdout.readline())
        while not line.done():
            await gateway.ask(CHAT, asking(tokens=1))
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        count = len(list((tmp_path / "captures").iterdir()))
        await gateway.ask(CHAT, asking(tokens=1))
        assert len(list((tmp_path / "captures").iterdir())) == count


@pytest.mark.asyncio
async def test_what_cannot_be_captured_is_said_with_its_cure(tmp_path: Path) -> None:
    config = {"control": {"token": TOKEN}}
    async with (
        Simulator() as simulator,
        serving(tmp_path, simulator, control=0, config=config) as gateway,
    ):
        process = await verb(gateway, tmp_path, "--count", "1")
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, b"capture.dir is not set" in errors) == (1, True)
    process = await verb(gateway, tmp_path, "--count", "1")
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, b"no gateway's control listener answers" in errors) == (1, True)
