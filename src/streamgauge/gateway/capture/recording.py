"""One capture as it is written: lines masked, hashed, bounded. Runs on the writer's thread alone."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from streamgauge.core.record import ExchangeRecord
from streamgauge.gateway.capture.format import Closing, Line, Opening, Side, Way, encode_line
from streamgauge.gateway.capture.hashes import FrameHashes, WholeHash, hashes_of
from streamgauge.gateway.capture.masking import MaskedFlow, Masking, Piece
from streamgauge.gateway.http import Header

__all__ = ["Flow", "Recording"]

Flow = tuple[Side, Way, int | None]
"""A direction: side, way, and the attempt on the upstream's side."""

_ANSWER: Flow = (Side.CLIENT, Way.OUT, None)


class Recording:
    """The file of one exchange, open until `close`. `size`: bytes written so far."""

    def __init__(self, descriptor: int, opening: Opening, masking: Masking) -> None:
        self._file = descriptor
        self._opening = opening
        self._masking = masking
        self._flows: dict[Flow, MaskedFlow] = {}
        self._hashes: FrameHashes | WholeHash = WholeHash()
        self.id = opening.id
        self.size = 0
        try:
            told = masking.values(msgspec.to_builtins(opening))
            self._write(encode_line(msgspec.convert(told, Opening)))
        except BaseException:
            os.close(descriptor)  # nobody has it but this
            raise

    def head(self, t: int, flow: Flow, start: str, headers: tuple[Header, ...]) -> None:
        """Write a message's head."""
        if flow == _ANSWER:
            kinds = [value for name, value in headers if name.lower() == b"content-type"]
            kind = kinds[0].decode("latin-1") if kinds else ""
            self._hashes = hashes_of(self._opening.protocol, kind)
        self._line(t, flow, head=self._masking.head(start, headers))

    def data(self, t: int, flow: Flow, data: bytes) -> None:
        """Write bytes of a body; the last ones wait where a secret may begin in them."""
        known = self._flows.get(flow)
        if known is None:
            known = self._flows[flow] = MaskedFlow(self._masking)
        self._pieces(flow, known.take(t, data))

    def end(self, t: int, flow: Flow, how: str) -> None:
        """Write how a direction ended."""
        self._flush(flow)
        self._line(t, flow, end=self._masking.apply(how.encode()).decode())

    def close(self, t: int, record: ExchangeRecord | None, dropped: int) -> None:
        """Write the last line, without one for an exchange of which nothing more is known; close.

        Raises OSError, also where the file was deleted: what was written is nowhere.
        """
        try:
            for flow in list(self._flows):
                self._flush(flow)
            if record is not None:
                self._write(encode_line(self._closing(t, record, dropped)))
            if not os.fstat(self._file).st_nlink:
                raise OSError("its file was deleted before it was whole")
        finally:
            os.close(self._file)

    def abandon(self) -> None:
        """Close the file as it is."""
        os.close(self._file)

    def _closing(self, t: int, record: ExchangeRecord, dropped: int) -> Closing:
        hashes = self._hashes
        return Closing(
            closed=t,
            complete=not dropped,
            dropped=dropped,
            frames=hashes.frames,
            stream_sha1=hashes.stream_sha1,
            sha1s=hashes.kept_sha1s(),
            masked=hashes.masked,
            row=self._masking.values(msgspec.to_builtins(record)),
        )

    def _flush(self, flow: Flow) -> None:
        if (known := self._flows.pop(flow, None)) is not None:
            self._pieces(flow, known.rest())

    def _pieces(self, flow: Flow, pieces: list[Piece]) -> None:
        for piece in pieces:
            if flow == _ANSWER:
                self._hashes.take(piece.data, piece.masked)
            try:
                self._line(piece.t, flow, data=piece.masked.decode())
            except UnicodeDecodeError:
                self._line(piece.t, flow, b64=piece.masked)

    def _line(self, t: int, flow: Flow, **what: Any) -> None:
        side, way, n = flow
        self._write(encode_line(Line(t=t, side=side, dir=way, n=n, **what)))

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        while data:
            data = data[os.write(self._file, data) :]
