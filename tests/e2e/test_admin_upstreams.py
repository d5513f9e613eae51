"""Upstreams taken out of service and examined by the admin API: who is called, what is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.control_doctor import HouseDoctor
from streamgauge.cli.main import cli
from streamgauge.config.load import LoadOptions, load
from streamgauge.tools.simulator import Simulator

from .admin import Admin, admin_stand, chat
from .schema_check import problems
from .stand import PATIENT, until

pytestmark = pytest.mark.asyncio

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BOTH = {"default": {"to": ["sim", "other"]}}


@contextlib.asynccontextmanager
async def two(folder: Path, **of_sim: Any) -> AsyncIterator[tuple[Admin, Simulator]]:
    """A gateway with the upstreams `sim` and `other`, and the second's simulator."""
    second = Simulator()
    await second.start(flavour="llamacpp")
    other = {"name": "other", "kind": "llamacpp", "base_url": second.url}
    try:
        config = {"routing": PATIENT | BOTH}
        async with admin_stand(folder, config=config, also=[other], **of_sim) as admin:
            yield admin, second
    finally:
        await second.aclose()


async def ready(admin: Admin) -> tuple[int, Any]:
    answer = await admin.on.get("/readyz")
    return answer.status, answer.json()


async def test_a_drained_upstream_gets_no_new_call_and_its_streams_go_on(tmp_path: Path) -> None:
    async with two(tmp_path) as (admin, _):
        on = admin.on
        running = asyncio.create_task(on.ask(CHAT, chat(tokens=60, gap_ms=10)))
        await until(lambda: any(r.exchange.parsed_frames > 2 for r in on.gateway.relays.values()))
        drained = await admin.post("upstreams/sim/drain")
        during = await on.ask(CHAT, chat(tokens=2))
        first = await running
        told = (await admin.get("upstreams")).json()["upstreams"]
        runtime = (await admin.get("/admin/runtime")).json()["upstreams"]
        metrics = (await admin.get("/metrics")).body.decode()
        enabled = await admin.post("upstreams/sim/enable")
        after = await on.ask(CHAT, chat(tokens=2))
        rows = {row["id"]: row for row in await on.rows()}
    assert (drained.status, drained.json()) == (200, {"name": "sim", "drained": True})
    assert enabled.json() == {"name": "sim", "drained": False}
    assert [rows[each.id]["upstream"] for each in (first, during, after)] == ["sim", "other", "sim"]
    assert (rows[first.id]["status"], rows[first.id]["output_tokens"]) == ("completed", 60)
    assert {each["name"]: each["drained"] for each in told} == {"sim": True, "other": False}
    assert runtime["sim"]["drained"] is True
    assert 'streamgauge_upstream_drained{upstream="sim"} 1.0' in metrics
    assert 'streamgauge_upstream_drained{upstream="other"} 0.0' in metrics


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_where_all_are_drained_the_client_is_refused_before_any_call(
    path: str, tmp_path: Path
) -> None:
    async with two(tmp_path) as (admin, second):
        await admin.post("upstreams/sim/drain")
        by_name = await admin.on.ask(path, {**chat("sim/m"), "max_tokens": 5})
        assert (await ready(admin))[0] == 200
        await admin.post("upstreams/other/drain")
        answer = await admin.on.ask(path, {**chat(), "max_tokens": 5})
        counted = await admin.on.ask("/v1/messages/count_tokens", chat())
        status, page = await ready(admin)
        summary = (await admin.get("summary")).json()
        rows = {row["id"]: row for row in await admin.on.rows()}
        calls = [*admin.on.simulator.requests, *second.requests]
    for refused in (by_name, answer):
        row = rows[refused.id]
        assert refused.status in (503, 529)
        assert "drained by an admin" in refused.body.decode()
        assert "retry-after" not in refused.headers
        assert (row["status"], row["error_code"], row["attempts"]) == (
            "rejected",
            "upstream_error",
            0,
        )
    assert [seen for seen in calls if seen.method == "POST"] == []
    assert counted.headers["x-streamgauge-count"] == "estimated"
    assert (status, summary["drained"]) == (503, ["sim", "other"])
    assert page["reasons"] == ["no upstream is usable; drained by an admin: sim, other"]
    assert page["upstreams"]["sim"]["drained"] is True


