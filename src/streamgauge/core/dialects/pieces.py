"""Breaks an answer into plain pieces for protocols without blocks or choices. It writes no wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from streamgauge.core.dialects.finish import kept_finish, told_finish
from streamgauge.core.dialects.tool_calls import NAMELESS, CallIds, ToolCall, ToolCalls
from streamgauge.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from streamgauge.core.usage import TokenUsage

__all__ = ["Piece", "PieceKind", "Pieces", "usage_columns"]


class PieceKind(Enum):
    """What a piece adds to the answer."""

    TEXT = "text"
    REASONING = "reasoning"
    CALL = "call"
    """A call begins: it has its id and its whole name."""
    ARGUMENTS = "arguments"


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One piece. `text`: what it adds, a call's name for CALL. `index`: which call, from 0."""

    kind: PieceKind
    text: str
    index: int = 0
    id: str = ""


class Pieces:
    """Reads the events of one answer, its first choice only. A refusal is text."""

    __slots__ = ("_calls", "_finish", "_ids", "_numbers", "_refused")

    def __init__(self, id: str, names: Mapping[str, str] | None = None) -> None:
        """`id`: the answer's; the ids of calls that came without one begin with it.

        `names`: the client's names of tools that the upstream knows by others.
        """
        self._calls = ToolCalls(names)
        self._ids = CallIds(f"call_{id}")
        self._numbers: dict[int, int] = {}  # the calls that began, by their identity
        self._finish: Finished | None = None
        self._refused = False

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._finish is not None

    @property
    def finish(self) -> str:
        """The finish reason to tell: stop, length, tool_calls or content_filter."""
        return told_finish(self._finish, called=self._calls.called, refused=self._refused)

    def only_text(self, events: Sequence[Event]) -> str | None:
        """Return the text where that is all `events` add, as it nearly always is, else None."""
        if len(events) != 1:
            return None
        event = events[0]
        if type(event) is not TextDelta or event.choice or event.refusal or self._calls.waiting:
            return None
        return event.text or None

    def read(self, events: Sequence[Event]) -> Iterator[Piece]:
        """Yield what `events` add. An empty text adds nothing."""
        for event in events:
            if not getattr(event, "choice", 0):
                yield from self._read(event)

    def _read(self, event: Event) -> Iterator[Piece]:
        match event:
            case TextDelta(text=text) if text:
                self._refused = self._refused or event.refusal
                yield from self._begun(self._calls.begin())
                yield Piece(PieceKind.TEXT, text)
            case ReasoningDelta(text=text) if text:
                yield from self._begun(self._calls.begin())
                yield Piece(PieceKind.REASONING, text)
            case ToolCallStarted():
                yield from self._begun(self._calls.name(event))
            case ToolCallDelta():
                yield from self._arguments(event)
            case Finished():
                self._finish = kept_finish(self._finish, event)
            case _:
                pass

    def _arguments(self, event: ToolCallDelta) -> Iterator[Piece]:
        call = self._calls.get(event.index)
        if call is None or not call.begun:
            yield from self._begun(self._calls.hold(event))
        elif event.arguments:
            call.empty = False
            yield Piece(PieceKind.ARGUMENTS, event.arguments, self._numbers[id(call)])

    def _begun(self, calls: Sequence[ToolCall]) -> Iterator[Piece]:
        for call in calls:
            number = self._numbers[id(call)] = len(self._numbers)
            yield Piece(PieceKind.CALL, call.name or NAMELESS, number, self._ids.take(call.id))
            if call.held:
                call.empty = False
                yield Piece(PieceKind.ARGUMENTS, "".join(call.held), number)
                call.held.clear()

    def end(self) -> Iterator[Piece]:
        """Yield what is left at the end: calls that waited, and `{}` for those without arguments."""
        yield from self._begun(self._calls.begin())
        yield from self._begun(self._calls.begin_nameless())
        for call in self._calls.without_arguments():
            yield Piece(PieceKind.ARGUMENTS, "{}", self._numbers[id(call)])


def usage_columns(usage: TokenUsage) -> dict[str, int]:
    """Return the counts that are known, by the names of SPEC §8.3."""
    counts = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "reasoning_tokens": usage.reasoning,
    }
    return {name: count for name, count in counts.items() if count is not None}
