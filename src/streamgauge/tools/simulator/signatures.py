"""Checks that signed thinking comes back as it was given, as Anthropic does. It knows no answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamgauge.tools.simulator.plan import SIGNED, signature_of

__all__ = ["forged_thinking"]


def forged_thinking(body: dict[str, Any]) -> str | None:
    """Return what the server says to thinking that is not what it signed, None where all is right.

    Only signatures of ours are checked, and empty ones, which nobody's are: a recorded request
    holds those of another server.
    """
    for place, block in _thinking_blocks(body.get("messages")):
        signature, thinking = block.get("signature"), block.get("thinking")
        if not isinstance(signature, str) or (signature and not signature.startswith(SIGNED)):
            continue
        if not isinstance(thinking, str) or signature_of(thinking) != signature:
            return f"{place}: Invalid `signature` in `thinking` block"
    return None


def _thinking_blocks(messages: object) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict) and block.get("type") == "thinking":
                yield f"messages.{number}.content.{index}", block
