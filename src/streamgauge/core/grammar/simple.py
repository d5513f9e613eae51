"""The grammar of the `simple` protocol, line by line (SPEC §13.1). It knows no other protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.values import VALUE_RULES, is_count, is_text, read_object, shown
from streamgauge.core.grammar.wire import WIRE_RULES, Located

__all__ = ["RULES", "SimpleGrammar"]

RULES: Mapping[str, Rule] = {
    **WIRE_RULES,
    **VALUE_RULES,
    "type_unknown": oddity(
        "`type` is `status`, `delta`, `reasoning`, `tool_call`, `metadata` or `done`"
    ),
    "type_missing": error("every line has a `type`"),
    "line_shape": error("a line has the fields of its type"),
    "call_unnamed": error("the first `tool_call` of an index has an id and a name"),
    "error_shape": error("`error` is an object with a `message`"),
    "done_missing": error("the last line is `done`"),
    "data_after_done": error("nothing follows `done`"),
}
_TEXT_OF: Mapping[str, str] = {"status": "status", "delta": "content", "reasoning": "content"}


class SimpleGrammar:
    """Reads one stream of lines."""

    __slots__ = ("_calls", "_done", "_sheet")

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._calls: set[int] = set()
        self._done = False

    def read(self, frame: Located) -> None:
        """Read one line."""
        assert frame.payload is not None, "a line is data, or it is blank and no frame"
        if self._done:
            self._sheet.note("data_after_done", f"{shown(frame.payload)} follows `done`")
        elif (line := read_object(frame.payload, self._sheet)) is not None:
            self._line(line)

    def _line(self, line: dict[str, Any]) -> None:
        type = line.get("type")
        if not isinstance(type, str) or not type:
            self._sheet.note("type_missing", f"type is {shown(type)}")
        elif type == "done":
            self._end_line(line)
        elif type == "tool_call":
            self._call(line)
        elif type in _TEXT_OF:
            if not isinstance(line.get(_TEXT_OF[type]), str):
                self._sheet.note("line_shape", f"{type} without its text: {shown(line)}")
        elif type != "metadata":
            self._sheet.note("type_unknown", f"type is {shown(type)}")

    def _call(self, line: dict[str, Any]) -> None:
        index = line.get("index")
        if not is_count(index) or not isinstance(line.get("arguments", ""), str):
            self._sheet.note("line_shape", f"tool_call is {shown(line)}")
            return
        assert isinstance(index, int)
        if index not in self._calls and not (is_text(line.get("id")) and is_text(line.get("name"))):
            self._sheet.note("call_unnamed", f"call {index} begins with {shown(line)}")
        self._calls.add(index)

    def _end_line(self, line: dict[str, Any]) -> None:
        self._done = True
        failure = line.get("error")
        if failure is not None and not (
            isinstance(failure, dict) and is_text(failure.get("message"))
        ):
            self._sheet.note("error_shape", f"the error is {shown(failure)}")

    def end(self) -> None:
        """Note what the stream lacks."""
        if not self._done:
            self._sheet.note("done_missing", "the stream ends without `done`")
