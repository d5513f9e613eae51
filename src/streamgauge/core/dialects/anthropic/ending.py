"""How a translated answer ends in Anthropic's words: stop reason and usage. It reads no wire."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.dialects.finish import told_finish
from streamgauge.core.events import Finished
from streamgauge.core.usage import TokenUsage

__all__ = ["stop_of", "usage_members"]

_STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_OWN = {"stop": ("pause_turn", "stop_sequence"), "length": ("model_context_window_exceeded",)}
"""Anthropic's finer reasons, kept where an upstream gave them."""


def stop_of(
    finish: Finished | None, *, called: bool, refused: bool = False
) -> dict[str, str | None]:
    """Return `stop_reason` and `stop_sequence` (WIRE §5.1). The text only where it is the reason."""
    told = told_finish(finish, called=called, refused=refused)
    reason, text = _STOP_REASONS[told], None
    if finish is not None:
        if finish.reason in _OWN.get(told, ()):
            reason = finish.reason
        if told == "stop" and finish.stop_sequence:
            reason, text = "stop_sequence", finish.stop_sequence
    return {"stop_reason": reason, "stop_sequence": text}


def usage_members(usage: TokenUsage) -> dict[str, object]:
    """Return Anthropic's usage: its input leaves the cache out. It must hold counts: unknown is 0.

    An unknown input is left out: in a stream `message_start` has said 0.
    """
    cached = (usage.cache_read or 0, usage.cache_write or 0)
    members: dict[str, object] = {}
    if usage.input is not None:
        members["input_tokens"] = max(0, usage.input - sum(cached))
    members["cache_creation_input_tokens"] = cached[1]
    members["cache_read_input_tokens"] = cached[0]
    members["output_tokens"] = usage.output or 0
    if usage.reasoning is not None:
        members["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return members
