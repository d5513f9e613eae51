"""One stamp: what it says, and how it is put into a frame (SPEC §12.1). It counts nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from streamgauge.core.errors import RequestError
from streamgauge.core.json_text import read_object, set_key
from streamgauge.core.sse import encode_frame

__all__ = [
    "SHA1_DIGITS",
    "UNCHANGED",
    "AddedText",
    "LastRead",
    "Stamp",
    "Style",
    "between_frames",
    "characters",
    "holds_record",
    "short_sha1",
    "text_bytes",
    "with_member",
    "without_ids",
]

SHA1_DIGITS = 12
_MEMBER = "streamgauge"
_LINE_END = re.compile(rb"\r\n|\r|\n")
_ID_LINE = re.compile(rb"(?:\A|(?<=[\r\n]))id(?::[^\r\n]*)?(?:\r\n|\r|\n)")

AddedText = Callable[[bytes, bytes], str | None]
"""Returns the text that a frame adds, by its payload and its event's name; None: no JSON object."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is known of one frame sent. `sha1`: of what it is, None where that was too large.

    `acc_len`, `raw_len`: characters sent and received so far. `done`: it is the end marker.
    `stream_sha1`: of all frames up to this one, where they are to be summed up here; `following`:
    frames without text that are known to come behind it, and are counted too.
    """

    seq: int
    sha1: str | None
    acc_len: int
    raw_len: int
    done: bool = False
    stream_sha1: str | None = None
    following: int = 0

    def as_json(self, stream_id: str) -> bytes:
        """Return the stamp as one JSON object."""
        sha1 = "null" if self.sha1 is None else f'"{self.sha1}"'
        text = (
            f'{{"stream_id":"{stream_id}","seq":{self.seq},"sha1":{sha1},'
            f'"acc_len":{self.acc_len},"raw_len":{self.raw_len}'
        )
        if self.stream_sha1 is not None:
            count = self.seq + self.following
            text += f',"frames_out":{count},"stream_sha1":"{self.stream_sha1}"'
        return text.encode() + b"}"


@dataclass(frozen=True, slots=True)
class Style:
    """What is written into a stream: stamps as comment lines or in the frames, `id:` lines."""

    comments: bool = False
    fields: bool = False
    ids: bool = False
    """For a resume (SPEC §11.5)."""
    lines: bool = False
    """The client is sent lines of JSON, where none of it fits."""

    @property
    def changes(self) -> bool:
        """Whether the bytes change at all."""
        return self.comments or self.fields or self.ids


UNCHANGED = Style()


class LastRead:
    """The last read of a stream's bytes that was exactly one plain frame, with payload and event.

    Where the very same bytes are sent on, they need not be read again: that is half the work.
    """

    __slots__ = ("data", "whole")

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.whole: tuple[bytes, bytes] = (b"", b"")


def short_sha1(hashed: bytes) -> str:
    """Return the digits of SHA-1 that a stamp shows."""
    return hashlib.sha1(hashed, usedforsecurity=False).hexdigest()[:SHA1_DIGITS]


def characters(text: bytes) -> int:
    """Return the number of characters in UTF-8."""
    return len(text) if text.isascii() else len(text.decode("utf-8", "replace"))


def holds_record(payload: bytes | None, stream_id: str) -> bool:
    """Return whether a frame tells our record of its stream: then the end marker is the next one.

    Where that has no stamp, this one is the last, and counts what the row counts (SPEC §10.2).
    """
    return payload is not None and b'{"request_id":"%b"' % stream_id.encode() in payload


def text_bytes(text: str | None) -> bytes | None:
    """Return `text` in UTF-8; half of a surrogate pair is no text."""
    return None if text is None else text.encode(errors="replace")


def with_member(raw: bytes, payload: bytes, event: bytes, stamp: bytes) -> bytes:
    """Return the frame `raw` with `stamp` as a further member of its JSON object `payload`."""
    stamped = _stamped(payload, stamp)
    at = raw.rfind(payload)
    if at >= 0:
        return raw[:at] + stamped + raw[at + len(payload) :]
    # Its data stands on several lines: written anew, behind the lines that are no data.
    others = [line for line in _LINE_END.split(raw) if line and not line.startswith(b"data")]
    kept = [line for line in others if not line.startswith(b"event")]
    return b"".join(line + b"\n" for line in kept) + encode_frame(stamped, event)


def _stamped(payload: bytes, stamp: bytes) -> bytes:
    if b'"streamgauge"' in payload and (merged := _merged(payload, stamp)) is not None:
        return merged
    inner = payload.rstrip()[:-1].rstrip()
    comma = b"" if inner.endswith(b"{") and len(inner) == 1 else b","
    return b"".join((inner, comma, b'"streamgauge":', stamp, b"}"))


def _merged(payload: bytes, stamp: bytes) -> bytes | None:
    """Return `payload` whose member of our name has the stamp too; None where it has no such member.

    Our record may be in it (SPEC §10.1), or the stamp of another gateway, which ours replaces.
    """
    try:
        told = read_object(payload).get(_MEMBER)
    except RequestError:
        return None
    if told is None:
        return None
    ours = msgspec.json.decode(stamp)
    member = {**told, **ours} if isinstance(told, dict) else ours
    return set_key(payload, (_MEMBER,), msgspec.json.encode(member))


def without_ids(raw: bytes) -> bytes:
    """Return a frame without an upstream's `id:` lines: where ours stand, a later one would win."""
    if raw.startswith(b"id") or b"\nid" in raw or b"\rid" in raw:
        return _ID_LINE.sub(b"", raw)
    return raw


def between_frames(raw: bytes) -> bytes:
    """Return the lines of a frame without data as they may stand before the next one (SPEC §4.4).

    Its event's name, which names nothing where it is, would name that one.
    """
    lines = (line for line in _LINE_END.split(raw) if line)
    kept = [line for line in lines if line.partition(b":")[0] not in (b"id", b"event")]
    return b"".join(line + b"\n" for line in kept)
