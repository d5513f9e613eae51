"""The normal form of finish and stop reasons, over all dialects. It reads no wire."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["normal_finish"]

_NORMAL: Mapping[str, str] = {
    **dict.fromkeys(
        ("stop", "end_turn", "stop_sequence", "pause_turn", "eos", "eos_token", "word"), "stop"
    ),
    "completed": "stop",
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "limit"), "length"),
    "model_context_window_exceeded": "length",
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "refusal", "safety"), "content_filter"),
    **dict.fromkeys(("error", "failed", "insufficient_system_resource"), "error"),
}


def normal_finish(reason: str | None) -> str | None:
    """Return `stop`, `length`, `tool_calls`, `content_filter`, `error` or `other`; None for None."""
    return None if reason is None else _NORMAL.get(reason.lower(), "other")
