"""Takes reasoning that Anthropic did not sign out of a request for its API, where it was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge.core.conversation import maker_of
from streamgauge.core.transform.body import REMOVED, Changes, Form, Members
from streamgauge.core.transform.turns import messages_of

__all__ = ["UNSIGNED", "has_unsigned"]

_SEALS = {"thinking": "signature", "redacted_thinking": "data"}
_CLEARS_THINKING = "clear_thinking"
"""Begins the name of an edit that Anthropic refuses where the model shall not think."""


def has_unsigned(body: Members) -> bool:
    """Return whether the history has thinking of another maker: unsigned, or signed by a named one."""
    return any(map(_is_unsigned, (b for turn in messages_of(body) or () for b in _blocks(turn))))


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Thinking without a signature goes; where a tool loop then lacks it, the model is not to think.

    Anthropic refuses both: thinking that it did not sign, and `enabled` thinking in the middle of
    a loop that does not begin with any (WIRE §5.4). `adaptive` thinking may begin anywhere.
    """

    def change(self, body: Members, form: Form) -> Changes:
        """Return the messages without it, and what has to change with them."""
        if not has_unsigned(body):
            return {}
        turns = [_signed(turn) for turn in messages_of(body) or ()]
        messages = [turn for turn in turns if turn.get("content") != []]
        changes: Changes = {"messages": messages}
        if _word(body.get("thinking")) == "enabled" and _is_bare(messages):
            changes["thinking"] = {"type": "disabled"}
            changes |= _without_clearing(body.get("context_management"))
        return changes


UNSIGNED = Unsigned()


def _blocks(turn: Members) -> list[Any]:
    content = turn.get("content")
    return content if isinstance(content, list) else []


def _word(value: object) -> object:
    return value.get("type") if isinstance(value, Mapping) else None


def _is_unsigned(block: object) -> bool:
    word = _word(block)
    if not isinstance(block, Mapping) or word not in _SEALS:
        return False
    seal = block.get(_SEALS[word])
    if isinstance(seal, str) and maker_of(seal)[0] is not None:
        return True
    return word == "thinking" and not seal


def _signed(turn: Members) -> Members:
    blocks = _blocks(turn)
    kept = [block for block in blocks if not _is_unsigned(block)]
    return turn if len(kept) == len(blocks) else {**turn, "content": kept}


def _is_bare(messages: list[Members]) -> bool:
    """Return whether the last turn with a call lacks the reasoning that led to it."""
    said = [turn for turn in messages if turn.get("role") == "assistant"][-1:]
    words = [_word(block) for turn in said for block in _blocks(turn)]
    return "tool_use" in words and words[0] not in ("thinking", "redacted_thinking")


def _without_clearing(management: Any) -> Changes:
    edits = management.get("edits") if isinstance(management, Mapping) else None
    if not isinstance(edits, list):
        return {}
    kept = [edit for edit in edits if not str(_word(edit)).startswith(_CLEARS_THINKING)]
    rest = {key: value for key, value in management.items() if key != "edits"}
    told = {**rest, "edits": kept} if kept else rest
    return {"context_management": told or REMOVED}
