"""A head that is known again says what it says when it is read anew, and nothing else is known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import request_head
from streamgauge.gateway.http_guard import check_head
from streamgauge.gateway.known_head import HeadReading, KnownHead, known_head
from streamgauge.gateway.request_reader import RequestReader

ALLOWED = frozenset({"x"})
MAX_BODY = 1000
HEAD = (
    b"POST /v1/x?beta=a HTTP/1.1\r\nHost: x\r\nAccept: b\r\ncontent-LENGTH: \t7 \r\n"
    b"X-Api-Key: \t sk-a 1 \r\nAuthorization:Bearer sk-b\r\n\r\n"
)
TWICE = HEAD.replace(b"Host: x", b"X-A: 1\r\nHost: x\r\nAccept: c\r\nX-A: 2")
PLAIN = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nAccept: 7\r\n\r\n"


def reading(raw: bytes) -> HeadReading:
    checked = check_head(raw, ALLOWED)
    path, _, query = checked.target.partition("?")
    head = request_head(checked.method, path, query, checked.headers, "127.0.0.1")
    return HeadReading(len(raw), checked.length or 0, checked, head)


def known(raw: bytes) -> KnownHead | None:
    read = reading(raw)
    return known_head(raw, read.checked, read.head)


def again(raw: bytes, other: bytes) -> HeadReading | None:
    found = known(raw)
    assert found is not None
    read = found.in_front_of(bytearray(other + b"{} the body"))
    if read is not None:
        anew = reading(other).head
        for name, _ in anew.headers:
            assert read.head.header(name) == anew.header(name)
    return read


@pytest.mark.parametrize("raw", [HEAD, TWICE, PLAIN, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_the_same_bytes_are_the_same_head(raw: bytes) -> None:
    assert again(raw, raw) == reading(raw)


@pytest.mark.parametrize("digits", [b"0", b"8", b"007", b"1234567890", b"9" * 15])
@pytest.mark.parametrize("raw", [HEAD, PLAIN])
def test_another_length_is_read_as_if_the_head_were_new(raw: bytes, digits: bytes) -> None:
    other = raw.replace(b"7", digits, 1)
    assert again(raw, other) == reading(other)


@pytest.mark.parametrize("value", [b"x", b"sk-a 2", b"a  b, c", b"Content-Length: 9", b"~" * 3000])
def test_another_value_of_a_secret_field_is_read_as_if_the_head_were_new(value: bytes) -> None:
    for old in (b"sk-a 1", b"Bearer sk-b"):
        other = HEAD.replace(old, value)
        assert again(HEAD, other) == reading(other)


def test_what_is_remembered_holds_no_key() -> None:
    found = known(HEAD)
    assert "sk-" not in repr(found)
    assert known(HEAD.replace(b"beta=a", b"key=sk-a")) is None


@pytest.mark.parametrize(
    "other",
    [
        HEAD[:-1],
        HEAD[1:],
        HEAD.replace(b"Accept: b", b"Accept: c"),
        HEAD.replace(b"\t7", b"\t"),
        HEAD.replace(b"\t7", b"\t+7"),
        HEAD.replace(b"\t7", b"\t7, 7"),
        HEAD.replace(b"\t7", b"\t-1"),
        HEAD.replace(b"\t7", b"\t" + b"9" * 16),
        HEAD.replace(b"\t7", "\t٧".encode()),
        HEAD.replace(b"sk-a 1", b""),
        HEAD.replace(b"sk-a 1", b"sk\0a"),
        HEAD.replace(b"sk-a 1", b"sk\ta"),
        HEAD.replace(b"sk-a 1", b"sk\xe4"),
        HEAD.replace(b"sk-a 1", b"sk\na"),
        HEAD.replace(b"sk-a 1", b"a\r\nTransfer-Encoding: chunked"),
        HEAD.replace(b"sk-b", b"sk-b "),
        HEAD.replace(b"sk-b", b"s" * 4096),
        HEAD.replace(b"sk-b\r\n", b"sk-b\r\nA: b\r\n"),
        HEAD.replace(b"Authorization", b"Authorizatiom"),
        b"\r\n" + HEAD,
        b"",
    ],
)
def test_anything_else_is_not_known(other: bytes) -> None:
    found = known(HEAD)
    assert found is not None
    assert found.in_front_of(bytearray(other)) is None


@pytest.mark.parametrize("name", [b"Connection", b"Expect", b"Upgrade", b"Proxy-Connection", b"TE"])
def test_a_field_that_says_how_to_read_on_is_known_by_its_value(name: bytes) -> None:
    raw = PLAIN.replace(b"Accept: 7", name + b": trailers")
    assert again(raw, raw) == reading(raw)
    assert again(raw, raw.replace(b"trailers", b"close")) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nAccept: " + b"b" * 5000 + b"\r\n\r\n",
    ],
)
def test_a_long_head_and_one_with_a_chunked_body_are_not_remembered(raw: bytes) -> None:
    assert known(raw) is None


def outcomes(reader: RequestReader, raw: bytes) -> list[object]:
    """Return what a connection reads, up to a refusal."""
    read: list[object] = []
    reader.feed(raw)
    try:
        while (head := reader.read_head()) is not None:
            traits = (reader.path, reader.minor, reader.keep_alive)
            read.append((head, traits, reader.wants_continue, body := reader.read_body()))
            if body is None:  # the rest of it may be on its way
                reader.feed(b"x" * MAX_BODY)
                return [*read, reader.read_body(), reader.buffered]
    except RequestError as refused:
        read.append((refused.status, refused.code, refused.message, reader.path, reader.refused))
    return [*read, reader.buffered]


def test_a_known_head_with_too_long_a_body_is_refused_as_a_new_one_is() -> None:
    reader = RequestReader(ALLOWED, MAX_BODY)
    outcomes(reader, PLAIN + b"1234567")
    late = PLAIN.replace(b"7", b"1001", 1)
    assert outcomes(reader, late)[0] == outcomes(RequestReader(ALLOWED, MAX_BODY), late)[0]


_FIELDS = [
    "A: b\r\n",
    "A:  bcd e\r\n",
    "Cookie: a\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Upgrade: h2c\r\n",
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a legal request of a few kinds, so that heads come again."""
    fields = "".join(draw(st.lists(st.sampled_from(_FIELDS), max_size=2)))
    body = draw(st.sampled_from([b"", b"{}", b"0123456789", b"\r\n\r\n", b"x" * 100]))
    start = f"{draw(st.sampled_from(['POST', 'GET']))} /p HTTP/1.1\r\nHost: x\r\n{fields}".encode()
    if draw(st.integers(0, 4)) == 0 and body:
        return start + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
            len(body),
            body,
        )
    if not body and draw(st.booleans()):
        return start + b"\r\n"
    return start + b"Content-Length: %d\r\n\r\n" % len(body) + body


