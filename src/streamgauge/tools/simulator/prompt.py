"""Reads a request of any dialect: its length, what it brought, and what its user's text asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from streamgauge.tools.simulator.control import Control, ControlError, ToolAsked, control_of
from streamgauge.tools.simulator.received import (
    Received,
    is_result,
    newest_turns,
    read_received,
    texts_of,
)

__all__ = ["Prompt", "read_prompt"]

_PROMPT_KEYS = ("system", "instructions", "messages", "prompt", "input")
_SIM_LINE = re.compile(r"^[ \t]*sim:[ \t]*(\{.*\})[ \t]*$", re.MULTILINE)
_TOOL_LINE = re.compile(r"^[ \t]*sim-tool:[ \t]*(\S+)[ \t]+(\{.*\})[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """`tokens`: words of all texts, at least 1. `control`: what the user's text asks for.

    `called`: the calls it asked for have been made and answered, so that they are not in `control`.
    """

    tokens: int
    control: Control
    called: bool
    received: Received


def read_prompt(body: dict[str, Any]) -> Prompt:
    """Return the length of the request's texts and what the control lines in the user's text ask.

    That is the last text with such lines: of those since the assistant's last turn, beside which
    agents and gateways put texts of their own; of all, once a tool has answered. Calls are asked
    for only where the request has tools.
    """
    words = sum(len(text.split()) for key in _PROMPT_KEYS for text in texts_of(body.get(key)))
    turns = _turns(body)
    received = read_received(turns)
    texts = _user_texts(turns if received.answered else newest_turns(turns))
    asked = (control for text in reversed(texts) if (control := _lines(text)) != Control())
    control = next(asked, Control())
    called = received.answered and bool(control.tools)
    if called or not body.get("tools"):
        control = msgspec.structs.replace(control, tool=None)
    return Prompt(max(words, 1), control, called, received)


def _turns(body: dict[str, Any]) -> list[dict[str, Any]]:
    turns = body.get("messages", body.get("input", body.get("prompt")))
    if isinstance(turns, str):
        return [{"role": "user", "content": turns}]
    if not isinstance(turns, list):
        return []
    return [turn for turn in turns if isinstance(turn, dict)]


def _user_texts(turns: list[dict[str, Any]]) -> list[str]:
    """Return the user's own text of each turn that has one; what a tool gave is not the user's."""
    texts = []
    for turn in turns:
        if turn.get("role") != "user":
            continue
        content = turn.get("content")
        blocks = content if isinstance(content, list) else [content]
        if own := "\n".join(t for b in blocks if not is_result(b) for t in texts_of(b)):
            texts.append(own)
    return texts


def _lines(text: str) -> Control:
    """Return what the lines ask; a line that is no valid control is prose and asks nothing."""
    control = Control()
    found = _SIM_LINE.search(text)
    if found is not None:
        try:
            control = control_of(msgspec.json.decode(found[1]))
        except (msgspec.DecodeError, ControlError):
            control = Control()
    calls = [ToolAsked(name, arguments) for name, arguments in _TOOL_LINE.findall(text)]
    return msgspec.structs.replace(control, tool=calls) if calls else control
