"""The grammar of an OpenAI chat stream, chunk by chunk. It knows no bytes and no Anthropic.

Sources: openai-python's types, what real servers send (docs/wire.md), and what the official clients
do with each departure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.openai_choice import CHOICE_RULES, Choice
from streamgauge.core.grammar.openai_usage import USAGE_RULES, judge_usage
from streamgauge.core.grammar.values import (
    VALUE_RULES,
    is_count,
    is_text,
    named,
    read_object,
    shown,
)
from streamgauge.core.grammar.wire import WIRE_RULES, Located

__all__ = ["RULES", "ChatGrammar"]

RULES: Mapping[str, Rule] = {
    **WIRE_RULES,
    **VALUE_RULES,
    **CHOICE_RULES,
    **USAGE_RULES,
    "empty_event": error("a blank line ends only frames with data: openai-python raises on others"),
    "named_event": oddity("frames have no `event:` line"),
    "not_a_chunk": error("data is a chunk (it has `choices`), an error object, or `[DONE]`"),
    "object_name": oddity("`object` is `chat.completion.chunk`"),
    "id_missing": oddity("a chunk has an `id`"),
    "id_changed": error("all chunks have one `id`"),
    "model_changed": oddity("all chunks have one `model`"),
    "created_changed": oddity("all chunks have one `created`, in whole seconds"),
    "choices_type": error("`choices` holds objects, each choice once"),
    "index_missing": oddity("a choice has an `index`"),
    "no_choice": error("a stream has at least one choice"),
    "error_shape": error("`error` is an object with a `message`"),
    "error_text": oddity("`error` is an object, not text"),
    "error_flat": oddity("an error stands in `error`"),
    "error_with_choices": oddity("an error frame has no choices"),
    "data_after_error": error("nothing follows an error frame"),
    "done_after_error": oddity("no `[DONE]` follows an error frame"),
    "done_padded": error("nothing stands before `[DONE]`: openai-python reads that as a chunk"),
    "done_followed": error("nothing stands behind `[DONE]`: many clients read that as a chunk"),
    "done_spelling": oddity("the end marker is `[DONE]`, without a blank behind it"),
    "done_missing": error("the stream ends with `[DONE]` or an error frame"),
    "data_after_done": error("nothing follows `[DONE]`"),
}


class _End(Enum):
    OPEN = auto()
    DONE = auto()
    FAILED = auto()


class ChatGrammar:
    """Reads one chat stream."""

    __slots__ = ("_choices", "_end", "_id_line", "_sheet", "_told", "_usage_alone")

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._choices: dict[int, Choice] = {}
        self._end = _End.OPEN
        self._id_line = False
        self._told: dict[str, Any] = {}
        self._usage_alone = False

    def read(self, frame: Located) -> None:
        """Read one frame."""
        self._id_line = self._id_line or b"id" in frame.fields
        payload = frame.payload
        if not payload:
            self._silent(frame)
        elif self._end is not _End.OPEN:
            self._after(payload)
        elif payload.lstrip().startswith(b"[DONE]"):
            self._done(payload)
        elif (chunk := read_object(payload, self._sheet)) is not None:
            self._object(chunk, frame.event)

    def _silent(self, frame: Located) -> None:
        if self._end is _End.OPEN and (self._id_line or frame.fields - {b""}):
            kinds = ", ".join(sorted(f.decode(errors="replace") or "comment" for f in frame.fields))
            self._sheet.note("empty_event", f"a frame without data ({kinds}) is an empty event")

    def _after(self, payload: bytes) -> None:
        if self._end is _End.DONE:
            self._sheet.note("data_after_done", f"{shown(payload)} follows the end marker")
        elif payload.startswith(b"[DONE]"):
            self._sheet.note("done_after_error", "the end marker follows the error frame")
        else:
            self._sheet.note("data_after_error", f"{shown(payload)} follows the error frame")

    def _done(self, payload: bytes) -> None:
        self._end = _End.DONE
        if payload != b"[DONE]":
            self._sheet.note(_spelling(payload), f"the end marker is {shown(payload)}")
        self._unfinished()

    def _unfinished(self) -> None:
        if not self._choices:
            self._sheet.note("no_choice", "the stream ends before any choice")
        for index, choice in self._choices.items():
            if choice.finish is None:
                self._sheet.note("finish_missing", f"choice {index} has no finish reason")

    def _object(self, chunk: dict[str, Any], event: bytes) -> None:
        if chunk.get("error") or chunk.get("object") == "error" or event == b"error":
            self._failed(chunk)
            return
        if event:
            self._sheet.note("named_event", f"the frame is called {shown(event.decode('latin-1'))}")
        if isinstance(chunk.get("choices"), list):
            self._chunk(chunk)
        else:
            self._sheet.note("not_a_chunk", f"there is no array `choices` in {shown(chunk)}")

    def _failed(self, chunk: dict[str, Any]) -> None:
        self._end = _End.FAILED
        failure = chunk.get("error")
        if isinstance(failure, str):
            self._sheet.note("error_text", "`error` is text")
        elif failure is None and is_text(chunk.get("message")):
            self._sheet.note("error_flat", "the error's fields stand at the top")
        elif not isinstance(failure, dict) or not is_text(failure.get("message")):
            self._sheet.note("error_shape", f"the error is {shown(failure)}")
        if chunk.get("choices"):
            self._sheet.note("error_with_choices", "the error frame has choices")

    def _chunk(self, chunk: dict[str, Any]) -> None:
        self._same(chunk)
        if chunk.get("object") != "chat.completion.chunk":
            self._sheet.note("object_name", f"object is {shown(chunk.get('object'))}")
        finishes = [c.finish for c in self._choices.values()]
        seen: set[int] = set()
        for choice in chunk["choices"]:
            self._choice(choice, seen)
        usage = chunk.get("usage")
        if usage is not None:
            self._usage(usage, chunk, finishes)

    def _same(self, chunk: dict[str, Any]) -> None:
        if not is_text(chunk.get("id")):
            self._sheet.note("id_missing", f"id is {shown(chunk.get('id'))}")
        for key, rule in (
            ("id", "id_changed"),
            ("model", "model_changed"),
            ("created", "created_changed"),
        ):
            value = chunk.get(key)
            if value in (None, ""):
                continue
            first = self._told.setdefault(key, value)
            if value != first or (key == "created" and not is_count(value)):
                self._sheet.note(rule, f"{key} is {shown(value)}, first it was {shown(first)}")

    def _choice(self, choice: object, seen: set[int]) -> None:
        if not isinstance(choice, dict):
            self._sheet.note("choices_type", f"a choice is {named(choice)}")
            return
        index = choice.get("index")
        if not is_count(index):
            self._sheet.note("index_missing", f"index is {shown(index)}")
            index = 0
        assert isinstance(index, int)
        if index in seen:
            self._sheet.note("choices_type", f"choice {index} stands twice in one chunk")
        seen.add(index)
        self._choices.setdefault(index, Choice(index, self._sheet)).read(choice)

    def _usage(self, usage: object, chunk: dict[str, Any], finishes: list[str | None]) -> None:
        judge_usage(usage, self._sheet)
        if chunk["choices"]:
            self._sheet.note("usage_on_choice", "usage stands on a chunk with choices")
            return
        if finishes and None not in finishes:
            if self._usage_alone:
                self._sheet.note("usage_repeated", "a second usage chunk")
        elif any(finishes):
            self._sheet.note("usage_early", "usage comes before some choice's finish reason")
        else:
            self._sheet.note("usage_before_finish", "usage comes before any finish reason")
        self._usage_alone = True

    def end(self) -> None:
        """Note what the stream lacks."""
        if self._end is _End.OPEN:
            self._sheet.note("done_missing", "the stream ends without `[DONE]`")
            self._unfinished()


def _spelling(marker: bytes) -> str:
    """Return the rule that an end marker breaks which is not `[DONE]` alone."""
    if not marker.startswith(b"[DONE]"):
        return "done_padded"
    return "done_spelling" if marker.rstrip() == b"[DONE]" else "done_followed"
