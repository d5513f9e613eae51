"""Writes an answer as chat completion chunks (WIRE §2.3, §5.2). It knows no upstream's dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.finish import kept_finish
from streamgauge.core.dialects.framing import json_bytes, json_frame, json_text
from streamgauge.core.dialects.openai.details import redacted_detail, text_detail
from streamgauge.core.dialects.openai.ending import finish_of, made_ids, usage_members
from streamgauge.core.dialects.openai.streams import DONE
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

__all__ = ["ChatEncoder"]

_DELTA_END = b'},"finish_reason":null}]}\n\n'
_ARGUMENTS_END = b"}}]" + _DELTA_END

_Out = list[bytes]


class _Choice:
    """What was told of one choice. `head`: its chunks up to the delta's members."""

    __slots__ = (
        "calls",
        "calls_begun",
        "finish",
        "head",
        "ids",
        "index",
        "refused",
        "signature",
        "text_head",
        "thought_head",
        "thoughts",
    )

    def __init__(self, index: int, head: bytes, ids: CallIds, calls: ToolCalls) -> None:
        self.index = index
        self.ids = ids
        self.head = head + b'"choices":[{"index":%d,"delta":{' % index
        self.text_head = self.head + b'"content":'
        self.thought_head = self.head + b'"reasoning_content":'
        self.calls = calls
        self.calls_begun = 0
        self.finish: Finished | None = None
        self.refused = False
        self.signature: str | None = None
        self.thoughts = 0  # blocks of reasoning that were signed or redacted


