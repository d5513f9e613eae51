"""Writes an answer as the `frames` protocol: server-sent events, each stamped (SPEC §13.1, §12.1).

It knows no upstream's dialect and no markdown: a transform of the text is handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, assert_never

from streamgauge.core.dialects.base import Telling
from streamgauge.core.dialects.framing import json_bytes, json_text
from streamgauge.core.dialects.loose import clean_text
from streamgauge.core.dialects.pieces import Piece, PieceKind, Pieces, usage_columns
from streamgauge.core.errors import GatewayError
from streamgauge.core.events import Event
from streamgauge.core.usage import TokenUsage

__all__ = ["FramesEncoder", "TextTransform"]

SHA1_DIGITS = 12
_KEEPALIVE = b": keep-alive\n"


class TextTransform(Protocol):
    """Changes the visible text on its way out, and may hold some of it back."""

    def feed(self, text: str) -> str:
        """Return what `text` completes."""

    def end(self) -> str:
        """Return what was held back; what comes after is a text of its own."""


class FramesEncoder:
    """The frames of one answer, numbered from 1. The last one says `done`, and what all were.

    `acc_len` counts the characters sent, `raw_len` those received: with a transform they differ.
    """

    __slots__ = ("_acc", "_hash", "_head", "_pieces", "_raw", "_seq", "_telling", "_transform")

    def __init__(self, telling: Telling, transform: TextTransform | None = None) -> None:
        self._telling = telling
        self._transform = transform
        self._pieces = Pieces(telling.id, telling.tool_names)
        self._head = b'"stream_id":' + json_text(telling.id)
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._seq = self._acc = self._raw = 0

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._pieces.finished

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the frames that say `events`; finish and usage are held.

        Without a transform no text is held; with one, what its block still lacks.
        """
        text = self._pieces.only_text(events)
        if text is not None:
            self._raw += len(text)
            return self._text(text)
        return b"".join([self._say(piece) for piece in self._pieces.read(events)])

    def _say(self, piece: Piece) -> bytes:
        match piece.kind:
            case PieceKind.TEXT:
                self._raw += len(piece.text)
                return self._text(piece.text)
            case PieceKind.REASONING:
                self._raw += len(piece.text)
                text = clean_text(piece.text)
                return self._flush() + self._frame(text, b'"","reasoning":' + json_text(text))
            case PieceKind.CALL:
                told = (piece.index, json_text(piece.id), json_text(piece.text))
                call = b'"","tool_call":{"index":%d,"id":%b,"name":%b}' % told
                return self._flush() + self._frame("", call)
            case PieceKind.ARGUMENTS:
                self._raw += len(piece.text)
                text = clean_text(piece.text)
                call = b'"","tool_call":{"index":%d,"arguments":%b}' % (
                    piece.index,
                    json_text(text),
                )
                return self._frame(text, call)
            case _:
                assert_never(piece.kind)

    def _text(self, text: str) -> bytes:
        told = clean_text(text if self._transform is None else self._transform.feed(text))
        return self._frame(told, json_text(told)) if told else b""

    def _flush(self) -> bytes:
        """Return the frame of the text that the transform held: something else follows it."""
        told = "" if self._transform is None else clean_text(self._transform.end())
        return self._frame(told, json_text(told)) if told else b""

    def _frame(self, text: str, content: bytes, done: bool = False) -> bytes:
        """Return one frame. `text`: what it adds; `content`: that member's value and what follows."""
        raw = text.encode()
        self._hash.update(raw + b"\n")
        self._seq += 1
        self._acc += len(text)
        return (
            b'data: {"done":%b,"seq":%d,%b,"acc_len":%d,"raw_len":%d,"sha1":"%b","content":%b}\n\n'
            % (
                b"true" if done else b"false",
                self._seq,
                self._head,
                self._acc,
                self._raw,
                hashlib.sha1(raw, usedforsecurity=False).hexdigest()[:SHA1_DIGITS].encode(),
                content,
            )
        )

    def end(self, usage: TokenUsage, added: bytes = b"") -> bytes:
        """Return the frames that are left, `added` and the last frame."""
        left = [self._say(piece) for piece in self._pieces.end()]
        told: dict[str, Any] = {"finish_reason": self._pieces.finish}
        if self._telling.include_usage:
            told["usage"] = usage_columns(usage)
        return b"".join((*left, self._flush(), added, self._last(told)))

    def fail(self, error: GatewayError) -> bytes:
        """Return the last frames of an answer that failed: what was held, then the error."""
        told = {"message": error.message, "code": error.code.value, "status": error.status}
        return self._flush() + self._last({"error": told})

    def _last(self, told: Mapping[str, Any]) -> bytes:
        """Return the last frame: it adds no text, and has the count and the hash of all frames."""
        whole = self._hash.copy()
        whole.update(b"\n")
        stamp = {"frames_out": self._seq + 1, "stream_sha1": whole.hexdigest()}
        return self._frame("", b'"",' + json_bytes({**told, **stamp})[1:-1], done=True)

    def keepalive(self) -> bytes:
        """Return the comment line to send while the upstream is silent (SPEC §4.4)."""
        return _KEEPALIVE
