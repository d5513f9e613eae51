"""Decodes the Responses API's events and answers (WIRE §3). It knows no chat frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streamgauge.core.dialects.failures import failure_of, is_failure
from streamgauge.core.dialects.loose import LooseObject, clean_label, clean_text, load
from streamgauge.core.dialects.openai.usage import usage_events
from streamgauge.core.dialects.timings import timings_of
from streamgauge.core.events import (
    Ended,
    Event,
    Finished,
    ModelNamed,
    Noted,
    ReasoningDelta,
    Shown,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from streamgauge.core.record import Anomaly

__all__ = ["ResponsesDecoder"]

_TEXT = frozenset({"response.output_text.delta", "response.refusal.delta"})
_REASONING = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})
_FREE = "response.custom_tool_call_input.delta"
_ARGUMENTS = frozenset(
    {
        "response.function_call_arguments.delta",
        _FREE,
        "response.mcp_call_arguments.delta",
    }
)
_FINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SILENT = (".done", ".in_progress", ".queued")
"""Events that repeat what was said; they may hold the whole response, and are not parsed."""
_CALLS: Mapping[str, str] = {"function_call": "arguments", "custom_tool_call": "input"}
_SAID: Mapping[str, str] = {**_CALLS, "mcp_call": "arguments"}
"""Where a whole item of each kind has what a stream says in deltas; who runs it does not matter."""
_WORDLESS = frozenset(
    {"image_generation_call", "computer_call", "local_shell_call", "mcp_approval_request"}
)
"""Items that are an answer without a word in it: a picture, or something that the client is to do."""
_MISMATCH = Noted(Anomaly.TYPE_MISMATCH)


class _Frame(msgspec.Struct, gc=False):
    type: str | None = None
    delta: str | None = None
    output_index: int | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode


class ResponsesDecoder:
    """The decoder of one Responses stream, or of one answer that is no stream."""

    __slots__ = ("_calls", "_model")

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        self._model: str | None = None

    def decode(self, payload: bytes, event: bytes) -> Sequence[Event]:
        """Return what an event says. `response.completed|incomplete|failed` is the end."""
        try:
            frame = _decode_frame(payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._loosely(payload, event)
        kind = frame.type
        if kind is not None and kind.endswith(_SILENT) and event in (b"", kind.encode()):
            return ()
        if kind is None or not frame.delta:
            return self._loosely(payload, event)
        notes = (_MISMATCH,) if event and event != kind.encode() else ()
        return (*self._delta(kind, frame.delta, frame.output_index), *notes)

    def read_answer(self, body: bytes) -> Sequence[Event] | None:
        """Return the events of an answer that is no stream, `Ended` last; None for no object."""
        loaded = load(body)
        if loaded is None or not loaded.legal or not isinstance(loaded.value, dict):
            return None
        answer = LooseObject(loaded.value)
        events: list[Event] = []
        for index, item in enumerate(answer.objects("output")):
            events.extend(self._item(item, index))
        return (*events, *self._final(answer), Ended())

    def _delta(self, kind: str, delta: str, index: int | None) -> tuple[Event, ...]:
        if kind in _TEXT:
            return (TextDelta(delta),)
        if kind in _REASONING:
            return (ReasoningDelta(delta),)
        if kind in _ARGUMENTS:
            return (ToolCallDelta(self._number(index), delta, free=kind == _FREE),)
        return ()

    def _number(self, index: int | None) -> int:
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
            return (*notes, _MISMATCH)
        frame = LooseObject(loaded.value)
        kind = frame.text("type")
        named = event.decode("utf-8", "replace")
        events = self._event(kind or named, frame)
        if frame.odd or (kind and named and kind != named):
            notes.append(_MISMATCH)
        return (*events, *notes)

    def _event(self, kind: str, frame: LooseObject) -> Sequence[Event]:
        if kind in _FINAL:
            answer = frame.object("response")
            timings = frame.value("timings")
            extra = () if timings is None else timings_of(timings)
            return (*(() if answer is None else self._final(answer)), *extra, Ended())
        if kind == "response.created":
            answer = frame.object("response")
            return (Started(), *(() if answer is None else self._named(answer)))
        if kind == "response.output_item.added":
            item = frame.object("item")
            return () if item is None else self._item_added(item, frame.integer("output_index"))
        if kind == "error" or is_failure(frame.value("error")):
            error = frame.value("error")
            return (failure_of(error if isinstance(error, dict | str) else _plain(frame)),)
        if kind in _TEXT or kind in _REASONING or kind in _ARGUMENTS:
            delta = frame.text("delta")
            return self._delta(kind, delta, frame.integer("output_index")) if delta else ()
        return ()

    def _named(self, answer: LooseObject) -> tuple[Event, ...]:
        model = clean_label(answer.text("model") or "")
        if not model or model == self._model:
            return ()
        self._model = model
        return (ModelNamed(model),)

    def _item_added(self, item: LooseObject, index: int | None) -> tuple[Event, ...]:
        kind = item.value("type")
        if kind not in _CALLS:
            return (Shown(),) if kind in _WORDLESS else ()
        ident = item.text("call_id") or item.text("id")
        return (ToolCallStarted(self._number(index), ident, item.text("name")),)

    def _final(self, answer: LooseObject) -> list[Event]:
        """Return what the whole response object states: model, finish, failure, usage, timings."""
        events: list[Event] = list(self._named(answer))
        if reason := _finish(answer):
            events.append(Finished(clean_label(reason)))
        error = answer.value("error")
        if is_failure(error) or answer.value("status") == "failed":
            events.append(failure_of(error if is_failure(error) else {}))
        if (usage := answer.value("usage")) is not None:
            events.extend(usage_events(usage, service_tier=answer.text("service_tier")))
        if (timings := answer.value("timings")) is not None:
            events.extend(timings_of(timings))
        return events

    def _item(self, item: LooseObject, index: int) -> list[Event]:
        """Return the content of one whole output item."""
        kind = item.value("type")
        if kind == "message":
            texts = (part.text("text") or part.text("refusal") for part in item.objects("content"))
            return [TextDelta(text) for text in texts if text]
        if kind == "reasoning":
            parts = (*item.objects("summary"), *item.objects("content"))
            return [ReasoningDelta(text) for part in parts if (text := part.text("text"))]
        events: list[Event] = list(self._item_added(item, index))
        arguments = item.value(_SAID.get(str(kind), ""))
        if isinstance(arguments, str) and arguments:
            free, text = kind == "custom_tool_call", clean_text(arguments)
            events.append(ToolCallDelta(self._number(index), text, free=free))
        return events


def _finish(answer: LooseObject) -> str | None:
    """Return the finish reason as sent: the status, or for an incomplete one its reason."""
    details = answer.object("incomplete_details")
    status = answer.text("status")
    if status == "incomplete" and details is not None:
        return details.text("reason") or status
    return status if status in ("completed", "incomplete", "failed") else None


def _plain(frame: LooseObject) -> dict[str, Any]:
    """Return an `error` event's own fields; its `type` says only that it is one."""
    return {key: frame.value(key) for key in ("message", "code", "status", "param")}
