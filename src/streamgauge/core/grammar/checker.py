"""Puts a wire and a protocol's grammar together: bytes in, findings out. It knows no rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from streamgauge.core.grammar.anthropic import RULES as ANTHROPIC_RULES
from streamgauge.core.grammar.anthropic import MessagesGrammar
from streamgauge.core.grammar.finding import Finding, Rule, Sheet
from streamgauge.core.grammar.frames import RULES as FRAMES_RULES
from streamgauge.core.grammar.frames import FramesGrammar
from streamgauge.core.grammar.openai import RULES as OPENAI_RULES
from streamgauge.core.grammar.openai import ChatGrammar
from streamgauge.core.grammar.simple import RULES as SIMPLE_RULES
from streamgauge.core.grammar.simple import SimpleGrammar
from streamgauge.core.grammar.wire import Located, Splitter, Wire
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.sse import FrameSplitter

__all__ = ["PROTOCOLS", "Grammar", "StreamChecker", "check", "checker_of"]


class Grammar(Protocol):
    """The rules of one protocol, over whole frames. One instance a stream: it keeps state."""

    def read(self, frame: Located) -> None:
        """Read the next frame and note what is wrong with it."""

    def end(self) -> None:
        """The stream is over: note what it lacks."""


@dataclass(frozen=True, slots=True)
class _Served:
    grammar: Callable[[Sheet], Grammar]
    rules: Mapping[str, Rule]
    splitter: Callable[[], Splitter]


_SERVED: Mapping[str, _Served] = MappingProxyType(
    {
        "openai": _Served(ChatGrammar, OPENAI_RULES, FrameSplitter),
        "anthropic": _Served(MessagesGrammar, ANTHROPIC_RULES, FrameSplitter),
        "simple": _Served(SimpleGrammar, SIMPLE_RULES, NdjsonSplitter),
        "frames": _Served(FramesGrammar, FRAMES_RULES, FrameSplitter),
    }
)
PROTOCOLS: Mapping[str, Mapping[str, Rule]] = MappingProxyType(
    {name: served.rules for name, served in _SERVED.items()}
)
"""The protocols that can be checked, each with its rules by id."""


class StreamChecker:
    """Checks one stream as it comes. Memory is bounded by one frame and one call's arguments."""

    __slots__ = ("_grammar", "_sheet", "_wire")

    def __init__(self, wire: Wire, grammar: Grammar, sheet: Sheet) -> None:
        self._wire = wire
        self._grammar = grammar
        self._sheet = sheet

    @property
    def frames(self) -> int:
        """Frames with data so far, an end marker included."""
        return self._sheet.frame

    def feed(self, data: bytes) -> Sequence[Finding]:
        """Return what is wrong with what `data` completes."""
        for frame in self._wire.feed(data):
            self._grammar.read(frame)
        return self._sheet.take()

    def end(self) -> Sequence[Finding]:
        """Return what is wrong with the stream's end. Called once, last."""
        self._wire.end()
        self._grammar.end()
        return self._sheet.take()


def checker_of(protocol: str) -> StreamChecker:
    """Return a fresh checker of a stream in `protocol`, one of PROTOCOLS. Raises KeyError."""
    served = _SERVED[protocol]
    sheet = Sheet(served.rules)
    return StreamChecker(Wire(served.splitter(), sheet), served.grammar(sheet), sheet)


def check(protocol: str, body: bytes) -> tuple[Finding, ...]:
    """Return everything that is wrong with a whole stream in `protocol`."""
    checker = checker_of(protocol)
    return (*checker.feed(body), *checker.end())
