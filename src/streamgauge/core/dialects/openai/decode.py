"""Decodes chat and completions frames and answers, with llama.cpp, vLLM and OpenRouter extras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamgauge.core.dialects.failures import failure_of, is_detail, is_failure
from streamgauge.core.dialects.loose import clean_label, clean_text, load
from streamgauge.core.dialects.openai.calls import CallNumbers, number_whole
from streamgauge.core.dialects.openai.details import detail_events
from streamgauge.core.dialects.openai.native import is_native, native_events
from streamgauge.core.dialects.openai.usage import stands_twice, usage_events, usage_of
from streamgauge.core.dialects.openai.wire import (
    Call,
    Choice,
    Chunk,
    Delta,
    decode_chunk,
    decode_plain,
    loose_chunk,
)
from streamgauge.core.dialects.timings import timings_events, timings_of
from streamgauge.core.events import (
    Ended,
    Event,
    Failed,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Shown,
    Started,
    TextDelta,
    UsageReported,
)
from streamgauge.core.record import Anomaly
from streamgauge.core.usage import TokenUsage

__all__ = ["ChatDecoder"]

_NULL = msgspec.Raw(b"null")
_ENDED = (Ended(),)
_SHOWN = Shown()
_NO_COUNTS = TokenUsage()
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_FINISHED_WITH_ERROR = Failed("the upstream finished a choice with an error")


class ChatDecoder:
    """The decoder of one chat or completions stream, or of one answer that is no stream."""

    __slots__ = ("_calls", "_model", "_plainly", "_started", "_tier")

    def __init__(self) -> None:
        self._calls: dict[int, CallNumbers] = {}
        self._model: str | None = None
        self._plainly = False
        self._started = False
        self._tier: str | None = None

    def decode(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Return what a frame says (WIRE §2.3). The end marker is `[DONE]` and nothing else."""
        if payload[:1] != b"{" and payload.strip() == b"[DONE]":
            return _ENDED
        if event == b"error":
            return self._loosely(payload, failed=True)
        if self._plainly and (plain := self.plain(payload, event)):
            return (plain,)
        try:
            chunk = decode_chunk(payload)
        except _UNREADABLE:
            return self._loosely(payload)
        choices = chunk.choices
        if choices is msgspec.UNSET or (chunk.usage and stands_twice(payload)):
            return self._loosely(payload)
        events = self._read_chunk(chunk, choices)
        # Nearly every frame is one piece of text, and after such a one the next is likely to be.
        self._plainly = len(events) == 1 and isinstance(events[0], TextDelta | ReasoningDelta)
        return events

    def plain(self, payload: bytes, event: bytes) -> TextDelta | ReasoningDelta | None:
        """Return the event of a frame that is one piece of text or of reasoning, else None."""
        if event == b"error":
            return None
        try:
            chunk = decode_plain(payload)
        except _UNREADABLE:
            return None
        choice = chunk.choices[0]
        delta = choice.delta
        if delta.role is not None and not self._started:
            return None
        if delta.reasoning_details and not (delta.reasoning_content or delta.reasoning):
            return None
        if (chunk.model and chunk.model != self._model) or (
            chunk.service_tier and chunk.service_tier != self._tier
        ):
            return None
        text, thought = delta.content, delta.reasoning_content or delta.reasoning
        if text and not thought:
            return TextDelta(text, choice.index or 0)
        if thought and not text and not (delta.reasoning_content and delta.reasoning):
            return ReasoningDelta(thought, choice.index or 0)
        return None

    def read_answer(self, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream, `Ended` last; None for no object."""
        try:
            chunk = decode_chunk(body)
        except _UNREADABLE:
            chunk = None
        if chunk is not None and chunk.usage and not stands_twice(body):
            choices = None if chunk.choices is msgspec.UNSET else chunk.choices
            return self._read_chunk(chunk, choices, whole=True)
        loaded = load(body)
        if loaded is None or not loaded.legal or not isinstance(loaded.value, dict):
            return None
        return (*self._read_members(loaded.value, whole=True), *_ENDED)

    def _read_chunk(
        self, chunk: Chunk, choices: Sequence[Choice] | None, *, whole: bool = False
    ) -> Sequence[Event]:
        events: list[Event] = []
        if chunk.model != self._model:
            self._name(chunk.model, events)
        if chunk.service_tier and chunk.service_tier != self._tier:
            self._serve(chunk.service_tier, events)
        for position, choice in enumerate(choices or ()):
            self._read_choice(choice, choice.message if whole else choice.delta, position, events)
        if chunk.usage or chunk.timings or chunk.error or chunk.x_groq:
            self._read_extras(chunk, None if whole else choices, events)
        if whole:
            events += _ENDED
        return tuple(events)

    def _name(self, model: str | None, events: list[Event]) -> None:
        if model and model != self._model:
            self._model = model
            if label := clean_label(model):
                events.append(ModelNamed(label))

    def _serve(self, tier: str, events: list[Event]) -> None:
        self._tier = clean_label(tier)
        # A stream that is cut, or that nobody asked for usage, states it nevertheless.
        events.append(UsageReported(_NO_COUNTS, final=False, service_tier=self._tier or None))

    def _read_choice(
        self, choice: Choice, delta: Delta | None, position: int, events: list[Event]
    ) -> None:
        # A number that no array has is none: choices have their places from 0 on.
        index = position if choice.index is None or choice.index < 0 else choice.index
        if delta is not None:
            if not self._started and delta.role is not None:
                self._started = True
                events.append(Started())
            if delta.content and delta.reasoning_content is None and delta.reasoning is None:
                if delta.reasoning_details:
                    _read_thoughts(delta, index, events)
                events.append(TextDelta(delta.content, index))
            else:
                _read_texts(delta, index, events)
            if delta.refusal:
                events.append(TextDelta(delta.refusal, index, refusal=True))
            if delta.tool_calls or delta.function_call is not None:
                if delta is choice.message:
                    number_whole(delta.tool_calls or ())
                self._read_calls(delta, index, events)
        if choice.text:
            events.append(TextDelta(choice.text, index))
        if choice.finish_reason:
            stopped = _value(choice.stop_reason) if choice.stop_reason else None
            text = clean_text(stopped) if isinstance(stopped, str) else None
            events.append(Finished(clean_label(choice.finish_reason), index, text or None))
        if choice.error and choice.error != _NULL:
            _fail(_value(choice.error), events)
        elif choice.finish_reason == "error":
            events.append(_FINISHED_WITH_ERROR)

    def _read_calls(self, delta: Delta, index: int, events: list[Event]) -> None:
        numbers = self._calls.get(index)
        if numbers is None:
            numbers = self._calls[index] = CallNumbers(index)
        calls = delta.tool_calls or []
        if delta.function_call is not None:  # the deprecated form: one call
            calls = [*calls, Call(index=-1, function=delta.function_call)]
        events.extend(numbers.events(calls))

    def _read_extras(
        self, chunk: Chunk, choices: Sequence[Choice] | None, events: list[Event]
    ) -> None:
        if chunk.x_groq and chunk.x_groq != _NULL:
            self._read_groq(_value(chunk.x_groq), choices, events)
        if chunk.usage and chunk.usage != _NULL:
            self._read_usage(usage_of(chunk.usage), choices, events)
        if chunk.timings and chunk.timings != _NULL:
            events.extend(timings_events(chunk.timings))
        if chunk.error and chunk.error != _NULL:
            _fail(_value(chunk.error), events)

    def _read_groq(self, groq: Any, choices: Sequence[Choice] | None, events: list[Event]) -> None:
        """Read Groq's own object: usage, and why it stopped a stream early."""
        if isinstance(groq, dict):
            self._read_usage(groq.get("usage"), choices, events)
            _fail(groq.get("error"), events)

    def _read_usage(
        self, usage: Any, choices: Sequence[Choice] | None, events: list[Event]
    ) -> None:
        if usage is None:
            return
        running = bool(choices) and not any(choice.finish_reason for choice in choices or ())
        alone = choices is not None and not choices
        events.extend(usage_events(usage, running=running, alone=alone, service_tier=self._tier))

    def _loosely(self, payload: bytes, *, failed: bool = False) -> Sequence[Event]:
        """Read a frame that typed decoding refused, or that has no choices at all."""
        loaded = load(payload)
        if loaded is None:
            text = payload.decode("utf-8", "replace")
            return (failure_of(text),) if failed else (Noted(Anomaly.BAD_JSON),)
        notes = () if loaded.legal else (Noted(Anomaly.BAD_JSON),)
        if failed:
            return (failure_of(loaded.value), *notes)
        if not isinstance(loaded.value, dict):
            return (*notes, Noted(Anomaly.TYPE_MISMATCH))
        return (*notes, *self._read_members(loaded.value))

    def _read_members(self, members: dict[str, Any], *, whole: bool = False) -> list[Event]:
        events: list[Event] = []
        chunk = loose_chunk(members)
        self._name(chunk.model, events)
        if chunk.service_tier and chunk.service_tier != self._tier:
            self._serve(chunk.service_tier, events)
        for position, choice in enumerate(chunk.choices):
            self._read_choice(choice, choice.message if whole else choice.delta, position, events)
        if native := is_native(members):
            events.extend(native_events(members))
        choices = chunk.choices if chunk.choices or chunk.empty else None
        self._read_loose_extras(members, None if whole else choices, events)
        for error in (*chunk.errors, _top_error(members)):
            _fail(error, events)
        if chunk.odd:
            events.append(Noted(Anomaly.TYPE_MISMATCH))
        if native and members["stop"] and not whole:
            events.extend(_ENDED)
        return events

    def _read_loose_extras(
        self, members: dict[str, Any], choices: Sequence[Choice] | None, events: list[Event]
    ) -> None:
        self._read_groq(members.get("x_groq"), choices, events)
        self._read_usage(members.get("usage"), choices, events)
        if members.get("timings") is not None:
            events.extend(timings_of(members["timings"]))


def _read_texts(delta: Delta, index: int, events: list[Event]) -> None:
    _read_thoughts(delta, index, events)
    if text := delta.content or (delta.audio and delta.audio.transcript):
        events.append(TextDelta(text, index))
    elif delta.shows:
        events.append(_SHOWN)


def _read_thoughts(delta: Delta, index: int, events: list[Event]) -> None:
    thought, other = delta.reasoning_content or "", delta.reasoning or ""
    texts = [thought] if other == thought else [thought, other]  # both with equal text are one
    details = delta.reasoning_details
    told = detail_events(details, "".join(texts), index) if details else None
    if told is None:
        told = [ReasoningDelta(text, index) for text in texts if text]
    events.extend(told)


def _fail(error: Any, events: list[Event]) -> None:
    """Add the failure that `error` tells of; of a frame's the first stands, but for one without words."""
    if not is_failure(error):
        return
    while _FINISHED_WITH_ERROR in events:
        events.remove(_FINISHED_WITH_ERROR)
    if not any(isinstance(event, Failed) for event in events):
        events.append(failure_of(error))


def _top_error(members: dict[str, Any]) -> Any:
    """Return the error that the frame is: in `error`, flat as old vLLM sends it, or FastAPI's."""
    if "error" in members:
        return members["error"]
    flat = "error" in (members.get("object"), members.get("type"))
    return members if flat or is_detail(members) else None


def _value(raw: msgspec.Raw) -> Any:
    """Return the value of a stated member. NaN in it is read, so that it can be refused."""
    loaded = load(bytes(raw))
    return None if loaded is None else loaded.value
