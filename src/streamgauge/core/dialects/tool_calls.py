"""Holds each tool call back until its name is whole, for encoders. It knows no dialect.

Some servers send a name in pieces, or arguments before the name. A name is whole when the call's
arguments begin, or when anything else is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamgauge.core.dialects.brackets import Brackets
from streamgauge.core.events import ToolCallDelta, ToolCallStarted

__all__ = ["NAMELESS", "CallIds", "ToolCall", "ToolCalls"]

NAMELESS = "unnamed"
"""The name of a call that has none: it must have one, and its client will say there is no such tool."""


class ToolCall:
    """One call. `head`: what stands before each piece of its arguments, once it has begun.

    `served`: the upstream runs it itself, so that no client hears of it. `held`: arguments that
    came before the name. `empty`: no arguments came yet. `brackets`: those of its arguments, for
    an encoder that must know when they are whole.
    """

    __slots__ = ("begun", "brackets", "empty", "head", "held", "id", "name", "served")

    def __init__(self) -> None:
        self.begun = False
        self.brackets = Brackets()
        self.empty = True
        self.head = b""
        self.held: list[str] = []
        self.id: str | None = None
        self.name = ""
        self.served = False


class ToolCalls:
    """The calls of one choice. `waiting`: those with a name that have not begun, as named.

    `names`: the client's names of tools that the upstream knows by others.
    """

    __slots__ = ("_calls", "_names", "called", "waiting")

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names
        self._calls: dict[int, ToolCall] = {}
        self.called = False
        self.waiting: list[ToolCall] = []

    def get(self, index: int) -> ToolCall | None:
        """Return the call with this number, None where it was not heard of."""
        return self._calls.get(index)

    def name(self, event: ToolCallStarted) -> Sequence[ToolCall]:
        """Take in what an event says of a call; return the calls that begin now."""
        call = self._at(event.index)
        if call.begun:
            return ()
        call.served = call.served or event.served
        if call.served:
            self._forget(call)
            return ()
        call.id = call.id or event.id
        if event.name and not call.name:
            self.waiting.append(call)
        call.name += event.name or ""
        return self._begin_up_to(call) if call.held and call.name else ()

    def hold(self, event: ToolCallDelta) -> Sequence[ToolCall]:
        """Keep arguments of a call that has not begun; return the calls that begin now."""
        call = self._at(event.index)
        if call.served or not event.arguments:
            return ()
        call.held.append(event.arguments)
        return self._begin_up_to(call) if call.name else ()

    def _forget(self, call: ToolCall) -> None:
        """Drop what was kept of a call before it turned out that no client hears of it."""
        call.held.clear()
        if call in self.waiting:
            self.waiting.remove(call)

    def _at(self, index: int) -> ToolCall:
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = ToolCall()
        return call

    def _begin_up_to(self, call: ToolCall) -> list[ToolCall]:
        """Return `call` behind those that were named before it: they keep their order."""
        count = self.waiting.index(call) + 1
        begun = self.waiting[:count]
        del self.waiting[:count]
        return self._begun(begun)

    def begin(self) -> list[ToolCall]:
        """Return the calls that waited: all of them begin, for something else is said."""
        begun = self.waiting.copy()
        self.waiting.clear()
        return self._begun(begun)

    def begin_nameless(self) -> list[ToolCall]:
        """Return the calls that never got a name and begin at the end nevertheless."""
        return self._begun([c for c in self._calls.values() if not (c.begun or c.served or c.name)])

    def _begun(self, calls: list[ToolCall]) -> list[ToolCall]:
        for call in calls:
            call.begun = True
            if self._names:
                call.name = self._names.get(call.name, call.name)
        self.called = self.called or bool(calls)
        return calls

    def without_arguments(self) -> list[ToolCall]:
        """Return the calls that have begun and of which no argument came."""
        return [call for call in self._calls.values() if call.begun and call.empty]


class CallIds:
    """The ids of a choice's calls: each is told as the upstream gave it, or made where it must be.

    Results are matched to calls by id, so that one given twice is replaced the second time.
    """

    __slots__ = ("_made", "_taken")

    def __init__(self, made: str) -> None:
        """`made`: what an id of our own begins with."""
        self._made = made
        self._taken: set[str] = set()

    def take(self, stated: str | None) -> str:
        """Return the id of the next call, of which the upstream `stated` one or none."""
        told = stated
        if not told or told in self._taken:
            told = f"{self._made}_{len(self._taken)}"
        self._taken.add(told)
        return told
