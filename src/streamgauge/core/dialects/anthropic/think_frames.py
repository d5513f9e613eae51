"""Makes thinking blocks of what stands in `<think>` tags, in events that pass as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streamgauge.core.sse import encode_frame
from streamgauge.core.transform.frames import frame_with, object_in
from streamgauge.core.transform.think_tags import ThinkTags

__all__ = ["MessagesThinkFrames"]

Members = dict[str, Any]
_NO_START = (b"", b"", b"")


class MessagesThinkFrames:
    """The events of one message. Implements FrameRewriter.

    A text block begins with its first certain text. Blocks behind one that was split move up.
    """

    __slots__ = ("_index", "_open", "_shift", "_start", "_tags")

    def __init__(self) -> None:
        self._tags: ThinkTags | None = None  # of the text block that the upstream has open
        self._start = _NO_START  # its first event, while nothing was said in it
        self._index = 0  # its index at the upstream
        self._open: bool | None = None  # whether the client's open block is reasoning
        self._shift = 0  # how many blocks were added

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        """Return the events to send now."""
        frame = object_in(payload)
        kind = None if frame is None else frame.get("type")
        if frame is None or not isinstance(frame.get("index"), int):
            return [*self.end(), raw] if kind in ("message_delta", "message_stop") else [raw]
        block, delta = frame.get("content_block"), frame.get("delta")
        if (
            kind == "content_block_start"
            and isinstance(block, dict)
            and block.get("type") == "text"
        ):
            return self._begin(raw, payload, event, frame["index"], block)
        if self._tags is None or frame["index"] != self._index:
            return [self._moved(raw, payload, event, frame["index"])]
        if kind == "content_block_stop":
            return self._finish(raw, payload, event)
        text = delta.get("text") if isinstance(delta, dict) else None
        if not isinstance(text, str):
            return [self._moved(raw, payload, event, frame["index"])]
        pieces = self._tags.feed(text)
        if pieces == [(False, text)] and not self._shift and self._open is not True:
            before = [] if self._open is False else [self._start[0]]
            self._open = False
            return [*before, raw]
        return self._say(pieces)

    def _begin(
        self, raw: bytes, payload: bytes, event: bytes, index: int, block: Members
    ) -> Sequence[bytes]:
        self._tags, self._index, self._open = ThinkTags(), index, None
        self._start = (raw, payload, event)
        text = block.get("text")
        if not isinstance(text, str) or not text:
            return []
        return self._say(self._tags.feed(text))

    def _finish(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        assert self._tags is not None
        frames = list(self._say(self._tags.end()))
        if self._open is None:
            frames.append(self._moved(*self._start, self._index))
        self._tags = None
        return [*frames, self._moved(raw, payload, event, self._index)]

    def _say(self, pieces: Sequence[tuple[bool, str]]) -> Sequence[bytes]:
        frames: list[bytes] = []
        for reasoning, text in pieces:
            if reasoning is not self._open:
                frames += self._switch(reasoning)
            kind = "thinking" if reasoning else "text"
            delta = {"type": f"{kind}_delta", kind: text}
            frames.append(self._event("content_block_delta", delta=delta))
        return frames

    def _switch(self, reasoning: bool) -> list[bytes]:
        """Close the client's open block, and open one of the other kind behind it."""
        frames: list[bytes] = []
        if self._open is not None:
            frames.append(self._event("content_block_stop"))
            self._shift += 1
        self._open = reasoning
        if reasoning:
            block: Members = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            block = {"type": "text", "text": ""}
        return [*frames, self._event("content_block_start", content_block=block)]

    def _event(self, kind: str, **members: Any) -> bytes:
        told = {"type": kind, "index": self._index + self._shift, **members}
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        return encode_frame(text.encode("utf-8", "replace"), kind.encode())

    def _moved(self, raw: bytes, payload: bytes, event: bytes, index: int) -> bytes:
        return frame_with(payload, event, index=index + self._shift) if self._shift else raw

    def end(self) -> Sequence[bytes]:
        """Return what was held: the block was never closed."""
        return [] if self._tags is None else self._say(self._tags.end())
