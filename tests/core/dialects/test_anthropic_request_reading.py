"""Anthropic requests as they are read: blocks, settings, what is lost, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.conversation import (
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    RedactedThought,
    Sampling,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from streamgauge.core.dialects.anthropic.read_request import read_conversation
from streamgauge.core.errors import RequestError

from .anthropic_requests import CALL, LS, MARK, PNG, asked, first_part, turn

BLOCKS: list[tuple[str, dict[str, Any], Part]] = [
    ("user", {"type": "text", "text": "ü\n"}, Text("ü\n")),
    ("user", {"type": "text", "text": "", "cache_control": MARK}, Text("", MARK)),
    ("user", {"type": "image", "source": PNG}, Image("image/png", "QUJD")),
    (
        "user",
        {"type": "image", "source": PNG | {"media_type": "image/jpg"}},
        Image("image/jpeg", "QUJD"),
    ),
    (
        "user",
        {"type": "image", "source": {"type": "url", "url": "http://x/y"}},
        Image(url="http://x/y"),
    ),
    (
        "user",
        {"type": "document", "title": "T", "source": PNG | {"media_type": "application/pdf"}},
        Document("application/pdf", "QUJD", title="T"),
    ),
    (
        "user",
        {
            "type": "document",
            "title": "T",
            "source": {"type": "text", "media_type": "text/plain", "data": "a"},
        },
        Document("text/plain", text="a", title="T"),
    ),
    (
        "user",
        {"type": "document", "title": "T", "source": {"type": "url", "url": "http://x/y"}},
        Document(url="http://x/y", title="T"),
    ),
    (
        "user",
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
        },
        Document("text/plain", text="a\nb"),
    ),
    (
        "user",
        {
            "type": "search_result",
            "title": "t",
            "source": "s",
            "content": [{"type": "text", "text": "found"}],
        },
        Text("found"),
    ),
    ("assistant", {"type": "thinking", "thinking": "hm", "signature": "S"}, Thought("hm", "S")),
    ("assistant", {"type": "thinking", "thinking": "hm", "signature": ""}, Thought("hm")),
    ("assistant", {"type": "redacted_thinking", "data": "R"}, RedactedThought("R")),
    ("assistant", CALL, ToolUse("t1", "ls", '{"p":"."}')),
    ("assistant", CALL | {"input": {}}, ToolUse("t1", "ls", "{}")),
]


@pytest.mark.parametrize(("role", "block", "part"), BLOCKS)
def test_each_block_is_read(role: str, block: dict[str, Any], part: Part) -> None:
    assert first_part(block, role) == part


def test_results_keep_their_order_their_images_and_their_error() -> None:
    other = CALL | {"id": "t2"}
    results = (
        {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": "bad"},
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "content": [{"type": "text", "text": "a"}, {"type": "image", "source": PNG}],
        },
    )
    read = read_conversation(asked(messages=[turn(CALL, other, role="assistant"), turn(*results)]))
    assert read.messages[1].parts == (
        ToolResult("t2", (Text("bad"),), is_error=True),
        ToolResult("t1", (Text("a"), Image("image/png", "QUJD"))),
    )


def test_a_result_without_content_is_empty() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1"}
    read = read_conversation(asked(messages=[turn(CALL, role="assistant"), turn(result)]))
    assert read.messages[1].parts == (ToolResult("t1", ()),)


def test_system_is_a_text_or_blocks_and_a_leading_system_message_joins_it() -> None:
    assert read_conversation(asked(system="S")).system == (Text("S"),)
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}]
    messages = [{"role": "system", "content": "c"}, {"role": "user", "content": "hi"}]
    read = read_conversation(asked(system=blocks, messages=messages))
    assert read.system == (Text("a"), Text("b", MARK), Text("c"))


def test_a_system_message_in_the_middle_stays_there() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": "mid"}]
    assert read_conversation(asked(messages=messages)).messages[1] == Message(
        "system", (Text("mid"),)
    )


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, Reasoning()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(True, 2000)),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            Reasoning(True, None, "high"),
        ),
        ({"thinking": {"type": "between_tools"}}, Reasoning(True)),
        ({"thinking": {"type": "disabled"}}, Reasoning(False)),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            Reasoning(False, None, "low"),
        ),
        ({"output_config": {"effort": "max"}}, Reasoning(None, None, "max")),
    ],
)
def test_thinking_and_effort_are_read(fields: dict[str, Any], reasoning: Reasoning) -> None:
    assert read_conversation(asked(**fields)).reasoning == reasoning


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("any", parallel=False)),
        ({"type": "none"}, ToolChoice("none")),
        (
            {"type": "tool", "name": "ls", "disable_parallel_tool_use": False},
            ToolChoice("tool", "ls", True),
        ),
    ],
)
def test_each_tool_choice_is_read(choice: dict[str, Any], read: ToolChoice) -> None:
    assert read_conversation(asked(tools=[LS], tool_choice=choice)).tool_choice == read


def test_settings_are_read() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    read = read_conversation(
        asked(
            temperature=1,
            top_p=0.5,
            top_k=3,
            stop_sequences=["a", "b"],
            metadata={"user_id": "u"},
            output_config={"format": form},
            tools=[LS | {"cache_control": MARK, "strict": True}],
        )
    )
    assert read.sampling == Sampling(9, 1, 0.5, 3, stop=("a", "b"))
    assert read.tools == (Tool("ls", "lists", {"type": "object"}, True, MARK),)
    assert (read.user, read.schema, read.lost) == ("u", {"type": "object"}, ())


def test_the_form_of_an_answer_is_read_where_it_stood_before_as_well() -> None:
    older = {"type": "json_schema", "schema": {"type": "object"}}
    newer = {"type": "json_schema", "schema": {"type": "array"}}
    read = read_conversation(asked(output_format=older))
    assert (read.schema, read.lost) == ({"type": "object"}, ())
    both = read_conversation(asked(output_format=older, output_config={"format": newer}))
    assert both.schema == {"type": "array"}
    with pytest.raises(RequestError, match=r"output_format\.type"):
        read_conversation(asked(output_format={"type": "xml"}))


def test_the_summary_of_what_was_cleared_is_carried() -> None:
    """Whoever clears a long history keeps nothing of it but this block."""
    history = in_turn({"type": "compaction", "content": "They like tea."}, role="assistant")
    turns = [*history["messages"], {"role": "user", "content": "go"}]
    read = read_conversation(asked(messages=turns))
    assert Text("They like tea.") in [part for each in read.messages for part in each.parts]
    assert read.lost == ("server_block",)


@pytest.mark.parametrize("kind", ["advisor_tool_result", "fallback", "mcp_tool_listing"])
def test_a_history_with_marks_of_anthropics_own_is_carried_without_them(kind: str) -> None:
    said = turn({"type": kind}, {"type": "text", "text": "a"}, role="assistant")
    read = read_conversation(asked(messages=[turn({"type": "text", "text": "q"}), said]))
    assert (read.messages[1].parts, read.lost) == ((Text("a"),), ("server_block",))


def test_an_integer_may_be_written_as_a_fraction() -> None:
    assert read_conversation(asked(max_tokens=9.0)).sampling.max_tokens == 9


def test_counting_needs_no_max_tokens() -> None:
    fields = asked()
    del fields["max_tokens"]
    assert read_conversation(fields, counting=True).messages
    with pytest.raises(RequestError, match="max_tokens is required"):
        read_conversation(fields)


LOSING: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"context_management": {"edits": []}}, ("context_management",)),
    (
        {"container": "c", "speed": "fast", "inference_geo": "eu"},
        ("container", "speed", "inference_geo"),
    ),
    ({"speed": "standard", "service_tier": "auto", "mcp_servers": [], "diagnostics": None}, ()),
    ({"service_tier": "standard_only", "mcp_servers": [{}]}, ("service_tier", "mcp_servers")),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, ("server_tool",)),
    ({"tools": [LS | {"defer_loading": True}]}, ("tool:options",)),
    ({"tools": [LS | {"eager_input_streaming": True, "defer_loading": False}]}, ()),
    ({"output_config": {"task_budget": {}}}, ("output_config",)),
    ({"new_thing": 1, "b\nad": 2, "nothing": None}, ("field:new_thing", "field:?")),
    ({f"f{n}": 1 for n in range(10)}, (*(f"field:f{n}" for n in range(8)), "field:...")),
    (
        {"messages": [turn({"type": "server_tool_use", "id": "s"}, role="assistant")]},
        ("server_block",),
    ),
    (
        {"messages": [turn({"type": "container_upload", "file_id": "f"}, role="assistant")]},
        ("server_block",),
    ),
    ({"messages": [turn({"type": "text", "text": "a", "citations": [{}]})]}, ("citations",)),
    (
        {
            "messages": [
                turn(
                    {
                        "type": "document",
                        "context": "c",
                        "citations": {"enabled": True},
                        "source": {"type": "url", "url": "u"},
                    }
                )
            ]
        },
        ("document:context", "citations"),
    ),
]


@pytest.mark.parametrize(("fields", "names"), LOSING)
def test_what_nobody_else_knows_is_named(fields: dict[str, Any], names: tuple[str, ...]) -> None:
    assert read_conversation(asked(**fields)).lost == names


def in_turn(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [turn(*blocks, role=role)]}


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
BAD: list[tuple[dict[str, Any], str]] = [
    (
        in_turn({"type": "document", "source": {"type": "file", "file_id": "f"}}),
        "messages[0].content[0].source.type",
    ),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"messages": None}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
    ({"messages": [{"role": "system", "content": "only"}]}, "messages"),
    ({"system": 3}, "system"),
    ({"system": [{"type": "image", "source": PNG}]}, "system[0].type"),
    (in_turn({"text": "a"}), "messages[0].content[0].type"),
    (in_turn({"type": "text"}), "messages[0].content[0].text"),
    (in_turn({"type": "hologram"}), "messages[0].content[0].type"),
    (in_turn({"type": "container_upload", "file_id": "f"}), "messages[0].content[0].type"),
    (in_turn(CALL), "messages[0].content[0].type"),
    (in_turn({"type": "image", "source": PNG}, role="assistant"), "messages[0].content[0].type"),
    (in_turn({"type": "image"}), "messages[0].content[0].source"),
    (
        in_turn({"type": "image", "source": PNG | {"media_type": "image/tiff"}}),
        "messages[0].content[0].source.media_type",
    ),
    (
        in_turn({"type": "image", "source": {"type": "file", "file_id": "f"}}),
        "messages[0].content[0].source.type",
    ),
    (in_turn({"type": "document", "source": PNG}), "messages[0].content[0].source.media_type"),
    (
        in_turn({"type": "tool_result", "tool_use_id": "t9", "content": ""}),
        "messages[0].content[0].tool_use_id",
    ),
    (
        in_turn({"type": "tool_use", "name": "ls", "input": {}}, role="assistant"),
        "messages[0].content[0].id",
    ),
    (in_turn(CALL | {"input": "{}"}, role="assistant"), "messages[0].content[0].input"),
    (in_turn(CALL | {"name": ""}, role="assistant"), "messages[0].content[0].name"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "ls"}]}, "tools[0].input_schema"),
    ({"tools": [LS], "tool_choice": {"type": "tool", "name": "rm"}}, "tool_choice.name"),
    ({"tools": [LS], "tool_choice": {"type": "required"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    (
        {"tools": [LS, SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}},
        "tool_choice.name",
    ),
    ({"tools": [SEARCH], "tool_choice": {"type": "any"}}, "tool_choice"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "deep"}}, "thinking.type"),
    ({"output_config": {"effort": "huge"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"stop_sequences": ["a", 1]}, "stop_sequences"),
    ({"temperature": "hot"}, "temperature"),
]


@pytest.mark.parametrize(("fields", "param"), BAD)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        read_conversation(asked(**fields))
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in caught.value.message
