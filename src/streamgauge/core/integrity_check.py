"""Works out again what a saved stream to a client says of itself (SPEC §12.1). It opens no file."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_finding import (
    Expected,
    Finding,
    Kind,
    ReadStamp,
    stamp_in,
    stamp_in_comment,
    stamp_in_object,
)
from streamgauge.core.integrity_order import Order
from streamgauge.core.integrity_stamp import holds_record, short_sha1
from streamgauge.core.integrity_text import PROTOCOLS, Protocol
from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.sse import Frame, FrameKind, FrameSplitter, FrameTooLarge

__all__ = ["Check", "Expected", "Finding", "Kind"]

_KEPT = 64 * 1024
_COMMENTS = re.compile(rb"(?::[^\r\n]*(?:\r\n|\r|\n))+")
_OUR_LINE = b'{"type":"metadata","streamgauge":'
_STAMPED = frozenset((Integrity.COMMENT, Integrity.FIELD))


class Check:
    """Checks one stream as it comes. Memory is bounded by one frame and its findings."""

    __slots__ = (
        "_at",
        "_dead",
        "_error_end",
        "_expected",
        "_fed",
        "_found",
        "_head",
        "_known",
        "_marker",
        "_order",
        "_over",
        "_payloads",
        "_protocol",
        "_raw",
        "_record_apart",
        "_rest",
        "_size",
        "_splitter",
        "_stamps",
        "_stream_id",
        "_tail",
        "_texts",
        "_told",
        "frames",
        "mode",
        "record_at",
        "stamps",
        "strange",
    )

    def __init__(
        self,
        protocol: str,
        mode: Integrity | None = None,
        expected: Expected | None = None,
        *,
        own_stamps: bool = True,
        stream_id: str | None = None,
    ) -> None:
        """`protocol`: one of PROTOCOLS. `mode`: of its stamps, None where that is to be found out.

        `own_stamps` False: a protocol's stamps of its own are payload like the rest of a frame.
        `stream_id`: whose all stamps must be; None: whose the first one is.
        """
        known = PROTOCOLS[protocol]
        self._record_apart = known.stamps
        self._protocol = told = known if own_stamps else replace(known, stamps=False)
        self._texts = told.texts()
        self.mode = _mode_of(told, mode)
        self._expected = expected or Expected()
        self._splitter = NdjsonSplitter() if told.lines else FrameSplitter()
        self._payloads = hashlib.sha1(usedforsecurity=False)
        self._told = hashlib.sha1(usedforsecurity=False)
        self._order = Order()
        self._found: list[Finding] = []
        self.frames = 0
        """Frames so far, up to the end marker."""
        self.stamps = 0
        """How many of them had a stamp."""
        self.record_at: int | None = None
        """The byte at which our record begins, where it is a frame of its own (SPEC §10.1)."""
        self.strange = False
        """Whether stamps of another stream than the expected one were passed over."""
        self._rest = 0  # frames that have no number: behind the marker, and our record in `frames`
        self._stream_id = stream_id
        self._raw = 0
        self._known = True  # no frame was too large to be hashed
        self._over = self._error_end = self._dead = False
        self._fed = self._at = self._size = 0
        self._head = self._tail = b""

    @property
    def stream_sha1(self) -> str | None:
        """The hash of what was read, as the row has it; None without a frame, or unknown."""
        if not self.frames or not self._known:
            return None
        return (self._told if self._by_text else self._payloads).hexdigest()

    @property
    def complete(self) -> bool:
        """Whether the end marker was read, or an error frame as the last one."""
        return self._over or self._error_end

    @property
    def _stamped(self) -> bool:
        """Whether each frame must have a stamp, one that can be read."""
        return self._protocol.stamps or self.mode in _STAMPED

    @property
    def _by_text(self) -> bool:
        return self._protocol.stamps or self.mode is Integrity.FIELD

    def feed(self, data: bytes) -> None:
        """Read on."""
        if self._dead:
            return
        self._fed += len(data)
        try:
            frames = self._splitter.feed(data)
        except FrameTooLarge:
            self._dead = True
            self._note(Kind.INCOMPLETE, self.frames + 1, "a frame is over 32 MiB")
            return
        if self._splitter.bom_removed and not self._at:
            self._at = 3
        for frame in frames:
            self._take(frame)
        left = self._fed - self._at - self._size
        self._tail = (self._tail + data)[-left:] if 0 < left <= _KEPT else b""

    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong. Called once, when the stream is over."""
        if not self._dead:
            self._end()
        return tuple(self._found)

    def _note(self, kind: Kind, seq: int, text: str) -> None:
        self._found.append(Finding(kind, seq, self._at, text))

    def _take(self, frame: Frame) -> None:
        if frame.kind is FrameKind.PART:
            self._head = (self._head + frame.raw)[:_KEPT]
            self._size += len(frame.raw)
            return
        head, self._head = self._head + frame.raw, b""
        if self._protocol.counts(frame):
            self._frame(head, frame.payload, frame.event)
        self._at += self._size + len(frame.raw)
        self._size = 0

    def _frame(self, raw: bytes, payload: bytes | None, event: bytes) -> None:
        ours = event == b"streamgauge" or (payload or b"").startswith(_OUR_LINE)
        if ours and self.record_at is None:
            self.record_at = self._at
        if self._over or (self._record_apart and event == b"streamgauge"):
            self._rest += 1
            if not ours:
                self._note(Kind.AFTER_END, self.frames + 1, "a frame follows the end marker")
            return
        self.frames += 1
        text = None if payload is None else self._texts(payload, event)
        self._over = self._protocol.marker.is_met(payload, event)
        self._error_end = _is_error(payload, event)
        stamp = self._stamp_of(raw, payload)
        if stamp is not None:
            self._check(stamp, payload, text)
        elif self._stamped and not (self._by_text and text is None and self._over):
            inside = text if self.mode is Integrity.FIELD else payload
            if inside is not None or not self._by_text:  # what is too large, or no object, has none
                self._note(Kind.UNSTAMPED, self._order.next(), "a frame has no stamp")
            self._order.take(self._order.next())
        elif self._expected.sha1s and self.mode not in _STAMPED:
            self._compare(text if self._by_text else payload)
        self._hash(payload, text)

    def _stamp_of(self, raw: bytes, payload: bytes | None) -> ReadStamp | None:
        if self._protocol.stamps:
            return None if payload is None else stamp_in(payload)
        stamp, mode = None, self.mode
        if mode in (None, Integrity.COMMENT):
            stamp, mode = stamp_in_comment(raw), Integrity.COMMENT
        if stamp is None and payload is not None and self.mode in (None, Integrity.FIELD):
            stamp, mode = stamp_in_object(payload), Integrity.FIELD
        if stamp is not None and self._expected.stream_id not in (None, stamp.stream_id):
            self.strange = True
            return None
        if stamp is not None and self.mode is None:
            self.mode = mode
            if self.frames > 1:
                self._note(Kind.UNSTAMPED, 1, f"{self.frames - 1} frames have no stamp")
        return stamp

    def _check(self, stamp: ReadStamp, payload: bytes | None, text: str | None) -> None:
        self.stamps += 1
        if self._stream_id not in (None, stamp.stream_id):
            self._note(Kind.FOREIGN, stamp.seq, f"of {stamp.stream_id}, not of {self._stream_id}")
            return
        self._stream_id = stamp.stream_id
        for kind, seq, said in self._order.take(stamp.seq):
            self._note(kind, seq, said)
        what = text if self._by_text else payload
        if what is not None:
            sha1 = short_sha1(what.encode(errors="replace") if isinstance(what, str) else what)
            if stamp.sha1 not in (None, sha1):
                self._note(Kind.ALTERED, stamp.seq, f"sha1 {stamp.sha1}, what came has {sha1}")
        length = len(what if isinstance(what, str) else (what or b"").decode("utf-8", "replace"))
        if not self._order.adds(length, stamp.acc_len):
            self._note(Kind.LENGTH, stamp.seq, f"acc_len {stamp.acc_len} does not fit")
        if stamp.raw_len < self._raw and self._order.forward:
            self._note(Kind.LENGTH, stamp.seq, f"raw_len {stamp.raw_len} after {self._raw}")
        self._raw = max(stamp.raw_len, self._raw)
        self._totals(stamp, payload, text)

    def _totals(self, stamp: ReadStamp, payload: bytes | None, text: str | None) -> None:
        last = self._protocol.marker.alone and holds_record(payload, stamp.stream_id)
        if stamp.frames_out is not None and stamp.frames_out != stamp.seq + last:
            self._note(Kind.TOTALS, stamp.seq, f"frames_out is {stamp.frames_out}")
        if stamp.stream_sha1 is None or not self._known or self._found or payload is None:
            return
        whole = (self._told if self._by_text else self._payloads).copy()
        whole.update((payload if not self._by_text else (text or "").encode()) + b"\n")
        if stamp.stream_sha1 != whole.hexdigest():
            self._note(Kind.TOTALS, stamp.seq, f"stream_sha1 {stamp.stream_sha1} does not fit")

    def _compare(self, what: bytes | str | None) -> None:
        """Compare a frame with the hashes that were kept elsewhere."""
        if what is None:
            self._order.take(self._order.next())
            return
        sha1 = short_sha1(what.encode(errors="replace") if isinstance(what, str) else what)
        for kind, seq, said in self._order.place(sha1, self._expected.sha1s):
            self._note(kind, seq, said)

    def _hash(self, payload: bytes | None, text: str | None) -> None:
        if payload is None:
            self._known = False
            return
        self._payloads.update(payload + b"\n")
        if text is not None:
            self._told.update(text.encode(errors="replace") + b"\n")

    def _end(self) -> None:
        left = self._fed - self._at
        following = self._order.next() if self.stamps else self.frames + 1
        cut = left > 0 and not _COMMENTS.fullmatch(self._tail)
        if cut:
            self._note(Kind.INCOMPLETE, following, f"the last {left} bytes are no whole frame")
        stated = self._expected
        fits = self._fits(stated)
        if not self.complete and not cut and not (fits and stated.stream_sha1 is not None):
            self._note(Kind.INCOMPLETE, following, "the stream ends without its end marker")
        if not fits and not self._found:
            said = f"{self.frames + self._rest} frames, {self.stream_sha1}; the row says "
            said += f"{stated.frames_out}, {stated.stream_sha1}"
            self._note(Kind.TOTALS, max(1, self.frames), said)

    def _fits(self, stated: Expected) -> bool:
        counted = stated.frames_out in (None, self.frames + self._rest)
        return counted and (stated.stream_sha1 in (None, self.stream_sha1) or not self._known)


def _mode_of(protocol: Protocol, mode: Integrity | None) -> Integrity | None:
    """Return what is to be looked for: lines have no stamps, and frames with their own no others."""
    if protocol.stamps:
        return None
    return Integrity.LEDGER if protocol.lines else mode


def _is_error(payload: bytes | None, event: bytes) -> bool:
    """Return whether a frame tells of an error: then nothing has to follow it (SPEC §5.3)."""
    if event == b"error":
        return True
    if payload is None or b'"error"' not in payload[:4096]:
        return False
    try:
        told: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and bool(told.get("error") or told.get("type") == "error")
