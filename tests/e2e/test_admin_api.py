"""The admin API over sockets: what it tells is what the ledger and the gateway hold, as described."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streamgauge.control.routes import PREFIX
from streamgauge.gateway.live import Live, live_of
from streamgauge.ledger.reader import Filter, LedgerReader

from ..timed import in_time
from .admin import Admin, admin_stand, chat
from .schema_check import problems
from .stand import until

CHAT = "/v1/chat/completions"
DOCS = Path(__file__).parents[2] / "docs" / "api.md"
PRICED = {
    "prices": [{"model": "dear*", "input": 3, "output": 15, "fee": "0.001", "currency": "USD"}]
}
PAGES = (
    "requests", "requests?status=completed&limit=2", "usage", "usage?by=model&by=day", "usage?by=key",
    "usage?by=session", "times", "times?metric=stream_duration_ms&by=upstream", "summary", "live",
    "keys", "upstreams", "upstreams?hours=1", "sessions", "sessions/s%2F1", "config", "runtime",
    "captures", "health", "doctor",
)  # fmt: skip


@pytest_asyncio.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    """A gateway that has served: two sessions, a priced model, a cut stream, a refusal."""
    async with admin_stand(tmp_path, config=PRICED) as found:
        on = found.on
        await on.ask(CHAT, chat(tokens=5), x_streamgauge_session="s/1")
        await on.ask(CHAT, chat("dear-one", tokens=7), x_streamgauge_session="s/1")
        await on.ask(
            CHAT, chat(tokens=9, fault="cut", after=3), x_streamgauge_session="two", odd=True
        )
        await on.ask(CHAT, {"model": 7})
        await on.rows()
        yield found


def described(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the description of the GET answer at `path`."""
    bare = "/" + path.partition("?")[0]
    for known, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), bare):
            schema: dict[str, Any] = operations["get"]["responses"]["200"]["content"]
            return schema["application/json"]["schema"]
    raise AssertionError(f"{path} is not described")


@pytest.mark.asyncio
async def test_a_refused_method_is_told_all_that_are_allowed(admin: Admin) -> None:
    document = (await admin.get("/admin/openapi.json")).json()
    told = {f"/admin/api/v1{path}": set(found) for path, found in document["paths"].items()}
    told["/admin/captures"] = {"get", "post"}
    for path, methods in told.items():
        answer = await admin.post(path.replace("{", "").replace("}", ""), method="PUT")
        allowed = {name.lower() for name in answer.headers["allow"].split(", ")} - {"head"}
        assert (answer.status, allowed) == (405, methods), path


@pytest.mark.asyncio
async def test_every_page_is_what_the_openapi_document_says(admin: Admin) -> None:
    document = (await admin.get("/admin/openapi.json")).json()
    stream = asyncio.create_task(admin.on.ask(CHAT, chat(tokens=200, gap_ms=10)))
    await until(lambda: any(r.exchange.record.bytes_out for r in admin.on.gateway.relays.values()))
    await admin.post("keys", {"label": "ci"})
    wrong: list[str] = []
    rows = (await admin.get("requests")).json()["rows"]
    for path in (*PAGES, *(f"requests/{row['id']}" for row in rows)):
        answer = await admin.get(path)
        assert answer.status == 200, (path, answer.body)
        wrong += [
            f"{path}{each}" for each in problems(answer.json(), described(document, path), document)
        ]
    assert wrong == []
    await stream


@pytest.mark.asyncio
async def test_the_document_the_page_and_the_docs_name_the_routes_that_are_served(
    admin: Admin,
) -> None:
    document = (await admin.get("/admin/openapi.json")).json()
    assert (document["openapi"], document["servers"]) == ("3.1.0", [{"url": PREFIX}])
    page = (await admin.get("/admin/api")).body.decode()
    docs = DOCS.read_text(encoding="utf-8")
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            shown = f"{method.upper()} {path}"
            assert f"<code>{shown}</code>" in page
            assert f"`{shown}`" in docs, f"docs/api.md does not name {shown}"
    assert len(ids) == len(set(ids)) == 28
    assert "<script" not in page
    assert "style=" not in page


