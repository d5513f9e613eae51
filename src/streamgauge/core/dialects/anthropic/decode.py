"""Decodes Anthropic message events (WIRE §4.4), with llama.cpp's and Ollama's ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamgauge.core.dialects.anthropic.usage import UsageState
from streamgauge.core.dialects.failures import failure_of, is_detail, is_failure
from streamgauge.core.dialects.loose import LooseObject, clean_label, dump, load
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Started,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
)
from streamgauge.core.record import Anomaly

__all__ = ["MessagesDecoder"]

_MISMATCH = Noted(Anomaly.TYPE_MISMATCH)
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None


class _Frame(msgspec.Struct, gc=False):
    type: str | None = None
    index: int | None = None
    delta: _Delta | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode


class MessagesDecoder:
    """The decoder of one messages stream, or of one answer that is no stream."""

    __slots__ = ("_calls", "_model", "_usage")

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        self._model: str | None = None
        self._usage = UsageState()

    def decode(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Return what an event says. `type` wins over the event's name; `message_stop` is the end."""
        try:
            frame = _decode_frame(payload)
        except _UNREADABLE:
            return self._loosely(payload, event)
        if frame.type != "content_block_delta":
            return self._loosely(payload, event)
        events = () if frame.delta is None else self._delta(frame.delta, frame.index)
        if event and event != b"content_block_delta":
            return (*events, _MISMATCH)
        return events

    def plain(self, payload: bytes, event: bytes) -> TextDelta | ReasoningDelta | None:
        """Return the event of a frame that is one piece of text or of thinking, else None."""
        if event and event != b"content_block_delta":
            return None
        try:
            frame = _decode_frame(payload)
        except _UNREADABLE:
            return None
        if frame.type != "content_block_delta" or frame.delta is None:
            return None
        if frame.delta.text:
            return TextDelta(frame.delta.text)
        return ReasoningDelta(frame.delta.thinking) if frame.delta.thinking else None

    def read_answer(self, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream, `Ended` last; None for no object."""
        loaded = load(body)
        if loaded is None or not loaded.legal or not isinstance(loaded.value, dict):
            return None
        answer = LooseObject(loaded.value)
        if is_failure(answer.value("error")) or is_detail(loaded.value):
            return (failure_of(loaded.value), Ended())
        events = list(self._named(answer))
        for index, block in enumerate(answer.objects("content")):
            events.extend(self._block(block, index))
            answer.odd = answer.odd or block.odd
        events.extend(_finish(answer))
        if (usage := answer.value("usage")) is not None:
            events.extend(self._usage.events(usage, final=True))
        if answer.odd:
            events.append(_MISMATCH)
        return (*events, Ended())

    def _delta(self, delta: _Delta, index: int | None) -> tuple[Event, ...]:
        if delta.text:
            return (TextDelta(delta.text),)
        if delta.thinking:
            return (ReasoningDelta(delta.thinking),)
        if delta.partial_json:
            return (ToolCallDelta(self._number(index), delta.partial_json),)
        return (ThoughtSigned(delta.signature),) if delta.signature else ()

    def _number(self, index: int | None) -> int:
        """Return the number among the tool calls that the block at `index` has."""
        return self._calls.setdefault(-1 if index is None else index, len(self._calls))

    def _loosely(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Read every event that is no plain delta."""
        loaded = load(payload)
        if loaded is None:
            if event == b"error":
                return (failure_of(payload.decode("utf-8", "replace")),)
            return () if payload.strip() == b"[DONE]" else (Noted(Anomaly.BAD_JSON),)
        notes = [] if loaded.legal else [Noted(Anomaly.BAD_JSON)]
        if not isinstance(loaded.value, dict):
            failed = (failure_of(loaded.value),) if event == b"error" else ()
            return (*failed, *notes, _MISMATCH)
        frame = LooseObject(loaded.value)
        events = self._event(frame, loaded.value, event, notes)
        if frame.odd and _MISMATCH not in notes:
            notes.append(_MISMATCH)
        return (*events, *notes)

    def _event(
        self, frame: LooseObject, members: dict[str, Any], event: bytes, notes: list[Noted]
    ) -> Sequence[Event]:
        kind = frame.text("type")
        read = _READERS.get(kind or "")
        if read is not None:
            if event and kind is not None and event != kind.encode():
                notes.append(_MISMATCH)
            return read(self, frame, members)
        if event == b"error" or is_failure(frame.value("error")) or is_detail(members):
            return (failure_of(members),)  # llama.cpp sends the bare object, type and all
        read = _READERS.get(event.decode("utf-8", "replace")) if kind is None else None
        return () if read is None else read(self, frame, members)

    def _message_start(self, frame: LooseObject, _: dict[str, Any]) -> Sequence[Event]:
        message = frame.object("message")
        if message is None:
            return (Started(),)
        events: list[Event] = [Started(), *self._named(message)]
        if (usage := message.value("usage")) is not None:
            events.extend(self._usage.events(usage, final=False))
        frame.odd = frame.odd or message.odd
        return events

    def _named(self, message: LooseObject) -> tuple[Event, ...]:
        model = clean_label(message.text("model") or "")
        if not model or model == self._model:
            return ()
        self._model = model
        return (ModelNamed(model),)

    def _block_start(self, frame: LooseObject, _: dict[str, Any]) -> Sequence[Event]:
        block = frame.object("content_block")
        index = frame.integer("index")
        if block is None:
            return ()
        events = self._block(block, index)
        frame.odd = frame.odd or block.odd
        return events

    def _block(self, block: LooseObject, index: int | None) -> list[Event]:
        """Return what a block holds: at its start usually nothing, in a whole answer everything."""
        kind = block.text("type") or ""
        if kind.endswith("tool_use"):
            return self._call(block, self._number(index), served=kind != "tool_use")
        if kind == "text" and (text := block.text("text")):
            return [TextDelta(text)]
        if kind == "redacted_thinking" and (data := block.text("data")):
            return [ThoughtRedacted(data)]
        return _thought(block) if kind == "thinking" else []

    def _call(self, block: LooseObject, number: int, *, served: bool) -> list[Event]:
        """Return a call; `served`: one of Anthropic's own tools, which no client is to run."""
        name = block.text("name")
        call: list[Event] = [ToolCallStarted(number, block.text("id"), name, served=served)]
        if given := block.value("input"):
            call.append(ToolCallDelta(number, dump(given)))
        return call

    def _block_delta(self, frame: LooseObject, _: dict[str, Any]) -> Sequence[Event]:
        delta = frame.object("delta")
        if delta is None:
            return ()
        keys = ("type", "text", "thinking", "partial_json", "signature")
        read = _Delta(*(delta.text(key) for key in keys))
        frame.odd = frame.odd or delta.odd
        return self._delta(read, frame.integer("index"))

    def _message_delta(self, frame: LooseObject, _: dict[str, Any]) -> Sequence[Event]:
        delta = frame.object("delta")
        events: list[Event] = []
        if delta is not None:
            events.extend(_finish(delta))
            frame.odd = frame.odd or delta.odd
        if (usage := frame.value("usage")) is not None:
            events.extend(self._usage.events(usage, final=True))
        return events

    def _message_stop(self, _: LooseObject, __: dict[str, Any]) -> Sequence[Event]:
        return (Ended(),)

    def _error(self, _: LooseObject, members: dict[str, Any]) -> Sequence[Event]:
        error = members.get("error")
        return (failure_of(members if is_failure(error) else {**members, "type": None}),)

    def _nothing(self, _: LooseObject, __: dict[str, Any]) -> Sequence[Event]:
        return ()


def _finish(members: LooseObject) -> tuple[Event, ...]:
    reason = members.text("stop_reason")
    text = members.text("stop_sequence")
    return (Finished(clean_label(reason), 0, text or None),) if reason else ()


def _thought(block: LooseObject) -> list[Event]:
    thinking, signature = block.text("thinking"), block.text("signature")
    said: list[Event] = [ReasoningDelta(thinking)] if thinking else []
    return [*said, ThoughtSigned(signature)] if signature else said


_Reader = Callable[[MessagesDecoder, LooseObject, dict[str, Any]], Sequence[Event]]
_READERS: Mapping[str, _Reader] = {
    "message_start": MessagesDecoder._message_start,
    "content_block_start": MessagesDecoder._block_start,
    "content_block_delta": MessagesDecoder._block_delta,
    "content_block_stop": MessagesDecoder._nothing,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
    "ping": MessagesDecoder._nothing,
    "error": MessagesDecoder._error,
}
