"""Reads one client's requests from its bytes, one at a time. Knows no socket, clock or answer.

Two readers see every request. The guard (`http_guard`, `http_chunks`) looks at the raw bytes: it
alone knows the limits and says where a request ends, so that bytes of the next one are never
handed over early. llhttp, lenient flags off, parses exactly those bytes and gives the body. A
request exists only where both read the same one: what they read differently is refused, because a
proxy before us might side with either. A head on which they agreed is not read again when the
connection's next request has it too.
"""

from __future__ import annotations

from collections.abc import Collection

import httptools

from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import Header, RequestHead, request_head
from streamgauge.gateway.http_chunks import ChunkGuard
from streamgauge.gateway.http_guard import (
    CheckedHead,
    HeadGuard,
    Unserved,
    bad_http,
    check_head,
    path_so_far,
)
from streamgauge.gateway.known_head import HeadReading, KnownHead, known_head

__all__ = ["RequestReader"]


class RequestReader:
    """Reads requests in turn: `read_head` until it gives one, then `read_body` until it gives one.

    Both return None while bytes are missing and raise RequestError on what is refused, after which
    the reader is dead. `feed` only stores. `peer`: what heads are to say of the client's address.
    `keep_alive`: whether the request read last leaves the connection open for another. `minor`: its
    version, 1 for HTTP/1.1, also where there was none, 0 for HTTP/1.0. `refused`: the head for which
    `read_head` raised, where it was legal.
    """

    __slots__ = (
        "_allowed_hosts",
        "_buffer",
        "_chunks",
        "_expects",
        "_fresh",
        "_guard",
        "_known",
        "_left",
        "_max_body",
        "_parser",
        "_path",
        "_second",
        "_size",
        "keep_alive",
        "minor",
        "peer",
        "refused",
    )

    def __init__(self, allowed_hosts: Collection[str], max_body: int) -> None:
        self._allowed_hosts = allowed_hosts
        self._max_body = max_body
        self._buffer = bytearray()
        self._guard: HeadGuard | None = None  # while a head is coming in
        self._fresh: KnownHead | None = None  # until the body shows that both readers agree
        self._known: KnownHead | None = None
        self._chunks: ChunkGuard | None = None
        self._size = self._left = 0
        self._second: _SecondReading | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._path: str | None = None
        self._expects = False
        self.keep_alive = False
        self.minor = 1
        self.refused: RequestHead | None = None
        self.peer = "-"

    @property
    def buffered(self) -> int:
        """Bytes stored and not yet read."""
        return len(self._buffer)

    @property
    def path(self) -> str | None:
        """The path of the head read last, or what seems to be that of one that was not read."""
        return path_so_far(self._buffer) if self._path is None else self._path

    @property
    def wants_continue(self) -> bool:
        """Whether its client waits for 100 Continue: it asked, and no body byte has come."""
        return self._expects and not self._buffer

    def feed(self, data: bytes) -> None:
        """Store `data` behind what is buffered."""
        self._buffer += data

    def limit(self, allowed_hosts: Collection[str], max_body: int) -> None:
        """Hold the next requests to these bounds; call it between two of them."""
        self._allowed_hosts, self._max_body = allowed_hosts, max_body
        self._known = None  # what was known of a head went by the old ones

    def drop(self) -> None:
        """Forget all bytes: nothing will be read any more."""
        self._buffer = bytearray()
        self._second = self._parser = None
        self._known = self._fresh = self.refused = None

    def read_head(self) -> RequestHead | None:
        """Return the next request's head; its body is then read by `read_body`."""
        self._path = self.refused = None
        self._expects = self.keep_alive = False
        self.minor = 1
        if not self._buffer:
            return None
        if self._known is not None:
            again = self._known.in_front_of(self._buffer)
            if again is not None and again.length <= self._max_body:
                self._chunks = None
                return self._take(again)
        return self._read_new_head()

    def _take(self, reading: HeadReading) -> RequestHead:
        """Go on to the body. No header stays here: a client that is idle shows us no key."""
        checked, head = reading.checked, reading.head
        self._size = self._left = reading.length
        self._path = head.path
        self._expects = checked.expects_continue and checked.has_body
        self.keep_alive, self.minor = checked.keep_alive, checked.minor
        del self._buffer[: reading.size]
        return head

    def _read_new_head(self) -> RequestHead | None:
        self._known = self._fresh = None
        if self._guard is None:
            self._guard = HeadGuard()
        end = self._guard.end_of(self._buffer)
        if end is None:
            return None
        with memoryview(self._buffer) as whole:
            raw = bytes(whole[:end])
        try:
            checked = check_head(raw, self._allowed_hosts)
        except Unserved as unserved:
            self.refused = self._head_of(unserved.checked)
            raise
        self._begin_second_reading(checked, raw)
        length = 0 if checked.length is None else checked.length
        head = self._head_of(checked)
        if length > self._max_body:
            self.refused = head
            raise RequestError("The request body is too large.", status=413)
        self._chunks = ChunkGuard(self._max_body) if checked.chunked else None
        self._guard = None
        self._fresh = known_head(raw, checked, head)
        return self._take(HeadReading(end, length, checked, head))

    def _head_of(self, checked: CheckedHead) -> RequestHead:
        path, _, query = checked.target.partition("?")
        return request_head(checked.method, path, query, checked.headers, self.peer)

    def read_body(self) -> bytes | None:
        """Return the whole body of the request whose head was read last."""
        if self._known is not None:
            return self._read_known_body()
        chunks = self._chunks
        if chunks is not None:
            self._hand_over(chunks.consume(self._buffer))
            ended, size = chunks.done, chunks.body_size
        else:
            took = min(self._left, len(self._buffer))
            self._left -= took
            self._hand_over(took)
            ended, size = not self._left, self._size
        return self._agreed_body(size) if ended else None

    def _read_known_body(self) -> bytes | None:
        """Return the body behind a known head: its length alone says where it ends."""
        buffer, size = self._buffer, self._left
        if len(buffer) < size:
            return None
        self._left = 0
        if len(buffer) == size:
            body = bytes(buffer)
            buffer.clear()
            return body
        with memoryview(buffer) as whole:
            body = bytes(whole[:size])
        del buffer[:size]
        return body

    def _begin_second_reading(self, head: CheckedHead, raw: bytes) -> None:
        self._second = _SecondReading()
        self._parser = httptools.HttpRequestParser(self._second)
        fields = head.headers
        if b"upgrade" in [name for name, _ in fields]:
            # RFC 9110 §7.8 lets a server ignore Upgrade, but llhttp obeys it and would take the
            # body for another protocol's bytes: it gets the head without that field.
            fields = tuple(field for field in fields if field[0] != b"upgrade")
            raw = raw[: raw.index(b"\r\n") + 2] + _block_of(fields)
        _feed(self._parser, raw)
        second = self._second
        method = self._parser.get_method().decode("ascii")
        if (
            not second.head_done
            or method != head.method
            or second.target != head.target.encode("ascii")
            or tuple(second.fields) != fields
        ):
            raise bad_http("The request head can be read in two ways.")

    def _hand_over(self, size: int) -> None:
        second, parser = self._second, self._parser
        if not size or second is None or parser is None:
            return
        if second.complete:
            raise bad_http("The request body can be read in two ways.")
        with memoryview(self._buffer) as whole, whole[:size] as part:
            _feed(parser, part)
        del self._buffer[:size]

    def _agreed_body(self, size: int) -> bytes:
        second = self._second
        if second is None or not second.complete or len(second.body) != size:
            raise bad_http("The request body can be read in two ways.")
        self._second = self._parser = None
        self._known, self._fresh = self._fresh, None
        return bytes(second.body)


def _feed(parser: httptools.HttpRequestParser, data: bytes | memoryview) -> None:
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise bad_http("The request is not well-formed HTTP/1.1.") from error


def _block_of(fields: tuple[Header, ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"


class _SecondReading:
    """What llhttp reads of one request."""

    __slots__ = ("body", "complete", "fields", "head_done", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[Header] = []
        self.head_done = False
        self.body = bytearray()
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:  # trailers are checked by the guard and then dropped
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.head_done = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True
