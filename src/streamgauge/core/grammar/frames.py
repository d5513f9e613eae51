"""The grammar of the `frames` protocol and its stamps (SPEC §13.1, §12.1). It knows no other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.finding import Rule, Sheet, error
from streamgauge.core.grammar.values import VALUE_RULES, is_count, is_text, read_object, shown
from streamgauge.core.grammar.wire import WIRE_RULES, Located

__all__ = ["RULES", "FramesGrammar"]

RULES: Mapping[str, Rule] = {
    **WIRE_RULES,
    **VALUE_RULES,
    "frame_shape": error(
        "a frame has `done`, `seq`, `stream_id`, `acc_len`, `raw_len`, `sha1`, `content`"
    ),
    "seq_gap": error("`seq` is 1, 2, 3 …"),
    "stream_id_changed": error("all frames have one `stream_id`"),
    "sha1_wrong": error("`sha1` is that of the text the frame adds"),
    "acc_len_wrong": error("`acc_len` is the number of characters added so far"),
    "raw_len_decreased": error("`raw_len` does not fall"),
    "count_wrong": error("the last frame's `frames_out` is the number of frames"),
    "stream_sha1_wrong": error("the last frame's `stream_sha1` is that of all added texts"),
    "error_shape": error("`error` is an object with a `message`"),
    "done_missing": error("the last frame has `done: true`"),
    "data_after_done": error("nothing follows the frame with `done: true`"),
}
_SHA1_DIGITS = 12


class FramesGrammar:
    """Reads one stream of stamped frames, and makes every stamp again."""

    __slots__ = ("_acc", "_done", "_hash", "_raw", "_seq", "_sheet", "_stream_id")

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._done = False
        self._seq = self._acc = self._raw = 0
        self._stream_id: object = None
        self._hash = hashlib.sha1(usedforsecurity=False)

    def read(self, frame: Located) -> None:
        """Read one frame."""
        if frame.payload is None:
            return
        if self._done:
            self._sheet.note("data_after_done", f"{shown(frame.payload)} follows the last frame")
        elif (value := read_object(frame.payload, self._sheet)) is not None:
            self._frame(value)

    def _frame(self, frame: dict[str, Any]) -> None:
        text = _added(frame)
        if text is None or not _well_formed(frame):
            self._sheet.note("frame_shape", shown(frame))
            return
        self._stamp(frame, text)
        if frame["done"]:
            self._last(frame)

    def _stamp(self, frame: dict[str, Any], text: str) -> None:
        note, raw = self._sheet.note, text.encode(errors="replace")
        self._hash.update(raw + b"\n")
        self._seq += 1
        if frame["seq"] != self._seq:
            note("seq_gap", f"seq {frame['seq']} where {self._seq} should be")
            self._seq = frame["seq"]
        if self._stream_id not in (None, frame["stream_id"]):
            note("stream_id_changed", f"{frame['stream_id']} after {self._stream_id}")
        self._stream_id = frame["stream_id"]
        digest = hashlib.sha1(raw, usedforsecurity=False).hexdigest()[:_SHA1_DIGITS]
        if frame["sha1"] != digest:
            note("sha1_wrong", f"sha1 {frame['sha1']}, the text's is {digest}")
        self._acc += len(text)
        if frame["acc_len"] != self._acc:
            note("acc_len_wrong", f"acc_len {frame['acc_len']} where {self._acc} should be")
            self._acc = frame["acc_len"]
        if frame["raw_len"] < self._raw:
            note("raw_len_decreased", f"raw_len {frame['raw_len']} after {self._raw}")
        self._raw = frame["raw_len"]

    def _last(self, frame: dict[str, Any]) -> None:
        self._done = True
        if frame.get("frames_out") != self._seq:
            text = f"frames_out {shown(frame.get('frames_out'))} after {self._seq} frames"
            self._sheet.note("count_wrong", text)
        if frame.get("stream_sha1") != self._hash.hexdigest():
            text = f"stream_sha1 {shown(frame.get('stream_sha1'))}, not {self._hash.hexdigest()}"
            self._sheet.note("stream_sha1_wrong", text)
        failure = frame.get("error")
        if failure is not None and not (
            isinstance(failure, dict) and is_text(failure.get("message"))
        ):
            self._sheet.note("error_shape", f"the error is {shown(failure)}")

    def end(self) -> None:
        """Note what the stream lacks."""
        if not self._done:
            self._sheet.note("done_missing", "the stream ends without `done: true`")


def _well_formed(frame: dict[str, Any]) -> bool:
    counts = all(is_count(frame.get(key)) for key in ("seq", "acc_len", "raw_len"))
    texts = is_text(frame.get("stream_id")) and is_text(frame.get("sha1"))
    return counts and texts and isinstance(frame.get("done"), bool)


def _added(frame: dict[str, Any]) -> str | None:
    """Return the text that a frame adds: reasoning, content, arguments; None where one is no text."""
    call = frame.get("tool_call")
    arguments = call.get("arguments", "") if isinstance(call, dict) else ""
    parts = (frame.get("reasoning", ""), frame.get("content"), arguments)
    if not all(isinstance(part, str) for part in parts):
        return None
    return "".join(str(part) for part in parts)
