"""OpenAI chat requests: what is read from them, and what is refused by the name of its field."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from streamgauge.core.conversation import (
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
from streamgauge.core.dialects.openai.read_request import read_conversation
from streamgauge.core.errors import RequestError

USER = {"role": "user", "content": "hi"}
LS = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}
RM = {"type": "function", "function": {"name": "rm"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"p": "."}'}}
PDF = "data:application/pdf;base64,QUJD"


def asked(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages) or [USER]} | fields


def in_turn(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def calling(*calls: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)} | more


PARTS: list[tuple[dict[str, Any], Part]] = [
    ({"type": "text", "text": "ü\n"}, Text("ü\n")),
    (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        Text("a", {"type": "ephemeral"}),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
        Image("image/png", "QUJD", detail="low"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:IMAGE/JPG;charset=x;base64,QUJD"}},
        Image("image/jpeg", "QUJD"),
    ),
    ({"type": "image_url", "image_url": {"url": "https://x/y"}}, Image(url="https://x/y")),
    ({"type": "image_url", "image_url": "https://x/y"}, Image(url="https://x/y")),
    (
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        Document("application/pdf", "QUJD", title="a.pdf"),
    ),
    ({"type": "file", "file": {"file_data": "QUJD"}}, Document("application/pdf", "QUJD")),
    ({"type": "file", "file": {"file_data": "https://x/a.pdf"}}, Document(url="https://x/a.pdf")),
    (
        {"type": "file", "file": {"file_data": "https://x/a.pdf", "filename": "a"}},
        Document(url="https://x/a.pdf", title="a"),
    ),
    (
        {
            "type": "file",
            "file": {
                "file_data": "data:text/plain;base64," + base64.b64encode("ü".encode()).decode()
            },
        },
        Document("text/plain", text="ü"),
    ),
]


@pytest.mark.parametrize(("part", "read"), PARTS)
def test_each_part_is_read(part: dict[str, Any], read: Part) -> None:
    assert read_conversation(asked(**in_turn(part))).messages[0].parts == (read,)


def test_leading_system_and_developer_messages_are_the_prompt_and_later_ones_stay() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]
    read = read_conversation(
        asked(
            {"role": "system", "content": "a"},
            {"role": "developer", "content": parts},
            USER,
            {"role": "developer", "content": "d"},
        )
    )
    assert read.system == (Text("a"), Text("b"), Text("c"))
    assert read.messages == (Message("user", (Text("hi"),)), Message("system", (Text("d"),)))


def test_a_system_prompt_alone_is_a_request() -> None:
    read = read_conversation(asked({"role": "system", "content": "Tell a joke."}))
    assert (read.system, read.messages) == ((Text("Tell a joke."),), ())


def test_results_in_a_row_are_one_turn_with_what_the_user_says_behind_them() -> None:
    second = CALL | {"id": "c2"}
    read = read_conversation(
        asked(
            USER,
            calling(CALL, second),
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}]},
            USER,
            calling(CALL),
            {"role": "tool", "tool_call_id": "c1", "content": None},
        )
    )
    assert [m.role for m in read.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert read.messages[2].parts == (
        ToolResult("c2", (Text("two"),)),
        ToolResult("c1", (Text("one"),)),
        Text("hi"),
    )
    assert read.messages[4].parts == (ToolResult("c1", ()),)


ASSISTANT: list[tuple[dict[str, Any], tuple[Part, ...]]] = [
    ({"content": "a"}, (Text("a"),)),
    ({"content": ""}, ()),
    (
        {"content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
        (Text("a"), Refusal("no")),
    ),
    ({"content": None, "refusal": "no"}, (Refusal("no"),)),
    ({"content": "a", "tool_calls": [CALL]}, (Text("a"), ToolUse("c1", "ls", '{"p": "."}'))),
    (
        {"tool_calls": [CALL | {"function": {"name": "ls", "arguments": ""}}]},
        (ToolUse("c1", "ls", "{}"),),
    ),
    (
        {"tool_calls": [CALL | {"function": {"name": "ls", "arguments": "no JSON"}}]},
        (ToolUse("c1", "ls", "no JSON"),),
    ),
    (
        {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "a\nb"}}]},
        (ToolUse("c", "sql", '{"input":"a\\nb"}'),),
    ),
    ({"content": "a", "reasoning_content": "hm"}, (Thought("hm"), Text("a"))),
    ({"content": "a", "reasoning": "hm"}, (Thought("hm"), Text("a"))),
    (
        {
            "content": "a",
            "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "S"}],
        },
        (Thought("hm", "S"), Text("a")),
    ),
    (
        {
            "reasoning_details": [
                {"type": "reasoning.encrypted", "data": "R"},
                {"type": "reasoning.summary", "summary": "s"},
                {"type": "later"},
            ]
        },
        (RedactedThought("R"), Thought("s")),
    ),
    ({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, (Thought("hm"),)),
    (
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "R"}]},
        (Thought("hm"), RedactedThought("R")),
    ),
]


@pytest.mark.parametrize(("message", "parts"), ASSISTANT)
def test_what_the_assistant_said_is_read(message: dict[str, Any], parts: tuple[Part, ...]) -> None:
    assert read_conversation(asked({"role": "assistant"} | message)).messages[0].parts == parts


def test_of_several_signatures_over_one_text_none_is_kept() -> None:
    """So come two thoughts back that were streamed: no signature would be that of its text."""
    signed = [{"type": "reasoning.text", "index": n, "signature": f"S{n}"} for n in range(2)]
    hidden = {"type": "reasoning.encrypted", "index": 2, "data": "R"}
    said = {"role": "assistant", "content": "a", "reasoning_content": "hm, so"}
    read = read_conversation(asked(said | {"reasoning_details": signed}))
    assert read.messages[0].parts == (Thought("hm, so"), Text("a"))
    assert read.lost == ("thinking:signature",)
    read = read_conversation(asked(said | {"reasoning_details": [*signed, hidden]}))
    assert read.messages[0].parts == (Thought("hm, so"), Text("a"))
    assert read.lost == ("thinking:signature", "redacted_thinking")
    read = read_conversation(asked(said | {"reasoning_details": [signed[0], hidden]}))
    assert read.messages[0].parts == (Thought("hm, so", "S0"), RedactedThought("R"), Text("a"))
    assert read.lost == ()


def test_a_prompt_alone_is_one_turn_of_the_user() -> None:
    read = read_conversation({"prompt": "hi", "stream": True})
    assert read.messages == (Message("user", (Text("hi"),)),)


def test_a_tool_choice_of_null_hides_no_deprecated_one() -> None:
    fields = asked(functions=[LS["function"]], function_call="none", tool_choice=None)
    assert read_conversation(fields).tool_choice == ToolChoice("none")


def test_deprecated_functions_are_read_as_tools() -> None:
    fields = asked(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "ls", "arguments": "{}"}},
        {"role": "function", "name": "ls", "content": "out"},
        functions=[LS["function"]],
        function_call={"name": "ls"},
    )
    before = repr(fields)
    read = read_conversation(fields)
    assert read.messages[1:] == (
        Message("assistant", (ToolUse("call_1", "ls", "{}"),)),
        Message("user", (ToolResult("call_1", (Text("out"),)),)),
    )
    assert (read.tools, read.tool_choice) == (
        (Tool("ls", None, {"type": "object"}),),
        ToolChoice("tool", "ls"),
    )
    assert repr(fields) == before


CHOICES: list[tuple[dict[str, Any], ToolChoice | None, list[str]]] = [
    ({}, None, ["ls", "rm"]),
    ({"tool_choice": "auto"}, ToolChoice("auto"), ["ls", "rm"]),
    ({"tool_choice": "required"}, ToolChoice("any"), ["ls", "rm"]),
    ({"tool_choice": "none"}, ToolChoice("none"), ["ls", "rm"]),
    ({"tool_choice": RM}, ToolChoice("tool", "rm"), ["ls", "rm"]),
    ({"parallel_tool_calls": False}, ToolChoice("auto", parallel=False), ["ls", "rm"]),
    (
        {"tool_choice": "required", "parallel_tool_calls": True},
        ToolChoice("any", parallel=True),
        ["ls", "rm"],
    ),
    (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [RM]},
            }
        },
        ToolChoice("any"),
        ["rm"],
    ),
]


@pytest.mark.parametrize(("fields", "choice", "names"), CHOICES)
def test_each_tool_choice_is_read(
    fields: dict[str, Any], choice: ToolChoice | None, names: list[str]
) -> None:
    read = read_conversation(asked(tools=[LS, RM], **fields))
    assert (read.tool_choice, [tool.name for tool in read.tools]) == (choice, names)


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, Reasoning()),
        ({"reasoning_effort": "xhigh"}, Reasoning(effort="xhigh")),
        ({"reasoning_effort": "none"}, Reasoning(False)),
        ({"reasoning": {"max_tokens": 2000}}, Reasoning(True, 2000)),
        ({"reasoning": {"effort": "low"}}, Reasoning(effort="low")),
        ({"reasoning": {"enabled": True}}, Reasoning(True)),
        ({"chat_template_kwargs": {"enable_thinking": False, "x": 1}}, Reasoning(False)),
        ({"chat_template_kwargs": {"thinking": True}}, Reasoning(True)),
        ({"chat_template_kwargs": {"thinking": True, "enable_thinking": False}}, Reasoning(False)),
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, Reasoning(effort="low")),
        ({"chat_template_kwargs": {"reasoning_effort": "none"}}, Reasoning(False)),
        ({"chat_template_kwargs": {"reasoning_effort": "a", "thinking": 1}}, Reasoning()),
    ],
)
def test_the_wish_to_think_is_read_in_all_its_forms(
    fields: dict[str, Any], reasoning: Reasoning
) -> None:
    assert read_conversation(asked(**fields)).reasoning == reasoning


@pytest.mark.parametrize(
    ("form", "schema", "name"),
    [
        ({"type": "text"}, None, None),
        ({"type": "json_object"}, {}, None),
        ({"type": "json_object", "schema": {"a": 1}}, {"a": 1}, None),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
            },
            {"a": 1},
            "n",
        ),
    ],
)
def test_the_form_of_the_answer_is_read(
    form: dict[str, Any], schema: Any, name: str | None
) -> None:
    read = read_conversation(asked(response_format=form))
    assert (read.schema, read.schema_name) == (schema, name)


def test_settings_are_read() -> None:
    read = read_conversation(
        asked(
            max_tokens=5,
            max_completion_tokens=9,
            temperature=0,
            top_p=0.5,
            top_k=3,
            seed=0,
            n=2,
            stop="a",
            presence_penalty=1,
            frequency_penalty=0,
            user="u",
            tools=[LS],
        )
    )
    assert read.sampling == Sampling(9, 0, 0.5, 3, 0, 1, 0, ("a",), 2)
    assert (read.user, read.tools, read.lost) == ("u", (Tool("ls", None, {"type": "object"}),), ())
    assert read_conversation(asked(max_tokens=-1)).sampling.max_tokens is None


LOSING: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"logprobs": True, "top_logprobs": 3}, ("logprobs",)),
    (
        {
            "logprobs": False,
            "logit_bias": {},
            "modalities": ["text"],
            "service_tier": "auto",
            "verbosity": "medium",
        },
        (),
    ),
    ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, ("audio",)),
    (
        {
            "logit_bias": {"5": 1},
            "prediction": {"a": 1},
            "verbosity": "low",
            "web_search_options": {"a": 1},
        },
        ("logit_bias", "prediction", "verbosity", "web_search_options"),
    ),
    ({"service_tier": "flex", "moderation": {"a": 1}}, ("service_tier", "moderation")),
    (
        {
            "store": True,
            "metadata": {"a": "b"},
            "prompt_cache_key": "k",
            "stream_options": {},
            "usage": {"include": True},
        },
        (),
    ),
    ({"min_p": 0.1, "grammar": "root"}, ("field:min_p", "field:grammar")),
    (
        {
            "reasoning": {"exclude": True, "effort": "low", "summary": None},
            "chat_template_kwargs": {"thinking": "a", "reasoning_effort": [], "x": 0, "y": None},
        },
        (
            "field:reasoning.exclude",
            "field:chat_template_kwargs.thinking",
            "field:chat_template_kwargs.reasoning_effort",
            "field:chat_template_kwargs.x",
        ),
    ),
    ({"reasoning": {"exclude": False}, "chat_template_kwargs": {"enable_thinking": True}}, ()),
    ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, ("custom_tool",)),
    ({"messages": [USER | {"name": "Ann"}]}, ("message:name",)),
    ({"messages": [{"role": "assistant", "content": "a", "audio": {"id": "x"}}]}, ("audio",)),
]


@pytest.mark.parametrize(("fields", "names"), LOSING)
def test_what_nobody_else_knows_is_named(fields: dict[str, Any], names: tuple[str, ...]) -> None:
    assert read_conversation(asked(**fields)).lost == names


BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    (
        {
            "messages": [
                {"role": "system", "content": in_turn(PARTS[2][0])["messages"][0]["content"]},
                USER,
            ]
        },
        "messages[0].content",
    ),
    (
        {"messages": [USER, {"role": "tool", "tool_call_id": "c9", "content": ""}]},
        "messages[1].tool_call_id",
    ),
    ({"messages": [USER, {"role": "tool", "content": ""}]}, "messages[1].tool_call_id"),
    ({"messages": [{"role": "function", "name": "ls", "content": ""}]}, "messages[0].tool_call_id"),
    ({"messages": [calling(CALL | {"id": None})]}, "messages[0].tool_calls[0].id"),
    (
        {"messages": [calling(CALL | {"function": {"arguments": "{}"}})]},
        "messages[0].tool_calls[0].function.name",
    ),
    (
        {"messages": [calling(CALL | {"function": {"name": "ls", "arguments": {}}})]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    (in_turn({"type": "input_audio", "input_audio": {}}), "messages[0].content[0].type"),
    (in_turn({"type": "text"}), "messages[0].content[0].text"),
    (
        in_turn({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,QUJD"}}),
        "messages[0].content[0].image_url.url",
    ),
    (
        in_turn({"type": "image_url", "image_url": {"url": "data:image/png,QUJD"}}),
        "messages[0].content[0].image_url.url",
    ),
    (
        in_turn({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
        "messages[0].content[0].image_url.url",
    ),
    (in_turn({"type": "image_url"}), "messages[0].content[0].image_url"),
    (in_turn({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].file.file_id"),
    (
        in_turn({"type": "file", "file": {"file_data": "data:text/plain;base64,!!"}}),
        "messages[0].content[0].file.file_data",
    ),
    (
        in_turn({"type": "file", "file": {"file_data": "data:audio/wav;base64,QUJD"}}),
        "messages[0].content[0].file.file_data",
    ),
    (
        in_turn({"type": "file", "file": {"file_data": "data:application/pdf,QUJD"}}),
        "messages[0].content[0].file.file_data",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].type",
    ),
    ({"functions": [], "function_call": {"name": "ls"}}, "tool_choice.function.name"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
    ({"tools": [LS], "tool_choice": RM}, "tool_choice.function.name"),
    ({"tools": [LS], "tool_choice": "any"}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [LS], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
    ({"n": 0}, "n"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"max_tokens": -5}, "max_tokens"),
    ({"stop": 3}, "stop"),
    ({"temperature": True}, "temperature"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
]


@pytest.mark.parametrize(("fields", "param"), BAD)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        read_conversation(asked() | fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in caught.value.message


def test_a_prompt_must_say_something() -> None:
    with pytest.raises(RequestError) as caught:
        read_conversation({"prompt": ["a"]})
    assert caught.value.param == "prompt"