_INSERTED = [
    b"\r\n",
    b" ",
    b"\t",
    b"9",
    b"\r\nContent-Length: 3",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nHost: y",
    b"\r\nConnection: close",
    b"\r\n\r\nGET /smuggled HTTP/1.1",
]


@settings(deadline=None, max_examples=200)
@given(requests(), st.data())
def test_a_request_that_is_nearly_the_one_before_reads_as_if_it_were_the_first(
    last: bytes, data: st.DataObject
) -> None:
    reader = RequestReader(ALLOWED, MAX_BODY)
    outcomes(reader, last)
    head = last.index(b"\r\n\r\n")
    at = data.draw(st.integers(0, head))
    gone = data.draw(st.integers(0, 2))
    near = last[:at] + data.draw(st.sampled_from([b"", *_INSERTED])) + last[at + gone :]
    assert outcomes(reader, near) == outcomes(RequestReader(ALLOWED, MAX_BODY), near)


@settings(deadline=None, max_examples=300)
@given(st.lists(requests(), min_size=1, max_size=4), requests(), st.data())
def test_a_request_reads_alike_behind_any_others(
    before: list[bytes], last: bytes, data: st.DataObject
) -> None:
    raw = bytearray(last)
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
            st.sampled_from(b"\r\n\0 :;0a9\t\xff")
        )
    reader = RequestReader(ALLOWED, MAX_BODY)
    for each in before:
        assert outcomes(reader, each) == outcomes(RequestReader(ALLOWED, MAX_BODY), each)
    assert outcomes(reader, bytes(raw)) == outcomes(RequestReader(ALLOWED, MAX_BODY), bytes(raw))
