"""Reads the reasoning that a client sends back in an assistant's message, in any of its forms."""

from __future__ import annotations

from streamgauge.core.conversation import RedactedThought, Thought, sealed_by
from streamgauge.core.dialects.asked import Asked
from streamgauge.core.dialects.losses import Loss, Losses

__all__ = ["read_thoughts"]

_NAMES = ("reasoning_content", "reasoning", "reasoning_text")


def read_thoughts(message: Asked, losses: Losses) -> list[Thought | RedactedThought]:
    """Return the reasoning of a message. The typed details hold signatures, so they come first.

    A text that the details lack is what the first signature of theirs signs (a stream tells the
    text, and then a detail that only signs it); without one it is kept before them. Where several
    sign it, nobody can tell any more which part is whose: it is carried unsigned, and alone, since
    an upstream that finds a signature of another text refuses the whole request.
    """
    details = [found for item in message.children("reasoning_details") if (found := _detail(item))]
    text = next((text for name in _NAMES if (text := message.text(name))), None)
    if text and not any(isinstance(thought, Thought) and thought.text for thought in details):
        if sum(isinstance(thought, Thought) for thought in details) > 1:
            losses.note(Loss.THINKING_SIGNATURE)
            losses.note(Loss.REDACTED_THINKING, any(type(t) is RedactedThought for t in details))
            return [Thought(text)]
        return _with_text(text, details)
    return details


def _with_text(
    text: str, details: list[Thought | RedactedThought]
) -> list[Thought | RedactedThought]:
    for place, thought in enumerate(details):
        if isinstance(thought, Thought):
            return [*details[:place], Thought(text, thought.signature), *details[place + 1 :]]
    return [Thought(text), *details]


def _detail(item: Asked) -> Thought | RedactedThought | None:
    match item.text("type"):
        case "reasoning.text":
            text, signature = item.text("text") or "", item.text("signature") or None
            if signature is not None:
                signature = sealed_by(item.text("format"), signature)
            return Thought(text, signature) if text or signature else None
        case "reasoning.summary":
            summary = item.text("summary")
            return Thought(summary) if summary else None
        case "reasoning.encrypted":
            data = item.text("data")
            return RedactedThought(sealed_by(item.text("format"), data)) if data else None
    return None
