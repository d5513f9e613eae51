"""Reads one HTTP/1.1 response from bytes: one reading, or refusal. Knows no socket, no dialect."""

from __future__ import annotations

import re
from enum import Enum

import httptools
import msgspec

from streamgauge.gateway.http import Header
from streamgauge.gateway.response_framing import LONGEST_BODY, Framing, ResponseError, stated_by

__all__ = [
    "FIELD_LIMIT",
    "FRAMING_LIMIT",
    "HEAD_LIMIT",
    "SWITCHING_PROTOCOLS",
    "ReaderState",
    "ResponseError",
    "ResponseHead",
    "ResponseReader",
]

HEAD_LIMIT = 64 * 1024
"""Bytes of head, informational ones included: what nginx and Node allow at most, with room."""
FIELD_LIMIT = 200
"""Header fields in one head; hosted models answer with 20 to 60."""
FRAMING_LIMIT = 64 * 1024
"""Bytes read in a row without one body byte: bounds chunk extensions and trailers."""

SWITCHING_PROTOCOLS = 101
"""Told like a final head: nothing here asks for an upgrade."""

_HEAD_END = b"\r\n\r\n"
_PREFIX = b"HTTP/1."
_STATUS_LINE = rb"HTTP/1\.[01] [1-5][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
_FIELD_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
# RFC 9112 §2.2 and §5 without their leniencies. llhttp alone lets some of them pass in responses.
_HEAD = re.compile(_STATUS_LINE + rb"(?:" + _FIELD_LINE + rb")*+\r\n")
_FIELD = re.compile(_FIELD_LINE)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FIRST_FINAL = 200
_BODILESS = frozenset({SWITCHING_PROTOCOLS, 204, 304})


class ReaderState(Enum):
    """How far the response has been read."""

    HEAD = "head"
    BODY = "body"
    COMPLETE = "complete"


