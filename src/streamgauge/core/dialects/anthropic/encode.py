"""Writes an answer as Anthropic message events (WIRE §4.4, §5.1). It knows no upstream's dialect.

Blocks come one after another, but that calls whose arguments are not whole yet stay open beside what
follows, so that no piece of an argument ever waits for another call's end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamgauge.core.dialects.anthropic.ending import stop_of, usage_members
from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.finish import kept_finish
from streamgauge.core.dialects.framing import json_frame, json_text
from streamgauge.core.dialects.tool_calls import NAMELESS, CallIds, ToolCall, ToolCalls
from streamgauge.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
)
from streamgauge.core.usage import TokenUsage

__all__ = ["MessagesEncoder"]

_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
)
_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
)
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_DELTA_END = b"}}\n\n"
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_TEXT = b'{"type":"text","text":""}'
_THINKING = b'{"type":"thinking","thinking":"","signature":""}'
_NO_USAGE = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
}

_LOOKED_AT = 32
"""Of the open calls, the last so many may end before the message does: each block looks at them."""

_Out = list[bytes]


class MessagesEncoder:
    """The events of one message. At most one text or thinking block is open, the last one begun.

    `_text_head` and `_thought_head`: what stands before a piece for the open block, None where it
    is not of this kind.
    """

    __slots__ = (
        "_begun",
        "_calls",
        "_finish",
        "_ids",
        "_index",
        "_open_calls",
        "_refused",
        "_signature",
        "_telling",
        "_text_head",
        "_thought_head",
        "_waiting",
    )

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._calls = ToolCalls(telling.tool_names)
        self._waiting = self._calls.waiting
        self._ids = CallIds(f"toolu_{telling.id}")
        self._finish: Finished | None = None
        self._index = -1  # of the block begun last
        self._open_calls: list[tuple[int, ToolCall]] = []  # behind the index of the block
        self._refused = False
        self._signature: str | None = None
        self._text_head: bytes | None = None
        self._thought_head: bytes | None = None
        self._begun = False

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._finish is not None

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the frames that say `events`; the end of the message is held."""
        if len(events) == 1 and (said := self._piece(events[0])) is not None:
            return said
        out: _Out = []
        for event in events:
            if (said := self._piece(event)) is not None:
                out.append(said)
            elif (write := _WRITERS.get(type(event))) is not None:
                write(self, event, out)
        return b"".join(out)

    def _piece(self, event: Event) -> bytes | None:
        """Return the frame of one more piece of an open block, as nearly every event is."""
        if isinstance(event, TextDelta | ReasoningDelta):
            return self.plain(event)
        if isinstance(event, ToolCallDelta):
            call = self._calls.get(event.index)
            if call is None or not call.begun or not event.arguments or event.choice:
                return None
            if not call.head:
                return b""  # behind the end of its JSON: blanks
            call.brackets.add(event.arguments)
            return call.head + json_text(event.arguments) + _DELTA_END
        return None

    def plain(self, event: TextDelta | ReasoningDelta) -> bytes | None:
        """Return the frame of one more piece of the open text or thinking, None without such one."""
        if isinstance(event, ReasoningDelta):
            head = self._thought_head
        else:
            head = None if event.refusal else self._text_head
        if head is None or not event.text or event.choice or self._waiting:
            return None
        return head + json_text(event.text) + _DELTA_END

    def end(self, usage: TokenUsage, added: bytes = b"") -> bytes:
        """Return what closes the message: open blocks, `message_delta`, `added`, `message_stop`."""
        out: _Out = []
        self._settle(out)
        self._begin_calls(self._calls.begin_nameless(), out)
        self._close_blocks(out, ending=True)
        stop = stop_of(self._finish, called=self._calls.called, refused=self._refused)
        delta = {"type": "message_delta", "delta": stop, "usage": usage_members(usage)}
        out += (json_frame(delta, b"message_delta"), added, _MESSAGE_STOP)
        return b"".join(out)

    def _settle(self, out: _Out) -> None:
        """Write what must stand before anything new: the message's start, calls that waited."""
        if not self._begun:
            self._begun = True
            out.append(self._message_start())
        if self._waiting:
            self._begin_calls(self._calls.begin(), out)

    def _message_start(self) -> bytes:
        told = self._telling
        message: dict[str, object] = {
            "id": f"msg_{told.id}",
            "type": "message",
            "role": "assistant",
            "model": told.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _NO_USAGE,
        }
        return json_frame({"type": "message_start", "message": message}, b"message_start")

    def _open_block(self, block: bytes, out: _Out) -> int:
        """Write the start of a block behind those that are whole; return its index."""
        self._close_blocks(out)
        self._index += 1
        out.append(_START % (self._index, block))
        return self._index

    def _close_blocks(self, out: _Out, *, ending: bool = False) -> None:
        looked_at = slice(None if ending else -_LOOKED_AT, None)
        still: list[tuple[int, ToolCall]] = []
        for index, call in self._open_calls[looked_at]:
            if ending or call.brackets.closed:
                call.head = b""
                out.append(_STOP % index)
            else:
                still.append((index, call))
        self._open_calls[looked_at] = still
        self._close_block(out)

    def _close_block(self, out: _Out, signature: str = "") -> None:
        """Write the stop of the open text or thinking block, if there is one."""
        if self._thought_head is not None:
            head = _DELTA % (self._index, b"signature_delta", b"signature")
            out += (head, json_text(signature), _DELTA_END)
        elif self._text_head is None:
            return
        out.append(_STOP % self._index)
        self._text_head = self._thought_head = None

    def _write_start(self, event: Started, out: _Out) -> None:
        if not self._begun:
            self._settle(out)

    def _write_text(self, event: TextDelta, out: _Out) -> None:
        if not event.text or event.choice:
            return
        self._refused = self._refused or event.refusal
        self._settle(out)
        if self._text_head is None:
            index = self._open_block(_TEXT, out)
            self._text_head = _DELTA % (index, b"text_delta", b"text")
        out += (self._text_head, json_text(event.text), _DELTA_END)

    def _write_reasoning(self, event: ReasoningDelta, out: _Out) -> None:
        if not event.text or event.choice:
            return
        out.append(self._thinking(out) + json_text(event.text) + _DELTA_END)

    def _thinking(self, out: _Out) -> bytes:
        """Return the head of a piece of thinking, whose block is opened where none is."""
        self._settle(out)
        if self._thought_head is None:
            index = self._open_block(_THINKING, out)
            self._thought_head = _DELTA % (index, b"thinking_delta", b"thinking")
        return self._thought_head

    def _write_signature(self, event: ThoughtSigned, out: _Out) -> None:
        """A signature ends its block. Without thinking before it, it signs an empty block."""
        if event.signature == self._signature or event.choice:
            return  # some servers repeat it
        self._thinking(out)
        self._close_block(out, event.signature)
        self._signature = event.signature

    def _write_redacted(self, event: ThoughtRedacted, out: _Out) -> None:
        if event.choice:
            return
        self._settle(out)
        block = b'{"type":"redacted_thinking","data":%b}' % json_text(event.data)
        out.append(_STOP % self._open_block(block, out))

    def _write_call(self, event: ToolCallStarted, out: _Out) -> None:
        if not event.choice:
            self._write_start(Started(), out)
            self._begin_calls(self._calls.name(event), out)

    def _write_arguments(self, event: ToolCallDelta, out: _Out) -> None:
        if not event.choice:
            self._begin_calls(self._calls.hold(event), out)

    def _begin_calls(self, calls: Sequence[ToolCall], out: _Out) -> None:
        for call in calls:
            told = (json_text(self._ids.take(call.id)), json_text(call.name or NAMELESS))
            block = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}' % told
            index = self._open_block(block, out)
            self._open_calls.append((index, call))
            call.head = _DELTA % (index, b"input_json_delta", b"partial_json")
            if call.held:
                call.brackets.add("".join(call.held))
                out += (call.head, json_text("".join(call.held)), _DELTA_END)
                call.held.clear()

    def _write_finish(self, event: Finished, out: _Out) -> None:
        if not event.choice:
            self._finish = kept_finish(self._finish, event)


_WRITERS: Mapping[type, Callable[..., None]] = {
    Started: MessagesEncoder._write_start,
    TextDelta: MessagesEncoder._write_text,
    ReasoningDelta: MessagesEncoder._write_reasoning,
    ThoughtSigned: MessagesEncoder._write_signature,
    ThoughtRedacted: MessagesEncoder._write_redacted,
    ToolCallStarted: MessagesEncoder._write_call,
    ToolCallDelta: MessagesEncoder._write_arguments,
    Finished: MessagesEncoder._write_finish,
}
