"""The rules for tool calls in one choice of an OpenAI chat stream. It knows nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.arguments import ARGUMENT_RULES, Arguments
from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.values import is_count, is_text, named, shown, text_or_none

__all__ = ["CALL_RULES", "Calls"]

CALL_RULES: Mapping[str, Rule] = {
    **ARGUMENT_RULES,
    "calls_type": error("`tool_calls` is an array of objects, each with a `function` object"),
    "call_index_missing": oddity("a call's fragment has an `index`"),
    "call_index_gap": oddity("calls are numbered 0, 1, 2 … in the order they begin"),
    "call_index_reused": error("a call keeps its index: a new `id` has a new one"),
    "call_id_missing": error("the first fragment of a call has an `id`"),
    "call_id_repeated": oddity("only the first fragment of a call has an `id`"),
    "call_id_shared": error("no two calls of a choice have one `id`"),
    "call_name_missing": error("the first fragment of a call has a name"),
    "call_name_pieces": oddity("the name of a call comes whole, once"),
    "call_type": oddity("the first fragment of a call has the type `function`"),
    "arguments_type": error("`arguments` is text"),
    "arguments_empty": oddity("a call without arguments has `{}`"),
}


class _Call:
    __slots__ = ("arguments", "id", "named")

    def __init__(self, id: object) -> None:
        self.id = id
        self.named = False
        self.arguments = Arguments()


class Calls:
    """The calls of one choice. A call is known by its index, or where it lacks one by its id."""

    __slots__ = ("_by_index", "_choice", "_ids", "_judged", "_sheet")

    def __init__(self, choice: int, sheet: Sheet) -> None:
        self._choice = choice
        self._sheet = sheet
        self._by_index: dict[int, _Call] = {}
        self._ids: set[str] = set()
        self._judged = False

    def _note(self, rule: str, index: object, text: str) -> None:
        self._sheet.note(rule, f"choice {self._choice} call {index}: {text}")

    def read(self, calls: object) -> None:
        """Read the `tool_calls` of one delta."""
        if calls is None:
            return
        if not isinstance(calls, list):
            self._sheet.note("calls_type", f"choice {self._choice}: tool_calls is {named(calls)}")
            return
        for place, fragment in enumerate(calls):
            if not isinstance(fragment, dict):
                self._note("calls_type", place, f"the call is {named(fragment)}")
            else:
                self._fragment(fragment, self._index_of(fragment, place))

    def _index_of(self, fragment: Mapping[str, Any], place: int) -> int:
        index = fragment.get("index")
        if is_count(index):
            assert isinstance(index, int)
            return index
        self._note("call_index_missing", "?", f"index is {named(index)}")
        if is_text(fragment.get("id")):
            known = (i for i, call in self._by_index.items() if call.id == fragment["id"])
            return next(known, len(self._by_index))
        return place or max(len(self._by_index) - 1, 0)  # the call that is open

    def _fragment(self, fragment: Mapping[str, Any], index: int) -> None:
        call = self._by_index.get(index)
        id = fragment.get("id")
        if call is None:
            if index != len(self._by_index):
                self._note("call_index_gap", index, f"it is call number {len(self._by_index)}")
            call = self._begin(fragment, index)
        elif is_text(id) and is_text(call.id):
            if id == call.id:
                self._note("call_id_repeated", index, f"the id {shown(id)} comes again")
            else:
                self._note("call_index_reused", index, f"{shown(id)} follows {shown(call.id)}")
                self._judge(index, call)
                call = self._begin(fragment, index)
        self._function(fragment, index, call)

    def _begin(self, fragment: Mapping[str, Any], index: int) -> _Call:
        id = fragment.get("id")
        call = self._by_index[index] = _Call(id)
        if not isinstance(id, str) or not id:
            self._note("call_id_missing", index, "the first fragment has no id")
        elif id in self._ids:
            self._note("call_id_shared", index, f"another call has the id {shown(id)}")
        else:
            self._ids.add(id)
        if fragment.get("type") != "function":
            self._note("call_type", index, f"type is {shown(fragment.get('type'))}")
        return call

    def _function(self, fragment: Mapping[str, Any], index: int, call: _Call) -> None:
        function = fragment.get("function")
        if not isinstance(function, dict):
            if function is not None or not call.named:
                self._note("calls_type", index, f"function is {named(function)}")
            return
        self._name(function.get("name"), index, call)
        arguments = function.get("arguments")
        if not text_or_none(arguments):
            self._note("arguments_type", index, f"arguments is {named(arguments)}")
        elif arguments:
            call.arguments.add(arguments)

    def _name(self, name: object, index: int, call: _Call) -> None:
        if is_text(name):
            if call.named:
                self._note("call_name_pieces", index, f"the name {shown(name)} comes again")
            call.named = True
        elif not call.named:
            call.named = True
            self._note("call_name_missing", index, f"the first fragment's name is {shown(name)}")

    def finished(self, finish: str) -> None:
        """The choice has its finish reason: judge what its calls have come to.

        Cut arguments are no fault of a stream that was cut by its length.
        """
        if finish in ("tool_calls", "function_call") and not self._by_index:
            if finish == "tool_calls":
                text = f"choice {self._choice}: there was no call"
                self._sheet.note("finish_without_call", text)
        elif finish in ("tool_calls", "stop"):
            for index, call in self._by_index.items():
                self._judge(index, call)

    def _judge(self, index: int, call: _Call) -> None:
        if call.arguments.empty:
            self._note("arguments_empty", index, "there are no arguments at all")
        call.arguments.judge(self._sheet, f"choice {self._choice} call {index}")
