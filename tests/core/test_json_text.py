"""Strict reading has one outcome for every text; patching touches nothing but its value."""

from __future__ import annotations

import json
import string
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.core.json_text import MAX_DEPTH, MAX_DIGITS, read_object, set_key, without_bom

RECORDED = Path(__file__).parents[1] / "data" / "recorded"


def nested(levels: int) -> bytes:
    """An object whose value nests so that the whole is `levels` deep."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"[1,2]",
        b'"text"',
        b"null",
        b'{"model":"m","messages":[',
        b"{} {}",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":\x00}',
        b'{"a":"\n"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"stream":false,"stream":true}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":[{"b":1,"\\u0062":2}]}',
        b'{"a":1,"a":"\\u0022\\u0022"}',
        b'{"a":"\\"","a":"\\"\\"\\u0022"}',
        b'{"a":1e400}',
        b'{"a":[-1e999]}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":' + b"9" * (MAX_DIGITS + 1) + b"}",
        nested(MAX_DEPTH + 1),
        nested(9_000),
        nested(200_000),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_object(raw)
    assert caught.value.status == 400
    assert caught.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a" : null}\n', {"a": None}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
        (b'{"a":1e308,"b":-0.0}', {"a": 1e308, "b": -0.0}),
        (b'{"__proto__":{"x":1},"constructor":1}', {"__proto__": {"x": 1}, "constructor": 1}),
        (b'{"a":{"k":1},"b":{"k":2}}', {"a": {"k": 1}, "b": {"k": 2}}),
    ],
)
def test_legal_bodies_are_read(raw: bytes, value: object) -> None:
    assert read_object(raw) == value


def test_the_limits_themselves_are_accepted() -> None:
    assert read_object(nested(MAX_DEPTH)).keys() == {"a"}
    assert read_object(b'{"a":' + b"9" * MAX_DIGITS + b"}")["a"] == int("9" * MAX_DIGITS)


def plainly(raw: bytes) -> object:
    """Read as Python reads, every member of every object kept; None where that is refused."""

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    def finite(digits: str) -> float:
        if abs(float(digits)) == float("inf"):
            raise ValueError
        return float(digits)

    def nothing(name: str) -> None:
        raise ValueError(name)

    try:
        read = json.loads(
            raw.decode(), object_pairs_hook=members, parse_float=finite, parse_constant=nothing
        )
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


_PLAIN = [
    *'{}[]:,"ab \n\x1f\x7fü€𝄞0',
    '"a":',
    '{"a":',
    '","',
    "-0",
    "1.50",
    "1e5",
    "1E400",
    "9" * 20,
]
_ESCAPES = ['\\"', "\\\\", "\\u0022", "\\u005C", "\\ud834", "\\udd1e", "\\/", "\\b"]
_scraps = st.sampled_from([*_PLAIN, *_ESCAPES, "true", "null", "NaN"])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "\\u0061"]), st.lists(_scraps, max_size=4))))
def test_quick_reading_and_plain_reading_agree_on_every_text(
    members: list[tuple[str, list[str]]],
) -> None:
    for value in ("{}", '"{}"', "[{{{}}}]", '{{"a":{}}}'):
        told = (f'"{key}":{value.format("".join(scraps))}' for key, scraps in members)
        raw = f"{{{','.join(told)}}}".encode()
        try:
            read = read_object(raw)
        except RequestError:
            assert plainly(raw) is None
        else:
            assert repr(read) == repr(plainly(raw))


@settings(max_examples=300, deadline=None)
@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_every_number_is_the_one_that_python_reads(digits: str) -> None:
    raw = f'{{"a":{digits}}}'.encode()
    try:
        read = read_object(raw)
    except RequestError:
        assert plainly(raw) is None
    else:
        assert repr(read) == repr(plainly(raw))


def test_only_one_byte_order_mark_is_removed() -> None:
    assert without_bom(b"\xef\xbb\xbf\xef\xbb\xbf{}") == b"\xef\xbb\xbf{}"
    assert without_bom(b"{}") == b"{}"


def test_a_claude_code_body_is_read_in_a_few_milliseconds() -> None:
    lines = (RECORDED / "claude_code_print.jsonl").read_text().splitlines()
    raw = json.dumps(next(body for line in lines if (body := json.loads(line)["body"]))).encode()
    best = 1.0
    for _ in range(5):
        start = perf_counter()
        read_object(raw)
        best = min(best, perf_counter() - start)
    assert best < 5 * 0.002  # five times the figure: the machine may be busy


@pytest.mark.parametrize(
    ("raw", "path", "expected"),
    [
        (b"{}", ("a",), b'{"a":1}'),
        (b"{ }", ("a",), b'{"a":1 }'),
        (b' {"b":2}', ("a",), b' {"a":1,"b":2}'),
        (b'{ "b" : 2 , "a" : [1, {"a":3}] , "c":4}', ("a",), b'{ "b" : 2 , "a" : 1 , "c":4}'),
        (b'{"x":{"a":0},"a":"}"}', ("a",), b'{"x":{"a":0},"a":1}'),
        (b'{"\\u0061":0}', ("a",), b'{"\\u0061":1}'),
        (b'{"s":null}', ("s", "a"), b'{"s":{"a":1}}'),
        (b'{"s":{}}', ("s", "a"), b'{"s":{"a":1}}'),
        (b'{"s":{"b":2}}', ("s", "a"), b'{"s":{"a":1,"b":2}}'),
        (b'{"s": {"b":2, "a" :false}, "t":1}', ("s", "a"), b'{"s": {"b":2, "a" :1}, "t":1}'),
        (b'{"t":1}', ("s", "a"), b'{"s":{"a":1},"t":1}'),
        ('{"ü":"\\ud800€","a":"𝄞"}'.encode(), ("a",), '{"ü":"\\ud800€","a":1}'.encode()),
    ],
)
def test_a_patch_changes_its_value_and_no_other_byte(
    raw: bytes, path: tuple[str, ...], expected: bytes
) -> None:
    assert set_key(raw, path, b"1") == expected


_keys = st.text(string.ascii_letters + '\\"ü', max_size=4)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    st.dictionaries(_keys, _values, max_size=6),
    st.lists(_keys, min_size=1, max_size=2),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_a_patched_body_reads_as_the_patched_object(
    body: dict[str, object], path: list[str], indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    expected = read_object(raw)
    inner = expected
    if len(path) == 2:
        old = expected.get(path[0])
        inner = old if isinstance(old, dict) else {}
        expected[path[0]] = inner
    inner[path[-1]] = True
    assert read_object(set_key(raw, tuple(path), b"true")) == expected


@settings(deadline=None)
@given(
    st.binary(max_size=60)
    | st.text(max_size=40).map(lambda t: f'{{"a":{t}}}'.encode("utf-8", "replace"))
)
def test_no_bytes_raise_anything_but_a_request_error(raw: bytes) -> None:
    try:
        value = read_object(raw)
    except RequestError:
        return
    assert isinstance(value, dict)


def test_a_long_body_s_numbers_are_those_that_python_reads() -> None:
    body = b'{"a":[1.5,-2e3,7],"long":"%b"}' % (b"x" * 5000)
    assert read_object(body)["a"] == [1.5, -2000.0, 7]


@pytest.mark.parametrize("raw", [b"", b" \r\n", b"\xef\xbb\xbf"])
def test_an_empty_body_is_called_empty(raw: bytes) -> None:
    with pytest.raises(RequestError, match="the body is empty"):
        read_object(raw)
