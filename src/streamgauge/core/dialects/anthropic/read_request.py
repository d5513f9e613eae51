"""Reads an Anthropic messages request into a neutral conversation (WIRE §4.2, §5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.conversation import (
    ChoiceMode,
    Conversation,
    Reasoning,
    Sampling,
    Tool,
    ToolChoice,
)
from streamgauge.core.dialects.anthropic.read_blocks import BlockReader, cache_of
from streamgauge.core.dialects.asked import Asked
from streamgauge.core.dialects.losses import Loss, Losses

__all__ = ["read_conversation"]

_LOST = {
    "cache_control": Loss.CACHE_CONTROL,
    "container": Loss.CONTAINER,
    "context_management": Loss.CONTEXT_MANAGEMENT,
    "diagnostics": Loss.DIAGNOSTICS,
    "inference_geo": Loss.INFERENCE_GEO,
    "mcp_servers": Loss.MCP_SERVERS,
    "speed": Loss.SPEED,
}
_READ = frozenset(
    "max_tokens messages metadata model output_config output_format service_tier stop_sequences stream "
    "system temperature thinking tool_choice tools top_k top_p".split()
)
_TOOL_OPTIONS = ("allowed_callers", "defer_loading", "input_examples")
_EFFORTS = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})
_CHOICES: Mapping[str, ChoiceMode] = {
    "auto": "auto",
    "any": "any",
    "none": "none",
    "tool": "tool",
}


def read_conversation(fields: Mapping[str, Any], *, counting: bool = False) -> Conversation:
    """Return the conversation that `fields` asks for.

    `counting`: it is only to be counted, so it needs no `max_tokens`. Raises RequestError 400
    that names the field where the request is illegal or holds content that nobody else can read.
    """
    asked = Asked(fields)
    losses = Losses()
    blocks = BlockReader(losses)
    system, messages = blocks.conversation(asked)
    tools = tuple(_tools(asked, losses))
    schema = _output_schema(asked, losses)
    sampling = _sampling(asked, counting=counting)
    _note_others(asked, losses)
    return Conversation(
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=_tool_choice(asked, {tool.name for tool in tools}),
        sampling=sampling,
        reasoning=_reasoning(asked),
        schema=schema,
        user=_user(asked),
        lost=losses.names,
    )


def _sampling(asked: Asked, *, counting: bool) -> Sampling:
    max_tokens = asked.integer("max_tokens", least=1)
    if max_tokens is None and not counting:
        raise asked.refuse("max_tokens", "is required")
    return Sampling(
        max_tokens=max_tokens,
        temperature=asked.number("temperature"),
        top_p=asked.number("top_p"),
        top_k=asked.integer("top_k"),
        stop=asked.texts("stop_sequences"),
    )


def _tools(asked: Asked, losses: Losses) -> list[Tool]:
    tools = []
    for tool in asked.children("tools"):
        if tool.text("type") not in (None, "custom"):
            losses.note(Loss.SERVER_TOOL)
            continue
        name = tool.need("name")
        schema = tool.mapping("input_schema")
        if schema is None:
            raise tool.refuse("input_schema", "is required")
        losses.note(Loss.TOOL_OPTIONS, any(tool.members.get(key) for key in _TOOL_OPTIONS))
        strict, cache = tool.flag("strict"), cache_of(tool)
        tools.append(Tool(name, tool.text("description"), schema, strict, cache))
    return tools


_SERVED = ", which only Anthropic itself runs: this upstream cannot"


def _tool_choice(asked: Asked, names: set[str]) -> ToolChoice | None:
    choice = asked.child("tool_choice")
    if choice is None:
        return None
    mode, name = _CHOICES.get(choice.need("type")), None
    if mode is None:
        raise choice.refuse("type", "must be auto, any, none or tool")
    if mode == "tool":
        name = choice.need("name")
        if name not in names:
            if any(name == tool.text("name") for tool in asked.children("tools")):
                raise choice.refuse("name", f"forces a call of {name[:80]!r}{_SERVED}")
            raise choice.refuse("name", f"names no tool of this request: {name[:80]!r}")
    elif mode == "any" and not names:
        if any(asked.children("tools")):
            raise asked.refuse("tool_choice", f"forces a call of a tool{_SERVED}")
        raise asked.refuse("tool_choice", "asks for a call, and there is no tool to call")
    alone = choice.flag("disable_parallel_tool_use")
    return ToolChoice(mode, name, parallel=None if alone is None else not alone)


def _reasoning(asked: Asked) -> Reasoning:
    config = asked.child("output_config")
    effort = None if config is None else config.text("effort")
    if config is not None and effort is not None and effort not in _EFFORTS:
        raise config.refuse("effort", f"must be one of {', '.join(sorted(_EFFORTS))}")
    thinking = asked.child("thinking")
    if thinking is None:
        return Reasoning(effort=effort)
    match thinking.need("type"):
        case "disabled":
            return Reasoning(enabled=False, effort=effort)
        case "enabled":
            budget = thinking.integer("budget_tokens", least=1)
            if budget is None:
                raise thinking.refuse("budget_tokens", "is required")
            return Reasoning(enabled=True, budget=budget, effort=effort)
        case "adaptive" | "between_tools":
            return Reasoning(enabled=True, effort=effort)
    raise thinking.refuse("type", "must be enabled, adaptive, between_tools or disabled")


def _output_schema(asked: Asked, losses: Losses) -> Mapping[str, Any] | None:
    config, form = asked.child("output_config"), None
    if config is not None:
        losses.note(Loss.OUTPUT_CONFIG, config.members.keys() - {"effort", "format"})
        form = config.child("format")
    form = form or asked.child("output_format")  # where it stood before, and still may
    if form is None:
        return None
    if form.need("type") != "json_schema":
        raise form.refuse("type", "must be json_schema")
    schema = form.mapping("schema")
    if schema is None:
        raise form.refuse("schema", "is required")
    return schema


def _user(asked: Asked) -> str | None:
    metadata = asked.child("metadata")
    return None if metadata is None else metadata.text("user_id") or None


def _note_others(asked: Asked, losses: Losses) -> None:
    losses.note(Loss.SERVICE_TIER, asked.text("service_tier") not in (None, "auto"))
    unknown = []
    for key, value in asked.members.items():
        if value is None or key in _READ:
            continue
        if key in _LOST:
            losses.note(_LOST[key], value and value != "standard")
        else:
            unknown.append(key)
    losses.note_fields(unknown)