# Read for every arrival: off its class an Enum's member takes a look-up each time.
_IN_HEAD = ReaderState.HEAD
_IN_BODY = ReaderState.BODY
_COMPLETE = ReaderState.COMPLETE
_NONE = Framing.NONE
_LENGTH = Framing.LENGTH
_CHUNKED = Framing.CHUNKED
_CLOSE = Framing.CLOSE


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A final response head.

    `has_body`: a body may follow. `reusable`: the peer lets the connection serve another request.
    """

    status: int
    headers: tuple[Header, ...]
    has_body: bool
    reusable: bool


class ResponseReader:
    """One response, fed as it arrives; body bytes wait in `take`, also those before an error.

    llhttp reads chunked bodies and those up to the close; one of stated length is only counted.
    `between`: the body is chunked, and the next byte begins a size line. A read that is one whole
    chunk may then be taken for what it is, and not be fed: behind it the next size line begins.
    """

    __slots__ = (
        "_chunk_over",
        "_framing",
        "_head_only",
        "_idle_bytes",
        "_left",
        "_parser",
        "_parts",
        "_raw",
        "_skipped",
        "between",
        "head",
        "state",
        "surplus",
    )

    def __init__(self, *, head_only: bool = False) -> None:
        """`head_only`: the request was HEAD, so that the answer has no body whatever it states."""
        self.state = _IN_HEAD
        self.head: ResponseHead | None = None
        self.surplus = False
        self._head_only = head_only
        self._framing = _NONE
        self._parser: httptools.HttpResponseParser | None = None
        self._left = 0  # bytes still to come of a body of stated length
        self._parts: list[bytes] = []
        self._raw = bytearray()  # of a head that is not whole
        self._skipped = 0
        self._idle_bytes = 0
        self._chunk_over = True  # the parser has told of no chunk that it is in
        self.between = False

    def __repr__(self) -> str:
        return f"<ResponseReader {self.state.value} {self._framing.value}>"

    @property
    def started(self) -> bool:
        """Whether a byte has come, be it of an informational head."""
        return self.head is not None or bool(self._raw) or self._skipped > 0

    @property
    def until_close(self) -> bool:
        """Whether the connection's close is the body's proper end."""
        return self._framing is Framing.CLOSE

    def feed(self, data: bytes) -> None:
        """Read on; raises ResponseError. What follows the message only sets `surplus`."""
        if self.state is _IN_HEAD:
            data = self._feed_head(data)
            if not data:
                return
        if self._left:
            self._feed_counted(data)
        elif self.state is not _IN_BODY or self._parser is None:
            self.surplus = True
        else:
            self._feed_parser(self._parser, data)

    def _feed_counted(self, data: bytes) -> None:
        left = self._left - len(data)
        if left < 0:
            self.surplus = bool(data[left:].strip(b"\r\n"))  # as llhttp: empty lines are nothing
            data = data[:left]
        self._parts.append(data)
        if left > 0:
            self._left = left
        else:
            self._left = 0
            self.state = _COMPLETE

    def _feed_parser(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.state is not ReaderState.COMPLETE:
                raise ResponseError(f"malformed response body: {error}") from error
            self.surplus = True
        # A line's end that ends no size line: that of the chunk, or it stands in the trailers.
        ended = self._chunk_over and data[-1:] == b"\n"
        self.between = ended and self._framing is _CHUNKED and self.state is _IN_BODY
        if self._parts:
            self._idle_bytes = 0
        else:
            self._count_framing(len(data))

    def take(self) -> bytes:
        """Return the body bytes read since the last call, framing removed, as one piece."""
        parts = self._parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    def release(self) -> None:
        """Drop the parser, which refers back to this reader: no cycle for the collector."""
        self._parser = None

    def on_message_begin(self) -> None:
        """llhttp's call-back: a second message on the same bytes is surplus."""
        if self.state is ReaderState.COMPLETE:
            self.surplus = True

    def on_body(self, body: bytes) -> None:
        """llhttp's call-back: body bytes."""
        if self.state is _IN_BODY:
            self._parts.append(body)

    def on_chunk_header(self) -> None:
        """llhttp's call-back: a size line was read, also that of the last chunk."""
        self._chunk_over = False

    def on_chunk_complete(self) -> None:
        """llhttp's call-back: the data of a chunk and the line end behind it were read."""
        self._chunk_over = True

    def on_message_complete(self) -> None:
        """llhttp's call-back: the end by length or last chunk."""
        self.state = ReaderState.COMPLETE

    def _feed_head(self, data: bytes) -> bytes:
        whole: bytes | bytearray = data  # nearly always the head is
        searched = start = 0
        if raw := self._raw:
            searched = max(len(raw) - len(_HEAD_END) + 1, 0)
            raw += data
            whole = raw
        while (end := whole.find(_HEAD_END, searched)) >= 0:
            searched = end + len(_HEAD_END)
            self._skipped += searched - start
            self._check_size(0)
            self._read_head(bytes(whole[start:searched]))
            start = searched
            if self.head is not None:
                rest = bytes(whole[start:])
                raw.clear()
                return rest
        if whole is raw:
            del raw[:start]
        else:
            raw += data[start:]
        self._check_unfinished(0 if start else searched)
        return b""

    def _check_unfinished(self, searched: int) -> None:
        # A peer that speaks something else may never close: it is refused by what is there.
        raw = self._raw
        if raw[: len(_PREFIX)] != _PREFIX[: len(raw)]:
            raise ResponseError("the answer is not HTTP/1.1")
        if _BARE_LF.search(raw, searched):
            raise ResponseError("malformed response head: bare line feed")
        self._check_size(len(raw))

    def _check_size(self, size: int) -> None:
        if self._skipped + size > HEAD_LIMIT:
            raise ResponseError(f"response head over {HEAD_LIMIT} bytes")

    def _read_head(self, head: bytes) -> None:
        if not _HEAD.fullmatch(head):
            raise ResponseError(f"malformed response head: {_fault_of(head)}")
        status_line, *fields = head[: -len(_HEAD_END)].split(b"\r\n")
        if len(fields) > FIELD_LIMIT:
            raise ResponseError(f"response head over {FIELD_LIMIT} fields")
        status = int(status_line[9:12])
        if status < _FIRST_FINAL and status != SWITCHING_PROTOCOLS:
            return
        headers = []
        for line in fields:
            name, _, value = line.partition(b":")
            headers.append((name.lower(), value.strip()))
        self._begin_body(head, status, tuple(headers))

    def _begin_body(self, head: bytes, status: int, headers: tuple[Header, ...]) -> None:
        modern = head.startswith(b"HTTP/1.1")
        framing, length, closes = stated_by(headers, modern)
        kept = modern and status != SWITCHING_PROTOCOLS and not closes
        if self._head_only or status in _BODILESS:
            self.state = _COMPLETE
            self.head = ResponseHead(status, headers, False, kept)
            return
        if length > LONGEST_BODY:
            raise ResponseError("malformed response head: Content-Length overflow")
        self._framing, self._left = framing, length
        self.state = _COMPLETE if framing is _LENGTH and not length else _IN_BODY
        self.head = ResponseHead(status, headers, True, kept and framing is not _CLOSE)
        self.between = framing is _CHUNKED
        if framing is not _LENGTH:
            self._start_parser(head)

    def _start_parser(self, head: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserError as error:
            self.head = None
            raise ResponseError(f"malformed response head: {error}") from error

    def _count_framing(self, size: int) -> None:
        self._idle_bytes += size
        if self._idle_bytes > FRAMING_LIMIT:
            raise ResponseError(f"over {FRAMING_LIMIT} bytes of framing without body")


def _fault_of(head: bytes) -> str:
    # The line's number only: its bytes may hold a key.
    for number, line in enumerate(head[: -len(_HEAD_END)].split(b"\r\n")[1:], start=2):
        if not _FIELD.fullmatch(line + b"\r\n"):
            return f"line {number}"
    return "status line"
