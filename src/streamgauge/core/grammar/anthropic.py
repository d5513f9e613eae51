"""The grammar of an Anthropic messages stream, event by event. It knows no bytes and no OpenAI.

Sources: the types of anthropic-sdk-python, what real servers send (docs/wire.md), and what the official
clients do with each departure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from streamgauge.core.grammar.anthropic_blocks import BLOCK_RULES, Blocks
from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.values import VALUE_RULES, is_count, is_text, read_object, shown
from streamgauge.core.grammar.wire import WIRE_RULES, Located

__all__ = ["RULES", "MessagesGrammar"]

RULES: Mapping[str, Rule] = {
    **WIRE_RULES,
    **VALUE_RULES,
    **BLOCK_RULES,
    "empty_event": oddity("a blank line ends only frames with data"),
    "event_name": error("the `event:` line says what `type` says (clients skip unnamed events)"),
    "event_unknown": oddity("an event's type is one that Anthropic names"),
    "start_missing": error("`message_start` is the first event, pings apart"),
    "start_repeated": error("there is one `message_start`"),
    "start_shape": error("`message` has an id, the type `message`, the role `assistant`, a model"),
    "start_fields": oddity("`message` starts with `content: []` and null stop reasons"),
    "usage_missing": error("`message_start` has `usage` with input and output counts"),
    "usage_type": error("the counts of `usage` are whole numbers from 0 on, or null"),
    "usage_decreased": oddity("output counts do not fall"),
    "blocks_open": error("every block is stopped before `message_delta`"),
    "block_after_delta": error("no block event follows `message_delta`"),
    "delta_missing": error("`message_delta` comes before `message_stop`"),
    "delta_usage_missing": error("`message_delta` has `usage` with an output count"),
    "reason_missing": error("`message_delta` gives a stop reason before `message_stop`"),
    "reason_unknown": oddity("a stop reason is one that Anthropic names"),
    "reason_changed": error("a message has one stop reason"),
    "reason_misfit": oddity("`tool_use` and calls, `stop_sequence` and its text come together"),
    "stop_missing": error("the stream ends with `message_stop` or an error"),
    "data_after_stop": error("nothing follows `message_stop`"),
    "error_shape": error("`error` is an object with a `message`"),
    "error_bare": oddity("an error has the type `error` and an object `error` with a type"),
    "data_after_error": error("nothing follows an error"),
}
_REASONS = frozenset(
    "end_turn max_tokens stop_sequence tool_use pause_turn refusal"
    " model_context_window_exceeded".split()
)
_WHOLE = frozenset(("tool_use", "end_turn", "stop_sequence"))
"""With these the calls are whole; with others they may have been cut."""


class _Stage(Enum):
    NEW = auto()
    BLOCKS = auto()
    DELTA = auto()
    STOPPED = auto()
    FAILED = auto()


class MessagesGrammar:
    """Reads one messages stream."""

    __slots__ = ("_blocks", "_id_line", "_output", "_reason", "_sheet", "_stage", "_verbs")

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._stage = _Stage.NEW
        self._blocks = Blocks(sheet)
        self._id_line = False
        self._reason: str | None = None
        self._output = 0
        self._verbs: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "message_start": self._start,
            "content_block_start": self._block(self._blocks.start),
            "content_block_delta": self._block(self._blocks.delta),
            "content_block_stop": self._block(self._blocks.stop),
            "message_delta": self._delta,
            "message_stop": self._stop,
        }

    def read(self, frame: Located) -> None:
        """Read one frame."""
        note = self._sheet.note
        self._id_line = self._id_line or b"id" in frame.fields
        if not frame.payload:
            if self._id_line or frame.fields - {b""}:
                note("empty_event", "a frame without data is an empty event")
        elif self._stage is _Stage.STOPPED:
            note("data_after_stop", f"{shown(frame.payload)} follows message_stop")
        elif self._stage is _Stage.FAILED:
            note("data_after_error", f"{shown(frame.payload)} follows the error")
        elif (event := read_object(frame.payload, self._sheet)) is not None:
            self._event(event, frame.event.decode("latin-1"))

    def _event(self, event: dict[str, Any], name: str) -> None:
        type = event.get("type")
        if name == "error" or type == "error":
            self._failed(event, name)
            return
        if type != name:
            self._sheet.note("event_name", f"event: {shown(name)}, type {shown(type)}")
        if type == "ping":
            return
        if not isinstance(type, str) or type not in self._verbs:
            self._sheet.note("event_unknown", f"type {shown(type)}")
            return
        if self._stage is _Stage.NEW and type != "message_start":
            self._sheet.note("start_missing", f"{type} comes before message_start")
            self._stage = _Stage.BLOCKS
        self._verbs[type](event)

    def _block(self, read: Callable[[Mapping[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        def verb(event: dict[str, Any]) -> None:
            if self._stage is _Stage.DELTA:
                self._sheet.note("block_after_delta", f"{event['type']} follows message_delta")
            read(event)

        return verb

    def _start(self, event: dict[str, Any]) -> None:
        if self._stage is not _Stage.NEW:
            self._sheet.note("start_repeated", "message_start comes again")
            return
        self._stage = _Stage.BLOCKS
        message = event.get("message")
        if not isinstance(message, dict):
            self._sheet.note("start_shape", f"message is {shown(message)}")
            return
        told = {key: message.get(key) for key in ("id", "type", "role", "model")}
        right = told["type"] == "message" and told["role"] == "assistant"
        if not right or not is_text(told["id"]) or not isinstance(told["model"], str):
            self._sheet.note("start_shape", shown(told))
        if message.get("content") != [] or message.get("stop_reason") is not None:
            self._sheet.note("start_fields", "content is not empty, or a stop reason is there")
        usage = message.get("usage")
        if not isinstance(usage, dict) or not {"input_tokens", "output_tokens"} <= usage.keys():
            self._sheet.note("usage_missing", f"usage is {shown(usage)}")
        self._counts(usage)

    def _counts(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        for key, value in usage.items():
            if key.endswith("_tokens") and value is not None and not is_count(value):
                self._sheet.note("usage_type", f"{key} is {shown(value)}")

    def _delta(self, event: dict[str, Any]) -> None:
        if self._blocks.open and self._stage is not _Stage.DELTA:
            self._sheet.note("blocks_open", f"blocks {self._blocks.open} are not stopped")
        self._stage = _Stage.DELTA
        delta = event.get("delta")
        if isinstance(delta, dict) and delta.get("stop_reason") is not None:
            self._reasoned(delta["stop_reason"], delta.get("stop_sequence"))
        usage = event.get("usage")
        output = usage.get("output_tokens") if isinstance(usage, dict) else None
        if output is None:
            self._sheet.note("delta_usage_missing", f"usage is {shown(usage)}")
        self._counts(usage)
        if isinstance(output, int) and output < self._output:
            self._sheet.note("usage_decreased", f"{output} output tokens after {self._output}")
        self._output = output if isinstance(output, int) else self._output

    def _reasoned(self, reason: object, sequence: object) -> None:
        note = self._sheet.note
        if not is_text(reason) or reason not in _REASONS:
            note("reason_unknown", f"stop_reason is {shown(reason)}")
        if self._reason is not None and reason != self._reason:
            note("reason_changed", f"{shown(reason)} comes after {shown(self._reason)}")
        if (reason == "tool_use") != self._blocks.has_call and reason in ("tool_use", "end_turn"):
            call = "a call" if self._blocks.has_call else "no call"
            note("reason_misfit", f"{shown(reason)} with {call}")
        if (reason == "stop_sequence") != isinstance(sequence, str):
            note("reason_misfit", f"{shown(reason)} with the sequence {shown(sequence)}")
        if self._reason is None and str(reason) in _WHOLE:
            self._blocks.judge_calls()
        self._reason = str(reason)

    def _stop(self, event: dict[str, Any]) -> None:
        if self._stage is not _Stage.DELTA:
            self._sheet.note("delta_missing", "message_stop comes without a message_delta")
        elif self._reason is None:
            self._sheet.note("reason_missing", "no message_delta gave a stop reason")
        self._stage = _Stage.STOPPED

    def _failed(self, event: dict[str, Any], name: str) -> None:
        self._stage = _Stage.FAILED
        if name != "error":
            self._sheet.note("event_name", f"an error in an event called {shown(name)}")
        failure = event.get("error")
        if isinstance(failure, dict) and is_text(failure.get("message")):
            if event.get("type") != "error" or not is_text(failure.get("type")):
                self._sheet.note("error_bare", f"the error is {shown(event)}")
        elif is_text(event.get("message")):
            self._sheet.note("error_bare", "the error's fields stand at the top")
        else:
            self._sheet.note("error_shape", f"the error is {shown(event)}")

    def end(self) -> None:
        """Note what the stream lacks."""
        if self._stage is _Stage.NEW:
            self._sheet.note("start_missing", "the stream has no message_start")
        if self._stage not in (_Stage.STOPPED, _Stage.FAILED):
            self._sheet.note("stop_missing", "the stream ends without message_stop")