class ChatEncoder:
    """The chunks of one answer, all with one head. A choice begins with its role."""

    __slots__ = ("_choices", "_head", "_members", "_telling")

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._members: dict[str, Any] = {
            "id": f"chatcmpl-{telling.id}",
            "object": "chat.completion.chunk",
            "created": telling.created,
            "model": telling.model,
        }
        self._head = b"data: " + json_bytes(self._members)[:-1] + b","
        self._choices: dict[int, _Choice] = {}

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen, of each choice that has begun: one may still speak."""
        choices = self._choices.values()
        return bool(choices) and all(choice.finish is not None for choice in choices)

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the chunks that say `events`; finish and usage are held."""
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
        """Return the chunk of one more piece of what has begun, as nearly every event is."""
        if isinstance(event, TextDelta | ReasoningDelta):
            return self.plain(event)
        return None if not isinstance(event, ToolCallDelta) else self._arguments(event)

    def plain(self, event: TextDelta | ReasoningDelta) -> bytes | None:
        """Return the chunk of one more piece of text or reasoning, None where more is to be said."""
        choice = self._choices.get(event.choice)
        if choice is None or not event.text or choice.calls.waiting:
            return None
        if isinstance(event, ReasoningDelta):
            return choice.thought_head + json_text(event.text) + _DELTA_END
        return None if event.refusal else choice.text_head + json_text(event.text) + _DELTA_END

    def _arguments(self, event: ToolCallDelta) -> bytes | None:
        choice = self._choices.get(event.choice)
        call = None if choice is None else choice.calls.get(event.index)
        if call is None or not call.begun or not event.arguments:
            return None
        call.empty = False
        return call.head + json_text(event.arguments) + _ARGUMENTS_END

    def end(self, usage: TokenUsage, added: bytes = b"") -> bytes:
        """Return the choices' finishes, the usage if it was asked for, `added` and `[DONE]`.

        A call without arguments gets `{}`, which its reader can parse.
        """
        out: _Out = []
        if not self._choices:
            self._choice(0, out)
        for choice in self._choices.values():
            self._finish(choice, out)
        counts = usage_members(usage) if self._telling.include_usage else None
        if counts is not None:
            out.append(json_frame({**self._members, "choices": [], "usage": counts}))
        return b"".join((*out, added, DONE))

    def _finish(self, choice: _Choice, out: _Out) -> None:
        calls = choice.calls
        self._begin_calls(choice, calls.begin(), out)
        self._begin_calls(choice, calls.begin_nameless(), out)
        for call in calls.without_arguments():
            out += (call.head, b'"{}"', _ARGUMENTS_END)
        told = finish_of(choice.finish, called=calls.called, refused=choice.refused)
        ended: dict[str, Any] = {"index": choice.index, "delta": {}, **told}
        out.append(json_frame({**self._members, "choices": [ended]}))

    def _choice(self, index: int, out: _Out) -> _Choice:
        """Return a choice, begun with its role."""
        choice = self._choices.get(index)
        if choice is None:
            ids = CallIds(made_ids(self._telling, index))
            calls = ToolCalls(self._telling.tool_names)
            choice = self._choices[index] = _Choice(index, self._head, ids, calls)
            out += (choice.head, b'"role":"assistant","content":""', _DELTA_END)
        return choice

    def _settled(self, index: int, out: _Out) -> _Choice:
        """Return a choice of which new content comes: calls that waited begin before it."""
        choice = self._choice(index, out)
        if choice.calls.waiting:
            self._begin_calls(choice, choice.calls.begin(), out)
        return choice

    def _write_start(self, _: Started, out: _Out) -> None:
        self._choice(0, out)

    def _write_text(self, event: TextDelta, out: _Out) -> None:
        if not event.text:
            return
        choice = self._settled(event.choice, out)
        choice.refused = choice.refused or event.refusal
        head = choice.head + b'"refusal":' if event.refusal else choice.text_head
        out += (head, json_text(event.text), _DELTA_END)

    def _write_reasoning(self, event: ReasoningDelta, out: _Out) -> None:
        if event.text:
            choice = self._settled(event.choice, out)
            out += (choice.thought_head, json_text(event.text), _DELTA_END)

    def _write_signature(self, event: ThoughtSigned, out: _Out) -> None:
        choice = self._settled(event.choice, out)
        if event.signature != choice.signature:  # some servers repeat it
            choice.signature = event.signature
            self._detail(choice, text_detail(choice.thoughts, event.signature), out)

    def _write_redacted(self, event: ThoughtRedacted, out: _Out) -> None:
        choice = self._settled(event.choice, out)
        self._detail(choice, redacted_detail(choice.thoughts, event.data), out)

    def _detail(self, choice: _Choice, detail: dict[str, Any], out: _Out) -> None:
        choice.thoughts += 1
        out += (choice.head, b'"reasoning_details":[', json_bytes(detail), b"]", _DELTA_END)

    def _write_call(self, event: ToolCallStarted, out: _Out) -> None:
        choice = self._choice(event.choice, out)
        self._begin_calls(choice, choice.calls.name(event), out)

    def _write_arguments(self, event: ToolCallDelta, out: _Out) -> None:
        choice = self._choice(event.choice, out)
        self._begin_calls(choice, choice.calls.hold(event), out)

    def _begin_calls(self, choice: _Choice, calls: Sequence[ToolCall], out: _Out) -> None:
        for call in calls:
            index = b'"tool_calls":[{"index":%d,' % choice.calls_begun
            choice.calls_begun += 1
            told = (json_text(choice.ids.take(call.id)), json_text(call.name or NAMELESS))
            start = b'"id":%b,"type":"function","function":{"name":%b,"arguments":""' % told
            out += (choice.head, index, start, _ARGUMENTS_END)
            call.head = choice.head + index + b'"function":{"arguments":'
            if call.held:
                call.empty = False
                out += (call.head, json_text("".join(call.held)), _ARGUMENTS_END)
                call.held.clear()

    def _write_finish(self, event: Finished, out: _Out) -> None:
        choice = self._choice(event.choice, out)
        choice.finish = kept_finish(choice.finish, event)


_WRITERS: Mapping[type, Callable[..., None]] = {
    Started: ChatEncoder._write_start,
    TextDelta: ChatEncoder._write_text,
    ReasoningDelta: ChatEncoder._write_reasoning,
    ThoughtSigned: ChatEncoder._write_signature,
    ThoughtRedacted: ChatEncoder._write_redacted,
    ToolCallStarted: ChatEncoder._write_call,
    ToolCallDelta: ChatEncoder._write_arguments,
    Finished: ChatEncoder._write_finish,
}
