"""Reads the tools of an OpenAI chat request, and which of them must or may be called."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.conversation import ChoiceMode, Tool, ToolChoice
from streamgauge.core.dialects.asked import Asked, refuse
from streamgauge.core.dialects.losses import Loss, Losses

__all__ = ["read_tool_choice", "read_tools"]

_WORDS: Mapping[str, ChoiceMode] = {"auto": "auto", "required": "any", "none": "none"}


def read_tools(asked: Asked, losses: Losses) -> tuple[Tool, ...]:
    """Return the functions in `tools`. Raises RequestError for one without a name."""
    tools = []
    for tool in asked.children("tools"):
        kind = tool.text("type")
        if kind == "custom":
            losses.note(Loss.CUSTOM_TOOL)
            continue
        if kind not in (None, "function"):
            raise tool.refuse("type", "must be function or custom")
        function = tool.need_child("function")
        tools.append(
            Tool(
                name=function.need("name"),
                description=function.text("description"),
                schema=function.mapping("parameters") or {},
                strict=function.flag("strict"),
                cache=tool.mapping("cache_control"),
            )
        )
    return tuple(tools)


def read_tool_choice(
    asked: Asked, tools: tuple[Tool, ...]
) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """Return the choice, and the tools that it leaves. Raises RequestError for a name of none."""
    parallel = asked.flag("parallel_tool_calls")
    value = asked.members.get("tool_choice")
    if value is None:
        return (None if parallel is None else ToolChoice(parallel=parallel)), tools
    if type(value) is str:
        return _by_word(value, parallel, tools), tools
    choice = asked.need_child("tool_choice")
    match choice.need("type"):
        case "function":
            name = _named(choice, tools)
            return ToolChoice("tool", name, parallel), tools
        case "allowed_tools":
            allowed = choice.need_child("allowed_tools")
            names = {_named(tool, tools) for tool in allowed.children("tools")}
            left = tuple(tool for tool in tools if tool.name in names)
            return _by_word(allowed.need("mode"), parallel, left), left
    raise choice.refuse("type", "must be function or allowed_tools")


def _by_word(word: str, parallel: bool | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if word not in _WORDS:
        raise refuse("tool_choice", "must be none, auto, required, or name a function")
    if word == "required" and not tools:
        raise refuse("tool_choice", "asks for a call, and there is no tool to call")
    return ToolChoice(_WORDS[word], parallel=parallel)


def _named(holder: Asked, tools: tuple[Tool, ...]) -> str:
    function = holder.need_child("function")
    name = function.need("name")
    if all(tool.name != name for tool in tools):
        raise function.refuse("name", f"names no tool of this request: {name[:80]!r}")
    return name
