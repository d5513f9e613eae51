"""Numbers and hashes the frames that a captured client was sent (SPEC §12.1). It knows no file."""

from __future__ import annotations

import hashlib

from streamgauge.core.integrity_stamp import short_sha1
from streamgauge.core.integrity_text import PROTOCOLS
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.sse import Frame, FrameSplitter, FrameTooLarge

__all__ = ["FrameHashes", "WholeHash", "hashes_of"]

_MOST = 200_000
"""Hashes kept of one stream, 14 bytes each in its last line: more than any answer has frames."""


class FrameHashes:
    """Follows a stream of `protocol`, as it was sent and as it is kept, side by side."""

    __slots__ = (
        "_hash",
        "_kept",
        "_known",
        "_over",
        "_protocol",
        "_sent",
        "frames",
        "masked",
        "sha1s",
    )

    def __init__(self, protocol: str) -> None:
        self._protocol = PROTOCOLS[protocol]
        self._sent, self._kept = self._splitter(), self._splitter()
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._known, self._over = True, False
        self.frames = 0
        self.sha1s: list[str | None] = []
        self.masked: list[int] = []

    def _splitter(self) -> FrameSplitter | NdjsonSplitter:
        return NdjsonSplitter() if self._protocol.lines else FrameSplitter()

    @property
    def stream_sha1(self) -> str | None:
        """The hash of the payloads as sent, None while there is none or one was too large."""
        return self._hash.hexdigest() if self.frames and self._known else None

    def take(self, sent: bytes, kept: bytes) -> None:
        """Read on; both are of one length."""
        try:
            frames = zip(self._sent.feed(sent), self._kept.feed(kept), strict=True)
            for one, other in frames:
                if not self._over and self._protocol.counts(one):
                    self._count(one, other)
        except FrameTooLarge:
            self._known, self._over = False, True

    def _count(self, sent: Frame, kept: Frame) -> None:
        if self._protocol.stamps and sent.event == b"streamgauge":
            return  # our record, which has no number
        self.frames += 1
        payload = sent.payload
        self._over = self._protocol.marker.is_met(payload, sent.event)
        if payload is None:
            self._known = False
        else:
            self._hash.update(payload + b"\n")
        if payload is not None and payload != kept.payload:
            self.masked.append(self.frames)
            payload = None
        if self.frames <= _MOST:
            self.sha1s.append(None if payload is None else short_sha1(payload))

    def kept_sha1s(self) -> list[str | None]:
        """Return the hashes of all frames, or none where they are too many."""
        return self.sha1s if self.frames <= _MOST else []


class WholeHash:
    """An answer that is no stream: one frame, its body."""

    __slots__ = ("_hash", "_masked", "frames")

    def __init__(self) -> None:
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._masked = False
        self.frames = 0

    @property
    def masked(self) -> list[int]:
        """1 where something in it was masked."""
        return [1] if self._masked else []

    @property
    def stream_sha1(self) -> str | None:
        """Nothing: the row of an answer that is no stream has none."""
        return None

    def take(self, sent: bytes, kept: bytes) -> None:
        """Read on."""
        self.frames = 1
        self._masked = self._masked or sent != kept
        self._hash.update(sent)

    def kept_sha1s(self) -> list[str | None]:
        """Return the hash of the body."""
        return [None if self._masked else self._hash.hexdigest()[:12]] if self.frames else []


def hashes_of(protocol: str | None, content_type: str) -> FrameHashes | WholeHash:
    """Return what follows an answer with this head: a stream has the type of one."""
    streams = content_type.startswith(("text/event-stream", "application/x-ndjson"))
    return FrameHashes(protocol) if streams and protocol is not None else WholeHash()
