"""A request's head, as those who serve it look into it."""

from __future__ import annotations

import pytest

from streamgauge.gateway.http import request_head

HEAD = request_head("POST", "/v1/messages", "", ((b"a", b"1"), (b"b", b"\xfc"), (b"a", b"2")), "-")


@pytest.mark.parametrize(("name", "value"), [(b"a", "1"), (b"b", "ü"), (b"c", None)])
def test_of_a_field_that_came_twice_the_first_counts(name: bytes, value: str | None) -> None:
    assert HEAD.header(name) == value


def test_heads_are_equal_that_state_the_same() -> None:
    same = request_head(HEAD.method, HEAD.path, HEAD.query, HEAD.headers, HEAD.peer)
    assert same == HEAD
    assert hash(same) == hash(HEAD)
    assert request_head(HEAD.method, HEAD.path, HEAD.query, HEAD.headers[:2], HEAD.peer) != HEAD
    assert HEAD != "POST"
