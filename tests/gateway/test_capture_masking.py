"""Secrets are blotted out of captures, wherever the wire cuts them, and nothing else is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.gateway.capture.masking import MaskedFlow, Masking, credentials_in

SECRET = "canary-0001.with/odd+signs="
TEXT = f'data: {{"content":"the key is {SECRET}, they say"}}\n\ndata: [DONE]\n\n'.encode()
MASKED = TEXT.replace(SECRET.encode(), b"*" * len(SECRET))


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=30))
def test_a_known_secret_is_found_wherever_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    flow = MaskedFlow(Masking([SECRET]))
    pieces = [
        piece for t, (a, b) in enumerate(pairwise(places)) for piece in flow.take(t, TEXT[a:b])
    ]
    pieces += flow.rest()
    assert b"".join(piece.masked for piece in pieces) == MASKED
    assert b"".join(piece.data for piece in pieces) == TEXT
    assert [piece.t for piece in pieces] == list(range(len(places) - 1))


@pytest.mark.parametrize("cut", range(30))
def test_a_secret_is_found_as_others_escape_it(cut: int) -> None:
    echo = rb'{"escaped":"canary-0001.with\/odd\u002Bsigns="}'
    flow = MaskedFlow(Masking([SECRET]))
    pieces = [*flow.take(0, echo[:cut]), *flow.take(1, echo[cut:]), *flow.rest()]
    masked = b"".join(piece.masked for piece in pieces)
    assert masked == b'{"escaped":"' + b"*" * (len(echo) - 14) + b'"}'


def test_a_whole_frame_waits_for_nothing() -> None:
    flow = MaskedFlow(Masking([SECRET]))
    assert [piece.masked for piece in flow.take(0, b"data: x\n\n")] == [b"data: x\n\n"]
    assert flow.take(1, b"data: y") == []
    assert [piece.t for piece in flow.take(2, b"\n\n")] == [1, 2]


def test_what_waits_for_its_end_is_bounded() -> None:
    flow = MaskedFlow(Masking([SECRET]))
    waiting = [flow.take(t, b"x" * 600) for t in range(10)]
    assert sum(map(len, waiting)) >= 8


@pytest.mark.parametrize(
    "text",
    [
        b"sk-abcdefghijklmnop1234",
        b"sk-sg-0123456789abcdef0123",
        b"Bearer eyJhbGciOiJIUzI1NiJ9.e30",
        b"ghp_0123456789abcdefghij",
        b"AKIAIOSFODNN7EXAMPLE",
        b"AIza0123456789012345678901234567890",
        b"xoxb-0123456789-abc",
    ],
)
def test_what_looks_like_a_key_is_masked_though_nobody_named_it(text: bytes) -> None:
    masked = Masking([]).apply(b'{"key":"' + text + b'"}')
    assert masked == b'{"key":"' + b"*" * len(text) + b'"}'


@pytest.mark.parametrize("text", [b"task-force of sk-8 people", b"a bearer of news", b"disk-0123"])
def test_plain_words_stay(text: bytes) -> None:
    assert Masking(["short", ""]).apply(text) == text


def test_headers_that_hold_secrets_show_their_length_alone() -> None:
    headers = ((b"authorization", b"Basic dTpw"), (b"x-team", SECRET.encode()), (b"a", b"b"))
    head = Masking([SECRET]).head("POST / HTTP/1.1", headers)
    stars = "*" * len(SECRET)
    assert head == f"POST / HTTP/1.1\r\nauthorization: **********\r\nx-team: {stars}\r\na: b"
    assert credentials_in(headers) == {"Basic dTpw"}
    assert credentials_in([(b"authorization", b"Bearer abcdefgh")]) == {
        "Bearer abcdefgh",
        "abcdefgh",
    }
