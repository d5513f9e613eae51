"""One HTTP/1.1 call on a connection of its own, with the times at which its bytes came. No dialect."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

from streamgauge.gateway.inflate import InflateError, Inflater, inflating
from streamgauge.tools.doctor.address import Address

__all__ = ["Answer", "Unanswered", "call", "fetch"]

_PIECE = 1 << 16
_CONNECT_SECONDS = 5.0
_PAGE_LIMIT = 4 << 20
"""Bytes kept of a page: a list of models is some kilobytes."""


class Unanswered(Exception):
    """No head of an answer came. `kind`: dns, refused, connect, tls, timeout, closed or protocol."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class Answer:
    """An answer as it came. Times are monotonic seconds; names in `headers` are lower case.

    `reads`: when body bytes came. `whole`: the body ended as its framing says. `left`: we went.
    `cut`: why it is neither; `late`: because its time was up.
    """

    sent_at: float
    connect_ms: float
    version: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    head_at: float | None = None
    reads: list[float] = field(default_factory=list)
    ended_at: float | None = None
    whole: bool = False
    left: bool = False
    cut: str | None = None
    late: bool = False
    body: bytes = b""

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


Listener = Callable[[Answer, bytes, float], bool]
"""Takes decoded body bytes and when they came; False to leave."""


class _Parser:
    """What httptools calls: fills an Answer and collects decoded bytes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._raw: list[tuple[bytes, bytes]] = []
        self._inflater: Inflater | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Read bytes of the wire. Raises httptools' errors and InflateError."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        answer = self._answer
        answer.version = self._parser.get_http_version()
        answer.status = self._parser.get_status_code()
        # The first of a name, as clients read it.
        for name, value in reversed(self._raw):
            answer.headers[name.decode("latin-1")] = value.decode("latin-1")
        fields, self._raw = tuple(self._raw), []
        with contextlib.suppress(InflateError):  # not a coding that we asked for: left as it is
            self._inflater, _ = inflating(fields)

    def on_body(self, body: bytes) -> None:
        if self._inflater is None:
            self.pieces.append(body)
            return
        self._inflater.feed(body)
        while piece := self._inflater.read():
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._answer.status >= 200:  # what comes before it is no answer yet
            self._answer.whole = True

    def taken(self) -> bytes:
        """Return the decoded bytes since the last time."""
        data, self.pieces = b"".join(self.pieces), []
        return data


async def call(address: Address, request: bytes, seconds: float, listen: Listener) -> Answer:
    """Make one call; tell `listen` of its body until it is over, or `seconds` have passed.

    An answer that does not end in time is cut. Raises Unanswered where no head came.
    """
    began = time.monotonic()
    reader, writer = await _connected(address)
    now = time.monotonic()
    answer = Answer(sent_at=now, connect_ms=(now - began) * 1000)
    try:
        async with asyncio.timeout(seconds):
            await _converse(reader, writer, request, answer, listen)
    except TimeoutError:
        answer.cut, answer.late = f"it had not ended after {seconds:g} s", True
    except (OSError, asyncio.IncompleteReadError) as error:
        answer.cut = f"the connection broke: {type(error).__name__}"
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, InflateError) as error:
        answer.cut = f"this is no HTTP: {error}" if not answer.status else f"bad body: {error}"
    finally:
        answer.ended_at = time.monotonic()
        writer.close()
    if answer.head_at is None:
        if answer.late:
            raise Unanswered("timeout", f"nothing came in {seconds:g} s")
        raise Unanswered("closed", answer.cut or "the connection was closed")
    return answer


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: bytes,
    answer: Answer,
    listen: Listener,
) -> None:
    parser = _Parser(answer)
    writer.write(request)
    await writer.drain()
    answer.sent_at = time.monotonic()
    while not answer.whole:
        data = await reader.read(_PIECE)
        at = time.monotonic()
        if not data:
            return _at_end_of_file(answer)
        parser.feed(data)
        if answer.status >= 200 and answer.head_at is None:
            answer.head_at = at
        if body := parser.taken():
            answer.reads.append(at)
            if not listen(answer, body, at):
                answer.left = True
                return None
    return None


def _at_end_of_file(answer: Answer) -> None:
    framed = "content-length" in answer.headers or "transfer-encoding" in answer.headers
    if answer.status >= 200 and not framed:
        answer.whole = True
    else:
        answer.cut = "the connection was closed before the end of the answer"


async def _connected(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    name = f"{address.host}:{address.port}"
    host = address.host if address.tls is not None else None
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncio.open_connection(
                address.host, address.port, ssl=address.tls, server_hostname=host
            )
    except TimeoutError:
        raise Unanswered("timeout", f"{name}: no connection in {_CONNECT_SECONDS:g} s") from None
    except socket.gaierror as error:
        raise Unanswered("dns", f"the name {address.host!r} does not resolve") from error
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason
        raise Unanswered("tls", f"TLS with {name}: {reason}") from error
    except ConnectionRefusedError as error:
        raise Unanswered("refused", f"{name}: connection refused") from error
    except OSError as error:
        raise Unanswered("connect", f"{name}: {error.strerror or error}") from error


async def fetch(
    address: Address,
    request: bytes,
    seconds: float = 5.0,
    seen: Callable[[Answer], None] = lambda _: None,
) -> Answer:
    """Return one whole page, its body in `body`; one that was cut has what came. `seen`: told of it.

    Raises Unanswered.
    """
    body = bytearray()

    def keep(_: Answer, data: bytes, __: float) -> bool:
        body.extend(data)
        return len(body) < _PAGE_LIMIT

    answer = await call(address, request, seconds, keep)
    answer.body = bytes(body)
    seen(answer)
    return answer
