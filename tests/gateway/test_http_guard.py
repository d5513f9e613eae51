"""What the guard accepts and refuses: heads, chunk framing, and both readings of a request."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.gateway.http import Request, RequestHead, request_head
from streamgauge.gateway.http_chunks import MAX_FRAMING, ChunkGuard
from streamgauge.gateway.http_guard import (
    FIELD_BLOCK,
    MAX_HEAD,
    CheckedHead,
    HeadGuard,
    check_head,
)
from streamgauge.gateway.request_reader import RequestReader

ALLOWED = frozenset({"x", "127.0.0.1", "[::1]"})
LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
TE = b"Transfer-Encoding: "


def guarded(raw: bytes) -> CheckedHead:
    buffer = bytearray(raw)
    end = HeadGuard().end_of(buffer)
    assert end is not None
    return check_head(bytes(buffer[:end]), ALLOWED)


def read_all(pieces: list[bytes], max_body: int = 1 << 20) -> list[Request]:
    """Read whatever requests the pieces hold, as the connection does."""
    reader = RequestReader(ALLOWED, max_body)
    read: list[Request] = []
    head: RequestHead | None = None
    for piece in pieces:
        reader.feed(piece)
        while True:
            if head is None:
                head = reader.read_head()
            if head is None:
                break
            body = reader.read_body()
            if body is None:
                break
            read.append(Request(head, body, 0.0))
            head = None
    return read


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


REFUSED_HEADS = [
    ("no version", b"GET /\r\n" + HOST + b"\r\n", 400),
    ("two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("leading space", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("trailing space", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    ("tab", b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("33-byte method", b"M" * 33 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("no method token", b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("absolute form", b"GET http://x/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("star for GET", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("CONNECT", b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    ("fragment", b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("raw UTF-8", b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("long target", b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    ("lower-case version", b"GET / http/1.1\r\n" + HOST + b"\r\n", 505),
    ("three empty lines", b"\r\n\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("folding", LINE + HOST + b"A: b\r\n c\r\n\r\n", 400),
    ("space before colon", LINE + HOST + b"A : b\r\n\r\n", 400),
    ("empty name", LINE + HOST + b": b\r\n\r\n", 400),
    ("NBSP name", LINE + HOST + b"A\xa0: b\r\n\r\n", 400),
    ("NUL", LINE + HOST + b"A: b\0c\r\n\r\n", 400),
    ("bare CR", LINE + HOST + b"A: b\rc\r\n\r\n", 400),
    ("bare LF", LINE + HOST + b"A: b\nc: d\r\n\r\n", 400),
    ("vertical tab", LINE + HOST + b"A: \x0bb\r\n\r\n", 400),
    ("101 fields", LINE + HOST + b"A: b\r\n" * 100 + b"\r\n", 431),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", LINE + HOST + HOST + b"\r\n", 400),
    ("empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("Host with user", b"GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", 400),
    ("Host with path", b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    ("Host with long port", b"GET / HTTP/1.1\r\nHost: x:123456\r\n\r\n", 400),
    ("strange Host", b"GET / HTTP/1.1\r\nHost: rebind.example\r\n\r\n", 421),
    ("strange Host on 1.0", b"GET / HTTP/1.0\r\nHost: rebind.example\r\n\r\n", 421),
    ("length twice", LINE + HOST + b"Content-Length: 1\r\n" * 2 + b"\r\n", 400),
    ("length list", LINE + HOST + b"Content-Length: 1, 1\r\n\r\n", 400),
    ("length sign", LINE + HOST + b"Content-Length: +1\r\n\r\n", 400),
    ("length hex", LINE + HOST + b"Content-Length: 0x1\r\n\r\n", 400),
    ("length 2^64", LINE + HOST + b"Content-Length: %d\r\n\r\n" % 2**64, 400),
    ("gzip, chunked", LINE + HOST + TE + b"gzip, chunked\r\n\r\n", 400),
    ("chunked twice", LINE + HOST + (TE + b"chunked\r\n") * 2 + b"\r\n", 400),
    ("chunked on 1.0", b"GET / HTTP/1.0\r\n" + HOST + TE + b"chunked\r\n\r\n", 400),
    ("chunked, length", LINE + HOST + TE + b"chunked\r\nContent-Length: 5\r\n\r\n", 400),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "status"), [case[1:] for case in REFUSED_HEADS], ids=[case[0] for case in REFUSED_HEADS]
)
def test_an_illegal_head_is_refused_whole_and_byte_by_byte(raw: bytes, status: int) -> None:
    for pieces in ([raw], one_by_one(raw), [raw + LINE + HOST + b"\r\n"]):
        with pytest.raises(RequestError) as refused:
            read_all(pieces)
        assert (refused.value.status, refused.value.code) == (status, ErrorCode.BAD_HTTP)


@pytest.mark.parametrize("raw", [case[1] for case in REFUSED_HEADS])
def test_the_guard_alone_refuses_an_illegal_head(raw: bytes) -> None:
    with pytest.raises(RequestError):
        guarded(raw)


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nA: b\rc",
        b"GET / HTTP/1.1\n",
        b"GET /v1/models\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n",
        b"A" * 40,
        b"GET /" + b"a" * 9000,
        b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD,
        b"GET / HTTP/1.1\r\nA: b\n",
    ],
)
def test_a_head_that_cannot_become_legal_is_refused_before_its_end(start: bytes) -> None:
    for pieces in ([start], one_by_one(start)):
        with pytest.raises(RequestError) as refused:
            read_all(pieces)
        assert refused.value.code is ErrorCode.BAD_HTTP


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Encoding: gzip\r\n\r\n", 415),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1048577\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\n" + HOST + TE + b"chunked\r\n\r\n100001\r\n", 413),
    ],
)
def test_what_is_legal_but_not_served_is_no_framing_error(raw: bytes, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        read_all([raw])
    assert (refused.value.status, refused.value.code) == (status, ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize(
    "host", [b"x", b"X", b"x:8066", b"x:", b"127.0.0.1:1", b"[::1]", b"[::1]:8066"]
)
def test_an_allowed_host_is_served_with_and_without_a_port(host: bytes) -> None:
    assert guarded(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").method == "GET"


def test_a_star_among_the_allowed_hosts_serves_any_legal_one() -> None:
    head = b"GET / HTTP/1.1\r\nHost: gateway.example:8066\r\n\r\n"
    assert check_head(head, frozenset({"*"})).target == "/"
    with pytest.raises(RequestError):
        check_head(b"GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", frozenset({"*"}))


def test_a_host_is_optional_on_http_1_0_only() -> None:
    assert guarded(b"GET / HTTP/1.0\r\n\r\n").minor == 0


@pytest.mark.parametrize(
    ("version", "fields", "keep"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: te, close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_keep_alive_is_the_clients_word(version: bytes, fields: bytes, keep: bool) -> None:
    raw = b"GET / HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n"
    assert guarded(raw).keep_alive is keep


def test_a_head_gives_lower_case_names_and_trimmed_values() -> None:
    raw = b"\r\nPOST /v1/x?beta=true HTTP/1.1\r\nHOST:x\r\nX-A: \t b c\t \r\nEmpty:\r\n\r\n"
    (request,) = read_all([raw])
    assert request.head == request_head(
        "POST", "/v1/x", "beta=true", ((b"host", b"x"), (b"x-a", b"b c"), (b"empty", b"")), "-"
    )


def test_upgrade_is_ignored_and_the_body_is_read() -> None:
    raw = (
        b"POST / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    for pieces in ([raw], one_by_one(raw)):
        (request,) = read_all(pieces)
        assert request.body == b"hello"
        assert request.head.header(b"upgrade") == "h2c"


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + TE + b"chunked\r\n\r\n"

REFUSED_BODIES = [
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\t\r\nhello\r\n0\r\n\r\n",
    b"5_\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\0\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * 257 + b"\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * 400,
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello!\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n0\n\n",
    b"5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    b"5\r\nhello\r\n0\r\nA: b\nc\r\n\r\n",
    b"5\r\nhello\r\n0\r\n folded\r\n\r\n",
    b"5\r\nhello\r\n0\r\nA: " + b"b" * 8192 + b"\r\n\r\n",
    b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    b"5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n",
]


@pytest.mark.parametrize("body", REFUSED_BODIES)
def test_lax_chunk_framing_is_refused_whole_and_byte_by_byte(body: bytes) -> None:
    for pieces in ([CHUNKED + body], [CHUNKED, *one_by_one(body)]):
        with pytest.raises(RequestError) as refused:
            read_all(pieces)
        assert refused.value.code is ErrorCode.BAD_HTTP


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n000\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        b'5;a=b;c="d e"\r\nhello\r\n0;z\r\n\r\n',
        b"2\r\nhe\r\n1\r\nl\r\n2\r\nlo\r\n0\r\nA: b\r\nC:\r\n\r\n",
    ],
)
def test_strict_chunk_framing_is_read_and_the_next_request_left_alone(body: bytes) -> None:
    follower = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"
    for pieces in ([CHUNKED + body + follower], one_by_one(CHUNKED + body + follower)):
        first, second = read_all(pieces)
        assert (first.body, second.head.path) == (b"hello", "/next")


def test_a_body_of_very_many_tiny_chunks_is_refused() -> None:
    guard = ChunkGuard(1 << 30)
    tiny = bytearray(b"1\r\na\r\n" * (MAX_FRAMING // 4 + 10))
    with pytest.raises(RequestError):
        guard.consume(tiny)


def test_pathological_header_values_take_no_quadratic_time() -> None:
    raw = LINE + HOST + b"A: " + b" \t" * 30_000 + b"x\r\n\r\n"
    assert guarded(raw).headers[1] == (b"a", b"x")


@settings(deadline=None)
@given(st.text(alphabet="aZ1:-\t \r\n\x7f\xe9(", max_size=24))
def test_the_field_block_reads_like_its_plain_form(text: str) -> None:
    plain = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
    raw = text.encode("latin-1")
    assert bool(FIELD_BLOCK.fullmatch(raw)) == bool(plain.fullmatch(raw))


token = st.text(alphabet="abcXYZ-_09", min_size=1, max_size=8).map(str.encode)
value = st.text(alphabet="ab c,;=\t\xe9", max_size=12).map(lambda s: s.encode("latin-1"))


@st.composite
def legal_requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return one legal request and its body."""
    fields = draw(st.lists(st.tuples(token.map(lambda t: b"X-" + t), value), max_size=5))
    head = b"POST /" + draw(token) + b"?" + draw(token) + b" HTTP/1.1\r\n" + HOST
    head += b"".join(b"%b: %b\r\n" % field for field in fields)
    parts = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    body = b"".join(parts)
    if draw(st.booleans()):
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", body
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, body


