"""Limits and legality of a request's head, on raw bytes, before a parser. Knows no body."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import msgspec

from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.gateway.http import Header

__all__ = [
    "FIELD_BLOCK",
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_METHOD",
    "MAX_TARGET",
    "CheckedHead",
    "HeadGuard",
    "Unserved",
    "bad_http",
    "check_head",
    "path_so_far",
]

# FAULTS §4 S5 names these four; a head within them costs at most one buffer and 100 fields.
MAX_HEAD: Final = 64 * 1024
MAX_FIELDS: Final = 100
MAX_TARGET: Final = 8 * 1024
MAX_METHOD: Final = 32

_MAX_LINE = MAX_METHOD + MAX_TARGET + len(b"  HTTP/1.1")
# Browsers of old sent a stray CRLF behind a body; RFC 9112 §2.2 asks to skip at least one.
_MAX_EMPTY_LINES = 2

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\r\n"))
_METHOD = re.compile(_TOKEN + rb"{1,%d}" % MAX_METHOD)
_TARGET = re.compile(rb"[!\"$-~]+")
FIELD_BLOCK: Final = re.compile(rb"(?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
"""Whole field lines. Possessive, so that no value makes it look twice."""
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_MAX_SHOWN = 253  # a name in DNS is no longer
# 15 digits: no body is longer, and no reader's integers wrap or round below that.
_LENGTH = re.compile(rb"[0-9]{1,15}")

_Fields = dict[bytes, list[bytes]]
_READ_HERE = frozenset(
    (
        b"connection",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"host",
        b"transfer-encoding",
    )
)
_IDENTITY = frozenset((b"", b"identity"))
_KNOWN_METHODS = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE")
)


def bad_http(message: str, status: int = 400) -> RequestError:
    """Return a refusal of the framing: code `bad_http`, after which the connection closes."""
    return RequestError(message, status=status, code=ErrorCode.BAD_HTTP)


class CheckedHead(msgspec.Struct, frozen=True):
    """A legal head. `minor`: 1 for HTTP/1.1, 0 for HTTP/1.0. `length`: bytes, None if not stated.

    At most one of `length` and `chunked` is set; with neither there is no body.
    """

    method: str
    target: str
    minor: int
    headers: tuple[Header, ...]
    length: int | None
    chunked: bool
    keep_alive: bool
    expects_continue: bool

    @property
    def has_body(self) -> bool:
        """Whether body bytes, or a chunked body's framing, follow the head."""
        return self.chunked or bool(self.length)


class Unserved(RequestError):
    """A legal head that asks for what is not served. `checked`: what it says."""

    def __init__(self, message: str, status: int, checked: CheckedHead) -> None:
        super().__init__(message, status=status)
        self.checked = checked


class HeadGuard:
    """Watches one head grow. Bytes it has passed once are never looked at again.

    It refuses at the first byte that can be no part of a legal head, so that nobody can make the
    connection wait for an end that will never come.
    """

    __slots__ = ("_empty_lines", "_line_passed", "_seen")

    def __init__(self) -> None:
        self._seen = 0
        self._empty_lines = 0
        self._line_passed = False

    def end_of(self, buffer: bytearray) -> int | None:
        """Return the length of the head at the start of `buffer`, or None while it is incomplete.

        Empty lines before the request line are removed from `buffer`. Raises RequestError.
        """
        self._skip_empty_lines(buffer)
        end = buffer.find(b"\r\n\r\n", max(0, self._seen - 3), MAX_HEAD)
        limit = min(len(buffer), MAX_HEAD) if end < 0 else end + 4
        _check_bytes(buffer, self._seen, limit)
        if end < 0 and not self._line_passed:
            self._line_passed = _check_line_so_far(buffer, limit)
        if end >= 0:
            return end + 4
        if len(buffer) >= MAX_HEAD:
            raise bad_http("The request head is larger than 64 KiB.", 431)
        self._seen = limit
        return None

    def _skip_empty_lines(self, buffer: bytearray) -> None:
        while buffer.startswith(b"\r\n") and self._empty_lines < _MAX_EMPTY_LINES:
            del buffer[:2]
            self._empty_lines += 1
            self._seen = 0
        if buffer.startswith(b"\r\n"):
            raise bad_http("Empty lines stand where a request line should.")


def _check_bytes(buffer: bytearray, seen: int, limit: int) -> None:
    """Refuse control bytes, and CR or LF alone, from `seen` on; a last CR is judged later."""
    start = seen - 1 if buffer.startswith(b"\r", max(0, seen - 1)) and seen else seen
    with memoryview(buffer) as whole:
        fresh = bytes(whole[start:limit])
    pairs = fresh.count(b"\r\n")
    returns = fresh.count(b"\r") - fresh.endswith(b"\r")
    # Deleting and counting run in C: a pattern that does the same takes ten times as long.
    if (
        pairs != returns
        or pairs != fresh.count(b"\n")
        or len(fresh.translate(None, _CONTROLS)) != len(fresh)
    ):
        raise bad_http("A control byte or a bare line end stands in the request head.")


def _check_line_so_far(buffer: bytearray, limit: int) -> bool:
    """Return whether the request line is complete (then it is legal). Raises RequestError."""
    stop = buffer.find(b"\r\n", 0, limit)
    if stop >= 0:
        _read_line(bytes(buffer[:stop]))
        return True
    if limit > MAX_METHOD and b" " not in buffer[: MAX_METHOD + 1]:
        raise bad_http("The request method is no token of at most 32 bytes.")
    if limit > _MAX_LINE:
        raise bad_http("The request target is longer than 8 KiB.", 414)
    return False


