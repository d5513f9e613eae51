"""Transformers end to end: what reaches the upstream, and what its clients get."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ..faults.upstream import End, head, in_chunks
from .recorded import RECORDED
from .stand import Stand, frames_of, stand
from .translated import CHAT, DONE, LAST, NAMED, PATHS, ROLE, USAGE, arguments, asked, behind, chunk

pytestmark = [pytest.mark.asyncio]

BILLING = "x-anthropic-billing-header"
REMINDER = "<system-reminder>"
CLAUDE_CODE = next(sent for sent in RECORDED if sent.name == "claude_code_tool_turn-3")
OFF = ["-mid_system", "-strip_attribution"]


async def sent_upstream(it: Stand) -> dict[str, Any]:
    keywords = CLAUDE_CODE.as_keywords()
    answer = await it.ask(CLAUDE_CODE.path, CLAUDE_CODE.body, **keywords)
    assert answer.status == 200
    assert answer.clean
    return last_chat(it)


def last_chat(it: Stand) -> dict[str, Any]:
    """Return the last chat request: an upstream is asked for its models' sizes as well."""
    found = [json.loads(seen.body) for seen in it.simulator.requests if seen.body]
    body: dict[str, Any] = [body for body in found if "messages" in body][-1]
    return body


@pytest.mark.parametrize("kind", ["llamacpp", "vllm", "ollama"])
@pytest.mark.parametrize("messages_api", ["translate", "native"])
@pytest.mark.parametrize("switched_off", [False, True])
async def test_claude_codes_request_reaches_a_local_server_as_its_template_takes_it(
    tmp_path: Path, kind: str, messages_api: str, switched_off: bool
) -> None:
    keys = {"messages_api": messages_api, "transformers": OFF if switched_off else []}
    async with stand(tmp_path, flavour=kind, kind=kind, **keys) as it:
        body = await sent_upstream(it)
    roles = [message["role"] for message in body["messages"]]
    middle = roles[1:] if messages_api == "translate" else roles
    text = json.dumps(body)
    assert (BILLING in text) is switched_off
    assert ("system" in middle) is switched_off
    assert text.count(REMINDER) - json.dumps(CLAUDE_CODE.body).count(REMINDER) == (not switched_off)
    if messages_api == "native":
        kept = set(CLAUDE_CODE.body) - {"system", "messages"}
        assert {key: body[key] for key in kept} == {key: CLAUDE_CODE.body[key] for key in kept}


async def test_an_upstream_of_anthropics_gets_claude_codes_request_as_it_came(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path, flavour="anthropic", kind="anthropic") as it:
        assert await sent_upstream(it) == CLAUDE_CODE.body


async def test_settings_of_a_chain_reach_the_upstream_of_both_ways(tmp_path: Path) -> None:
    told = ["strip_cache_control", {"max_tokens": {"cap": 64}}, {"sampling": {"temperature": 0.25}}]
    async with stand(tmp_path, kind="llamacpp", transformers=told) as it:
        translated = await sent_upstream(it)
        await it.ask(CHAT, asked("openai"))
        as_is = last_chat(it)
    for body in (translated, as_is):
        assert (body["max_tokens"], body["temperature"]) == (64, 0.25)
        assert "cache_control" not in json.dumps(body)


@pytest.mark.parametrize("client", ["openai", "anthropic", "frames"])
async def test_text_flows_while_a_block_is_held_for_its_repair(tmp_path: Path, client: str) -> None:
    """The upstream goes on only when the client has the text: held text would be a deadlock."""
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"POST"):
            writer.close()
            return
        twice = (arguments('{"filePath":"/\u00fc"'), arguments(',"filePath":"'))
        writer.write(head() + in_chunks(ROLE, NAMED, *twice, chunk({"content": "meanwhile"})))
        await heard.wait()
        writer.write(in_chunks(arguments('/\u00fc","n":1}'), chunk({}, "tool_calls"), USAGE, DONE))
        writer.write(LAST)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    up = {
        "name": "up",
        "kind": "openai",
        "base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "transformers": ["tool_call_repair"],
    }
    async with (
        server,
        stand(tmp_path, config={"upstreams": [up]}) as it,
        it.client() as one,
        asyncio.timeout(5),
    ):
        await one.post(PATHS[client], asked(client))
        _, headers = await one.head()
        body = b""
        while b"meanwhile" not in body:
            body += await one.chunk() or b""
        assert body.count(b"filePath") == 1
        heard.set()
        while piece := await one.chunk():
            body += piece
        row = await it.row(headers["x-request-id"])
    assert body.count(b"filePath") == 1
    assert body.index(b"meanwhile") < body.index(b'\\"n\\":1')
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", 7, 3)


@pytest.mark.parametrize("transformers", [[], ["markdown_html"]])
async def test_markdown_is_html_for_clients_of_frames_that_want_it(
    tmp_path: Path, transformers: list[str]
) -> None:
    said = "# Title\n\nSome **bold** te", "xt\n\n- one\n"
    pieces = (ROLE, *(chunk({"content": text}) for text in said), chunk({}, "stop"), USAGE, DONE)
    script = [head() + in_chunks(*pieces) + LAST, End.CLOSE]
    async with behind(tmp_path, "openai", script, transformers=transformers) as it:
        framed = await it.ask(PATHS["frames"], asked("frames"))
        plain = await it.ask(CHAT, asked("openai"))
        row = await it.row(framed.id)
    told = [json.loads(payload) for payload in frames_of(framed.body)]
    text = "".join(one["content"] for one in told)
    html = "<h1>Title</h1>\n<p>Some <strong>bold</strong> text</p>\n<ul>\n<li>one</li>\n</ul>\n"
    assert text == (html if transformers else "".join(said))
    if transformers:
        assert told[0]["content"] == "<h1>Title</h1>\n", "a block leaves when it is whole"
    assert b"**bold**" in plain.body
    assert (row["output_tokens"], row["frames_out"]) == (3, len(told))


async def test_a_models_name_at_openrouter_has_its_maker(tmp_path: Path) -> None:
    async with stand(tmp_path, kind="openrouter", transformers=["openrouter_prefix"]) as it:
        answer = await it.ask(CHAT, asked("openai", model="claude-sonnet-4-5"))
        row = await it.row(answer.id)
        body = last_chat(it)
    assert body["model"] == row["upstream_model"] == "anthropic/claude-sonnet-4-5"
    assert row["requested_model"] == "claude-sonnet-4-5"