@settings(deadline=None, max_examples=200)
@given(st.lists(legal_requests(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_cutting_legal_requests_anywhere_changes_nothing(
    requests: list[tuple[bytes, bytes]], seeded: random.Random
) -> None:
    wire = b"".join(raw for raw, _ in requests)
    whole = read_all([wire])
    assert [request.body for request in whole] == [body for _, body in requests]
    cuts = sorted(seeded.sample(range(len(wire) + 1), min(5, len(wire))))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read_all(pieces) == whole
    assert read_all(one_by_one(wire)) == whole


@settings(deadline=None, max_examples=300)
@given(legal_requests(), st.data())
def test_a_damaged_request_is_refused_or_read_alike_however_it_is_cut(
    request: tuple[bytes, bytes], data: st.DataObject
) -> None:
    raw = bytearray(request[0])
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
            st.sampled_from(b"\r\n\0 :;0a\xff")
        )

    def outcome(pieces: list[bytes]) -> object:
        try:
            return read_all(pieces)
        except RequestError as refusal:
            return refusal.code

    assert outcome([bytes(raw)]) == outcome(one_by_one(bytes(raw)))


def test_a_strange_host_is_named_with_what_to_do_about_it() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: %b:80\r\n\r\n" % (b"Gauge." + b"x" * 300)
    with pytest.raises(RequestError) as refused:
        read_all([raw])
    name = ("gauge." + "x" * 300)[:253]
    assert refused.value.message == (
        f"The host {name} is not served here: add it to the gateway's server.allowed_hosts."
    )