def _read_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Return method, target and minor version of a request line without its CRLF (RFC 9112 §3)."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise bad_http("The request line is not method, target and version with single spaces.")
    method, target, version = parts
    if not _METHOD.fullmatch(method):
        raise bad_http("The request method is no token of at most 32 bytes.")
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise bad_http("Only HTTP/1.0 and HTTP/1.1 are spoken here.", 505)
    if len(target) > MAX_TARGET:
        raise bad_http("The request target is longer than 8 KiB.", 414)
    if method == b"CONNECT":
        raise bad_http("CONNECT is not served.", 405)
    _check_target(method, target)
    return method, target, version[-1] - ord("0")


def _check_target(method: bytes, target: bytes) -> None:
    if target == b"*":
        if method != b"OPTIONS":
            raise bad_http("The target * is for OPTIONS only.")
    elif not target.startswith(b"/"):
        raise bad_http("The request target must be a path; other URLs are not fetched.")
    # "#" and non-ASCII bytes are in no request target (RFC 9112 §3.2, RFC 3986).
    if not _TARGET.fullmatch(target) or b"#" in target:
        raise bad_http("The request target holds an illegal character.")


def check_head(head: bytes, allowed_hosts: Collection[str]) -> CheckedHead:
    """Return what `head` says (its last bytes are the empty line). Raises RequestError.

    Framing is judged first (`bad_http`), then what is legal and merely not served (`bad_request`).
    """
    line_end = head.index(b"\r\n") + 2
    method, target, minor = _read_line(head[: line_end - 2])
    block = head[line_end:-2]
    if block.count(b"\r\n") > MAX_FIELDS:
        raise bad_http("The request head has more than 100 fields.", 431)
    if not FIELD_BLOCK.fullmatch(block):
        raise bad_http("A header line is not a name, a colon and a value.")
    headers = _fields_of(block)
    read = _read_here(headers)
    _check_host(read.get(b"host", []), minor, allowed_hosts)
    length, chunked = _framing(read, minor)
    checked = CheckedHead(
        method=method.decode("ascii"),
        target=target.decode("ascii"),
        minor=minor,
        headers=headers,
        length=length,
        chunked=chunked,
        keep_alive=_keeps_alive(read, minor),
        expects_continue=minor == 1 and b"100-continue" in _options(read, b"expect"),
    )
    if method not in _KNOWN_METHODS:
        raise Unserved("The method is not served.", 405, checked)
    if not _IDENTITY.issuperset(_options(read, b"content-encoding")):
        raise Unserved("Encoded request bodies are not read.", 415, checked)
    return checked


def path_so_far(buffer: bytearray) -> str | None:
    """Return the path that a refused head seems to ask for, or None: a guess, for its dialect."""
    line = bytes(buffer[:_MAX_LINE]).partition(b"\r\n")[0].split(b" ")
    if len(line) < 2 or not line[1].startswith(b"/"):
        return None
    return line[1].partition(b"?")[0].decode("latin-1")


def _fields_of(block: bytes) -> tuple[Header, ...]:
    split = [line.partition(b":") for line in block.split(b"\r\n")[:-1]]
    return tuple([(name.lower(), value.strip(b" \t")) for name, _, value in split])


def _read_here(headers: tuple[Header, ...]) -> _Fields:
    """Return the values of those fields that say something about the connection or the body."""
    read: _Fields = {}
    for name, value in headers:
        if name in _READ_HERE:
            read.setdefault(name, []).append(value)
    return read


def _options(read: _Fields, name: bytes) -> list[bytes]:
    """Return the members of a comma-separated field, in lower case."""
    values = read.get(name)
    if values is None:
        return []
    return [member.strip(b" \t").lower() for value in values for member in value.split(b",")]


def _check_host(hosts: list[bytes], minor: int, allowed: Collection[str]) -> None:
    """Refuse a Host that is missing, doubled, illegal (RFC 9110 §7.2), or not ours (S14)."""
    if not hosts and minor == 0:
        return
    if len(hosts) != 1:
        raise bad_http("Exactly one Host field is needed.")
    legal = _HOST.fullmatch(hosts[0])
    if legal is None:
        raise bad_http("The Host field is not a host and an optional port.")
    if "*" not in allowed and (host := legal[1].decode("ascii").lower()) not in allowed:
        named = f"The host {host[:_MAX_SHOWN]} is not served here"
        raise bad_http(f"{named}: add it to the gateway's server.allowed_hosts.", 421)


def _framing(read: _Fields, minor: int) -> tuple[int | None, bool]:
    """Return (Content-Length, is chunked); two ways to say where a body ends are refused."""
    lengths = read.get(b"content-length", [])
    codings = read.get(b"transfer-encoding", [])
    if codings:
        if minor == 0 or lengths:
            raise bad_http("Transfer-Encoding stands in HTTP/1.0 or beside a Content-Length.")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise bad_http("The only Transfer-Encoding read here is chunked, once.")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise bad_http("Content-Length must be one decimal number.")
    return int(lengths[0]), False


def _keeps_alive(read: _Fields, minor: int) -> bool:
    """Whether the client allows a further request on this connection (RFC 9112 §9.3)."""
    options = _options(read, b"connection")
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)