@pytest.mark.asyncio
async def test_rows_and_pages_are_the_ledgers(admin: Admin) -> None:
    with LedgerReader(admin.on.folder / "ledger.db") as reader:
        rows = list(reader.newest(Filter()))
    found, after = [], ""
    while True:
        page = (await admin.get(f"requests?limit=1&after={after}")).json()
        found += page["rows"]
        if page["next"] is None:
            break
        after = page["next"]
    assert [{k: v for k, v in row.items() if k != "key_label"} for row in found] == rows
    assert len(found) == 4


@pytest.mark.asyncio
async def test_one_exchange_is_explained_down_to_the_terms_of_its_price(admin: Admin) -> None:
    listed = (await admin.get("requests?model=dear*")).json()["rows"]
    page = (await admin.get(f"requests/{listed[0]['id']}")).json()
    row, cost = page["request"], page["cost"]
    assert page["attempts"][0]["request_id"] == row["id"]
    assert page["why"] == "The upstream sent its end marker, and the client was there to the end."
    terms = {term["name"]: (term["tokens"], term["rate"], term["amount"]) for term in cost["terms"]}
    assert terms == {"input": (1, "3", "0.000003"), "output": (7, "15", "0.000105")}
    assert (cost["fee"], cost["sum"], cost["booked"]) == ("0.001", "0.001108", "0.001108")
    assert (cost["agrees"], cost["booked_nano"]) == (True, row["cost_nano"])
    usage = {
        each["name"]: (each["booked"], each["reported"], each["exact"]) for each in page["usage"]
    }
    assert usage["output_tokens"] == (7, 7, True)
    moments = [each["ms"] for each in page["timeline"] if each["ms"] is not None]
    assert moments == sorted(moments)
    assert len(moments) >= 6


@pytest.mark.asyncio
async def test_what_was_counted_here_is_not_shown_as_reported(admin: Admin) -> None:
    (row,) = (await admin.get("requests?status=stream_incomplete")).json()["rows"]
    page = (await admin.get(f"requests/{row['id']}")).json()
    usage = {each["name"]: each for each in page["usage"]}
    assert usage["output_tokens"]["booked"] == 3
    assert usage["output_tokens"]["reported"] is None
    assert usage["output_tokens"]["exact"] is False
    assert (page["cost"]["booked"], page["cost"]["terms"]) == (None, [])


@pytest.mark.asyncio
async def test_sums_are_the_rows_added_up_whatever_they_are_grouped_by(admin: Admin) -> None:
    rows = (await admin.get("requests")).json()["rows"]
    exact = [r["output_tokens"] for r in rows if r["usage_source"] == "provider"]
    for by in ("model", "upstream", "key", "day", "app", "status", "dialect"):
        page = (await admin.get(f"usage?by={by}")).json()
        total = page["total"]
        assert total["exchanges"] == sum(g["exchanges"] for g in page["groups"]) == len(rows)
        assert (total["output"]["exact"], total["output"]["estimated"]) == (sum(exact), 3)
        assert total["unpriced"] == 3
        assert total["costs"]["USD"]["exact"] == "0.001108"
    sessions = (await admin.get("usage?by=session")).json()
    named = {g["group"]["session"]: g["exchanges"] for g in sessions["groups"]}
    assert (named, sessions["complete"]) == ({"s/1": 2, "two": 1}, True)


@pytest.mark.asyncio
async def test_sessions_are_those_of_the_rows(admin: Admin) -> None:
    listed = (await admin.get("sessions?limit=1")).json()
    second = (await admin.get(f"sessions?limit=5&after={listed['next']}")).json()
    found = [*listed["sessions"], *second["sessions"]]
    assert [each["session_id"] for each in found] == ["two", "s/1"]
    one = (await admin.get("sessions/s%2F1")).json()
    assert [row["requested_model"] for row in one["rows"]] == ["sim", "dear-one"]
    assert one["sums"] == found[1]["sums"]
    assert (await admin.get("sessions/three")).status == 404


