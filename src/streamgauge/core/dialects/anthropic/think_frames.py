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


class _Text:
    """A text block that the upstream has open. `index`: where the client has what is said now.

    `start`: its first event. `reasoning`: whether the client's open block is, None before any.
    """

    __slots__ = ("index", "reasoning", "start", "tags")

    def __init__(self, index: int, start: tuple[bytes, bytes, bytes]) -> None:
        self.index = index
        self.start = start
        self.reasoning: bool | None = None
        self.tags = ThinkTags()


class MessagesThinkFrames:
    """The events of one message. Implements FrameRewriter.

    A text block begins with its first certain text. Blocks that start behind one that was split
    move up; one that is open beside it stays where it is.
    """

    __slots__ = ("_highest", "_last", "_moved", "_shift", "_texts")

    def __init__(self) -> None:
        self._texts: dict[int, _Text] = {}  # by the upstream's index
        self._moved: dict[int, int] = {}  # the client's index of blocks that moved
        self._highest = -1  # of the upstream's indexes
        self._last = -1  # of the client's
        self._shift = 0  # how far the next block moves

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        """Return the events to send now."""
        frame = object_in(payload)
        kind = None if frame is None else frame.get("type")
        if frame is None or not isinstance(frame.get("index"), int):
            return [*self.end(), raw] if kind in ("message_delta", "message_stop") else [raw]
        index = frame["index"]
        if kind == "content_block_start":
            return self._begin((raw, payload, event), index, frame.get("content_block"))
        text = self._texts.get(index)
        if text is None:
            return [_at(self._moved.get(index, index), index, raw, payload, event)]
        if kind == "content_block_stop":
            stop = [*self._whole(text, index), _at(text.index, index, raw, payload, event)]
            del self._texts[index]
            return stop
        delta = frame.get("delta")
        said = delta.get("text") if isinstance(delta, dict) else None
        if not isinstance(said, str):
            return [_at(text.index, index, raw, payload, event)]
        pieces = text.tags.feed(said)
        if pieces == [(False, said)] and text.index == index and text.reasoning is not True:
            before = [] if text.reasoning is False else [text.start[0]]
            text.reasoning = False
            return [*before, raw]
        return self._say(text, pieces)

    def _begin(self, start: tuple[bytes, bytes, bytes], index: int, block: Any) -> Sequence[bytes]:
        # What is open keeps its place before this one: SDKs number blocks as they start.
        before = [frame for at, text in self._texts.items() for frame in self._whole(text, at)]
        place = index + self._shift
        self._highest, self._last = max(self._highest, index), max(self._last, place)
        if self._shift:
            self._moved[index] = place
        if not isinstance(block, dict) or block.get("type") != "text":
            return [*before, _at(place, index, *start)]
        text = self._texts[index] = _Text(place, start)
        said = block.get("text")
        if not isinstance(said, str) or not said:
            return before
        return [*before, *self._say(text, text.tags.feed(said))]

    def _whole(self, text: _Text, index: int) -> list[bytes]:
        """Return what was held of a block, at least its start."""
        frames = self._say(text, text.tags.end())
        if text.reasoning is None:
            text.reasoning = False
            frames.append(_at(text.index, index, *text.start))
        return frames

    def _say(self, text: _Text, pieces: Sequence[tuple[bool, str]]) -> list[bytes]:
        frames: list[bytes] = []
        for reasoning, piece in pieces:
            if reasoning is not text.reasoning:
                frames += self._switch(text, reasoning)
            kind = "thinking" if reasoning else "text"
            delta = {"type": f"{kind}_delta", kind: piece}
            frames.append(_event("content_block_delta", text.index, delta=delta))
        return frames

    def _switch(self, text: _Text, reasoning: bool) -> list[bytes]:
        """Close the client's open block, and open one of the other kind behind all others."""
        frames: list[bytes] = []
        if text.reasoning is not None:
            frames.append(_event("content_block_stop", text.index))
            self._last = text.index = self._last + 1
            self._shift = self._last - self._highest
        text.reasoning = reasoning
        if reasoning:
            block: Members = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            block = {"type": "text", "text": ""}
        return [*frames, _event("content_block_start", text.index, content_block=block)]

    def end(self) -> Sequence[bytes]:
        """Return what was held of blocks that were never closed."""
        return [f for text in self._texts.values() for f in self._say(text, text.tags.end())]


def _event(kind: str, index: int, **members: Any) -> bytes:
    told = {"type": kind, "index": index, **members}
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return encode_frame(text.encode("utf-8", "replace"), kind.encode())


def _at(place: int, index: int, raw: bytes, payload: bytes, event: bytes) -> bytes:
    """Return the event of the block `index` as one of the block at `place`."""
    return raw if place == index else frame_with(payload, event, index=place)
