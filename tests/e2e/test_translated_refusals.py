"""Bad requests that would have to be translated: refused in the client's dialect, field by name."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from .pairing import Pair, paired

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

Change = Callable[[dict[str, Any]], None]
_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
_USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": {}}
_PIXEL = "iVBORw0KGgo="


def _put(key: str, value: Any) -> Change:
    return lambda body: body.__setitem__(key, value)


def _drop(key: str) -> Change:
    return lambda body: body.pop(key)


def _turns(*turns: dict[str, Any]) -> Change:
    return lambda body: body["messages"].extend(turns)


def _said(role: str, *blocks: Any) -> Change:
    return _turns({"role": role, "content": list(blocks)})


def _base64(kind: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": _PIXEL}}


ANTHROPIC: dict[str, tuple[Change, str]] = {
    "no max_tokens": (_drop("max_tokens"), "max_tokens"),
    "max_tokens is text": (_put("max_tokens", "many"), "max_tokens"),
    "max_tokens is 0": (_put("max_tokens", 0), "max_tokens"),
    "no messages": (_drop("messages"), "messages"),
    "messages is a text": (_put("messages", "hi"), "messages"),
    "no message": (_put("messages", []), "messages"),
    "a wrong role": (_turns({"role": "robot", "content": "x"}), "messages[1].role"),
    "no content": (_turns({"role": "assistant"}), "messages[1].content"),
    "a block without a type": (_said("user", {"text": "x"}), "messages[1].content[0]"),
    "a text block without text": (_said("user", {"type": "text"}), "messages[1].content[0].text"),
    "a result without its call": (
        _said("user", {"type": "tool_result", "tool_use_id": "c9", "content": "x"}),
        "tool_use_id",
    ),
    "a call without a name": (
        _said("assistant", {"type": "tool_use", "id": "c1", "input": {}}),
        "messages[1].content[0].name",
    ),
    "an image of no known type": (_said("user", _base64("image/tiff")), "media_type"),
    "an image from nowhere": (
        _said("user", {"type": "image", "source": {"type": "floppy"}}),
        "messages[1].content[0].source",
    ),
    "a tool without a name": (_put("tools", [{"input_schema": {}}]), "tools[0].name"),
    "a choice of no tool": (_put("tool_choice", {"type": "tool", "name": "gone"}), "tool_choice"),
    "an unknown choice": (_put("tool_choice", {"type": "whatever"}), "tool_choice"),
    "temperature is text": (_put("temperature", "hot"), "temperature"),
    "stop is a number": (_put("stop_sequences", 3), "stop_sequences"),
    "system is a number": (_put("system", 3), "system"),
}
OPENAI: dict[str, tuple[Change, str]] = {
    "no messages": (_drop("messages"), "messages"),
    "messages is a text": (_put("messages", "hi"), "messages"),
    "no message": (_put("messages", []), "messages"),
    "a wrong role": (_turns({"role": "robot", "content": "x"}), "messages[1].role"),
    "no content": (_turns({"role": "user"}), "messages[1].content"),
    "a part without a type": (_said("user", {"text": "x"}), "messages[1].content[0]"),
    "a result without its call": (
        _turns({"role": "tool", "tool_call_id": "c9", "content": "x"}),
        "tool_call_id",
    ),
    "a result without an id": (_turns({"role": "tool", "content": "x"}), "tool_call_id"),
    "a call whose arguments are no text": (
        _turns(
            {
                "role": "assistant",
                "tool_calls": [_CALL | {"function": {"name": "weather", "arguments": {}}}],
            }
        ),
        "arguments",
    ),
    "a call without a function": (
        _turns({"role": "assistant", "tool_calls": [{"id": "c1", "type": "function"}]}),
        "function",
    ),
    "an image of no known type": (
        _said(
            "user", {"type": "image_url", "image_url": {"url": f"data:image/tiff;base64,{_PIXEL}"}}
        ),
        "image_url",
    ),
    "an image without an address": (_said("user", {"type": "image_url"}), "image_url"),
    "a tool without a name": (_put("tools", [{"type": "function", "function": {}}]), "name"),
    "a choice of no tool": (
        _put("tool_choice", {"type": "function", "function": {"name": "gone"}}),
        "tool_choice",
    ),
    "an unknown choice": (_put("tool_choice", "whatever"), "tool_choice"),
    "max_tokens is text": (_put("max_tokens", "many"), "max_tokens"),
    "temperature is text": (_put("temperature", "hot"), "temperature"),
    "n is 0": (_put("n", 0), "n"),
    "effort is unknown": (_put("reasoning_effort", "huge"), "reasoning_effort"),
    "an unknown format": (_put("response_format", {"type": "xml"}), "response_format"),
}
_TABLES = {"anthropic": ANTHROPIC, "openai": OPENAI, "simple": OPENAI}
_PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "simple": "/v1/chat/completions?protocol=simple",
}
_UPSTREAM = {"anthropic": "openai", "openai": "anthropic", "simple": "ollama"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pairs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Pair]]:
    """A gateway for each client, with an upstream of another dialect."""
    async with contextlib.AsyncExitStack() as stack:
        built = {}
        for client, upstream in _UPSTREAM.items():
            folder = tmp_path_factory.mktemp("refusals")
            built[client] = await stack.enter_async_context(paired(upstream, folder))
        yield built


def _request(client: str) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": "weather", "input_schema": {"type": "object"}}
    if client != "anthropic":
        function = {"name": "weather", "parameters": {"type": "object"}}
        tool = {"type": "function", "function": function}
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "sim", "max_tokens": 50, "stream": True, "messages": messages}
    return copy.deepcopy(body | {"tools": [tool]})


@pytest.mark.parametrize(
    ("client", "fault"), [(client, fault) for client, table in _TABLES.items() for fault in table]
)
async def test_a_bad_request_is_a_400_that_names_the_field(
    pairs: dict[str, Pair], client: str, fault: str
) -> None:
    built = pairs[client]
    change, field = _TABLES[client][fault]
    body = _request(client)
    change(body)
    calls = len(built.it.simulator.begun)
    answer = await built.it.ask(_PATHS[client], body)
    assert answer.status == 400, answer.body
    told = answer.json()
    error = told["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "bad_request"
    assert field in error["message"]
    if client == "anthropic":
        assert told["type"] == "error"
    else:
        assert field in error["param"]
    assert len(built.it.simulator.begun) == calls, "no upstream was called"
    row = await built.it.row(answer.id)
    assert (row["status"], row["http_status"]) == ("rejected", 400)
    assert row["attempts"] == 0


@pytest.mark.parametrize("client", _TABLES)
async def test_the_request_itself_is_fine(pairs: dict[str, Pair], client: str) -> None:
    answer = await pairs[client].it.ask(_PATHS[client], _request(client))
    assert answer.status == 200


_PAGE = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": _PIXEL},
}
_FAR = {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/x.png"}}
UNSAYABLE = [
    ("openai", "anthropic", _put("n", 2), "n must be 1"),
    ("simple", "openai", _put("n", 2), "n must be 1"),
    ("simple", "ollama", _put("n", 2), "n must be 1"),
    ("anthropic", "ollama", _said("user", _FAR), "image by its URL"),
    ("anthropic", "ollama", _said("user", _PAGE), "document"),
    ("anthropic", "llamacpp", _said("user", _PAGE), "document"),
]


@pytest.mark.parametrize(("client", "upstream", "change", "message"), UNSAYABLE)
async def test_what_an_upstream_cannot_be_told_is_refused_before_it_is_called(
    tmp_path: Path, client: str, upstream: str, change: Change, message: str
) -> None:
    body = _request(client)
    change(body)
    async with paired(upstream, tmp_path) as built:
        answer = await built.it.ask(_PATHS[client], body)
        row = await built.it.row(answer.id)
        assert built.it.simulator.begun == []
        assert not built.it.gateway.relays
    assert answer.status == 400
    assert message in answer.json()["error"]["message"]
    assert (row["status"], row["attempts"], row["error_code"]) == ("rejected", 0, "bad_request")
