"""Requests of Ollama's own chat: before and after by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamgauge.core.conversation import (
    Conversation,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    RedactedThought,
    Refusal,
    Sampling,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.base import Wish
from streamgauge.core.dialects.ollama.write_request import write_request
from streamgauge.core.errors import RequestError
from streamgauge.core.transform.mid_system import mid_system
from streamgauge.core.transform.strip_attribution import strip_attribution

MARK = {"type": "ephemeral"}
HI = Text("hi")
IMAGE = Image("image/png", "QUJD")


def written(conversation: Conversation, model: str = "m", **wish: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        write_request(conversation, Wish("ollama", model, True, **wish)).body
    )
    return body


def lost(conversation: Conversation, model: str = "m") -> tuple[str, ...]:
    return write_request(conversation, Wish("ollama", model, True)).lost


def saying(*parts: Part, role: Any = "user", **fields: Any) -> Conversation:
    return Conversation(messages=(Message(role, parts),), **fields)


MESSAGES: list[tuple[str, tuple[Part, ...], dict[str, Any]]] = [
    ("user", (HI,), {"content": "hi"}),
    ("user", (), {"content": ""}),
    ("user", (HI, Text("ü")), {"content": "hi\n\nü"}),
    ("user", (IMAGE, HI, IMAGE), {"content": "hi", "images": ["QUJD", "QUJD"]}),
    ("user", (Document("text/plain", text="body"),), {"content": "body"}),
    ("system", (HI,), {"content": "hi"}),
    ("assistant", (Text("a"), Text("b")), {"content": "ab"}),
    (
        "assistant",
        (Thought("a", "S"), Text("x"), Thought("b"), RedactedThought("R")),
        {"content": "x", "thinking": "ab"},
    ),
    ("assistant", (Refusal("no"),), {"content": "no"}),
    (
        "assistant",
        (ToolUse("t1", "ls", '{"p": 1}'),),
        {
            "content": "",
            "tool_calls": [{"id": "t1", "function": {"name": "ls", "arguments": {"p": 1}}}],
        },
    ),
    (
        "assistant",
        (ToolUse("t1", "ls", "oops"),),
        {
            "content": "",
            "tool_calls": [{"id": "t1", "function": {"name": "ls", "arguments": {"_raw": "oops"}}}],
        },
    ),
]


@pytest.mark.parametrize(("role", "parts", "fields"), MESSAGES)
def test_each_turn_is_one_message(
    role: str, parts: tuple[Part, ...], fields: dict[str, Any]
) -> None:
    assert written(saying(*parts, role=role))["messages"] == [{"role": role} | fields]


def test_results_name_their_tool_and_their_images_go_behind() -> None:
    calls = (ToolUse("t1", "ls", "{}"), ToolUse("t2", "cat", "{}"))
    results = (
        ToolResult("t2", (Text("bad"),), is_error=True),
        ToolResult("t1", (Text("a"), IMAGE)),
    )
    said = Conversation(
        messages=(Message("assistant", calls), Message("user", (*results, HI))),
        system=(Text("a"), Text("b")),
    )
    body = written(said)["messages"]
    assert body[0] == {"role": "system", "content": "a\n\nb"}
    assert body[2:] == [
        {"role": "tool", "content": "Error: bad", "tool_name": "cat", "tool_call_id": "t2"},
        {"role": "tool", "content": "a\n[image 1]", "tool_name": "ls", "tool_call_id": "t1"},
        {"role": "user", "content": "[image 1]\n\nhi", "images": ["QUJD"]},
    ]


def test_a_system_message_in_the_middle_is_the_users_where_that_is_wished() -> None:
    said = Conversation(messages=(Message("user", (HI,)), Message("system", (Text("mid"),))))
    assert [m["role"] for m in written(said)["messages"]] == ["user", "system"]
    marked = {"role": "user", "content": "hi\n\n<system-reminder>\nmid\n</system-reminder>"}
    assert written(mid_system(said))["messages"] == [marked]


def test_the_billing_line_stays_unless_it_is_not_wanted() -> None:
    said = saying(HI, system=(Text("x-anthropic-billing-header: v"),))
    assert len(written(said)["messages"]) == 2
    assert written(strip_attribution(said))["messages"] == [{"role": "user", "content": "hi"}]


def test_all_settings_have_their_option() -> None:
    sampling = Sampling(9, 0, 0.5, 3, 0, 1, 0, ("a", "b", "c", "d", "e"))
    said = saying(HI, sampling=sampling, schema={"type": "object"})
    body = written(said)
    assert body["options"] == {
        "num_predict": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "seed": 0,
        "presence_penalty": 1,
        "frequency_penalty": 0,
        "stop": ["a", "b", "c", "d", "e"],
    }
    assert (body["format"], body["stream"], lost(said)) == ({"type": "object"}, True, ())
    assert written(saying(HI, schema={}))["format"] == "json"
    assert "options" not in written(saying(HI))


@pytest.mark.parametrize(
    ("model", "reasoning", "think", "names"),
    [
        ("qwen3", Reasoning(), None, ()),
        ("qwen3", Reasoning(False, effort="high"), False, ()),
        ("qwen3", Reasoning(True), None, ()),
        ("qwen3", Reasoning(True, 2000), None, ("reasoning",)),
        ("gpt-oss:20b", Reasoning(effort="max"), "high", ()),
        ("gpt-oss:20b", Reasoning(True, 2000), "low", ()),
    ],
)
def test_only_what_no_model_refuses_is_said_of_thinking(
    model: str, reasoning: Reasoning, think: object, names: tuple[str, ...]
) -> None:
    said = saying(HI, reasoning=reasoning)
    assert (written(said, model).get("think"), lost(said, model)) == (think, names)


TOOLS = (Tool("ls", "lists", {"type": "object"}), Tool("rm", strict=True, cache=MARK))
WRITTEN = [
    {
        "type": "function",
        "function": {"name": "ls", "description": "lists", "parameters": {"type": "object"}},
    },
    {
        "type": "function",
        "function": {
            "name": "rm",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]


@pytest.mark.parametrize(
    ("choice", "tools", "names"),
    [
        (None, WRITTEN, ()),
        (ToolChoice("auto", parallel=True), WRITTEN, ()),
        (ToolChoice("none"), None, ()),
        (ToolChoice("any"), WRITTEN, ("tool_choice",)),
        (ToolChoice("tool", "ls", False), WRITTEN, ("tool_choice", "parallel_tool_calls")),
    ],
)
def test_tools_are_written_and_a_choice_that_cannot_be_made_is_named(
    choice: ToolChoice | None, tools: Any, names: tuple[str, ...]
) -> None:
    said = saying(HI, tools=TOOLS, tool_choice=choice)
    assert written(said).get("tools") == tools
    assert lost(said) == ("cache_control", "tool:strict", *names)


LOSING: list[tuple[Conversation, tuple[str, ...]]] = [
    (saying(Text("a", MARK)), ("cache_control",)),
    (saying(HI, system=(Text("a", MARK),)), ("cache_control",)),
    (saying(ToolUse("t", "ls", "{}", MARK), role="assistant"), ("cache_control",)),
    (
        saying(Image("image/png", "QUJD", detail="high", cache=MARK)),
        ("cache_control", "image:detail"),
    ),
    (
        saying(Document("text/plain", text="a", title="T", cache=MARK)),
        ("cache_control", "document:title"),
    ),
    (
        saying(Thought("a", "S"), RedactedThought("R"), role="assistant"),
        ("thinking:signature", "redacted_thinking"),
    ),
    (saying(ToolUse("t", "ls", "oops"), role="assistant"), ("tool_arguments",)),
    (saying(Image("image/png", "QUJD", detail="auto")), ()),
]


@pytest.mark.parametrize(("conversation", "names"), LOSING)
def test_what_it_has_no_place_for_is_named(
    conversation: Conversation, names: tuple[str, ...]
) -> None:
    assert lost(conversation) == names


@pytest.mark.parametrize(
    ("conversation", "word"),
    [
        (saying(Image(url="http://x/y")), "image by its URL"),
        (saying(Document("application/pdf", "QUJD")), "document"),
        (saying(ToolResult("t", (Image(url="http://x/y"),))), "image by its URL"),
        (saying(HI, sampling=Sampling(n=2)), "n must be 1"),
    ],
)
def test_content_that_cannot_be_carried_is_refused(conversation: Conversation, word: str) -> None:
    with pytest.raises(RequestError, match=word) as caught:
        written(conversation)
    assert caught.value.status == 400
