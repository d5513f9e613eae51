"""The normal form of finish and stop reasons, and which of several is told. It reads no wire."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.events import Finished

__all__ = ["kept_finish", "normal_finish", "told_finish"]

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


def kept_finish(first: Finished | None, newer: Finished) -> Finished:
    """Return which of two finish reasons of one choice stands (WIRE §5.1).

    The first, but that calls told of after a plain stop are calls, and that an error always wins.
    """
    if first is None:
        return newer
    before, after = normal_finish(first.reason), normal_finish(newer.reason)
    wins = after == "error" or (before == "stop" and after == "tool_calls")
    return newer if wins else first


def told_finish(finish: Finished | None, *, called: bool, refused: bool) -> str:
    """Return `stop`, `length`, `tool_calls` or `content_filter`: what a client is told (WIRE §5.1).

    `called`: a call for the client was in the answer; without one there is nothing to run, and
    with one a stop means it, as does a reason that nobody knows. `refused`: so was the text.
    """
    normal = None if finish is None else normal_finish(finish.reason)
    if normal in ("length", "content_filter"):
        return normal
    if called:
        return "tool_calls"
    return "content_filter" if refused else "stop"
