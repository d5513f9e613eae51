"""Writes an answer as the `simple` protocol: one JSON object a line (SPEC §13.1).

It knows no upstream's dialect. NDJSON has no comments: a status line is its sign of life.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.framing import json_bytes, json_text
from streamgauge.core.dialects.pieces import Piece, PieceKind, Pieces, usage_columns
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Event
from streamgauge.core.usage import TokenUsage

__all__ = ["SIGNS_OF_LIFE", "SimpleEncoder", "metadata_line"]

_THINKING = b'{"type":"status","status":"thinking"}\n'
_WAITING = b'{"type":"status","status":"waiting"}\n'
_WRITING = b'{"type":"status","status":"writing"}\n'
SIGNS_OF_LIFE = (_WAITING[:-1], _WRITING[:-1])
"""What fills a silence, and counts in nothing (SPEC §4.4): never said by an answer itself, so that
whoever checks a saved one can tell."""


def metadata_line(payload: bytes) -> bytes:
    """Return the line that carries our record. `payload`: one JSON object on one line."""
    return b'{"type":"metadata","streamgauge":' + payload + b"}\n"


class SimpleEncoder:
    """The lines of one answer. It begins with the status `thinking` and ends with one `done`."""

    __slots__ = ("_begun", "_pieces", "_telling", "_wrote")

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._pieces = Pieces(telling.id, telling.tool_names)
        self._wrote = False
        self._begun = False

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._pieces.finished

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the lines that say `events`; finish and usage are held."""
        if self._wrote and (text := self._pieces.only_text(events)) is not None:
            return b'{"type":"delta","content":' + json_text(text) + b"}\n"
        lines = [self._line(piece) for piece in self._pieces.read(events)]
        if self._begun or not events:
            return b"".join(lines)
        self._begun = True
        return b"".join((_THINKING, *lines))

    def _line(self, piece: Piece) -> bytes:
        text = json_text(piece.text)
        match piece.kind:
            case PieceKind.TEXT:
                self._wrote = True
                return b'{"type":"delta","content":' + text + b"}\n"
            case PieceKind.REASONING:
                return b'{"type":"reasoning","content":' + text + b"}\n"
            case PieceKind.CALL:
                told = (piece.index, json_text(piece.id), text)
                return b'{"type":"tool_call","index":%d,"id":%b,"name":%b}\n' % told
            case PieceKind.ARGUMENTS:
                return b'{"type":"tool_call","index":%d,"arguments":%b}\n' % (piece.index, text)
            case _:
                assert_never(piece.kind)

    def end(self, usage: TokenUsage, added: bytes = b"") -> bytes:
        """Return the lines that are left, `added` and the `done` line."""
        told: dict[str, Any] = {"type": "done"}
        lines = [self._line(piece) for piece in self._pieces.end()]
        told["finish_reason"] = self._pieces.finish
        if self._telling.include_usage:
            told["usage"] = usage_columns(usage)
        return b"".join((*lines, added, json_bytes(told), b"\n"))

    def fail(self, error: GatewayError) -> bytes:
        """Return the `done` line of an answer that failed."""
        told = {"message": error.message, "code": error.code.value, "status": error.status}
        return json_bytes({"type": "done", "error": told}) + b"\n"

    def keepalive(self) -> bytes:
        """Return the status line to send while the upstream is silent (SPEC §4.4)."""
        return _WRITING if self._wrote else _WAITING
