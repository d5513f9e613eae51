"""Gives each tool call of a choice its number, also where the server sends no usable index."""

from __future__ import annotations

from collections.abc import Iterable

from streamgauge.core.dialects.openai.wire import Call, Function
from streamgauge.core.events import Event, ToolCallDelta, ToolCallStarted

__all__ = ["CallNumbers", "number_whole"]

_NO_FUNCTION = Function()


def number_whole(calls: Iterable[Call]) -> None:
    """Number the calls of a whole message: each is one of its own, whatever its index and id."""
    for place, call in enumerate(calls):
        call.index = place


class CallNumbers:
    """The tool calls of one choice, numbered 0, 1, … in the order they were first seen."""

    __slots__ = ("_by_id", "_by_index", "_choice", "_filled", "_ids", "_names")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: list[str | None] = []
        self._names: list[str] = []
        self._filled: set[int] = set()  # calls of which arguments came

    def events(self, calls: list[Call]) -> Iterable[Event]:
        """Yield the events of one frame's `tool_calls`."""
        alone = len(calls) == 1
        for position, call in enumerate(calls):
            function, custom = call.function or _NO_FUNCTION, call.custom
            if custom is not None:
                function = Function(custom.name, custom.input)
            number = self._known(call, function, None if alone else position)
            fresh = number is None
            if number is None:
                number = self._add(call)
            name = self._more_of_name(number, function.name or "")
            if fresh or name or self._late_id(number, call.id):
                yield ToolCallStarted(number, call.id or None, name or None, self._choice)
            if function.arguments:
                self._filled.add(number)
                yield ToolCallDelta(
                    number, function.arguments, self._choice, free=custom is not None
                )

    def _late_id(self, number: int, stated: str | None) -> bool:
        """Whether a call that had no id gets one."""
        if not stated or self._ids[number] is not None:
            return False
        self._ids[number] = stated
        self._by_id.setdefault(stated, number)
        return True

    def _more_of_name(self, number: int, piece: str) -> str:
        """Return the piece of a name that is new: servers send names in pieces, or whole again."""
        name = self._names[number]
        if not piece or piece == name or (name and number in self._filled):
            return ""
        self._names[number] = name + piece
        return piece

    def _known(self, call: Call, function: Function, position: int | None) -> int | None:
        """Return the number of the call that this piece continues, None where it begins one."""
        if call.index is not None:
            number = self._by_index.get(call.index)
            if number is None or not call.id or self._ids[number] in (None, call.id):
                return number
            # Some servers send index 0 for every parallel call: another id is another call, the
            # one it was before or a new one. Others make up a new id for every piece.
            known = self._by_id.get(call.id)
            return number if known is None and not function.name else known
        if call.id:
            return self._by_id.get(call.id)
        if function.name or not self._ids:
            return None
        last = len(self._ids) - 1
        return last if position is None else min(position, last)

    def _add(self, call: Call) -> int:
        number = len(self._ids)
        self._ids.append(call.id or None)
        self._names.append("")
        if call.index is not None:
            self._by_index[call.index] = number
        if call.id:
            self._by_id[call.id] = number
        return number
