"""Tools, choices and the form of an answer, written as each kind of upstream takes them."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.core.conversation import (
    Tool,
    ToolChoice,
)

from .openai_requests import HI, lost, saying, settings, written

TOOLS = (Tool("ls", "lists", {"type": "object"}, True), Tool("rm"))
LS = {
    "type": "function",
    "function": {
        "name": "ls",
        "description": "lists",
        "parameters": {"type": "object"},
        "strict": True,
    },
}
RM = {
    "type": "function",
    "function": {"name": "rm", "parameters": {"type": "object", "properties": {}}},
}
CHOICES: list[tuple[str, ToolChoice | None, dict[str, Any], tuple[str, ...]]] = [
    ("vllm", None, {"tools": [LS, RM]}, ()),
    ("vllm", ToolChoice("auto"), {"tools": [LS, RM], "tool_choice": "auto"}, ()),
    (
        "vllm",
        ToolChoice("any", parallel=False),
        {"tools": [LS, RM], "tool_choice": "required", "parallel_tool_calls": False},
        (),
    ),
    ("vllm", ToolChoice("none"), {"tools": [LS, RM], "tool_choice": "none"}, ()),
    (
        "vllm",
        ToolChoice("tool", "rm"),
        {"tools": [LS, RM], "tool_choice": {"type": "function", "function": {"name": "rm"}}},
        (),
    ),
    ("llamacpp", ToolChoice("tool", "rm"), {"tools": [RM], "tool_choice": "required"}, ()),
    (
        "ollama",
        ToolChoice("tool", "rm", False),
        {"tools": [LS, RM]},
        ("tool_choice", "parallel_tool_calls"),
    ),
    ("ollama", ToolChoice("auto"), {"tools": [LS, RM]}, ()),
    ("ollama", ToolChoice("none"), {}, ()),
]


@pytest.mark.parametrize(("kind", "choice", "fields", "names"), CHOICES)
def test_tools_and_choices_are_written_as_each_kind_takes_them(
    kind: str, choice: ToolChoice | None, fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    said = saying(HI, tools=TOOLS, tool_choice=choice)
    assert settings(written(said, kind)) == fields
    assert lost(said, kind) == names


CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
OPEN = {
    "type": "object",
    "properties": {"a": {"type": "object"}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({}, {"type": "json_object"}),
        (
            CLOSED,
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
            },
        ),
        (OPEN, {"type": "json_schema", "json_schema": {"name": "answer", "schema": OPEN}}),
        (
            {"anyOf": [CLOSED]},
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"anyOf": [CLOSED]}, "strict": True},
            },
        ),
        (
            {"properties": [], "required": 3},
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"properties": [], "required": 3}},
            },
        ),
    ],
)
def test_the_form_of_the_answer_is_written(schema: dict[str, Any], form: dict[str, Any]) -> None:
    assert written(saying(HI, schema=schema))["response_format"] == form


@pytest.mark.parametrize(
    "change",
    [{"additionalProperties": True}, {"required": []}, {"properties": [1]}, {"required": "a"}],
)
def test_a_schema_that_leaves_something_open_is_not_held_strictly(change: dict[str, Any]) -> None:
    form = written(saying(HI, schema={"anyOf": [CLOSED | change]}))["response_format"]
    assert "strict" not in form["json_schema"]


def test_openai_is_asked_to_keep_a_tools_schema_only_where_nothing_in_it_is_open() -> None:
    tools = (Tool("open", None, OPEN, True), Tool("closed", None, CLOSED, True))
    said = saying(HI, tools=(*tools, Tool("none", None, {}, True), Tool("loose", strict=False)))
    told = [tool["function"].get("strict") for tool in written(said, "openai")["tools"]]
    assert (told, lost(said, "openai")) == ([None, True, None, False], ("tool:strict",))
    told = [tool["function"].get("strict") for tool in written(said, "vllm")["tools"]]
    assert (told, lost(said, "vllm")) == ([True, True, True, False], ())
