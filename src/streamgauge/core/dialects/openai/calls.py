"""Gives each tool call of a choice its number, also where the server sends no usable index."""

from __future__ import annotations

from collections.abc import Iterable

from streamgauge.core.dialects.openai.wire import Call, Function
from streamgauge.core.events import Event, ToolCallDelta, ToolCallStarted

__all__ = ["CallNumbers"]

_NO_FUNCTION = Function()


class CallNumbers:
    """The tool calls of one choice, numbered 0, 1, … in the order they were first seen."""

    __slots__ = ("_by_id", "_by_index", "_choice", "_ids", "_named")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: list[str | None] = []
        self._named: list[bool] = []

    def events(self, calls: list[Call]) -> Iterable[Event]:
        """Yield the events of one frame's `tool_calls`."""
        alone = len(calls) == 1
        for position, call in enumerate(calls):
            function = call.function or _NO_FUNCTION
            number = self._known(call, function, None if alone else position)
            fresh = number is None
            if number is None:
                number = self._add(call)
            if fresh or (function.name and not self._named[number]):
                self._named[number] = bool(function.name)
                yield ToolCallStarted(number, call.id or None, function.name or None, self._choice)
            if function.arguments:
                yield ToolCallDelta(number, function.arguments, self._choice)

    def _known(self, call: Call, function: Function, position: int | None) -> int | None:
        """Return the number of the call that this piece continues, None where it begins one."""
        if call.index is not None:
            number = self._by_index.get(call.index)
            if number is None or not (call.id and function.name):
                return number
            # Some servers send index 0 for every parallel call: another id with a name is another.
            return None if self._ids[number] not in (None, call.id) else number
        if call.id:
            return self._by_id.get(call.id)
        if function.name or not self._ids:
            return None
        last = len(self._ids) - 1
        return last if position is None else min(position, last)

    def _add(self, call: Call) -> int:
        number = len(self._ids)
        self._ids.append(call.id or None)
        self._named.append(False)
        if call.index is not None:
            self._by_index[call.index] = number
        if call.id:
            self._by_id[call.id] = number
        return number
