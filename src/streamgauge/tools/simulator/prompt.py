"""Reads a request of any dialect: its length, and what its last user text asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from streamgauge.tools.simulator.control import Control, ControlError, ToolAsked, control_of

__all__ = ["Prompt", "read_prompt"]

_TEXT_KEYS = ("text", "content", "input", "output", "thinking", "arguments", "function")
_PROMPT_KEYS = ("system", "instructions", "messages", "prompt", "input")
_SIM_LINE = re.compile(r"^[ \t]*sim:[ \t]*(\{.*\})[ \t]*$", re.MULTILINE)
_TOOL_LINE = re.compile(r"^[ \t]*sim-tool:[ \t]*(\S+)[ \t]+(\{.*\})[ \t]*$", re.MULTILINE)
_SYSTEM = frozenset({"system", "developer"})
_TOOL_ROLES = frozenset({"tool", "function"})
_TOOL_TYPES = frozenset({"tool_result", "function_call_output"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """`tokens`: words of all texts, at least 1. `control`: what the last user text asks for."""

    tokens: int
    control: Control


def read_prompt(body: dict[str, Any]) -> Prompt:
    """Return the length of the request's texts and the control lines in its last user text."""
    words = sum(len(text.split()) for key in _PROMPT_KEYS for text in _texts(body.get(key)))
    turns = _turns(body)
    control = _lines(_last_user_text(turns), tools=bool(body.get("tools")))
    if _after_tool(turns):
        control = msgspec.structs.replace(control, tool=None)
    return Prompt(max(words, 1), control)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key in _TEXT_KEYS:
            yield from _texts(value.get(key))


def _turns(body: dict[str, Any]) -> list[dict[str, Any]]:
    turns = body.get("messages", body.get("input", body.get("prompt")))
    if isinstance(turns, str):
        return [{"role": "user", "content": turns}]
    if not isinstance(turns, list):
        return []
    return [turn for turn in turns if isinstance(turn, dict)]


def _last_user_text(turns: list[dict[str, Any]]) -> str:
    for turn in reversed(turns):
        if turn.get("role") != "user":
            continue
        content = turn.get("content")
        blocks = content if isinstance(content, list) else [content]
        own = "\n".join(t for b in blocks if not _is_result(b) for t in _texts(b))
        if own:
            return own
    return ""


def _is_result(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") in _TOOL_TYPES


def _after_tool(turns: list[dict[str, Any]]) -> bool:
    for turn in reversed(turns):
        if turn.get("role") in _SYSTEM:
            continue
        content = turn.get("content")
        inner = content if isinstance(content, list) else []
        return turn.get("role") in _TOOL_ROLES or any(_is_result(b) for b in (turn, *inner))
    return False


def _lines(text: str, *, tools: bool) -> Control:
    """Return what the lines ask; a line that is no valid control is prose and asks nothing."""
    control = Control()
    found = _SIM_LINE.search(text)
    if found is not None:
        try:
            control = control_of(msgspec.json.decode(found[1]))
        except (msgspec.DecodeError, ControlError):
            control = Control()
    calls = [ToolAsked(name, arguments) for name, arguments in _TOOL_LINE.findall(text)]
    return msgspec.structs.replace(control, tool=calls) if tools and calls else control