@pytest.mark.asyncio
async def test_live_numbers_are_those_of_the_running_stream(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        body = chat(tokens=120, gap_ms=10)
        stream = asyncio.create_task(admin.on.ask(CHAT, body, user_agent="claude-cli/2.1"))
        relays = admin.on.gateway.relays
        await until(lambda: any(r.exchange.parsed_frames > 3 for r in relays.values()))
        live = (await admin.get("live")).json()
        (row,) = live["rows"]
        answer = await stream
    assert (live["streams"], row["id"], row["state"]) == (1, answer.id, "streaming")
    assert (row["requested_model"], row["upstream"], row["attempt"]) == ("sim", "sim", 1)
    assert (row["dialect"], row["upstream_dialect"]) == ("openai", "openai")
    assert row["usage_source"] == "counted"
    assert 3 <= row["output_tokens"] <= 120
    assert 0 < row["ttft_ms"] <= row["age_ms"]
    assert 0 <= row["last_frame_ms"] < 1000
    assert row["bytes_out"] > 0


@pytest.mark.asyncio
async def test_a_thousand_who_ask_cost_the_gateway_one_look_a_second(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        began = time.monotonic()
        answers = await asyncio.gather(*(admin.get("live") for _ in range(100)))
        took = time.monotonic() - began
        moments = {answer.json()["at"] for answer in answers}
    assert {answer.status for answer in answers} == {200}
    assert len(moments) <= 1 + took / 0.9


@pytest.mark.asyncio
async def test_a_stream_is_stopped_once(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        stream = asyncio.create_task(admin.on.ask(CHAT, chat(tokens=2000, gap_ms=10), odd=True))
        await until(lambda: bool(admin.on.gateway.relays))
        (id,) = admin.on.gateway.relays
        first = await admin.post(f"streams/{id}/stop")
        await stream
        second = await admin.post(f"streams/{id}/stop")
        row = await admin.on.row(id)
    assert (first.status, first.json()) == (200, {"id": id, "stopped": True})
    assert (second.status, row["status"]) == (404, "cancelled")


@pytest.mark.asyncio
async def test_a_probe_tells_whether_the_upstream_is_there(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        there = (await admin.post("upstreams/sim/probe")).json()
        await admin.on.simulator.aclose()
        gone = (await admin.post("upstreams/sim/probe")).json()
        (listed,) = (await admin.get("upstreams")).json()["upstreams"]
        nobody = await admin.post("upstreams/other/probe")
    assert (there["ok"], there["error"]) == (True, None)
    assert (gone["ok"], listed["usable"], nobody.status) == (False, False, 404)
    assert gone["error"] == listed["last_error"]


@pytest.mark.asyncio
async def test_the_last_error_of_an_upstream_is_told_after_it_has_recovered(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        before = (await admin.get("upstreams")).json()["upstreams"][0]
        await admin.on.ask(CHAT, chat(fault="http_503"), odd=True)
        await admin.on.ask(CHAT, chat(tokens=2))
        (after,) = (await admin.get("upstreams")).json()["upstreams"]
        ready = await admin.on.get("/readyz")
        await admin.on.ask(CHAT, chat(tokens=9, fault="cut", after=3), odd=True)
        await admin.on.rows()
        (cut,) = (await admin.get("upstreams")).json()["upstreams"]
    assert cut["last_error"] == "status 200, then stream_incomplete"
    assert (before["usable"], before["last_error"]) == (True, None)
    assert (after["usable"], after["last_error"]) == (True, "status 503")
    assert ready.json()["upstreams"]["sim"]["last_error"] is None


@pytest.mark.asyncio
async def test_an_upstream_is_told_with_its_slots_and_with_its_limit_of_drains(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path, flavour="llamacpp", drain={"max_streams": 7}) as admin:
        await until(lambda: admin.on.gateway.upstreams["sim"].learnt.slots is not None)
        (told,) = (await admin.get("upstreams")).json()["upstreams"]
    assert (told["slots"], told["drains"], told["most_drains"]) == (2, 0, 7)


@pytest.mark.asyncio
async def test_unknown_models_come_with_what_gives_them_a_price(admin: Admin) -> None:
    unknown = (await admin.get("health")).json()["unknown_models"]
    assert [(each["upstream"], each["model"], each["exchanges"]) for each in unknown] == [
        ("sim", "sim", 2)
    ]
    assert unknown[0]["snippet"].startswith(
        'prices:\n  - {upstream: "sim", model: "sim", input: 0.00'
    )


NOT_LEGAL = (
    ("requests?status=nope", "status"), ("requests?limit=0", "limit"), ("requests?limit=501", "limit"),
    ("requests?limit=1e1", "limit"), ("requests?since=yesterday", "since"), ("requests?since=-1", "since"),
    ("requests?after=x", "after"), ("requests?after=9223372036854775808:", "after"),
    ("requests?until=99999999999999999999", "until"),
    ("requests?text=" + "x" * 301, "text"), ("usage?by=owner", "by"), ("usage?by=hour", "by=hour"),
    ("usage?by=session&by=model", "session"), ("usage?since=20&until=10", "since"),
    ("times?metric=cost", "metric"), ("times?by=key", "by"), ("upstreams?hours=0", "hours"),
    ("sessions?limit=101", "limit"), ("sessions?after=x", "after"),
    ("requests?since=20&until=20", "since must be before until"),
    ("requests?model=%5B", "model must be a glob; a [ is not closed"),
    ("requests?upstream=a%5Bb", "upstream must be a glob; a [ is not closed"),
    ("requests?modle=m", "no parameter 'modle': it takes status, "), ("keys?label=x", "'label': it takes none"),
    ("requests?model=a&model=b", "model must be given once"), ("requests/x?full=1", "'full': it takes none"),
    ("requests?limit=00000001999", "limit"), ("requests?limit=" + "0" * 8 + "1" + "9" * 5000, "limit"),
)  # fmt: skip


@pytest.mark.asyncio
async def test_a_query_that_is_not_legal_is_refused_by_name(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        for path, word in NOT_LEGAL:
            answer = await admin.get(path)
            assert answer.status == 422, (path, answer.body)
            assert word in answer.json()["error"]["message"]


@pytest.mark.asyncio
async def test_the_last_moment_there_is_may_be_asked_for(admin: Admin) -> None:
    last = 2**63 - 1
    pages = (
        f"usage?by=hour&since={last - 7}&until={last}",
        f"usage?until={last}",
        f"times?by=day&since=0&until={last}",
        f"requests?until={last}",
        f"sessions?after={last}",
    )
    told = {path: await admin.get(path) for path in pages}
    statuses = {path: answer.status for path, answer in told.items()}
    assert statuses == dict(zip(pages, (422, 200, 200, 200, 200), strict=True))
    assert len(told[pages[3]].json()["rows"]) == 4
    assert "since must be before until" in told[pages[0]].json()["error"]["message"]


@pytest.mark.asyncio
async def test_many_streams_are_read_in_short_turns(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        on, body = admin.on, chat(tokens=2000, gap_ms=50)
        streams = [asyncio.create_task(on.ask(CHAT, body, odd=True)) for _ in range(150)]
        relays = on.gateway.relays
        await until(lambda: sum(r.exchange.parsed_frames > 2 for r in relays.values()) == 150, 20)
        reading, turns = live_of(on.gateway, 1), []
        while True:
            began = time.thread_time()
            try:
                reading.send(None)
            except StopIteration as end:
                live: Live = end.value
                break
            finally:
                turns.append(time.thread_time() - began)
        ids = list(relays)
        on.gateway.end_all()
        await asyncio.gather(*streams)
    assert (live.streams, [row["id"] for row in live.rows]) == (150, ids)
    assert len(turns) > 1
    # A millisecond, and the stream at which it is over.
    in_time(max(turns), 5 * 0.003)
