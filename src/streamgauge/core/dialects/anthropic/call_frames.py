"""Repairs tool calls in message events that pass as they are (SPEC §14.6). Other events stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamgauge.core.transform.frames import frame_with, object_in
from streamgauge.core.transform.tool_call_repair import FrameWriter, HeldCall

__all__ = ["MessagesCallFrames"]

_INTERESTING = (b"tool_use", b"input_json_delta", b"content_block_stop", b"message_")


class MessagesCallFrames:
    """The events of one message. Implements FrameRewriter. Only a call's own pieces wait."""

    __slots__ = ("_calls", "_note", "_writers")

    def __init__(self, note: Callable[[str], None]) -> None:
        """`note` is told the name of an anomaly."""
        self._note = note
        self._calls: dict[Any, HeldCall] = {}
        self._writers: dict[Any, FrameWriter] = {}

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        """Return the events to send now."""
        if not any(word in payload for word in _INTERESTING):
            return [raw]
        frame = object_in(payload)
        if frame is None:
            return [raw]
        index = _index_of(frame)
        match frame.get("type"):
            case "content_block_start":
                block = frame.get("content_block")
                if isinstance(block, dict) and block.get("type") == "tool_use":
                    self._calls[index] = HeldCall(self._note)
            case "content_block_delta":
                return self._piece(raw, payload, event, frame)
            case "content_block_stop":
                return [*self._ended(index), raw]
            case "message_delta" | "message_stop":
                return [*self.end(), raw]
            case _:
                pass
        return [raw]

    def _piece(
        self, raw: bytes, payload: bytes, event: bytes, frame: dict[str, Any]
    ) -> Sequence[bytes]:
        index, delta = _index_of(frame), frame.get("delta")
        call = self._calls.get(index)
        piece = delta.get("partial_json") if isinstance(delta, dict) else None
        if call is None or not isinstance(piece, str):
            return [raw]

        def write(text: str, told: bool) -> bytes:
            return frame_with(payload, event, delta={**frame["delta"], "partial_json": text})

        self._writers[index] = write
        return call.feed(raw, piece, write)

    def _ended(self, index: Any) -> list[bytes]:
        call, write = self._calls.pop(index, None), self._writers.pop(index, None)
        return [] if call is None or write is None else call.end(write)

    def end(self) -> Sequence[bytes]:
        """Return what was held."""
        return [frame for index in list(self._calls) for frame in self._ended(index)]


def _index_of(frame: dict[str, Any]) -> Any:
    """Return by what a block is known, also where no number is stated."""
    index = frame.get("index")
    return repr(index) if isinstance(index, list | dict) else index
