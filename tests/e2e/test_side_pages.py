"""The paths beside the metered ones: health, models, token counts, an upstream's pages, stream state."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from .stand import stand

CHAT = {"model": "sim", "stream": True, "messages": []}


@pytest.mark.asyncio
async def test_health_and_readiness(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        assert (await it.get("/healthz")).json() == {"status": "ok"}
        ready = await it.get("/readyz")
        assert (ready.status, ready.json()["reasons"]) == (200, [])
        await it.simulator.aclose()
        assert (await it.ask("/v1/chat/completions", CHAT)).status == 502
        ready = await it.get("/readyz")
        assert (ready.status, ready.json()["reasons"]) == (503, ["no upstream is usable"])
        assert (await it.get("/healthz")).status == 200


@pytest.mark.asyncio
async def test_models_have_the_callers_shape(tmp_path: Path) -> None:
    async with stand(tmp_path, models=["qwen3-*", "claude-local"]) as it:
        openai = (await it.get("/v1/models?limit=1000")).json()
        anthropic = (await it.get("/models", anthropic_version="2023-06-01")).json()
        one = (await it.get("/v1/models/claude-local")).json()
        missing = await it.get("/v1/models/nothing")
        refused = await it.get("/models/nothing", anthropic_version="2023-06-01")
    assert [model["id"] for model in openai["data"]] == ["claude-local"]
    assert (anthropic["first_id"], anthropic["has_more"]) == ("claude-local", False)
    assert one["object"] == "model"
    assert (missing.status, missing.json()["error"]["code"]) == (404, "no_route")
    assert (refused.status, refused.json()["type"]) == (404, "error")
    assert refused.json()["error"]["type"] == "not_found_error"


@pytest.mark.asyncio
async def test_a_model_that_only_the_gateway_names_is_listed_and_found(tmp_path: Path) -> None:
    maps = [{"match": "team-large", "to": ["sim/sim"]}, {"match": "claude-*", "to": ["sim/sim"]}]
    async with stand(tmp_path, config={"routing": {"models": maps}}) as it:
        listed = (await it.get("/v1/models")).json()
        found = await it.get("/v1/models/team-large")
        asked = await it.ask("/v1/chat/completions", {**CHAT, "model": "team-large"})
    assert [model["id"] for model in listed["data"]] == ["sim", "team-large"]
    assert (found.status, found.json()["id"], asked.status) == (200, "team-large", 200)


@pytest.mark.asyncio
async def test_a_model_that_a_glob_would_serve_is_found_and_not_listed(tmp_path: Path) -> None:
    maps = [{"match": "claude-*", "to": ["sim/sim"]}]
    async with stand(tmp_path, models=["qwen3-*"], config={"routing": {"models": maps}}) as it:
        listed = (await it.get("/v1/models")).json()
        names = ("claude-haiku-4-5", "qwen3-8b", "gpt-5", "claude-" + "x" * 300, "claude-%00")
        found = [await it.get(f"/v1/models/{name}") for name in names]
        asked = await it.ask("/v1/chat/completions", {**CHAT, "model": "claude-haiku-4-5"})
    assert listed["data"] == []
    assert [answer.status for answer in found] == [200, 200, 404, 404, 404]
    assert (found[0].json()["id"], asked.status) == ("claude-haiku-4-5", 200)


@pytest.mark.asyncio
async def test_a_model_named_with_its_upstream_is_found_as_a_chat_finds_it(tmp_path: Path) -> None:
    async with stand(tmp_path, models=["qwen3-*"]) as it:
        names = ("sim/sim", "sim%2Fsim", "sim/qwen3-8b", "sim/other", "sim/", "nobody/sim")
        found = [await it.get(f"/v1/models/{name}") for name in names]
        asked = await it.ask("/v1/chat/completions", {**CHAT, "model": "sim/sim"})
        listed = (await it.get("/v1/models")).json()
    assert [answer.status for answer in found] == [200, 200, 200, 404, 404, 404]
    assert (found[1].json()["id"], asked.status) == ("sim/sim", 200)
    assert listed["data"] == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("globs", "routing", "names"),
    [
        (["qwen3-*"], {}, []),
        ([], {}, ["sim"]),
        (["si*"], {}, ["sim"]),
        (["qwen3-*"], {"default": {"to": ["sim"]}}, ["sim"]),
        (["qwen3-*"], {"models": [{"match": "s*", "to": ["sim/qwen3-8b"]}]}, ["sim"]),
    ],
)
async def test_every_model_that_is_listed_can_be_asked_for(
    globs: list[str], routing: dict[str, object], names: list[str], tmp_path: Path
) -> None:
    async with stand(tmp_path, models=globs, config={"routing": routing}) as it:
        listed = (await it.get("/v1/models")).json()
        one = await it.get("/v1/models/sim")
        asked = await it.ask("/v1/chat/completions", CHAT)
    assert [model["id"] for model in listed["data"]] == names
    assert one.status == asked.status == (200 if names else 404)


@pytest.mark.asyncio
async def test_tokens_are_counted_by_the_upstream_or_estimated_with_a_label(tmp_path: Path) -> None:
    body = {"model": "sim", "messages": [{"role": "user", "content": "one two three"}]}
    for name in ("a", "ollama", "openai"):
        (tmp_path / name).mkdir()
    async with stand(tmp_path / "a") as it:
        real = await it.ask("/v1/messages/count_tokens?beta=true", body)
    assert "x-streamgauge-count" not in real.headers
    for kind in ("ollama", "openai"):
        async with stand(tmp_path / kind, kind=kind) as it:
            estimate = await it.ask("/v1/messages/count_tokens", body)
            refused = await it.ask("/v1/messages/count_tokens", {"model": "sim", "messages": []})
            assert await it.rows() == []
        assert estimate.headers["x-streamgauge-count"] == "estimated"
        assert estimate.json() == {"input_tokens": 4 + 4}  # 13 characters, and one message
        assert (refused.status, "messages" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.asyncio
async def test_an_upstreams_pages_are_shown_only_where_they_are_exposed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with stand(tmp_path / "a", expose=["/props"]) as it:
        props, slots = await it.get("/props"), await it.get("/v1/slots")
    async with stand(tmp_path / "b") as it:
        hidden = await it.get("/props")
        assert await it.rows() == []
    assert props.json()["default_generation_settings"]["n_ctx"] == 4096
    assert (slots.status, hidden.status) == (404, 404)


@pytest.mark.asyncio
async def test_wrong_paths_methods_and_types_are_told_in_the_paths_dialect(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        unknown = await it.ask("/v1/messages/nothing", {})
        twice = await it.ask("/v1/v1/messages?beta=true", {})
        wrong = await it.get("/v1/chat/completions")
        asked = await it.ask("/v1/models", {})
        typed = await it.ask("/v1/chat/completions", CHAT, content_type="text/plain")
        async with it.client() as client:
            client.writer.write(b"PURGE /v1/streams/x/stop HTTP/1.1\r\nhost: localhost\r\n\r\n")
            strange = await client.answer()
        rows = await it.rows()
    assert (unknown.status, unknown.json()["type"]) == (404, "error")
    assert unknown.json()["error"]["message"] == "there is nothing at this path"
    assert (twice.status, twice.json()["error"]["code"]) == (404, "no_route")
    assert "leave it out of the client's base URL" in twice.json()["error"]["message"]
    assert (wrong.status, wrong.json()["error"]["code"]) == (405, "bad_request")
    assert (wrong.headers["allow"], asked.headers["allow"]) == ("POST", "GET, HEAD")
    assert (strange.status, strange.headers["allow"]) == (405, "POST")
    assert typed.status == 415
    assert [(row["status"], row["http_status"]) for row in rows] == [("rejected", 415)]


@pytest.mark.asyncio
async def test_without_metering_nothing_is_parsed_and_the_bytes_are_the_same(
    tmp_path: Path,
) -> None:
    body = {**CHAT, "sim": {"tokens": 30}}
    async with stand(tmp_path, config={"metering": "off"}) as it:
        answers = await asyncio.gather(*(it.ask("/v1/chat/completions", body) for _ in range(3)))
        rows = [await it.row(answer.id) for answer in answers]
        assert it.gateway.parsed_frames == 0
    assert all(answer.body.endswith(b"data: [DONE]\n\n") for answer in answers)
    assert {(row["status"], row["usage_source"]) for row in rows} == {("completed", "none")}
    assert {row["output_tokens"] for row in rows} == {None}


@pytest.mark.asyncio
async def test_made_up_models_are_not_kept_for_ever(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        learnt = it.gateway.upstreams["sim"].learnt
        for number in range(5000):
            learnt.asked[f"made-up-{number}"] = 0.0
            learnt.contexts[f"made-up-{number}"] = 1
        body = {"model": "one-more", "messages": [{"role": "user", "content": "hi"}]}
        assert (await it.ask("/v1/chat/completions", body)).status == 200
        await it.gateway.discovery.settle()
        assert len(learnt.contexts) < 10


@pytest.mark.asyncio
async def test_a_refused_page_has_an_id_of_its_own(tmp_path: Path) -> None:
    version = {"anthropic_version": "2023-06-01"}
    async with stand(tmp_path) as it:
        unknown = await it.get("/v1/models/nobody-has-it", **version)
        broken = await it.ask("/v1/cost", b"{", **version)
    for answer in (unknown, broken):
        assert answer.json()["request_id"] == answer.id
        assert re.fullmatch(r"[A-Za-z0-9_-]{16,64}", answer.id)
    assert (unknown.status, broken.status) == (404, 400)
    assert unknown.id != broken.id


@pytest.mark.parametrize(
    ("path", "headers", "anthropic"),
    [
        ("/v1/files?beta=true", {}, True),
        ("/v1/files", {"anthropic_version": "2023-06-01"}, True),
        ("/v1/messages/batches", {}, True),
        ("/v1/streams/nobody", {"anthropic_version": "2023-06-01"}, True),
        ("/v1/files?limit=2", {}, False),
        ("/v1/files?beta=1", {}, False),
        ("/v1/chat/completions?beta=true", {"anthropic_version": "2023-06-01"}, False),
    ],
)
@pytest.mark.asyncio
async def test_what_is_not_there_is_told_in_the_dialect_of_who_asks(
    path: str, headers: dict[str, str], anthropic: bool, tmp_path: Path
) -> None:
    async with stand(tmp_path) as it:
        answer = await it.get(path, **headers)
    told = answer.json()
    assert answer.status == (405 if "chat" in path else 404)
    assert (told.get("type") == "error", "request_id" in told) == (anthropic, anthropic)
    assert ("param" in told["error"]) is not anthropic
