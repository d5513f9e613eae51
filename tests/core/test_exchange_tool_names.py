"""A tool whose name the upstream would refuse: each side hears of it by a name of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.actions import SendRequest

from .playbook import DONE, FINISH, ROLE, Play, chunk, request_of
from .translated_play import translated
from .upstream_wires import UPSTREAMS, event, heard

LONG = "mcp__plugin_github_enterprise__" + "list_all_open_pull_requests_of_team" * 2
DOTTED = "fs.read"


def _request(client: Any, name: str, *, stream: bool = True) -> Any:
    if client == "anthropic":
        tools: list[Any] = [{"name": name, "input_schema": {"type": "object"}}]
        choice: Any = {"type": "tool", "name": name}
        called: Any = {"content": [{"type": "tool_use", "id": "c0", "name": name, "input": {}}]}
        result: Any = {"type": "tool_result", "tool_use_id": "c0", "content": "x"}
        last: Any = {"role": "user", "content": [result]}
    else:
        function = {"name": name, "arguments": "{}"}
        tools = [{"type": "function", "function": {"name": name}}]
        choice = {"type": "function", "function": {"name": name}}
        called = {"tool_calls": [{"id": "c0", "type": "function", "function": function}]}
        last = {"role": "tool", "tool_call_id": "c0", "content": "x"}
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", **called}, last]
    return request_of(client, stream=stream, tools=tools, tool_choice=choice, messages=turns)


def _told_upstream(play: Play) -> dict[str, Any]:
    (sent,) = (action for action in play.log if isinstance(action, SendRequest))
    body: dict[str, Any] = json.loads(sent.body)
    return body


def _called(*pieces: str) -> tuple[bytes, ...]:
    """Return an OpenAI stream that calls a tool whose name comes in `pieces`."""
    first = {"index": 0, "id": "c1", "type": "function"}
    deltas = [
        {**(first if not n else {"index": 0}), "function": {"name": piece, "arguments": ""}}
        for n, piece in enumerate(pieces)
    ]
    deltas.append({"index": 0, "function": {"arguments": '{"x": 1}'}})
    calls = [chunk(choices=[{"index": 0, "delta": {"tool_calls": [each]}}]) for each in deltas]
    return (ROLE, *calls, FINISH, DONE)


@pytest.mark.parametrize("client", ["anthropic", "simple", "frames"])
def test_a_long_name_comes_back_from_an_openai_stream(client: str) -> None:
    play = translated(client, "openai", request=_request(client, LONG))
    play.head()
    body = _told_upstream(play)
    short = body["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert body["tool_choice"]["function"]["name"] == short
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == short
    play.data(*_called(short[:20], short[20:]))
    assert heard(client, play.body).calls == [(LONG, {"x": 1})]
    assert play.exchange.lost == ()


@pytest.mark.parametrize("client", ["anthropic", "simple"])
def test_a_long_name_comes_back_in_an_answer_that_is_no_stream(client: str) -> None:
    play = translated(client, "openai", request=_request(client, LONG, stream=False))
    play.connect()
    short = _told_upstream(play)["tools"][0]["function"]["name"]
    call = {"id": "c1", "type": "function", "function": {"name": short, "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    play.do("attempt_head", 200, "application/json", None)
    play.data(json.dumps({**UPSTREAMS["openai"].whole, "choices": [choice]}).encode())
    play.do("upstream_end", "complete")
    assert f'"name":"{LONG}"' in play.whole.body.decode()


def test_a_name_with_dots_comes_back_from_anthropic() -> None:
    play = translated("openai", "anthropic", request=_request("openai", DOTTED), kind="anthropic")
    play.head()
    body = _told_upstream(play)
    name = body["tools"][0]["name"]
    assert name.startswith("fs_read_")
    assert body["tool_choice"]["name"] == body["messages"][1]["content"][0]["name"] == name
    wire = UPSTREAMS["anthropic"]
    use = {"type": "tool_use", "id": "c1", "name": name, "input": {}}
    play.data(wire.start, event("content_block_start", index=0, content_block=use))
    play.data(event("content_block_stop", index=0), wire.finish["tool_calls"])
    play.data(wire.end["tool_calls"])
    assert heard("openai", play.body).calls == [(DOTTED, {})]


@pytest.mark.parametrize("kind", ["vllm", "llamacpp", "ollama"])
def test_servers_without_a_bound_are_told_the_name_itself(kind: str) -> None:
    dialect = "ollama" if kind == "ollama" else "openai"
    play = translated("anthropic", dialect, request=_request("anthropic", LONG), kind=kind)
    play.connect()
    assert _told_upstream(play)["tools"][0]["function"]["name"] == LONG
