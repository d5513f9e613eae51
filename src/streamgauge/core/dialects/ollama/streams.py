"""Turns an Ollama answer that is no stream into the stream that says the same: one line (WIRE §7.1)."""

from __future__ import annotations

from streamgauge.core.dialects.failures import is_failure
from streamgauge.core.dialects.framing import json_bytes
from streamgauge.core.dialects.loose import load

__all__ = ["chat_line"]


def chat_line(body: bytes) -> bytes | None:
    """Return the line that says what `body` says, and that it is done; None where it is no answer.

    One that is done, or an error, keeps its text, on one line.
    """
    loaded = load(body)
    answer = None if loaded is None else loaded.value
    if not isinstance(answer, dict):
        return None
    if answer.get("done") is not True and not is_failure(answer.get("error")):
        if not isinstance(answer.get("message"), dict):
            return None
        body = json_bytes({**answer, "done": True})
    # Between its tokens only can a line end stand: in a string it is no legal JSON.
    return body.replace(b"\r", b" ").replace(b"\n", b" ").strip() + b"\n"