async def test_explain_tells_of_a_running_gateways_drains_waits_and_circuits(
    tmp_path: Path,
) -> None:
    async with two(tmp_path) as (admin, _):
        where = ["explain", "--config", str(tmp_path / "streamgauge.yaml"), "--json", "m"]

        async def explained(*more: str) -> Result:
            return await asyncio.to_thread(CliRunner().invoke, cli, [*where, *more])

        control = ("--control", f"http://127.0.0.1:{admin.port}")
        await admin.post("upstreams/sim/drain")
        alone, drained = await explained(), await explained(*control)
        admin.on.gateway.upstreams["other"].breaker.cool(time.monotonic() + 60)
        nobody = await explained(*control)
        listed = (await admin.get("upstreams")).json()["upstreams"]
        nowhere = await explained("--running", "--control", "http://127.0.0.1:1")
        elsewhere = tmp_path / "elsewhere.yaml"
        elsewhere.write_text(
            "upstreams: [{name: new, kind: openai, base_url: 'http://127.0.0.1:9'}]"
        )
        other = ["explain", "--config", str(elsewhere), *control, "m"]
        unlike = await asyncio.to_thread(CliRunner().invoke, cli, other)
    assert [c["upstream"] for c in json.loads(alone.stdout)["candidates"]] == ["sim", "other"]
    told = {c["upstream"]: c for c in json.loads(drained.stdout)["candidates"]}
    assert (told["other"]["place"], told["sim"]["place"]) == (1, None)
    assert told["sim"]["reason"] == "drained by an admin"
    assert (nobody.exit_code, json.loads(nobody.stdout)["error"]["status"]) == (1, 503)
    assert [c["reason"] for c in json.loads(nobody.stdout)["candidates"]] == [
        "drained by an admin",
        "wants no call",
    ]
    assert [each["admits"] for each in listed] == [False, False]
    assert nowhere.exit_code == 1
    assert "no gateway's control listener answers" in nowhere.stderr
    assert "has no upstream new: taken for well" in unlike.stderr
    assert drained.stderr == ""


async def test_a_try_that_failed_is_not_followed_by_one_at_an_upstream_drained_since(
    tmp_path: Path,
) -> None:
    async with two(tmp_path, timeouts={"first_token": 0.8}) as (admin, second):
        asking = asyncio.create_task(admin.on.ask(CHAT, chat(first_ms=5000), odd=True))
        await until(lambda: bool(admin.on.gateway.relays))
        await admin.post("upstreams/other/drain")
        row = await admin.on.row((await asking).id)
        calls = [seen for seen in second.requests if seen.method == "POST"]
    assert (row["error_code"], row["attempts"], calls) == ("upstream_timeout", 1, [])


async def test_a_reload_keeps_a_drain_and_other_settings_of_the_upstream_end_it(
    tmp_path: Path,
) -> None:
    async with two(tmp_path) as (admin, _):
        file = tmp_path / "streamgauge.yaml"
        config = json.loads(file.read_text())
        await admin.post("upstreams/other/drain")
        config["prices"] = [{"upstream": "other", "input": 1, "output": 1, "currency": "USD"}]
        file.write_text(json.dumps(config))
        applied = (await admin.post("/admin/reload")).json()
        kept = (await admin.get("summary")).json()["drained"]
        config["upstreams"][1]["models"] = ["m"]
        file.write_text(json.dumps(config))
        await admin.post("/admin/reload")
        ended = [each["drained"] for each in (await admin.get("upstreams")).json()["upstreams"]]
    assert (applied["changed"], kept, ended) == (True, ["other"], [False, False])


async def test_an_upstream_that_is_not_there_is_not_drained(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        answers = [await admin.post(f"upstreams/nobody/{verb}") for verb in ("drain", "enable")]
        plain = await admin.send("POST", "upstreams/sim/drain", b"")
    assert [answer.status for answer in answers] == [404, 404]
    assert plain.status == 415


async def test_the_doctor_tells_what_is_wrong_and_its_report_is_kept(tmp_path: Path) -> None:
    async with two(tmp_path) as (admin, second):
        before = (await admin.get("doctor")).json()
        await second.aclose()
        told, same = await asyncio.gather(admin.post("doctor"), admin.post("doctor"))
        kept = (await admin.get("doctor")).json()
        document = (await admin.get("/admin/openapi.json")).json()
    report = told.json()
    schema = {"$ref": "#/components/schemas/Report"}
    assert problems(report, schema, document) == []
    assert before == {"running": False, "report": None}
    assert kept == {"running": False, "report": report}
    assert same.json() == report
    found = {(each["id"], each["subject"]) for each in report["findings"]}
    assert ("upstream_unreachable", "upstream other") in found
    assert all(each["cure"] for each in report["findings"])
    well = {(each["subject"]) for each in report["well"]}
    assert "upstream sim" in well
    assert report["took_ms"] < 30_000


async def test_the_doctor_leaves_alone_what_is_drained_and_pays_nothing(tmp_path: Path) -> None:
    paid = Simulator()
    await paid.start()
    dear = {"name": "dear", "kind": "openai", "base_url": paid.url, "api_key": "sk-canary-1"}
    try:
        async with admin_stand(tmp_path, also=[dear]) as admin:
            await admin.post("upstreams/sim/drain")
            seen = len(admin.on.simulator.requests)
            report = (await admin.post("doctor")).json()
            asked = admin.on.simulator.requests[seen:]
    finally:
        await paid.aclose()
    left_out = {each["subject"]: each["measured"] for each in report["left_out"]}
    assert left_out["upstream sim"] == "drained by an admin"
    assert "cost money" in left_out["upstream dear"]
    assert (asked, [each for each in paid.requests if each.method == "POST"]) == ([], [])
    assert "sk-canary-1" not in json.dumps(report)


async def test_an_upstream_that_answers_slowly_does_not_hold_the_doctor_up(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        loaded = load(LoadOptions(config=tmp_path / "streamgauge.yaml", environ={"EXAMPLE": "1"}))
        doctor = HouseDoctor(lambda: loaded, list, upstream_seconds=0.0)
        report = await doctor.examine()
        assert admin.on.gateway.relays == {}
    assert [each["measured"] for each in report["left_out"]] == ["the rest: 0 s have passed"]
