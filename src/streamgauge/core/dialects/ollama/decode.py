"""Decodes the lines and answers of Ollama's own `/api/chat` (WIRE §7.1). It knows no splitter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamgauge.core.dialects.failures import failure_of, is_failure
from streamgauge.core.dialects.loose import clean_label, load
from streamgauge.core.dialects.ollama.counts import count_events
from streamgauge.core.dialects.ollama.wire import (
    Call,
    Function,
    Line,
    Message,
    arguments_text,
    decode_line,
    loose_line,
)
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from streamgauge.core.record import Anomaly

__all__ = ["OllamaDecoder"]

_ENDED = Ended()
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_NO_FUNCTION = Function()
_COUNTS = (b'"prompt_eval_count"', b'"eval_count"')
_STAMP_DIGITS = 27
"""Digits kept of a time: nanoseconds and a zone have as many; OpenAI's ids end at 40 characters."""


class OllamaDecoder:
    """The decoder of one chat stream, or of one answer that is no stream."""

    __slots__ = ("_calls", "_model", "_stamp", "_started")

    def __init__(self) -> None:
        self._calls = 0
        self._model: str | None = None
        self._stamp = ""
        self._started = False

    def decode(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Return what a line says. The end marker is `done: true`; lines have no event's name."""
        line = _typed(payload)
        if line is None:
            return self._loosely(payload)
        events = self._read(line)
        if line.done:
            events.append(_ENDED)
        return events

    def read_answer(self, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream, `Ended` last; None for no object."""
        if (line := _typed(body)) is not None:
            return (*self._read(line, whole=True), _ENDED)
        loaded = load(body)
        if loaded is None or not loaded.legal or not isinstance(loaded.value, dict):
            return None
        _, events = self._read_members(loaded.value, whole=True)
        return (*events, _ENDED)

    def _loosely(self, payload: bytes) -> Sequence[Event]:
        """Read a line that typed decoding refused."""
        loaded = load(payload)
        if loaded is None:
            return (Noted(Anomaly.BAD_JSON),)
        notes = () if loaded.legal else (Noted(Anomaly.BAD_JSON),)
        if not isinstance(loaded.value, dict):
            return (*notes, Noted(Anomaly.TYPE_MISMATCH))
        line, events = self._read_members(loaded.value)
        return (*events, *notes, *((_ENDED,) if line.done else ()))

    def _read_members(
        self, members: dict[str, Any], *, whole: bool = False
    ) -> tuple[Line, list[Event]]:
        line, odd = loose_line(members)
        events = self._read(line, whole=whole)
        if is_failure(line.error):
            events.append(failure_of(members))
        if odd:
            events.append(Noted(Anomaly.TYPE_MISMATCH))
        return line, events

    def _read(self, line: Line, *, whole: bool = False) -> list[Event]:
        events: list[Event] = []
        if line.model and line.model != self._model:
            self._model = line.model
            if label := clean_label(line.model):
                events.append(ModelNamed(label))
        if line.message is not None:
            self._read_message(line.message, line.created_at, events)
        if line.done or whole:
            if line.done_reason:
                events.append(Finished(clean_label(line.done_reason)))
            events.extend(count_events(line))
        return events

    def _read_message(self, message: Message, created_at: str | None, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Started())
        if message.thinking:
            events.append(ReasoningDelta(message.thinking))
        if message.content:
            events.append(TextDelta(message.content))
        for call in message.tool_calls or ():
            self._read_call(call, created_at, events)

    def _read_call(self, call: Call, created_at: str | None, events: list[Event]) -> None:
        number, self._calls = self._calls, self._calls + 1
        function = call.function or _NO_FUNCTION
        call_id = call.id or self._made_up_id(number, created_at)
        events.append(ToolCallStarted(number, call_id, function.name or None))
        if arguments := arguments_text(function.arguments):
            events.append(ToolCallDelta(number, arguments))

    def _made_up_id(self, number: int, created_at: str | None) -> str:
        """Return an id for a call without one: the same for the same wire, and another next turn.

        Agents keep every turn's calls in one conversation and match results by id, so that a bare
        number would stand for several. The answer's own time tells the turns apart.
        """
        if not self._stamp and created_at:
            digits = "".join(c for c in created_at if c.isascii() and c.isdigit())
            self._stamp = digits[:_STAMP_DIGITS]
        return f"call_{self._stamp}_{number}" if self._stamp else f"call_{number}"


def _typed(payload: bytes) -> Line | None:
    """Return the regular line that `payload` is; None where it must be read member by member.

    That is a line with a member of an odd type, an error, whose other members tell its status, and
    a count that stands twice, of which typed decoding keeps the last (FAULTS F40).
    """
    try:
        line = decode_line(payload)
    except _UNREADABLE:
        return None
    if is_failure(line.error):
        return None
    if line.done is not False and any(payload.count(count) > 1 for count in _COUNTS):
        return None
    return line
