"""What a check of stamps finds, what it is held against, and what a stamp says. It checks nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

__all__ = [
    "Expected",
    "Finding",
    "Kind",
    "ReadStamp",
    "stamp_in",
    "stamp_in_comment",
    "stamp_in_object",
]

_COMMENT = re.compile(rb"(?:^|[\r\n]): ?streamgauge-frame (\{[^\r\n]*\})")


class Kind(StrEnum):
    """What is wrong, a closed list."""

    MISSING = "missing"
    """One or more frames are not there."""
    REPEATED = "repeated"
    """A frame came before."""
    OUT_OF_ORDER = "out_of_order"
    """A frame that was missing came later."""
    ALTERED = "altered"
    """A frame's hash is not the one it was sent with."""
    UNSTAMPED = "unstamped"
    """A frame among stamped ones has no stamp."""
    LENGTH = "length"
    """`acc_len` is not the number of characters so far, or `raw_len` falls."""
    FOREIGN = "foreign"
    """A frame belongs to another stream."""
    TOTALS = "totals"
    """The count or the hash of the whole is not the one that was stated."""
    AFTER_END = "after_end"
    """A frame follows the end marker."""
    INCOMPLETE = "incomplete"
    """The stream ends before its end marker, or within a frame."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `seq`: the frame, from 1; `offset`: the byte at which it begins."""

    kind: Kind
    seq: int
    offset: int
    text: str

    def __str__(self) -> str:
        return f"seq {self.seq} byte {self.offset}: {self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a row says of the stream; None is unknown. `sha1s`: of its frames, where they were kept.

    `stream_id`: stamps of another stream are none of it: they passed as another gateway sent them.
    """

    frames_out: int | None = None
    stream_sha1: str | None = None
    sha1s: Sequence[str | None] = ()
    stream_id: str | None = None


class ReadStamp(msgspec.Struct, frozen=True, gc=False):
    """A stamp as it came with a frame (SPEC §12.1)."""

    stream_id: str
    seq: int
    sha1: str | None
    acc_len: int
    raw_len: int
    frames_out: int | None = None
    stream_sha1: str | None = None


class _Holder(msgspec.Struct, gc=False):
    streamgauge: msgspec.Raw


_stamp = msgspec.json.Decoder(ReadStamp).decode
_holder = msgspec.json.Decoder(_Holder).decode


def stamp_in(text: bytes) -> ReadStamp | None:
    """Return the stamp that a JSON object is, or None."""
    try:
        return _stamp(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def stamp_in_comment(raw: bytes) -> ReadStamp | None:
    """Return the first stamp in a comment line of a frame: that of whoever sent it last."""
    found = _COMMENT.search(raw) if b"streamgauge-frame" in raw else None
    return None if found is None else stamp_in(found[1])


def stamp_in_object(payload: bytes) -> ReadStamp | None:
    """Return the stamp in the `streamgauge` member of a JSON object."""
    if b'"streamgauge"' not in payload:
        return None
    try:
        return stamp_in(bytes(_holder(payload).streamgauge))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
