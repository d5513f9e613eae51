"""Makes reasoning of what stands in `<think>` tags, in chat chunks that pass as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamgauge.core.transform.frames import frame_with, object_in
from streamgauge.core.transform.think_tags import ThinkTags

__all__ = ["ChatThinkFrames", "told_apart"]

Members = dict[str, Any]


class ChatThinkFrames:
    """The chunks of one answer. Implements FrameRewriter. Chunks without such text stay."""

    __slots__ = ("_last", "_tags")

    def __init__(self) -> None:
        self._tags: dict[int, ThinkTags] = {}
        self._last = (b"{}", b"")  # payload and event of the last chunk with text

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        """Return the chunk, its text told apart."""
        if payload.strip() == b"[DONE]":
            return [*self.end(), raw]
        members = object_in(payload)
        choices = None if members is None else members.get("choices")
        if not isinstance(choices, list):
            return [raw]
        changed = False
        for position, choice in enumerate(choices):
            if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
                stated = choice.get("index")
                index = stated if isinstance(stated, int) else position
                changed = self._tell(index, choice) or changed
                self._last = (payload, event)
        return [frame_with(payload, event, choices=choices)] if changed else [raw]

    def _tell(self, index: int, choice: Members) -> bool:
        tags = self._tags.setdefault(index, ThinkTags())
        delta = choice["delta"]
        content = delta.get("content")
        pieces = tags.feed(content) if isinstance(content, str) else []
        if choice.get("finish_reason") or delta.get("tool_calls"):
            pieces += tags.end()
        return told_apart(delta, pieces)

    def end(self) -> Sequence[bytes]:
        """Return chunks with what was held."""
        frames = []
        payload, event = self._last
        for index, tags in self._tags.items():
            delta: Members = {}
            if told_apart(delta, tags.end()):
                choice = {"index": index, "delta": delta, "finish_reason": None}
                frames.append(frame_with(payload, event, choices=[choice]))
        return frames


def told_apart(message: Members, pieces: Sequence[tuple[bool, str]]) -> bool:
    """Put `pieces` in a message's text and reasoning; return whether that changed it."""
    content = message.get("content")
    text = "".join(text for reasoning, text in pieces if not reasoning)
    thought = "".join(text for reasoning, text in pieces if reasoning)
    if not thought and text == (content or ""):
        return False
    message["content"] = text
    if thought:
        before = message.get("reasoning_content")
        message["reasoning_content"] = (before if isinstance(before, str) else "") + thought
    return True
